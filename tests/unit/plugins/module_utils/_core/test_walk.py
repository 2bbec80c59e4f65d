# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Walks and removals that follow no link."""

from __future__ import annotations

import os
import pwd

import pytest
from support import trees

from ansible_collections.mobius.ops.plugins.module_utils._core import walk

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to another user")


@pytest.fixture
def outside(tmp_path):
    """A folder that nobody may touch, and its facts."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("decoy")
    before = trees.facts(str(folder))
    yield folder
    assert trees.facts(str(folder)) == before


@pytest.fixture
def tree(tmp_path, outside):
    """A tree with folders that are closed, and links out of it."""
    top = tmp_path / "tree"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_text("x" * 100)
    (top / "a" / "out").symlink_to(outside)
    (top / "file").symlink_to(outside / "sub" / "file")
    os.mkfifo(top / "pipe")
    return top


def test_links_are_no_folders(tree):
    assert [(folder.relative, [name for name, _status in folder.entries]) for folder in walk.walk(str(tree))] == [
        ("", ["a", "file", "pipe"]),
        ("a", ["b", "out"]),
        ("a/b", ["file"]),
    ]


def test_a_folder_that_becomes_a_link_is_left_out(tree, outside):
    found = []
    for folder in walk.walk(str(tree)):
        found.append(folder.relative)
        if not folder.relative:
            os.rename(tree / "a", tree / "was")
            os.symlink(outside, tree / "a")
    assert found == [""]


def test_the_top_is_no_link(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree)
    assert list(walk.walk(str(tmp_path / "link"))) == [] and list(walk.walk(str(tmp_path / "gone"))) == []


def test_everything_is_removed_and_nothing_else(tree):
    (tree / "a" / "b").chmod(0)
    (tree / "a").chmod(0o500)
    tree.chmod(0o500)
    walk.remove(str(tree))
    assert not os.path.lexists(tree)


def test_a_link_or_a_file_is_removed_itself(tree, tmp_path, outside):
    (tmp_path / "link").symlink_to(outside)
    for path in (tmp_path / "link", tree / "pipe", tree / "gone"):
        walk.remove(str(path))
        assert not os.path.lexists(path)


@ROOT
def test_folders_that_are_removed_become_roots_first(tree, monkeypatch):
    nobody = pwd.getpwnam("nobody")
    for path in trees.walk(str(tree)):
        os.lchown(path, nobody.pw_uid, nobody.pw_gid)
    owners, rmdir = [], os.rmdir

    def look(name, *words, **options):
        owners.append(os.stat(name, *words, **options).st_uid)
        rmdir(name, *words, **options)

    monkeypatch.setattr(os, "rmdir", look)
    walk.remove(str(tree))
    assert owners == [0, 0, 0] and not os.path.lexists(tree)


def test_a_folder_that_is_not_wanted_is_not_entered(tree):
    found = [folder.relative for folder in walk.walk(str(tree), lambda relative, status: relative != "a/b" and bool(status.st_ino))]
    assert found == ["", "a"]
