# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups of a component that lost most of what it held, as when its disk is not mounted."""

from __future__ import annotations

import datetime
import os
import shutil
import time

import pytest

from ansible_collections.mobius.ops.plugins.filter.backup_page import backup_page
from ansible_collections.mobius.ops.plugins.module_utils._backup import shrinkage
from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.modules import backup_info, backup_prune


@pytest.fixture
def hours(monkeypatch):
    """Lets hours go by, and time beside that."""
    passed, began = [], time.monotonic()

    def now():
        return clock.from_stamp(f"20261104_{len(passed):02}0000") + datetime.timedelta(seconds=time.monotonic() - began)

    def later():
        passed.append(None)
        monkeypatch.setattr(clock, "now", now)

    return later


@pytest.fixture
def make(state_host, hours):
    """Makes an archive, an hour after the one before."""

    def archive(**options):
        hours()
        result = state_host.backup(**options)
        assert result["status"] == "verified", result
        return result

    return archive


@pytest.fixture
def run(state_host, run_module):
    """Runs backup_prune and backup_info: ``run(module, **options)``."""
    return lambda module, **options: run_module(module, {"root": state_host.root, "env": "production", **options})


def empty(state_host, name="uploads"):
    for entry in os.scandir(state_host.path(name)):
        shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)


def gone(state_host):
    shutil.rmtree(state_host.path("uploads"))


@pytest.mark.parametrize("lose", [empty, gone])
def test_a_component_that_is_empty_or_gone_is_a_finding_and_the_last_archive_stays(state_host, make, run, lose):
    full = make()["archive"]
    lose(state_host)
    for _again in range(3):
        poor = make()
        assert [(one["component"], one["before"], one["files_before"], one["files"]) for one in poor["shrunk"]] == [("uploads", full, 3, 0)]
        assert "component uploads: it shrank from 3 files" in poor["warnings"][0]
    pruned = run(backup_prune, keep_last=1)
    assert os.path.exists(full)
    assert any(facts["archive"] == full and "the last before uploads shrank" in facts["reasons"] for facts in pruned["kept"])
    told = run(backup_info, verify="checksum")
    assert not told["well"] and "uploads shrank" in told["message"] and "mobius_backup_allow_shrunk" in told["message"]
    assert told["backups"][0]["shrunk"] == {"uploads": os.path.basename(full)}
    assert "shrunk: uploads" in backup_page(told["backups"])


def test_what_is_accepted_once_is_no_finding_later_and_the_old_archive_goes(state_host, make, run):
    full = make()["archive"]
    empty(state_host)
    make()
    assert make(allow_shrunk=True)["shrunk"] == []
    assert make()["shrunk"] == []
    assert run(backup_info, verify="checksum")["well"]
    run(backup_prune, keep_last=1)
    assert not os.path.exists(full)


def test_what_comes_back_is_no_finding(state_host, make):
    make()
    os.rename(state_host.path("uploads"), state_host.path("uploads") + ".away")
    os.mkdir(state_host.path("uploads"))
    assert make()["shrunk"]
    os.rmdir(state_host.path("uploads"))
    os.rename(state_host.path("uploads") + ".away", state_host.path("uploads"))
    assert make()["shrunk"] == []


def test_bytes_count_but_not_those_of_logs(state_host, make):
    state_host.put("logs/app.log", b"x" * 20_000)
    make()
    state_host.put("logs/app.log", b"x")
    state_host.put("uploads/games/board.png", b"x")
    state_host.put("uploads/rules.txt", b"x")
    assert [one["component"] for one in make()["shrunk"]] == ["uploads"]


def test_a_tenth_is_enough(state_host, make):
    for number in range(20):
        state_host.put(f"generated/{number}.mp4", b"x")
    make()
    for number in range(3, 20):
        os.unlink(state_host.path(f"generated/{number}.mp4"))
    assert make()["shrunk"] == []


def test_check_mode_tells_it_and_other_components_are_not_compared(state_host, make):
    make()
    empty(state_host)
    assert [one["component"] for one in state_host.backup(check=True)["shrunk"]] == ["uploads"]
    assert make(components=["config"])["shrunk"] == []


def test_a_safety_backup_is_neither_compared_nor_compared_with(state_host, make):
    full = make()["archive"]
    empty(state_host)
    restored = state_host.restore(full)
    assert restored["safety_backup"] and not restored.get("warnings")
    assert make()["shrunk"] == []


def test_what_shrank():
    def shrunk(component, was, sizes):
        return bool(shrinkage.compare({component: shrinkage.Held("a", *was)}, [(component, size) for size in sizes]))

    assert shrunk("uploads", (1, 5), [])
    assert not shrunk("uploads", (0, 0), [])
    assert not shrunk("uploads", (10, 5000), [1])
    assert shrunk("uploads", (11, 5000), [1])
    assert shrunk("uploads", (1, 10_000), [999]) and not shrunk("uploads", (1, 10_000), [1000])
    assert not shrunk("logs", (1, 10_000), [0]) and shrunk("logs", (1, 10_000), [])
