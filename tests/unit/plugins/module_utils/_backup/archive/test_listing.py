# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The listing of a backup, while others write, and of folders with odd times."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import file_reader as archive_file_reader
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import listing as archive_listing
from ansible_collections.mobius.ops.plugins.module_utils._core import walk
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from tests.support.waiting import wait_until

FOLDERS = 40


@pytest.fixture
def uploads(tmp_path):
    """A folder of uploads with many folders, at rest."""
    for name in ("state", "shared/uploads"):
        os.makedirs(tmp_path / name)
    for number in range(FOLDERS):
        folder = tmp_path / "shared/uploads" / f"{number:03}"
        folder.mkdir()
        for name in "abc":
            (folder / name).write_bytes(b"x")
    rest(tmp_path / "shared/uploads")
    return tmp_path / "shared/uploads"


def rest(folder):
    """Wait until a new time is another time."""
    wait_until(lambda: time.time_ns() - os.stat(folder).st_ctime_ns > 2 * archive_file_reader.SETTLE_NS, "the folder rests")


def scan(uploads):
    return archive_listing.scan(Layout(str(uploads.parent.parent)), ["uploads"])


@pytest.fixture
def listed(monkeypatch):
    """Counts the listings of folders; ``listed.act`` runs before each."""
    real = os.listdir

    class Count:
        """How many there were."""

        number = 0

        @staticmethod
        def act():
            """Nothing by default."""

    def listdir(folder):
        Count.number += 1
        Count.act()
        return real(folder)

    monkeypatch.setattr(archive_listing.os, "listdir", listdir)
    return Count


def names(plan):
    return [source.name for source in plan.sources]


def test_each_folder_at_rest_is_listed_once(uploads, listed):
    plan = scan(uploads)
    assert listed.number == FOLDERS + 1 and len(plan.sources) == FOLDERS * 4 + 1 and plan.problems == []
    assert names(plan) == sorted(names(plan))


def test_folders_dated_in_the_future_are_at_rest_too(uploads, listed):
    for number in range(FOLDERS):
        os.utime(uploads / f"{number:03}", (4e9, 4e9))
    os.utime(uploads, (4e9, 4e9))
    rest(uploads)
    assert scan(uploads).problems == [] and listed.number == FOLDERS + 1


def test_a_round_lists_only_the_folders_that_changed(uploads, listed):
    """With new files in two folders at every listing, the work is that of these two, not of all that is below the folder above them."""
    made = []

    def act():
        for folder in ("000", "020"):
            made.append(uploads / folder / f"new{len(made)}")
            made[-1].write_bytes(b"x")

    listed.act = act
    plan = scan(uploads)
    assert plan.problems == []
    assert listed.number <= FOLDERS + 1 + 2 * archive_listing.MOST_ROUNDS


def test_a_folder_that_comes_late_is_listed_with_all_that_is_in_it(uploads, listed):
    def act():
        if listed.number == FOLDERS:
            os.makedirs(uploads / "000" / "late" / "deeper")
            (uploads / "000" / "late" / "deeper" / "file").write_bytes(b"x")
            (uploads / "001" / "a").unlink()

    listed.act = act
    plan = scan(uploads)
    assert plan.problems == []
    assert "uploads/000/late/deeper/file" in names(plan) and "uploads/001/a" not in names(plan)
    assert names(plan) == sorted(names(plan))


def test_a_folder_that_is_replaced_by_another_is_listed_anew(uploads, listed):
    (uploads.parent / "other" / "sub").mkdir(parents=True)
    (uploads.parent / "other" / "sub" / "file").write_bytes(b"x")

    def act():
        if listed.number == FOLDERS:
            os.rename(uploads / "000", uploads.parent / "away")
            os.rename(uploads.parent / "other", uploads / "000")

    listed.act = act
    found = [name for name in names(scan(uploads)) if name.startswith("uploads/000")]
    assert found == ["uploads/000", "uploads/000/sub", "uploads/000/sub/file"]


def test_a_folder_moved_to_where_the_listing_has_been_is_found(uploads, listed):
    def act():
        if listed.number == 20:
            os.rename(uploads / "030", uploads / "000" / "moved")

    listed.act = act
    found = names(scan(uploads))
    assert "uploads/000/moved/a" in found and "uploads/030" not in found and "uploads/030/a" not in found


@pytest.mark.parametrize("fresh", [True, False])
def test_a_folder_that_cannot_be_read_is_named_with_that_reason_only(uploads, monkeypatch, fresh):
    """Also one that changed a moment ago, which is looked at again and again."""
    real = walk.Held.enter

    def enter(self, relative):
        if fresh:
            (uploads / "000" / "new").write_bytes(b"x")
        if relative == "000":
            raise PermissionError(13, "Permission denied")
        return real(self, relative)

    monkeypatch.setattr(walk.Held, "enter", enter)
    assert scan(uploads).problems == [{"path": "uploads/000", "reason": "the folder cannot be read: Permission denied"}]
