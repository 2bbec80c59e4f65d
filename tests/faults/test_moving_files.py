# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that other processes change while they are read: what is in an archive is a state of the file, or it is listed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import typing as t
import zipfile

import pytest
from support.processes import Ended
from support.state import State
from support.writers import KINDS

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import listing as archive_listing

#: Kinds whose files are read in one piece whatever happens.
ALWAYS_GOOD = ("log", "replace", "draft")


@contextlib.contextmanager
def writing(state: State, kind: str, rest: float) -> t.Iterator[None]:
    """While the block runs, a process writes."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-m", "support.writers", kind, state.shared, str(rest)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield
        assert process.poll() is None, "the writer failed"
    finally:
        process.kill()
        process.communicate()


def contents(archive: str, kind: str) -> dict[str, bytes]:
    """The files of a writer in an archive."""
    with zipfile.ZipFile(archive) as opened:
        names = set(opened.namelist())
        return {name: opened.read(name) for name in KINDS[kind].files if name in names}


def check(state: State, ended: Ended, kind: str) -> str:
    """What must hold of a backup that was made meanwhile: "good", "listed" or "incomplete"."""
    assert ended.result is not None, ended
    listed = {problem["path"] for problem in ended.result.get("problems", [])}
    # A folder is listed when names in it never rest: then nobody can tell whether all were seen.
    folders = {os.path.dirname(name) for name in KINDS[kind].files} if kind in ("delete", "rename", "rotate") else set()
    assert listed <= set(KINDS[kind].files) | folders, ended.result
    offered = state.info(verify="deep")
    assert {one["status"] for one in offered} <= {"verified"}
    if ended.status:
        assert listed and ended.sentence() and not offered
        return "incomplete"
    archive = ended.result["archive"]
    found = contents(archive, kind)
    for name, content in found.items():
        assert name in listed or KINDS[kind].sound(content), name
    if kind not in ("delete", "rotate"):  # their files need not be there
        assert found or listed, ("a file that was there all the time is neither in the archive nor listed", ended)
    os.unlink(archive)
    os.unlink(archive + ".sha256")
    return "listed" if listed else "good"


@pytest.mark.parametrize("rest", [0.0, pytest.param(0.3, marks=pytest.mark.long)], ids=["restless", "in bursts"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "store"])
def test_changing_file(full, kind, rest, long):
    outcomes = []
    with writing(full, kind, rest):
        # Reading is quicker than moving: what is missed is missed seldom.
        for number in range((8 if long else 2) * (6 if kind in ("rename", "draft") else 1)):
            outcomes.append(check(full, full.backup(allow_changed=bool(number % 2)), kind))
    if kind in ALWAYS_GOOD:
        assert set(outcomes) == {"good"}, outcomes


@pytest.mark.parametrize("kind", ["log", "grow"])
def test_all_names_of_a_changing_file_have_one_content(full, tmp_path, kind, long):
    """A log is whole; another file that never rests is listed once, and can be accepted."""
    [name] = KINDS[kind].files
    names = (name, name + " too", "uploads/third name")
    with writing(full, kind, 0.0):
        for other in names[1:]:
            os.link(full.path(name), full.path(other))
        for number in range(10 if long else 2):
            made = full.backup(allow_changed=True).good()
            assert len(made["problems"]) <= (kind != "log"), made["problems"]
            with zipfile.ZipFile(made["archive"]) as opened:
                [content] = {opened.read(each) for each in names}
            assert made["problems"] or KINDS[kind].sound(content)
            other = State(str(tmp_path / f"other{number}"), full.runner)
            other.restore(made["archive"], safety_backup=False).good()
            assert len({os.stat(other.path(each)).st_ino for each in names}) == 1
    assert {one["status"] for one in full.info(verify="deep")} == {"verified"}


def test_a_file_on_the_move_is_never_overlooked(full):
    """A listing alone is repeated far more often than whole backups can be: it finds the file, or names a folder."""
    with writing(full, "rename", 0.0):
        for _time in range(600):
            plan = archive_listing.scan(full.layout, ["uploads"])
            assert plan.problems or {source.name for source in plan.sources} & set(KINDS["rename"].files)


@pytest.mark.parametrize("rest", [0.0, 0.01, 0.1], ids=["restless", "100 a second", "10 a second"])
def test_json_store(full, rest, long):
    """The archive never holds half of a store."""
    outcomes = []
    with writing(full, "store", rest):
        for number in range(12 if long else 3):
            outcomes.append(check(full, full.backup(allow_changed=bool(number % 2)), "store"))
    if rest:
        assert "good" in outcomes, outcomes


def test_all_at_once(full, long):
    """Every kind of writer at the same time, with a result that tells of each."""
    with contextlib.ExitStack() as stack:
        for kind in KINDS:
            stack.enter_context(writing(full, kind, 0.2))
        for _time in range(4 if long else 1):
            ended = full.backup(allow_changed=True)
            listed = {problem["path"] for problem in ended.good()["problems"]}
            for kind in KINDS:
                for name, content in contents(ended.result["archive"], kind).items():
                    assert name in listed or KINDS[kind].sound(content), name
        ended = full.backup()
    if ended.status:
        assert ended.result["problems"] and ended.sentence()
    assert {one["status"] for one in full.info(verify="deep")} == {"verified"}
