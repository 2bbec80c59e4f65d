# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Durable file operations: the old content or the new, never a part."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import foreign, fs
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
    assert sorted(foreign.tail(path, 300, limit=2**21)) == sorted(lines)


def test_a_line_after_one_that_was_cut_short_is_a_line_of_its_own(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"whole\nhal")
    fs.append_line(str(path), "next")
    assert path.read_text().splitlines() == ["whole", "hal", "next"]


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
