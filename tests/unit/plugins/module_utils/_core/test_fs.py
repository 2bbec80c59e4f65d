# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Durable file operations: the old content or the new, never a part."""
from __future__ import annotations

import hashlib
import os
import socket
import stat
import threading

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError, StateError


def test_a_file_appears_whole_with_its_mode(tmp_path):
    path = tmp_path / "a"
    fs.write_text(str(path), "ü", 0o600)
    assert path.read_bytes() == "ü".encode()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, snapshot):
    path = tmp_path / "a"
    path.write_text("old")
    before = snapshot(tmp_path)
    with pytest.raises(KeyboardInterrupt), fs.atomic_file(str(path)) as stream:
        stream.write(b"half of the n")
        raise KeyboardInterrupt
    assert snapshot(tmp_path) == before


def test_json_is_sorted_and_read_back(tmp_path):
    path = str(tmp_path / "a.json")
    fs.write_json(path, {"b": [1], "a": "ü"})
    assert fs.read_json(path) == {"a": "ü", "b": [1]}
    with open(path) as stream:
        text = stream.read()
    assert text.index('"a"') < text.index('"b"') and text.endswith("}\n")


def test_no_json_file_is_none_and_a_damaged_one_is_named(tmp_path):
    assert fs.read_json(str(tmp_path / "gone")) is None
    (tmp_path / "bad").write_text('{"a": ')
    with pytest.raises(IntegrityError, match=r"bad: expected a JSON document, found .*Restore the file"):
        fs.read_json(str(tmp_path / "bad"))


def test_concurrent_lines_stay_whole(tmp_path):
    path = str(tmp_path / "log")
    lines = [f"{number} " + "x" * 6000 for number in range(200)]  # longer than a page: the kernel writes it in parts
    threads = [threading.Thread(target=fs.append_line, args=(path, line)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fs.tail(path, 300, limit=2**21)) == sorted(lines)


def test_a_line_after_one_that_was_cut_short_is_a_line_of_its_own(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"whole\nhal")
    fs.append_line(str(path), "next")
    assert path.read_text().splitlines() == ["whole", "hal", "next"]


def test_tail(tmp_path):
    path = tmp_path / "log"
    assert fs.tail(str(path), 5) == []
    path.write_bytes("\n".join(f"line {number}" for number in range(100)).encode() + b"\n\xff")
    assert fs.tail(str(path), 2) == ["line 99", "�"]
    assert len(fs.tail(str(path), 1000, limit=50)) < 10


def test_sha256_tells_progress(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * (fs.CHUNK + 5))
    seen = []
    assert fs.sha256_file(str(path), seen.append) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert seen == [fs.CHUNK, 5]


def test_a_link_is_replaced_at_every_moment(tmp_path):
    link = str(tmp_path / "current")
    fs.atomic_symlink("a", link)
    fs.atomic_symlink("b", link)
    assert os.readlink(link) == "b"
    ended, missing = threading.Event(), []

    def look():
        while not ended.is_set():
            try:
                os.readlink(link)
            except OSError as error:
                missing.append(error)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(100):
        fs.atomic_symlink(f"release-{number}", link)
    ended.set()
    watcher.join()
    assert not missing
    assert os.listdir(tmp_path) == ["current"]


def test_space(tmp_path):
    fs.require_space(str(tmp_path), 1, "a test")
    with pytest.raises(StateError, match=r"expected 1000000\.0 TB free for a test, found .*Free some space"):
        fs.require_space(str(tmp_path), 10**18, "a test")


@pytest.mark.parametrize("size, text", [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"),
                                        (3 * 10**9, "3.0 GB"), (4.2e12, "4.2 TB")])
def test_human_size(size, text):
    assert fs.human_size(size) == text


def test_a_lock_that_another_has_is_waited_for_so_long(tmp_path):
    path = str(tmp_path / "lock")
    with fs.locked(path), pytest.raises(BlockingIOError), fs.locked(path, 0.05):
        pass
    with fs.locked(path, 0.05) as descriptor:
        assert descriptor > 2


def put(path, kind, target):
    """Something that is not a regular file of its own."""
    def bind():
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    {"link": lambda: path.symlink_to(target), "device": lambda: path.symlink_to("/dev/zero"), "pipe": lambda: os.mkfifo(path),
     "folder": path.mkdir, "socket": bind}[kind]()


@pytest.mark.parametrize("kind", ["link", "device", "pipe", "folder", "socket"])
def test_what_is_no_regular_file_is_neither_read_nor_waited_for(tmp_path, kind):
    target, path = tmp_path / "target", tmp_path / "log"
    target.write_text("secret\n")
    put(path, kind, target)
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT):
        with pytest.raises(fs.NotRegularError, match="not a regular file"):
            fs.plain(str(path), flags)
    assert fs.tail(str(path), 3) == [] and fs.read_own(str(path)) == ""
    with fs.append_stream(str(path)) as stream:
        stream.write(b"begun anew\n")
    assert path.read_text() == "begun anew\n" and target.read_text() == "secret\n" and stat.S_ISREG(path.lstat().st_mode)


def test_only_what_nobody_else_can_have_written_is_trusted(tmp_path):
    path = tmp_path / "map"
    path.write_text("live 1\n")
    assert fs.read_own(str(path)) == "live 1\n" and fs.read_own(str(path), limit=3) == ""
    path.chmod(0o664)
    assert fs.read_own(str(path)) == ""
    path.chmod(0o644)
    os.link(path, tmp_path / "other")
    assert fs.read_own(str(path)) == ""
    if not os.geteuid():
        (tmp_path / "other").unlink()
        os.chown(path, 65534, -1)
        assert fs.read_own(str(path)) == ""


def test_the_end_of_a_file_with_a_hole_is_read_and_the_whole_of_it_is_not(tmp_path):
    path = tmp_path / "log"
    with open(path, "wb") as stream:
        stream.truncate(10**11)
        stream.seek(0, os.SEEK_END)
        stream.write(b"end\n")
    assert fs.read_end(str(path), 4) == "end\n" and fs.read_own(str(path)) == ""


def test_a_folder_is_reached_step_by_step_and_never_upwards(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    with fs.folder(str(tmp_path), "a/b") as found:
        assert os.fstat(found).st_ino == (tmp_path / "a" / "b").stat().st_ino
    for beneath in ("a/link", "a/../a", ".."):
        with pytest.raises(NotADirectoryError), fs.folder(str(tmp_path), beneath):
            pass
