"""`kill -9` of ansible-playbook at random moments of a deploy behind the proxy, then the same command again.

The kill hits the controller's processes. A module that it was running on the target goes on, as it does over SSH.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from support import remains
from support.traffic import Traffic
from support.waiting import wait_until

RATE = 20


def controllers(group):
    """The processes of ansible-playbook in a process group, its workers included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(folder.name)
            if os.getpgid(pid) == group and b"ansible-playbook" in (folder / "cmdline").read_bytes():
                found.append(pid)
        except (ProcessLookupError, FileNotFoundError):
            continue
    return found


def kill(run):
    """SIGKILL to ansible-playbook; whether it still ran."""
    running = run.poll() is None
    remains.kill(*controllers(run.pid))
    run.wait()
    return running


@pytest.mark.parametrize("proxied", ["exclusive", "shared"], indirect=True)
def test_killed_at_random_moments_the_same_command_converges_and_the_site_is_never_down(proxied, request):
    site, count = proxied, request.config.getoption("--kills")
    seed = request.config.getoption("--kill-chance")
    chance = random.Random(seed + site.state)
    assert site.play("setup").outcome == "set_up", site.outputs[-1]
    begun = time.monotonic()
    assert site.deploy("v2").outcome == "deployed"
    whole = time.monotonic() - begun
    killed = 0
    with Traffic(site.port, site.secret(), RATE) as traffic:
        for number in range(count):
            version, old = ("v1", "v2")[number % 2], site.live()
            after, seen = chance.uniform(0, whole), len(traffic.samples)
            what = {"mobius_release_source": str(site.source(version)), "mobius_version": version}
            run = site.operator.start("deploy", **what)
            time.sleep(after)
            killed += kill(run)
            again = site.play("deploy", **what)
            assert again.outcome in ("deployed", "unchanged"), f"killed after {after:.2f} s (--kill-chance {seed}): {again.output}"
            record = site.record(site.live())
            assert site.live().startswith(version) and record["status"] == "verified"
            assert not (site.root / "state" / "lock" / "deploy.json").exists()
            assert not list(site.root.glob("releases/.*ing-*")), "nothing half-done is left"
            wait_until(lambda before=seen: len(traffic.samples) > before)
            answered = {sample.release for sample in traffic.samples[seen:] if sample.release}
            assert answered <= {old, site.live()}
    print(f"\n{site.state}: {killed} of {count} deploys were killed in the midst; {traffic.figures()}")
    assert traffic.failed() == []
    assert sorted(traffic.acknowledged) == list(range(1, len(traffic.acknowledged) + 1))


def test_failed_deploys_in_a_row_leave_the_last_good_release_and_its_backup(served, request):
    """More of them than releases are kept: what was good is never pruned for what was bad."""
    site = served
    good, backup = site.live(), Path(site.record(site.live())["backup"])
    for number in range(request.config.getoption("--failures")):
        result = site.deploy(f"bad{number}", fault={"kind": "crash", "after": 0}, mobius_keep_releases=1)
        assert (result.status, result.outcome) == (2, "failed"), result.output
        assert site.live() == good and site.client().health()["release"] == good and site.record(good)["status"] == "verified"
    assert backup.exists() and site.play("verify_backups").status == 0, site.outputs[-1]
    result = site.deploy("v2", mobius_keep_releases=1)
    assert result.outcome == "deployed", result.output
    assert site.play("rollback").outcome == "rolled_back" and site.live() == good
