# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups tell a meter how far they are: in small steps within large files, and all of it in the end."""

from __future__ import annotations

import math
import os
import typing as t

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import catalog as backup_catalog
from ansible_collections.mobius.ops.plugins.module_utils._backup import create as backup_create
from ansible_collections.mobius.ops.plugins.module_utils._restore import restore
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import drill
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import plan as drill_plan
from ansible_collections.mobius.ops.plugins.module_utils._target import progress
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import expand_components

#: No step may be larger: a block of the writer, a piece of the reader.
STEP = 2 * 1024 * 1024


class Steps(progress.Meter):
    """Keeps every step."""

    def __init__(self) -> None:
        super().__init__()
        self.phases: list[tuple[str, int, int, list[tuple[int, int]]]] = []

    def phase(self, name: str, total_bytes: int = 0, total_files: int = 0) -> None:
        super().phase(name, total_bytes, total_files)
        self.phases.append((name, total_bytes, total_files, []))

    def add(self, size: int = 0, files: int = 0) -> None:
        super().add(size, files)
        self.phases[-1][3].append((size, files))

    def whole(self, number: int, step: float = STEP) -> t.Any:
        """Name, bytes and files of a phase, when it counted just what it said that it would."""
        name, size, files, steps = self.phases[number]
        assert (sum(done[0] for done in steps), sum(done[1] for done in steps)) == (size, files)
        assert max(done[0] for done in steps) <= step
        return name, size, files


@pytest.fixture
def host(state_host):
    """Files that are deflated, stored and copied by SQLite, each larger than a step."""
    state_host.put("logs/big.log", b"INFO rendered a frame of the video\n" * 400_000)
    state_host.put("generated/big.mp4", os.urandom(9_000_000))
    connection = state_host.database()
    connection.execute("CREATE TABLE blob (content BLOB)")
    connection.execute("INSERT INTO blob VALUES (?)", [os.urandom(6_000_000)])
    connection.close()
    return state_host


def create(host, meter, **options):
    request = backup_create.Request(env=host.env, components=expand_components(["all"]), dest=host.layout.backups, **options)
    return backup_create.create(host.layout, request, meter)


def test_a_backup_and_one_that_copies_members(host, quick_clock):
    for reused in (False, True):
        meter = Steps()
        assert bool(create(host, meter)["reused"]) == reused
        assert [phase[0] for phase in meter.phases] == ["look", "write", "verify"]
        step = math.inf if reused else STEP  # of a member that is copied only what is stored is read
        assert 28_000_000 < meter.whole(1, step)[1] <= meter.whole(2, step)[1]


@pytest.mark.parametrize("level", ["checksum", "deep"])
def test_a_verification(host, quick_clock, level):
    create(host, Steps())
    create(host, Steps())
    meter, found = Steps(), backup_catalog.find(host.layout.backups)
    assert {facts["status"] for facts in backup_catalog.describe(found, level, meter=meter)} == {"verified"}
    assert [phase[0] for phase in meter.phases] == ["verify"] and meter.whole(0)[2] == 2


def test_a_damaged_archive_counts_too(host):
    archive = create(host, Steps())["archive"]
    with open(archive, "r+b") as stream:
        stream.seek(os.path.getsize(archive) // 2)
        stream.write(b"damage")
    meter = Steps()
    assert backup_catalog.describe(backup_catalog.find(host.layout.backups), "checksum", meter=meter)[0]["status"] == "corrupt"
    assert (meter.bytes, meter.files) == (os.path.getsize(archive), 1)


def test_a_restore_and_its_safety_backup(host, quick_clock):
    archive = create(host, Steps())["archive"]
    meter = Steps()
    restore.restore(host.layout, restore.Request(archive=archive, env=host.env, components=["all"]), meter=meter)
    assert [phase[0] for phase in meter.phases] == [
        "verify",
        "extract",
        "safety backup: look",
        "safety backup: write",
        "safety backup: verify",
        "swap",
    ]
    assert meter.whole(0)[2] == 2  # the database and a link: other files are read while they are extracted
    assert meter.whole(1)[2] == 9
    assert meter.whole(4, math.inf)[1] > 28_000_000


def test_a_drill(host):
    create(host, Steps())
    meter, request = Steps(), drill_plan.Request(env=host.env, dest=host.layout.backups, scratch=host.root)
    facts = drill.drill(host.layout, request, meter)
    assert facts["verdict"] == "passed", facts["reason"]
    assert [phase[0] for phase in meter.phases][:4] == ["verify", "extract", "compare", "database"]
    assert meter.whole(0) == ("verify", *meter.whole(2)[1:])
    assert meter.whole(1)[1] > 28_000_000
