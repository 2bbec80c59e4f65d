# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files and folders that another user may write to."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import foreign


def test_tail(tmp_path):
    path = tmp_path / "log"
    assert foreign.tail(str(path), 5) == []
    path.write_bytes("\n".join(f"line {number}" for number in range(100)).encode() + b"\n\xff")
    assert foreign.tail(str(path), 2) == ["line 99", "�"]
    assert len(foreign.tail(str(path), 1000, limit=50)) < 10


def put(path, kind, target):
    """Something that is not a regular file of its own."""

    def bind():
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))

    {
        "link": lambda: path.symlink_to(target),
        "device": lambda: path.symlink_to("/dev/zero"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "socket": bind,
    }[kind]()


@pytest.mark.parametrize("kind", ["link", "device", "pipe", "folder", "socket"])
def test_what_is_no_regular_file_is_neither_read_nor_waited_for(tmp_path, kind):
    target, path = tmp_path / "target", tmp_path / "log"
    target.write_text("secret\n")
    put(path, kind, target)
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT):
        with pytest.raises(foreign.NotRegularError, match="not a regular file"):
            foreign.plain(str(path), flags)
    assert foreign.tail(str(path), 3) == [] and foreign.read_own(str(path)) == ""
    with foreign.append_stream(str(path)) as stream:
        stream.write(b"begun anew\n")
    assert path.read_text() == "begun anew\n" and target.read_text() == "secret\n" and stat.S_ISREG(path.lstat().st_mode)


def test_only_what_nobody_else_can_have_written_is_trusted(tmp_path):
    path = tmp_path / "map"
    path.write_text("live 1\n")
    assert foreign.read_own(str(path)) == "live 1\n" and foreign.read_own(str(path), limit=3) == ""
    path.chmod(0o664)
    assert foreign.read_own(str(path)) == ""
    path.chmod(0o644)
    os.link(path, tmp_path / "other")
    assert foreign.read_own(str(path)) == ""
    if not os.geteuid():
        (tmp_path / "other").unlink()
        os.chown(path, 65534, -1)
        assert foreign.read_own(str(path)) == ""


def test_the_end_of_a_file_with_a_hole_is_read_and_the_whole_of_it_is_not(tmp_path):
    path = tmp_path / "log"
    with open(path, "wb") as stream:
        stream.truncate(10**11)
        stream.seek(0, os.SEEK_END)
        stream.write(b"end\n")
    assert foreign.read_end(str(path), 4) == "end\n" and foreign.read_own(str(path)) == ""


def test_a_folder_is_reached_step_by_step_and_never_upwards(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    with foreign.folder(str(tmp_path), "a/b") as found:
        assert os.fstat(found).st_ino == (tmp_path / "a" / "b").stat().st_ino
    for beneath in ("a/link", "a/../a", ".."):
        with pytest.raises(NotADirectoryError), foreign.folder(str(tmp_path), beneath):
            pass
