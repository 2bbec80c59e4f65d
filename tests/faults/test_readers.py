# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that know nothing of this collection read its archives: unzip, zipinfo, Python, sha256sum, bsdtar, 7z."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import typing as t
import zipfile

import hypothesis
import pytest
from hypothesis import strategies as st
from support import trees
from support.state import State
from support.waiting import HANG

#: Program -> what it is asked, so that it reads every byte of an archive.
READERS = {"unzip": ["unzip", "-tqq"], "zipinfo": ["zipinfo", "-1"], "bsdtar": ["bsdtar", "-xOf"], "7z": ["7z", "t", "-bso0", "-bsp0"]}
UTF8 = {**os.environ, "LC_ALL": "C.UTF-8"}

STEP = st.one_of(
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12),
    st.binary(min_size=1, max_size=12).filter(lambda name: not {0, ord("/")} & set(name)).map(os.fsdecode),
    st.sampled_from(["a", "b", "c.png", "d.log", "a b", "A", "x" * 120]),
).filter(lambda step: step not in (".", "..") and len(os.fsencode(step)) < 250)
CONTENT = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 200_000).map(bytes),
    st.sampled_from([b"", b"text\n" * 9000, b"PK\5\6" + bytes(18)]),
    st.integers(0, 99).map(lambda number: hashlib.sha512(b"%d" % number).digest() * 500),
)
TREE = st.recursive(st.one_of(CONTENT, st.just("link")), lambda inner: st.dictionaries(STEP, inner, max_size=5), max_leaves=25)


def plant(folder: str, tree: t.Any) -> None:
    """Make a generated tree real."""
    for name, what in tree.items():
        path = os.path.join(folder, name)
        if isinstance(what, dict):
            os.mkdir(path)
            plant(path, what)
        elif isinstance(what, bytes):
            with open(path, "wb") as stream:
                stream.write(what)
            os.utime(path, ns=(10**18, 10**18))
        else:
            os.symlink("../" + name[:60], path)


def check_readers(archive: str, extract: bool = True) -> None:
    """What every reader that is here says of an archive."""
    folder, name = os.path.split(archive)
    done = subprocess.run(["sha256sum", "--strict", "-c", name + ".sha256"], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        infos = opened.infolist()
        assert {info.compress_type for info in infos} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        assert infos[0].filename == "MANIFEST.json"
        entries = json.loads(opened.read("MANIFEST.json"))["entries"]
    for program, command in READERS.items():
        if shutil.which(program) and (extract or program == "unzip"):
            done = subprocess.run([*command, archive], capture_output=True, check=False, env=UTF8, timeout=HANG)
            assert done.returncode == 0, (program, done.stderr[-600:], done.stdout[-600:])
            if program == "zipinfo" and not any("\n" in item["path"] for item in entries):
                assert len(done.stdout.splitlines()) == len(entries) + 1 == len(infos)
    if extract and shutil.which("unzip"):
        check_unzipped(archive, entries)


def check_unzipped(archive: str, entries: list[dict[str, t.Any]]) -> None:
    """What unzip makes of it are the files of the manifest; names that unzip changes (control characters) are left out."""
    folder = tempfile.mkdtemp(dir=os.path.dirname(archive))
    done = subprocess.run(["unzip", "-qq", "-o", "-^", archive, "-d", folder], capture_output=True, check=False, env=UTF8)
    assert done.returncode == 0, done
    for item in entries:
        path = os.path.join(folder, item["path"])
        if item["path"].isprintable() and item["path"].isascii() and "\\" not in item["path"]:
            if item["type"] == "file":
                assert trees.sha256(path) == item["sha256"], item
            elif item["type"] == "symlink":
                assert os.readlink(path) == item["target"]
            else:
                assert os.path.isdir(path)
    shutil.rmtree(folder)


@pytest.mark.parts(quick=1, long=2)
def test_generated_trees(tmp_path, runner, part, request, long):
    numbers = iter(range(10**6))

    @hypothesis.seed(f"{request.config.getoption('--chance')} {part}")
    @hypothesis.settings(max_examples=40 if long else 8)
    @hypothesis.given(st.dictionaries(STEP, TREE, max_size=8), st.integers(1, 9))
    def make_and_read(tree, level):
        state = State(str(tmp_path / str(next(numbers))), runner)
        plant(state.path("uploads"), tree)
        state.settle()
        before = state.facts()
        archive = state.backup(level=level).good()["archive"]
        check_readers(archive)
        shutil.rmtree(state.path("uploads"))
        state.restore(archive, safety_backup=False).good()
        assert state.facts() == before, trees.difference(state.facts(), before)
        shutil.rmtree(state.root)

    make_and_read()


@pytest.mark.long
def test_more_files_than_a_plain_zip_can_count(state):
    folder = state.path("uploads")
    for number in range(66_000):
        if number % 1000 == 0:
            os.mkdir(os.path.join(folder, str(number // 1000)))
        os.close(os.open(os.path.join(folder, f"{number // 1000}/{number}"), os.O_CREAT | os.O_WRONLY))
    made = state.backup(components=["uploads"], level=1).good()
    assert made["entries"] == 66_000 + 66 + 1
    check_readers(made["archive"], extract=False)
    assert state.info(verify="deep")[0]["status"] == "verified"
    state.restore(made["archive"], safety_backup=False).good()
    assert sum(len(names) for _folder, _dirs, names in os.walk(folder)) == 66_000


@pytest.mark.long
def test_a_file_of_more_than_4_gigabytes(tmp_path, runner):
    """Stored, so that its sizes and the places of what follows need 64 bits; no more memory than for a small one.

    What it holds is zeros, of which the source needs no room.
    """
    if shutil.disk_usage(tmp_path).free < 12 << 30:
        pytest.skip("less than 12 GiB are free")
    state = State(str(tmp_path / "mobius"), runner)
    path = state.put("uploads/film.mp4", b"begins")
    with open(path, "r+b") as stream:
        stream.truncate((4 << 30) + 12345)
        stream.seek(0, os.SEEK_END)
        stream.write(b"ends")
    os.utime(path, ns=(10**18, 10**18))
    state.put("uploads/z/last.txt", b"after it")
    ended = state.backup(components=["uploads"])
    made = ended.good()
    assert ended.peak < 200 << 20
    with zipfile.ZipFile(made["archive"]) as opened:
        film, last = opened.getinfo("uploads/film.mp4"), opened.getinfo("uploads/z/last.txt")
        assert film.file_size == (4 << 30) + 12345 + 4 and opened.read(last) == b"after it"
        with opened.open("uploads/film.mp4") as stream:
            assert stream.read(6) == b"begins"
    if shutil.which("unzip"):
        done = subprocess.run(["unzip", "-p", made["archive"], "uploads/z/last.txt"], capture_output=True, check=False)
        assert done.stdout == b"after it" and done.returncode == 0
        assert subprocess.run(["zipinfo", "-1", made["archive"]], capture_output=True, check=False).returncode == 0
    listed = state.runner.run("backup_info", {"root": state.root, "verify": "deep"})
    assert listed.good()["backups"][0]["status"] == "verified" and listed.peak < 200 << 20
    for name in os.listdir(state.backups):
        os.unlink(os.path.join(state.backups, name))
    shutil.rmtree(state.shared)
