# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every record of a set-up root, damaged in every way that is known: each module says so in a sentence, and the status still works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import typing as t

import pytest
from support import corruption, records
from support.remains import end_all
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.filter.status_page import status_page
from ansible_collections.mobius.ops.plugins.module_utils._backup import external_state
from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._deploy import assets
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import canaries
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import ongoing_work
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock, incidents, restore_journal, shared_folders, tenancy
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control
from ansible_collections.mobius.ops.plugins.module_utils._watch import latency_baseline, watcher
from ansible_collections.mobius.ops.plugins.modules import (
    backup,
    backup_info,
    backup_restore,
    log_report,
    node_service_info,
    release,
    release_info,
)

#: Each damage is tried on every so-manieth module, each time on others; the fuzz tests try all.
PART = 10
WATCH = {
    "service": "mobius",
    "duration": 60.0,
    "interval": 60.0,
    "retry_interval": 1.0,
    "initial_delay": 0.0,
    "failure_threshold": 3,
    "error_threshold": 5,
    "restart_limit": 3,
    "recovery_threshold": 2,
    "auto_rollback": True,
    "ready_timeout": 1.0,
    "env": "local",
    "requests": 1,
    "metrics_interval": 0.0,
    "thresholds": {},
    "keep": 0,
}
DOWN = [{"name": "h", "url": "http://127.0.0.1:1/", "timeout": 1}]
SETUP = {"name": "mobius", "manager": "process", "command": ["true"], "host": "127.0.0.1"}

#: Paths below the root.
RECORDS = (
    "state/service/mobius/spec.json",
    "state/service/mobius/status.json",
    "state/service/mobius/started.json",
    "state/service/mobius/busy.json",
    "state/watch/*/spec.json",
    "state/watch/*/state.json",
    "state/baseline.json",
    "state/lock/deploy.json",
    "state/shared.json",
    "state/external.json",
    "state/canary.json",
    "state/drill.json",
    "state/restore.staging.json",
    "state/restore.swapping.json",
    "state/restore.trial.json",
    "state/restore.saving.json",
    "state/restore.copy.json",
    "state/history.jsonl",
    "releases/r1/.release.json",
    "releases/r2/.release.json",
    "releases/r2/.assets.json",
    "incidents/*.json",
    "current",
    "state/switch.lock",
    "state/switch.json",
    "state/env.json",
    "monitor_logs/*.jsonl",
    "state/logs.json",
    "state/maintenance.json",
    "state/cleanup/*.json",
    "state/notify.json",
    "state/notify_urls.json",
    "state/outbox/*-1.json",
    "state/outbox/*.0.mail.json",
    "state/schedule.json",
    "state/schedule/*.json",
    "state/metrics/*.jsonl",
)


class Used(t.NamedTuple):
    """A root that has seen everything."""

    host: t.Any
    archive: str

    def path(self, pattern: str) -> str:
        """The file of a record."""
        folder, name = os.path.split(os.path.join(self.host.root, pattern))
        if "*" in folder:
            top = folder.partition("/*")[0]
            folder = os.path.join(top, sorted(os.listdir(top))[-1])
        if "*" in name:
            name = sorted(each for each in os.listdir(folder) if each.endswith(name.lstrip("*")))[0]
        return os.path.join(folder, name)


#: The root of this process's tests, once one has made it: it costs a second. Beside it lies what it was then.
MADE: list[Used] = []


@pytest.fixture
def used(tmp_path_factory, host_at, run_module) -> t.Iterator[Used]:
    """A root as it was made, at the same path for each test of this process, because records hold paths."""
    if not MADE:
        MADE.append(make(host_at(os.path.realpath(tmp_path_factory.mktemp("used") / "host")), run_module))
        subprocess.run(["cp", "-a", MADE[0].host.root, MADE[0].host.root + ".made"], check=True)
    root = MADE[0].host.root
    shutil.rmtree(root)
    subprocess.run(["cp", "-a", root + ".made", root], check=True)
    try:
        yield MADE[0]
    finally:
        end_all(root)


