"""Which files are read, and how they are opened."""

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._logs import files


@pytest.mark.parametrize(
    "family, names",
    [
        (
            "app.log",
            [
                "app.log",
                "app.log.1",
                "app.log.12.gz",
                "app.log-20261127",
                "app.log-20261127.gz",
                "app.log.gz",
                "app-2026-11-27.log",
                "app.2026-11-27.log.gz",
                "app.log.2026-11-27_10-00",
                "app.log.old",
            ],
        ),
        ("console-5001.log", ["console-5001.log.1"]),
        ("access", ["access"]),
        ("x.jsonl", ["x.jsonl.2.gz"]),
        ("1", ["1"]),
    ],
)
def test_rotated_files_belong_to_their_log(family, names):
    assert {name: files.family(name) for name in names} == dict.fromkeys(names, family)


def test_the_oldest_of_a_log_comes_first(tmp_path):
    for age, name in enumerate(["app.log", "app.log.1", "app.log.2.gz", "b.log"]):
        (tmp_path / name).write_bytes(b"\x1f\x8b" if name.endswith("gz") else b"x\n")
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    (tmp_path / "other.txt").write_bytes(b"")
    found, passed = files.find([f"{tmp_path}/*.log*", f"{tmp_path}/app.log"])
    assert [one.name for one in found] == ["app.log.2.gz", "app.log.1", "app.log", "b.log"] and passed == []
    assert [one.packed for one in found] == [True, False, False, False] and [one.rotated for one in found] == [True, True, False, False]


def test_what_is_no_plain_file_is_passed_over_and_named(tmp_path):
    (tmp_path / "secret").write_text("root's\n")
    os.link(tmp_path / "secret", tmp_path / "hard.log")
    os.symlink(tmp_path / "secret", tmp_path / "link.log")
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.log").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket.log"))
        found, passed = files.find([f"{tmp_path}/*.log"])
    whys = {os.path.basename(one.path): one.why for one in passed}
    assert found == [] and sorted(whys) == ["folder.log", "hard.log", "link.log", "pipe.log", "socket.log"]
    assert "another name" in whys.pop("hard.log") and set(whys.values()) == {"not a regular file"}


def test_folders_that_are_links_or_missing_are_named(tmp_path):
    os.symlink("/etc", tmp_path / "link")
    (tmp_path / "file").write_text("")
    _found, passed = files.find([f"{tmp_path}/link/*", f"{tmp_path}/no/*.log", f"{tmp_path}/file/x", f"{tmp_path}/none.log"])
    assert [(os.path.basename(one.path), one.why) for one in passed] == [
        ("link", "a link, or no folder"),
        ("no", "not there"),
        ("file", "a link, or no folder"),
        ("none.log", "not there"),
    ]


@pytest.mark.parametrize("pattern", ["logs/*.log", "/srv/*/a.log", "/srv/", "", "/s[r]v/a"])
def test_patterns_that_could_mean_anything_are_refused(pattern):
    with pytest.raises(InputError, match="expected an absolute path, with wildcards in its last part only"):
        files.find([pattern])


def test_only_the_newest_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST", 2)
    for number in range(4):
        (tmp_path / f"{number}x.log").write_text("x\n")
        os.utime(tmp_path / f"{number}x.log", (number, number))
    found, passed = files.find([f"{tmp_path}/*"])
    assert [one.name for one in found] == ["2x.log", "3x.log"] and {one.why for one in passed} == {"only the newest 2 files are read"}


def test_another_file_under_the_name_is_not_read(tmp_path):
    (tmp_path / "a.log").write_text("x\n")
    [file] = files.find([f"{tmp_path}/a.log"])[0]
    (tmp_path / "b").write_text("y\n")
    os.replace(tmp_path / "b", tmp_path / "a.log")
    with pytest.raises(FileNotFoundError, match="rotated meanwhile"):
        files.opened(file)


def test_names_that_are_no_text_are_shown(tmp_path):
    os.mkfifo(os.fsencode(tmp_path) + b"/\xff\n.log")
    assert files.find([f"{tmp_path}/*.log"])[1][0].path == f"{tmp_path}/\\xff\\n.log"
