# Every target makes what it needs first; see CONTRIBUTING.md.
#   make PYTHON=/usr/bin/python3.12 …   another interpreter for .venv
SHELL := /usr/bin/env bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# .venv first, version managers' shims last
export PATH := $(CURDIR)/.venv/bin:$(shell tools/real-path)
# ansible, npm and pip want a HOME that they can write to
HOME := $(shell if [ -n "$$HOME" ] && [ -d "$$HOME" ] && [ -w "$$HOME" ]; then echo "$$HOME"; else mkdir -p .build/home && echo "$(CURDIR)/.build/home"; fi)
export HOME
export PYTHON KEEP
ARGS ?=

.PHONY: help
help: ## show this list
	@sed -n 's/^\([a-z%-]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name text; do printf '  make %-20s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: ## install what is missing: system packages, .venv, the collection's link
	@tools/setup

.PHONY: demo
demo: setup ## the main job on a real application, on this machine (KEEP=1 leaves it running)
	@.venv/bin/python tests/demo/demo.py $(ARGS)

# Tests wait as often as they work, so more of them run at once than there are cores. Those of one group, marked with xdist_group, share
# what is costly to make and stay together.
WORKERS ?= $(shell echo $$(($$(nproc) + 2)))
PYTEST := .venv/bin/pytest -q -n $(WORKERS) --durations=15 --durations-min=20

.PHONY: test
test: setup ## all tests but those on systemd hosts: unit, faults, attacks, fuzz, traffic, app, integration (ARGS=--long for all faults)
	$(PYTEST) tests/unit tests/faults tests/attack tests/fuzz tests/traffic tests/integration $(ARGS)

.PHONY: test-changed
test-changed: setup ## only the tests that the uncommitted change can affect (BASE=main: the whole branch)
	@tests=$$(.venv/bin/python tools/changed.py $(BASE)) && if [ -n "$$tests" ]; then $(PYTEST) $$tests $(ARGS); else echo 'nothing has changed'; fi

.PHONY: test-unit
test-unit: setup ## unit tests (ARGS="-k name" goes to pytest)
	$(PYTEST) tests/unit $(ARGS)

.PHONY: test-traffic
test-traffic: setup ## deploys and rollbacks behind the proxy, under traffic that must lose nothing
	$(PYTEST) tests/traffic $(ARGS)

.PHONY: test-faults
test-faults: setup ## kills, full disks, damage and hostile archives: a minute of them
	$(PYTEST) tests/faults $(ARGS)

.PHONY: test-attack
test-attack: setup ## a second user attacks root through every operation, 2,000 exchanges each; needs root (ARGS="-k proxy")
	$(PYTEST) tests/attack --exchanges 2000 $(ARGS)

.PHONY: test-attack-systemd
test-attack-systemd: setup ## the same on a host in a container where systemd runs the service (ATTACK_ARGS="-k proxy", KEEP=1)
	@ATTACK_ARGS="$(ATTACK_ARGS)" SCENARIO=attack tools/test-systemd $(ARGS)

.PHONY: test-long
test-long: setup ## all fault tests of backup and restore, some minutes
	$(PYTEST) tests/faults --long $(ARGS)

.PHONY: test-fuzz
test-fuzz: setup ## made-up state files, answers, suites, artifacts and logs, a minute each (FUZZ_SECONDS=1200 for twenty)
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} $(PYTEST) -s tests/fuzz $(ARGS)

.PHONY: test-integration
test-integration: setup ## the real playbooks against the sample application
	$(PYTEST) tests/integration $(ARGS)

.PHONY: test-upgrade
test-upgrade: setup ## this version takes over a host from an earlier one, whose watch still runs (OLD=a commit)
	@[ -n "$(OLD)" ] || { echo 'test-upgrade: OLD: expected a commit of the earlier version. Give it: make test-upgrade OLD=…' >&2; exit 2; }
	@rm -rf .build/old && git worktree prune && git worktree add --quiet --detach .build/old $(OLD)
	@mkdir -p .build/old/.build/collections/ansible_collections/mobius && ln -s ../../../.. .build/old/.build/collections/ansible_collections/mobius/ops
	MOBIUS_OLD="$(CURDIR)/.build/old" $(PYTEST) tests/integration/test_upgrade.py $(ARGS)

.PHONY: test-events
test-events: setup ## storms of alerts through the real ansible-rulebook, in an environment of its own (needs Java 17)
	@[ -x .build/events/bin/ansible-rulebook ] || { .venv/bin/python -m venv .build/events && .build/events/bin/pip -q install -r tools/events-requirements.txt; }
	MOBIUS_EVENTS="$(CURDIR)/.build/events/bin" .venv/bin/pytest -q -s -p no:randomly tests/integration/test_events.py $(ARGS)

.PHONY: test-app
test-app: setup ## the sample application's own tests
	$(PYTEST) tests/integration/test_sample_application.py $(ARGS)

.PHONY: test-mobius
test-mobius: setup ## the real MOBIUS: nothing that it acknowledged is lost (MOBIUS_SOURCE=a checkout of it)
	@[ -f "$(MOBIUS_SOURCE)/src/api/index.js" ] || { echo 'test-mobius: MOBIUS_SOURCE: expected the folder of a checkout of MOBIUS. Give it: make test-mobius MOBIUS_SOURCE=…' >&2; exit 2; }
	MOBIUS_SOURCE="$(abspath $(MOBIUS_SOURCE))" .venv/bin/pytest -q -s -p no:randomly tests/mobius $(ARGS)

