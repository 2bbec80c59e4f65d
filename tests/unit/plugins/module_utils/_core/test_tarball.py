# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tar files that lie about names, kinds and sizes: refused by a sentence, in bounded memory, and nothing is written."""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import typing as t

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import tarball
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts

FILE, FOLDER, LINK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE
#: Bytes of private memory that no artifact makes a process need.
MEMORY = 300 * 10**6


def tar(path: t.Any, members: list[tuple[str, bytes, str]], **pax: str) -> str:
    """A gzipped tar file of ``(name, type, content or target)``; *pax*: headers of the first one."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, content, len(content) if kind == FILE else 0
            info.pax_headers, pax = pax, {}
            archive.addfile(info, io.BytesIO(content.encode()) if kind == FILE else None)
    return str(path)


@pytest.mark.parametrize(
    "members, wrong",
    [
        ([("x", FILE, ""), ("x/y", FILE, "")], "x/y: a path below a file"),
        ([("x/y", FILE, ""), ("x", FILE, "")], "x: a path below a symlink, or there twice, as a folder and as a file"),
        ([("x", FOLDER, ""), ("x", FILE, "")], "x: a path below a symlink, or there twice, as a folder and as a file"),
        ([("x", FILE, ""), ("x", FOLDER, "")], "x: a path below a symlink, or there twice, as a file and as a folder"),
        ([("x", LINK, "y"), ("x/y", FILE, "")], "x/y: a path below a symlink"),
        ([("x/y", FILE, ""), ("x", LINK, "y")], "x: a path below a symlink, or there twice"),
        ([("x", LINK, "y"), ("x", LINK, "y")], "x: there twice"),
        ([("x", FILE, ""), ("./x", FILE, "")], "./x: there twice"),
        ([("", FILE, "")], ": no name"),
        ([(".", FILE, "")], ".: no name"),
        ([("a/..", FILE, "")], "a/..: no name"),
        ([(".", LINK, "x")], "no name"),
        ([("..", FILE, "")], "outside"),
        ([("../x", FILE, "")], "outside"),
        ([("/x", FILE, "")], "outside"),
        ([("a/../../x", FILE, "")], "outside"),
        ([("a\nb", FILE, "")], "a control character in its name"),
        ([("\x1b[31m", FILE, "")], "a control character"),
        ([("n" * 256, FILE, "")], "a name that is too long"),
        ([("é" * 128, FILE, "")], "too long"),
        ([("a/" * 70 + "x", FILE, "")], "too long"),
        ([("a" * 200 + "/" + "b" * 200 + "/" + "c/" * 400, FOLDER, "")], "too long"),
        ([("x", LINK, "")], "a symlink to no path"),
        ([("x", LINK, "a\nb")], "a symlink to no path"),
        ([("x", LINK, "../y")], "outside"),
        ([("x", LINK, "/etc")], "outside"),
        ([("a", LINK, "b"), ("c", LINK, "a/d"), ("b", FOLDER, "")], "through another symlink"),
        ([("x", tarfile.CHRTYPE, "")], "neither"),
        ([("x", tarfile.FIFOTYPE, "")], "neither"),
        ([("x", tarfile.BLKTYPE, "")], "neither"),
        ([("y", FILE, ""), ("x", tarfile.LNKTYPE, "y")], "neither"),
        ([("x", tarfile.LNKTYPE, "z"), ("w", tarfile.LNKTYPE, "x")], "neither"),
    ],
)
def test_a_member_that_cannot_be_or_must_not_be(tmp_path, members, wrong):
    path, folder = tar(tmp_path / "a.tar.gz", [("first", FILE, "1"), *members]), tmp_path / "f"
    folder.mkdir()
    with pytest.raises(IntegrityError) as caught:
        artifacts.unpack(path, str(folder))
    assert wrong in str(caught.value) and str(caught.value).endswith("Do not deploy it."), caught.value
    assert os.listdir(folder) == []


def test_what_tar_makes_of_a_folder_is_unpacked(tmp_path):
    folder, source = tmp_path / "f", tmp_path / "s"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "ä ö").write_text("x")
    (source / "..x").write_text("y")
    os.symlink("b/ä ö", source / "a" / "link")
    subprocess.run(["tar", "czf", str(tmp_path / "a.tar.gz"), "-C", str(source), "."], check=True)
    folder.mkdir()
    artifacts.unpack(str(tmp_path / "a.tar.gz"), str(folder))
    assert (folder / "a" / "link").read_text() == "x" and (folder / "..x").read_text() == "y"


def test_names_are_unpacked_as_they_were_looked_at(tmp_path):
    path, folder = tar(tmp_path / "a.tar.gz", [("x/.", FILE, "1"), ("none/../y", FILE, "2"), ("./a//b", FILE, "3")]), tmp_path / "f"
    folder.mkdir()
    artifacts.unpack(path, str(folder))
    assert sorted(str(found.relative_to(folder)) for found in folder.rglob("*")) == ["a", "a/b", "x", "y"]


@pytest.mark.parametrize(
    "pax",
    [
        {"size": "-1"},
        {"size": "99999999999999999999"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"GNU.sparse.map": "0,1"},
        {"mtime": "1e308"},
        {"mtime": "nan"},
        {"uid": "99999999999999999999"},
    ],
)
def test_headers_that_lie_about_numbers(tmp_path, pax):
    path, folder = tar(tmp_path / "a.tar.gz", [("x", FILE, "1"), ("y", FILE, "2")], **pax), tmp_path / "f"
    folder.mkdir()
    if "size" in pax or "GNU" in str(pax):
        with pytest.raises(IntegrityError, match=r"a whole gzipped tar file|members inside"):
            artifacts.unpack(path, str(folder))
        assert os.listdir(folder) == []
    else:
        artifacts.unpack(path, str(folder))
        assert stat.S_IMODE(os.stat(folder / "x").st_mode) == 0o644


def header(kind: bytes, size: int, name: bytes = b"x") -> bytes:
    """A header block with a right checksum."""
    block = bytearray(512)
    block[: len(name)], block[100:108], block[156:157], block[257:265] = name, b"0000644\0", kind, b"ustar\x0000"
    block[124:136] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError
for look in (artifacts.read_manifest, artifacts.require_safe):
    try:
        look(sys.argv[1])
    except IntegrityError as error:
        print(error)
"""


