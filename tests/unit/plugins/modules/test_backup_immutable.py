# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that not even root may remove (chattr +i, +a): the rest goes on, and what stays is named with what releases it.

Those that need real attributes are skipped, with the reason, where chattr does not work. What goes on after any refusal of the system is
shown everywhere, by ``os.unlink`` that refuses one name.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess

import pytest
from support import trees
from support.attributes import Attributes

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import file_reader
from ansible_collections.mobius.ops.plugins.module_utils._core import immutable
from ansible_collections.mobius.ops.plugins.module_utils._restore import folder_swap
from ansible_collections.mobius.ops.plugins.module_utils._target import restore_journal
from ansible_collections.mobius.ops.plugins.modules import backup_prune


@pytest.fixture
def attributes(tmp_path):
    made = Attributes(tmp_path / "probe")
    yield made
    made.close(tmp_path)


@pytest.fixture
def six(state_host, quick_clock):
    """Six archives, oldest first."""
    return [state_host.backup(components=["config"])["archive"] for _time in range(6)]


@pytest.fixture
def prune(state_host, run_module):
    def run(check=False, **options):
        return run_module(backup_prune, {"root": state_host.root, "env": "production", "keep_last": 1, **options}, check=check)

    return run


def released(texts):
    """The commands that sentences name."""
    return re.findall(r"'(chattr [^']+)'", " ".join(texts))


# --- restore


@pytest.mark.parametrize("what", ["+i", "+a", "folder"])
def test_a_restore_goes_on_and_names_what_stays_until_it_is_released(state_host, attributes, quick_clock, what):
    archive = state_host.backup()["archive"]
    before = trees.facts(state_host.layout.shared)
    state_host.put("uploads/deep/er/keep.txt", b"kept")
    state_host.put("uploads/deep/er/other.txt", b"goes")
    if what == "folder":
        attributes.give(state_host.path("uploads/deep/er"), "+i")
    else:
        attributes.give(state_host.path("uploads/deep/er/keep.txt"), what)
    restored = state_host.restore(archive)
    assert not restored.get("failed"), restored
    assert trees.facts(state_host.layout.shared, leave_out=state_host.debris()).keys() == before.keys()
    [work] = [name for name in os.listdir(state_host.layout.shared) if name.startswith(".restore-")]
    path = os.path.join(state_host.layout.shared, work)
    told = [text for text in restored.get("warnings", []) if path in text]
    assert len(told) == 1 and ("append-only" if what == "+a" else "immutable") in told[0], restored.get("warnings", [])
    left = [name for name, facts in trees.facts(path).items() if "sha256" in facts]
    assert [os.path.basename(name) for name in left] == (["keep.txt", "other.txt"] if what == "folder" else ["keep.txt"])
    if what != "folder":
        assert left[0] in told[0]
    again = state_host.restore(archive)  # it does not stand in the way, and is named each time
    assert not again.get("failed") and [text for text in again.get("warnings", []) if path in text] == told
    for command in released(told):
        attributes.obey(command)
    last = state_host.restore(archive)
    assert not last.get("failed") and not last.get("warnings") and state_host.debris() == []


def test_a_killed_restore_is_ended_and_names_what_stays(state_host, attributes, monkeypatch, quick_clock):
    work = os.path.join(state_host.layout.shared, ".restore-20260101_000000-0badcafe")
    os.makedirs(work + "/old/uploads")
    with open(work + "/old/uploads/file", "wb"):
        pass
    attributes.give(work + "/old/uploads/file", "+i")
    archive = state_host.backup()["archive"]
    restored = state_host.restore(archive, check=True)
    assert not restored.get("failed")
    restored = state_host.restore(archive)
    assert [text for text in restored.get("warnings", []) if work in text and "immutable" in text]
    monkeypatch.setattr(folder_swap, "exchange", lambda *_all: os.rename("/nowhere", "/nowhere/else"))
    failed = state_host.restore(archive)
    assert failed["failed"] and [text for text in failed.get("warnings", []) if work in text], failed


@pytest.mark.parametrize("where", ["uploads", ""])
@pytest.mark.parametrize("check", [False, True])
def test_a_folder_that_cannot_change_places_is_refused_before_anything_happens(state_host, attributes, snapshot, where, check):
    archive = state_host.backup()["archive"]
    place = state_host.path(where) if where else state_host.layout.shared
    attributes.give(place, "+i")
    before = snapshot(state_host.root)
    refused = state_host.restore(archive, check=check)
    assert refused["failed"] and place in refused["msg"] and "immutable" in refused["msg"], refused
    assert snapshot(state_host.root) == before and restore_journal.Journal.find(state_host.layout) is None
    [command] = released([refused["msg"]])
    attributes.obey(command)
    assert not state_host.restore(archive, check=check).get("failed")