.PHONY: test-mobius-systemd
test-mobius-systemd: setup ## the same on a systemd host in a container, over SSH (MOBIUS_SOURCE=…, KEEP=1)
	@[ -f "$(MOBIUS_SOURCE)/src/api/index.js" ] || { echo 'test-mobius-systemd: MOBIUS_SOURCE: expected the folder of a checkout of MOBIUS. Give it: make test-mobius-systemd MOBIUS_SOURCE=…' >&2; exit 2; }
	@MOBIUS_SOURCE="$(abspath $(MOBIUS_SOURCE))" MOBIUS_WHERE=systemd SCENARIO=mobius tools/test-systemd $(ARGS)

.PHONY: test-systemd
test-systemd: setup ## a real systemd host in a container, over SSH (KEEP=1 leaves it up; ARGS=verify for one step; MOBIUS_SUITE=trixie for Debian 13)
	@tools/test-systemd $(ARGS)

.PHONY: test-cluster
test-cluster: setup ## three systemd hosts in containers, over SSH: deploys and rollbacks under load, a reboot (KEEP=1, ARGS=verify)
	@SCENARIO=cluster tools/test-systemd $(ARGS)

.PHONY: test-cluster-faults
test-cluster-faults: setup ## the same three hosts: every step fails once, hosts are lost, deploys are killed (MOBIUS_KILLS=30, KEEP=1, ARGS=verify)
	@SCENARIO=faults tools/test-systemd $(ARGS)

.PHONY: test-roles
test-roles: setup ## each role alone, on fresh Debian 12 and 13 hosts (ROLE=backup for one)
	@failed=; for one in $(if $(ROLE),role-$(ROLE),$(notdir $(wildcard molecule/role-*))); do \
	    SCENARIO=$$one tools/test-systemd || failed="$$failed $$one"; \
	done; [ -z "$$failed" ] || { echo "test-roles: FAILED:$$failed"; exit 1; }

.PHONY: test-matrix
test-matrix: setup ## unit tests, sanity and the main path on other ansible-cores
	@.venv/bin/python tools/matrix.py $(ARGS)

.PHONY: bench-deploy
bench-deploy: setup ## deploys on 1, 3 and 10 local hosts, going back with 5 GB, nginx beside HAProxy (ARGS=--write for the page in docs)
	@tools/bench-deploy $(ARGS)

.PHONY: recording
recording: setup ## deploys on one host and on ten, as the moving pictures of the README
	@.venv/bin/python tests/bench/recording.py

.PHONY: bench-watch
bench-watch: setup ## how often the watch's rules err and catch, beside two others' (ARGS=--write for the page in docs)
	@.venv/bin/python tests/bench/watch_rules.py $(ARGS)

.PHONY: bench-watch-faults
bench-watch-faults: setup ## how soon the watch finds each fault of the sample application: five minutes (ARGS=--write)
	@.venv/bin/python tests/bench/watch_faults.py $(ARGS)

.PHONY: bench-backup
bench-backup: setup ## backups beside zip, tar, restic and borg (ARGS="--rounds 5", --write for the page in docs)
	@tools/bench-backup $(ARGS)

.PHONY: bench-health
bench-health: setup ## a hundred endpoints by health_check, beside a loop of curl (ARGS="--rounds 9")
	@.venv/bin/python tests/bench/health.py $(ARGS)

.PHONY: bench-diagnose
bench-diagnose: setup ## every cause made for real, 20 times: verdict, seconds, mending (ARGS="--systemd --repeat 3 --only ffmpeg --write")
	@.venv/bin/python tests/bench/diagnose.py $(ARGS)

.PHONY: bench-logs
bench-logs: setup ## the report of logs beside the runbook's greps and GoAccess (ARGS="--size 100M --rounds 3"; 1 GB each by default)
	@.venv/bin/python tests/bench/logs.py $(ARGS)

.PHONY: lint
lint: setup ## every lint step; one alone: lint-sanity -ansible -docs -changelog -ruff -format -house -rooms -root -types -awx
	@.venv/bin/python tools/lint.py

.PHONY: format
format: setup ## format the Python files, as lint-format asks for
	@.venv/bin/ruff format .

lint-%: setup
	@.venv/bin/python tools/lint.py $*

.PHONY: docs
docs: setup ## the documentation as a site, in .build/docs/html; every warning is an error
	@.venv/bin/python tools/docs_site.py

.PHONY: docs-lint
docs-lint: lint-docs ## the documentation of plugins and roles

.PHONY: build
build: setup ## the collection's tarball, in .build/dist
	@.venv/bin/ansible-galaxy collection build --force --output-path .build/dist "$$(.venv/bin/python tools/tree.py)"
	@cp "$$(ls -t .build/dist/mobius-ops-*.tar.gz | head -n 1)" .build/dist/mobius-ops.tar.gz # as execution-environment.yml names it

.PHONY: release
release: setup ## a release: version, changelog, tarball, Galaxy's own check (VERSION=1.0.0)
	@.venv/bin/python tools/release.py "$(VERSION)"

.PHONY: release-check
release-check: setup ## whether Galaxy would take a release of what is here; changes nothing
	@.venv/bin/python tools/release.py --check $(VERSION)

.PHONY: clean
clean: ## remove what make has made
	rm -rf .build .venv .pytest_cache .ruff_cache .hypothesis .ansible tests/output