def bounded(path: str) -> str:
    """What reading says, in a process with little memory."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{CHILD}", path, str(MEMORY)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"X"])
def test_a_header_of_gigabytes_is_not_read_into_memory(tmp_path, kind):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", 1) as stream:
        stream.write(header(kind, 2 * 10**9))
        for _number in range(200):
            stream.write(bytes(2 * 10**6))
    assert "a header of more than 64 kB" in bounded(str(path))


def test_headers_for_the_whole_archive_are_counted_together(tmp_path):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", 1) as stream:
        for number in range(3000):
            record = b"a%d=%s\n" % (number, b"v" * 30_000)
            record = b"%d %s" % (len(record) + 6, record)
            stream.write(header(b"g", len(record)) + record + bytes(-len(record) % 512))
        stream.write(header(b"0", 0) + bytes(1024))
    assert "64 kB" in bounded(str(path))


def test_headers_that_extend_headers_without_end(tmp_path):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", 1) as stream:
        for _number in range(50_000):
            stream.write(header(b"x", 6) + b"6 a=b\n" + bytes(506))
    assert "a whole gzipped tar file" in bounded(str(path))


def test_too_many_members(tmp_path):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", 1) as stream:
        for number in range(tarball.MEMBERS + 2):
            stream.write(header(b"0", 0, b"%d" % number))
    assert f"more than {tarball.MEMBERS} members" in bounded(str(path))


def test_long_names_in_great_number(tmp_path):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", 1) as stream:
        for number in range(100_000):
            name = b"%d/" % number + b"/".join([b"n" * 200] * 4)
            stream.write(header(b"L", len(name) + 1) + name + bytes(512 - len(name) % 512) + header(b"0", 0))
    assert "names that are too long in all" in bounded(str(path))


def test_a_manifest_of_gigabytes(tmp_path):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", 1) as stream:
        stream.write(header(b"0", 10**9, b"MANIFEST.json"))
        for _number in range(10):
            stream.write(bytes(10**6))
    assert "a MANIFEST.json of 8.4 MB at most" in bounded(str(path))


def test_negative_sizes_do_not_go_round_in_circles(tmp_path):
    path = tmp_path / "a.tar.gz"
    block = bytearray(header(b"0", 0))
    block[124:136] = b"\xff" * 10 + b"\xfc\x00"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with gzip.open(path, "wb", 1) as stream:
        stream.write(header(b"0", 0, b"a") + bytes(block) + bytes(1024))
    assert "gzipped tar file" in bounded(str(path))


@pytest.mark.parametrize("change", [{"files": []}, {"files": {"a": 1}}, {"version": None}, {"digest": 7}, {"committed": []}])
def test_a_manifest_of_another_shape(tmp_path, artifact, change):
    path, _sha256 = artifact(tmp_path / "a.tar.gz", {"a": "1"}, **change)
    with pytest.raises(IntegrityError, match=r"a whole MANIFEST.json, found .* Build the artifact again"):
        artifacts.read_manifest(path)
