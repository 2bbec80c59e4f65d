# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups and restores of paths that are as long as the system allows, and longer."""

from __future__ import annotations

import contextlib
import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import create as backup_create
from ansible_collections.mobius.ops.plugins.module_utils._core import walk
from ansible_collections.mobius.ops.plugins.module_utils._restore import recovery as restore_recovery
from ansible_collections.mobius.ops.plugins.module_utils._target import restore_journal

NAME = "d" * 200


@contextlib.contextmanager
def deep(top, length):
    """A descriptor of a folder whose path has so many bytes, or some more; it is made step by step where it is not there."""
    descriptor, size = os.open(top, os.O_RDONLY), len(top)
    try:
        while size < length:
            name = NAME[: min(200, length - size - 1) or 1]
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=descriptor)
            step = os.open(name, os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor, size = step, size + 1 + len(name)
        yield descriptor
    finally:
        os.close(descriptor)


def put(top, length, content):
    with deep(top, length) as folder:
        file = os.open("f", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=folder)
        os.write(file, content)
        os.close(file)
        os.utime("f", ns=(10**18, 10**18), dir_fd=folder)


def got(top, length):
    with deep(top, length) as folder:
        file = os.open("f", os.O_RDONLY, dir_fd=folder)
        try:
            return os.read(file, 100)
        finally:
            os.close(file)


@pytest.fixture(autouse=True)
def tidy(state_host):
    """pytest cannot remove such a tree."""
    yield
    walk.remove(state_host.root)


@pytest.mark.parametrize("length", [4000, 4060, 4090, 4400, 8000])
def test_a_long_path_is_backed_up_and_comes_back(state_host, length):
    uploads = state_host.path("uploads")
    put(uploads, length, b"first")
    archive = state_host.backup()
    assert archive["status"] == "verified" and archive["problems"] == [], archive
    put(uploads, length, b"second")
    restored = state_host.restore(archive["archive"])
    assert not restored.get("failed"), restored
    assert got(uploads, length) == b"first"
    assert restored["safety_problems"] == [] and restored["kept"] == []
    assert restore_journal.Journal.find(state_host.layout) is None and state_host.debris() == []
    back = state_host.restore(restored["safety_backup"])
    assert got(uploads, length) == b"second" and not back.get("failed")


def test_what_is_written_before_the_stop_is_saved_from_a_longer_path(state_host, monkeypatch):
    """The folders that were put aside have a longer path than the live ones."""
    uploads = state_host.path("uploads")
    put(uploads, 4060, b"first")
    archive = state_host.backup()["archive"]
    put(uploads, 4060, b"second")
    monkeypatch.setattr(restore_recovery, "_at_rest", lambda _swaps, _since: False)
    restored = state_host.restore(archive)
    assert not restored.get("failed") and restored["kept"] == [] and restored["safety_problems"] == [], restored
    assert restore_journal.Journal.find(state_host.layout) is None
    state_host.restore(restored["safety_backup"])
    assert got(uploads, 4060) == b"second"


@pytest.mark.parametrize("error", [ValueError("no number"), RecursionError("too deep"), MemoryError()])
def test_a_safety_backup_that_fails_in_any_way_does_not_keep_the_journal(state_host, monkeypatch, error):
    """What was replaced stays in its folder then, and the next restore and deploy may begin."""
    archive = state_host.backup()["archive"]
    real = backup_create.create

    def create(layout, request, meter=None):
        if isinstance(layout, restore_recovery._Replaced):
            raise error
        return real(layout, request, meter)

    monkeypatch.setattr(restore_recovery, "_at_rest", lambda _swaps, _since: False)
    monkeypatch.setattr(backup_create, "create", create)
    restored = state_host.restore(archive)
    assert not restored.get("failed"), restored
    assert len(restored["kept"]) == 1 and os.path.isdir(restored["kept"][0])
    assert any("could not be added" in text for text in restored["warnings"])
    assert restore_journal.Journal.find(state_host.layout) is None
    assert not state_host.restore(archive).get("failed")