def make(host: t.Any, run_module: t.Any) -> Used:
    """Let a host see everything."""
    host.live("r1")
    host.live("r2")
    service = host.serve()
    shared_folders.save(host.layout, shared_folders.normalize(None))
    tenancy.keep(host.layout, "local")
    fs.write_json(external_state.kept(host.layout), external_state.normalize(None, "mobius", True))
    ongoing_work.save_check(service, {**health.normalize_all(DOWN)[0], "jobs": "jobs"})
    with fs.open_umask():
        fs.write_json(latency_baseline._path(host.layout), {"release": "r1", "when": "2026-01-01T00:00:00Z", "checks": {"h": [1.0, 2.0]}})
        fs.write_json(canaries._path(host.layout), {"created": "2026-01-01T00:00:00Z", "release": "r1", "values": {"a": 1}, "uploaded": {}})
    fs.write_json(host.layout.path("state", "drill.json"), {"scratch": os.path.join(host.root, ".drill-20260101_000000-00000000")})
    assets.own(host.layout, "r2", ["client"])
    incidents.open_incident(host.layout, {"title": "It is down", "severity": 2, "env": "local", "evidence": {"console": ["a line"]}})
    records.page(host.layout)
    folder = watch_control.start(host.layout, {**WATCH, "checks": host.checks}, watcher)
    wait_until(lambda: (folder.saved() or {}).get("rounds"), what="the first round of the watch")
    watch_control.stop(host.layout, "the test goes on")
    wait_until(lambda: folder.state()["status"] == "finished", what="the end of the watch")
    archive = run_module(backup, {"root": host.root, "env": "local"})["archive"]
    records.quarantine(host.layout)
    records.scheduled(host.layout)
    records.maintained(host.layout)
    service.stop()
    with open(os.path.join(host.layout.component("logs"), "app.log"), "a", encoding="utf-8") as stream:
        stream.write("2026-01-01T00:00:00Z ERROR it failed\n2026-01-01T00:00:00Z POST /a 500 7ms\n")
    run_module(log_report, {"root": host.root})
    with host.store.switching():
        pass
    deploy_lock.DeployLock(host.layout).hold(
        {"owner": "ada", "reason": "test", "env": "local", "host": "laptop", "process": "", "expiry": 1e6}
    )
    return Used(host, archive)


def attempted(run_module: t.Any, module: t.Any, args: dict[str, t.Any], check: bool) -> tuple[str, dict[str, t.Any]]:
    """What is wrong with how a module took it, if anything, and its result."""
    try:
        with corruption.no_hang(HANG):
            result = run_module(module, args, check=check)
    except (Exception, corruption.Hang) as error:
        return f"{type(error).__name__}: {error}", {}
    message = result.get("msg") or ""
    if result.get("failed") and ("\n" in message or ": " not in message or "Error(" in message):
        return f"no sentence: {message}", result
    return "", result


def test_the_root_of_these_tests_has_every_record_and_is_well_understood(used, run_module):
    for name in RECORDS:
        assert "restore." in name or name == "state/switch.json" or os.path.lexists(used.path(name)), name
    for name, (module, args, check) in records.calls(used.host.root, used.host.port, used.archive).items():
        wrong, result = attempted(run_module, module, args, check)
        assert not wrong and not result.get("findings"), (name, wrong, result)
        assert not any(word in str(result.get("msg")) for word in ("nsupported", "missing", "must be one of")), (name, result)


@pytest.mark.parametrize("record", RECORDS)
def test_a_damaged_record_makes_no_module_crash_or_hang(used, run_module, record):
    path, faults, runs, every = used.path(record), [], 0, list(records.calls(used.host.root, used.host.port, used.archive).items())
    for number, (damage, content) in enumerate(corruption.damages(path), RECORDS.index(record)):
        for name, (module, args, check) in every[number % PART :: PART]:
            with corruption.instead(path, content):
                wrong, _result = attempted(run_module, module, args, check)
            runs += 1
            if wrong:
                faults.append(f"{record}, {damage}: {name}: {wrong}"[:300])
    assert not faults, f"{len(faults)} of {runs} runs:\n" + "\n".join(faults[:40])


