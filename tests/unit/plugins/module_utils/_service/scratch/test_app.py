# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of a release that a drill and a rehearsal run."""

from __future__ import annotations

import os

import pytest
from support import trees

from ansible_collections.mobius.ops.plugins.module_utils._core import walk
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._service.scratch import app
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


@pytest.fixture
def live(tmp_path):
    """A root with a release that has files, links and its data folders."""
    layout = Layout(str(tmp_path / "live"))
    for name in layout.folders():
        os.makedirs(name, exist_ok=True)
    release = tmp_path / "live" / "releases" / "r1"
    (release / "src" / "lib").mkdir(parents=True)
    (release / "src" / "app.js").write_text("serve()")
    (release / "src" / "app.js").chmod(0o755)
    os.utime(release / "src" / "app.js", ns=(10**18, 10**18))
    (release / ".npmrc").write_text("//r/:_authToken=x")
    (release / ".npmrc").chmod(0o600)
    os.symlink("app.js", release / "src" / "main.js")
    os.symlink(layout.component("database"), release / "data")
    os.symlink(layout.component("uploads"), release / "src" / "lib" / "uploads")
    return layout


@pytest.fixture
def copied(live, tmp_path):
    """The folder that a copy of the release is in."""

    def copy():
        scratch = Layout(str(tmp_path / "scratch"))
        os.makedirs(scratch.root)
        app.copy_release(live, scratch, "r1")
        return scratch.release("r1")

    return copy


def test_files_and_links_are_copied_and_links_to_the_live_data_are_not(live, copied):
    there = copied()
    facts, before = trees.facts(there), trees.facts(live.release("r1"))
    for name in ("src/app.js", ".npmrc"):
        assert facts[name] == before[name], name
    assert os.readlink(os.path.join(there, "src/main.js")) == "app.js"
    assert not os.path.lexists(os.path.join(there, "src/lib/uploads"))
    assert not os.path.realpath(os.path.join(there, "data")).startswith(live.root + os.sep)


def test_a_release_of_1100_nested_folders_is_copied(live, copied):
    at = os.open(live.release("r1"), os.O_RDONLY)
    for _level in range(1100):
        os.mkdir("d", dir_fd=at)
        at, above = os.open("d", os.O_RDONLY, dir_fd=at), at
        os.close(above)
    os.close(os.open("deep.js", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(at)
    try:
        there = copied()
        [deepest] = [folder for folder in walk.walk(there) if folder.relative.count("/") == 1099]
        assert deepest.relative == "/".join(["d"] * 1100) and [name for name, _status in deepest.entries] == ["deep.js"]
    finally:  # too deep for pytest
        walk.remove(os.path.dirname(live.root))


def test_a_folder_that_cannot_be_read_is_reported(live, copied, monkeypatch):
    enter = walk.Held.enter

    def failing(held, relative):
        if relative == "src/lib":
            raise OSError(5, "Input/output error")
        return enter(held, relative)

    monkeypatch.setattr(walk.Held, "enter", failing)
    with pytest.raises(StateError, match=r"releases/r1: expected to be copied, found a folder that could not be read: src/lib"):
        copied()
