# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hash everything that rests in all components, back up, restore, hash again: nothing differs, and nothing is missing."""

from __future__ import annotations

import os
import stat

from support import oddities, trees


def test_odd_files_come_back(state, chance, long):
    """A part; with --long 2,000 of all kinds, at the top of each component too."""
    assert len(oddities.KINDS) >= 60
    made = oddities.plant(state, chance, 2000 if long else 200)
    rows = oddities.hot(state, chance)
    left_out = oddities.specials(state)
    before, holes = rested(state, rows, left_out), sparse(state)
    first = state.backup().good()
    assert first["problems"] == [] and first["status"] == "verified"
    assert sorted(note["path"] for note in first["left_out"]) == left_out
    second = state.backup().good()  # most of it is copied from the first one
    assert second["problems"] == [] and second["reused"] > made / 3
    assert {backup["status"] for backup in state.info(verify="deep")} == {"verified"}
    for archive in (first["archive"], second["archive"]):
        spoil(state)
        restored = state.restore(archive, safety_backup=False).good()
        assert restored["status"] == "verified" and restored["attributes_lost"] == [] and restored["kept"] == []
        found = rested(state, rows, [])
        assert found == before, trees.difference(found, before)
        assert sparse(state) == holes
        for name, wanted in rows.items():
            assert oddities.rows(state.path(name)) == wanted
            assert os.listdir(os.path.dirname(state.path(name))) == [os.path.basename(name)]
        assert state.debris() == []
    print(f"{made} odd files and folders of {len(oddities.KINDS)} kinds, {len(holes)} of them sparse")


def rested(state, rows, left_out):
    """Facts of all that must come back as it is: not of what has no content, nor of a database that a killed writer left, whose bytes
    SQLite puts together."""
    found = state.facts()
    gone = {os.path.relpath(state.path(name), state.shared) for name in left_out}
    gone |= {os.path.relpath(state.path(name), state.shared) + suffix for name in rows for suffix in ("", "-wal", "-shm", "-journal")}
    for name in gone:
        found.pop(name, None)
    for name, facts in found.items():
        if "has a name outside" in name:  # by now its only one
            facts.pop("same_as", None)
        if os.path.basename(name) == "hot":
            facts.pop("mtime_ns")  # SQLite may have looked into it
    return found


def sparse(state):
    """Files with holes."""
    found = set()
    for path in trees.walk(state.shared):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and status.st_blocks * 512 + 4096 < status.st_size:
            found.add(os.path.relpath(path, state.shared))
    return found


def spoil(state):
    """Change everything, and remove a part."""
    for number, path in enumerate(list(trees.walk(state.shared))):
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            os.chmod(path, 0o700)
        elif number % 3 == 0:
            os.unlink(path)
        elif stat.S_ISREG(status.st_mode):
            os.chmod(path, 0o600)
            with open(path, "ab") as stream:
                stream.write(b"spoilt")