#: Records that the status shows something of.
SHOWN = (
    "state/service/mobius/spec.json",
    "state/service/mobius/status.json",
    "state/watch/*/state.json",
    "state/shared.json",
    "state/lock/deploy.json",
    "state/history.jsonl",
    "releases/r1/.release.json",
    "releases/r2/.release.json",
    "current",
)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"{}", b"[" * 200_000, os.mkdir, os.mkfifo])
@pytest.mark.parametrize("record", SHOWN)
def test_the_status_shows_what_is_damaged(used, run_module, record, content):
    path = used.path(record)
    used.host.store.mark("r2", "active")  # so that the watch is asked for
    with corruption.instead(path, content), corruption.no_hang(HANG):
        service = run_module(node_service_info, {"root": used.host.root})
        releases = run_module(release_info, {"root": used.host.root})
        backups = run_module(backup_info, {"root": used.host.root, "env": "local"})
    assert not service.get("failed") and not releases.get("failed") and not backups.get("failed"), (service, releases, backups)
    page = status_page(service, releases, backups["backups"])
    if not (record.endswith(".jsonl") and content == b""):
        assert path in page, page
        assert "ove " in page.split(path, 1)[1] or "force_unlock" in page or "skipped" in page, page


def test_a_damaged_record_is_named_with_the_way_out(used, run_module):
    path = used.path("releases/r2/.release.json")
    with corruption.instead(path, b'{"id": "r2", "sequence": "last"}'):
        said = run_module(release, {"root": used.host.root, "state": "pruned"}, check=True)["msg"]
    assert said == (
        f"{path}: expected the record of a release, found a text in sequence instead of a whole number. Move the file away: "
        "the release is unknown then, and a deploy of its version prepares it again."
    )


def test_a_newer_record_with_more_fields_is_read(used, run_module):
    path = used.path("releases/r2/.release.json")
    with open(path, encoding="utf-8") as stream:
        newer = {**json.load(stream), "of_a_later_version": [1, {"a": None}]}
    with corruption.instead(path, json.dumps(newer).encode()):
        assert run_module(release_info, {"root": used.host.root})["findings"] == []


def _journal(used: Used, phase: str) -> str:
    journal = restore_journal.Journal.begin(
        used.host.layout,
        archive=used.archive,
        env="local",
        components=["uploads"],
        sign_key=None,
        made=None,
        service=None,
        wanted=False,
        previous=None,
        target=None,
    )
    journal.update(safety={}, since=0, swaps=[])
    journal.enter(phase)
    return restore_journal.journal_path(used.host.layout, phase)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"{" * 1000, b'{"components": 7}'])
@pytest.mark.parametrize("phase", restore_journal.PHASES)
def test_a_damaged_journal_is_mended_by_its_copy(used, run_module, phase, content):
    path = _journal(used, phase)
    with open(path, "wb") as stream:
        stream.write(content)
    result = run_module(backup_restore, {"root": used.host.root, "env": "local"})
    assert not result.get("failed"), result
    assert any(path in text and "its copy was used" in text for text in result["warnings"]), result
    assert not [name for name in os.listdir(used.host.layout.state) if name.startswith("restore.")]
    again = run_module(backup_restore, {"root": used.host.root, "env": "local"})
    assert not again.get("failed") and "warnings" not in again and not again["changed"], again


def test_a_damaged_journal_without_a_copy_is_removed_when_no_folder_has_changed_places(used, run_module):
    path = _journal(used, "swapping")
    for each in (path, used.path("state/restore.copy.json")):
        fs.write_text(each, "{")
    result = run_module(backup_restore, {"root": used.host.root, "env": "local"})
    assert not result.get("failed") and any("no folder had changed places" in text for text in result["warnings"]), result
    assert not [name for name in os.listdir(used.host.layout.state) if name.startswith("restore.")]


def test_what_a_killed_restore_put_aside_is_never_removed_without_its_journal(used, run_module):
    path, work = _journal(used, "swapping"), os.path.join(used.host.layout.shared, ".restore-20260101_000000-00000000")
    os.makedirs(os.path.join(work, "old", "uploads"))
    for each in (path, used.path("state/restore.copy.json")):
        fs.write_text(each, "{")
    for check in (True, False):
        said = run_module(backup_restore, {"root": used.host.root, "env": "local"}, check=check)["msg"]
        assert said.startswith(f"{path}: expected the journal of a restore, found") and f"{work}/old" in said
    assert os.path.isdir(os.path.join(work, "old", "uploads")) and os.path.exists(path)