@pytest.fixture
def mounted(state_host):
    """The uploads are a mount point, so that their entries change places one by one."""
    path = state_host.path("uploads")
    done = subprocess.run(["mount", "--bind", path, path], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


def test_an_entry_of_a_mount_point_that_cannot_change_places_is_refused_first(state_host, attributes, mounted, snapshot, quick_clock):
    archive = state_host.backup()["archive"]
    attributes.give(mounted + "/rules.txt", "+i")
    before = snapshot(state_host.root)
    refused = state_host.restore(archive)
    assert refused["failed"] and f"{mounted}/rules.txt" in refused["msg"], refused
    assert snapshot(state_host.root) == before
    attributes.obey(released([refused["msg"]])[0])
    state_host.put("uploads/games/deep/keep.txt", b"kept")
    attributes.give(mounted + "/games/deep/keep.txt", "+a")
    restored = state_host.restore(archive)
    assert not restored.get("failed") and any("keep.txt is append-only" in text for text in restored["warnings"]), restored


# --- prune


@pytest.mark.parametrize("attribute", ["+i", "+a"])
@pytest.mark.parametrize("which", ["", ".sha256"])
def test_pruning_goes_on_and_names_the_archive_that_stays(state_host, six, prune, attributes, which, attribute):
    attributes.give(six[1] + which, attribute)
    planned = prune(check=True)
    pruned = prune()
    assert planned["removed"] == pruned["removed"] and planned["held"] == pruned["held"] and planned["message"] != pruned["message"]
    assert not pruned.get("failed") and [one["archive"] for one in pruned["removed"]] == [six[4], six[3], six[2], six[0]]
    [held] = pruned["held"]
    assert held["path"] == six[1] + which and ("immutable" if attribute == "+i" else "append-only") in held["reason"]
    assert held["release"] == f"chattr -{attribute[1]} {six[1]}{which}"
    assert any(six[1] + which in text and held["release"] in text for text in pruned.get("warnings", [])), pruned.get("warnings", [])
    assert "1 held" in pruned["message"]
    names = sorted(os.listdir(state_host.layout.backups))
    assert names == sorted(os.path.basename(path) + suffix for path in (six[1], six[5]) for suffix in ("", ".sha256"))
    again = prune()
    assert again["changed"] is False and again["held"] == pruned["held"]
    attributes.obey(held["release"])
    last = prune()
    assert [one["archive"] for one in last["removed"]] == [six[1]] and last["held"] == [] and not last.get("warnings")


def test_leftovers_that_stay_are_named(state_host, six, prune, attributes):
    os.unlink(six[0])
    attributes.give(six[0] + ".sha256", "+i")
    pruned = prune()
    assert len(pruned["removed"]) == 4 and pruned["swept"] == []
    assert [held["path"] for held in pruned["held"]] == [six[0] + ".sha256"]


def test_a_backup_folder_that_is_append_only_is_named_once(state_host, six, prune, attributes):
    attributes.give(state_host.layout.backups, "+a")
    pruned = prune()
    assert pruned["removed"] == [] and pruned["changed"] is False
    assert [held["path"] for held in pruned["held"]] == [state_host.layout.backups]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EIO, errno.EACCES])
def test_any_refusal_of_the_system_stops_no_other_archive_and_fails_in_the_end(state_host, six, prune, monkeypatch, number):
    real = os.unlink

    def unlink(path, **options):
        if path == six[1]:
            raise OSError(number, os.strerror(number), path)
        real(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    pruned = prune()
    monkeypatch.undo()
    assert pruned["failed"] and six[1] in pruned["msg"] and os.strerror(number) in pruned["msg"], pruned
    names = sorted(os.listdir(state_host.layout.backups))
    assert names == sorted(os.path.basename(path) + suffix for path in (six[1], six[5]) for suffix in ("", ".sha256"))


# --- backup


@pytest.mark.parametrize("attribute", ["+i", "+a"])
@pytest.mark.parametrize("check", [False, True])
def test_a_backup_folder_in_which_no_archive_gets_its_name_is_refused_first(state_host, attributes, attribute, check):
    attributes.give(state_host.layout.backups, attribute)
    refused = state_host.backup(check=check)
    assert refused["failed"] and state_host.layout.backups in refused["msg"], refused
    [command] = released([refused["msg"]])
    assert os.listdir(state_host.layout.backups) == []
    attributes.obey(command)
    assert not state_host.backup(check=check).get("failed")


def test_immutable_files_are_backed_up(state_host, attributes, quick_clock):
    path = state_host.put("uploads/keep.txt", b"kept")
    attributes.give(path, "+i")
    made = state_host.backup()
    assert made["status"] == "verified" and made["problems"] == []
    state_host.restore(made["archive"])
    assert trees.sha256(state_host.path("uploads/keep.txt")) and immutable.of(state_host.path("uploads/keep.txt")) is None


def test_what_a_killed_backup_left_immutable_stops_no_backup(state_host, attributes, quick_clock):
    left = os.path.join(state_host.layout.backups, ".dhash_production_20260101_000000.zip.partial")
    with open(left, "wb"):
        pass
    attributes.give(left, "+i")
    made = state_host.backup()
    assert made["status"] == "verified" and any(left in text and "chattr -i" in text for text in made.get("warnings", [])), made


def test_an_incomplete_archive_that_is_immutable_is_kept_beside_the_newer_one(state_host, attributes, monkeypatch, quick_clock):
    monkeypatch.setattr(file_reader, "PAUSE", 0)
    monkeypatch.setattr(file_reader, "judge", lambda _source, content, *_more: setattr(content, "reason", "it changed"))
    first = state_host.backup()
    attributes.give(first["aside"], "+i")
    second = state_host.backup()
    assert second["failed"] and second["status"] == "incomplete" and os.path.exists(second["aside"]), second
    assert os.path.exists(first["aside"])
