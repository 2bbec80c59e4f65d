# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Artifacts: what is not what it was said to be is never unpacked, and nothing is written outside."""

from __future__ import annotations

import os
import tarfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts

FILES = {"package.json": "{}", "src/api/index.js": "listen()", "run.sh": "#!/bin/sh\n"}
LINK, HARD = "symlink", "link"


def test_a_whole_artifact_is_unpacked_and_is_what_its_manifest_lists(tmp_path, artifact):
    path, digest = artifact(tmp_path / "a.tar.gz", FILES)
    assert artifacts.read_sidecar(path) == digest
    artifacts.verify_file(path, digest)
    folder = tmp_path / "release"
    folder.mkdir()
    artifacts.unpack(path, str(folder))
    artifacts.compare(str(folder), artifacts.read_manifest(path))
    assert (folder / "src/api/index.js").read_text() == "listen()"


@pytest.mark.parametrize(
    "members, words",
    [
        ([("../evil", "x")], "a path outside"),
        ([("a/../../evil", "x")], "a path outside"),
        ([("/tmp/evil", "x")], "a path outside"),
        ([("..", tarfile.DIRTYPE)], "a path outside"),
        ([("out", (LINK, "/etc/passwd"))], "a symlink to /etc/passwd"),
        ([("a/out", (LINK, "../../evil"))], r"a symlink to \.\./\.\./evil"),
        ([("hard", (HARD, "/etc/passwd"))], "neither a file"),
        ([("hard", (HARD, "package.json"))], "neither a file"),
        ([("null", tarfile.CHRTYPE)], "neither a file"),
        ([("pipe", tarfile.FIFOTYPE)], "neither a file"),
        ([("d/up", (LINK, "..")), ("d/up/more", (LINK, "..")), ("more/evil", "x")], "below a symlink"),
        ([("d/up", (LINK, "..")), ("more", (LINK, "d/up/../..")), ("more/evil", "x")], "symlink"),
        ([("d/up", (LINK, "..")), ("more", (LINK, "d/up/../evil")), ("more", "x")], "symlink"),
        ([("same", (LINK, "package.json")), ("same", "x")], "twice"),
        ([("s", (LINK, "src")), ("./s/evil", "x")], "below a symlink"),
    ],
)
def test_hostile_members_are_refused_and_nothing_is_written(tmp_path, tar_gz, snapshot, members, words):
    path = tar_gz(tmp_path / "a.tar.gz", [("package.json", "{}"), *members])
    folder = tmp_path / "releases" / "work"
    folder.mkdir(parents=True)
    before = snapshot(tmp_path)
    with pytest.raises(IntegrityError, match=words):
        artifacts.unpack(path, str(folder))
    assert snapshot(tmp_path) == before


def test_links_inside_are_fine(tmp_path, tar_gz):
    path = tar_gz(
        tmp_path / "a.tar.gz",
        [("a/b.txt", "x"), ("a/c.txt", (LINK, "b.txt")), ("d", (LINK, "a")), ("a/up", (LINK, "../a/b.txt")), ("a/", tarfile.DIRTYPE)],
    )
    folder = tmp_path / "work"
    folder.mkdir()
    artifacts.unpack(path, str(folder))
    assert (folder / "d/c.txt").read_text() == "x" == (folder / "a/up").read_text()


def test_modes_and_owners_are_plain(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, mode in (("tool", 0o6777), ("text", 0o600)):
            member = tarfile.TarInfo(name)
            member.mode, member.uid = mode, 12345
            archive.addfile(member)
    folder = tmp_path / "work"
    folder.mkdir()
    artifacts.unpack(str(path), str(folder))
    assert (folder / "tool").stat().st_mode & 0o7777 == 0o755
    assert (folder / "text").stat().st_mode & 0o7777 == 0o644
    assert (folder / "tool").stat().st_uid == os.getuid()


def damaged(path, at):
    with open(path, "r+b") as stream:
        stream.seek(int(os.path.getsize(path) * at))
        stream.write(b"\x00\xff" * 20)


@pytest.mark.parametrize("at", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("content", [lambda: os.urandom(2000).hex(), lambda: "all work and no play " * 2000])
def test_a_damaged_gzip_is_named_wherever_the_damage_is(tmp_path, artifact, at, content):
    path, _digest = artifact(tmp_path / "a.tar.gz", {f"f{number}": content() for number in range(5)}, note=content())
    damaged(path, at)
    folder = tmp_path / "work"
    folder.mkdir()
    with pytest.raises(IntegrityError, match="artifact"):
        manifest = artifacts.read_manifest(path)
        artifacts.unpack(path, str(folder))
        artifacts.compare(str(folder), manifest)


def test_a_cut_gzip_is_named(tmp_path, artifact):
    path, _digest = artifact(tmp_path / "a.tar.gz", FILES)
    os.truncate(path, os.path.getsize(path) // 2)
    with pytest.raises(IntegrityError, match="gzipped tar file"):
        artifacts.read_manifest(path)
        artifacts.unpack(path, str(tmp_path))


def test_what_is_no_tar_file_is_named(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_text("hello")
    with pytest.raises(IntegrityError, match="a whole gzipped tar file"):
        artifacts.read_manifest(str(path))
    with pytest.raises(IntegrityError, match="gzipped tar file"):
        artifacts.unpack(str(path), str(tmp_path / "work"))


def test_a_changed_byte_is_a_wrong_checksum(tmp_path, artifact):
    path, digest = artifact(tmp_path / "a.tar.gz", FILES)
    damaged(path, 0.5)
    with pytest.raises(IntegrityError, match=f"expected SHA-256 {digest}, found [0-9a-f]{{64}}. .*do not deploy it"):
        artifacts.verify_file(path, digest)


@pytest.mark.parametrize(
    "content, kind, words",
    [
        (None, InputError, r"no .*a\.tar\.gz\.sha256.*sha256sum FILE"),
        ("", IntegrityError, "a SHA-256 in hexadecimal, found ''"),
        ("nonsense  a.tar.gz\n", IntegrityError, "found 'nonsense'"),
        ("z" * 64, IntegrityError, "a SHA-256 in hexadecimal"),
        ("a" * 63, IntegrityError, "a SHA-256 in hexadecimal"),
    ],
)
def test_bad_sidecars(tmp_path, content, kind, words):
    (tmp_path / "a.tar.gz").write_text("x")
    if content is not None:
        (tmp_path / "a.tar.gz.sha256").write_text(content)
    with pytest.raises(kind, match=words):
        artifacts.read_sidecar(str(tmp_path / "a.tar.gz"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=f"no {tmp_path}/gone.tgz"):
        artifacts.read_sidecar(str(tmp_path / "gone.tgz"))


def test_upper_case_checksums_are_read(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "a.sha256").write_text("AB" * 32 + "  a\n")
    assert artifacts.read_sidecar(str(tmp_path / "a")) == "ab" * 32


def test_a_bare_source_archive_has_no_manifest(tmp_path, tar_gz):
    assert artifacts.read_manifest(tar_gz(tmp_path / "a.tar.gz", [("package.json", "{}")])) is None
    assert artifacts.read_manifest(tar_gz(tmp_path / "b.tar.gz", [])) is None


@pytest.mark.parametrize(
    "text, words", [("{", "JSON in MANIFEST.json"), ("[]", "a manifest of schema 1"), ('{"schema": 2}', "a manifest of schema 1")]
)
def test_broken_manifests(tmp_path, tar_gz, text, words):
    with pytest.raises(IntegrityError, match=words):
        artifacts.read_manifest(tar_gz(tmp_path / "a.tar.gz", [(artifacts.MANIFEST, text)]))


def change(folder):
    (folder / "package.json").write_text("{ }")


def add(folder):
    (folder / "extra.js").write_text("evil()")


def drop(folder):
    (folder / "run.sh").unlink()


def replace_by_link(folder):
    (folder / "run.sh").unlink()
    (folder / "run.sh").symlink_to("package.json")


def make_executable(folder):
    (folder / "run.sh").chmod(0o755)


@pytest.mark.parametrize(
    "damage, words",
    [
        (change, "package.json"),
        (add, "extra.js: expected no such file"),
        (drop, "run.sh"),
        (replace_by_link, "symlink"),
        (make_executable, "0755"),
    ],
)
def test_a_manifest_that_disagrees_with_the_files(tmp_path, artifact, damage, words):
    path, _digest = artifact(tmp_path / "a.tar.gz", FILES)
    folder = tmp_path / "work"
    folder.mkdir()
    artifacts.unpack(path, str(folder))
    damage(folder)
    with pytest.raises(IntegrityError, match=words):
        artifacts.compare(str(folder), artifacts.read_manifest(path))


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for name in (
        "package.json",
        "src/a.js",
        ".env",
        "data/x",
        "node_modules/m/i.js",
        "client/node_modules/m/i.js",
        ".git/config",
        "src/api/uploads/u.png",
        "client/build/index.html",
        "logs/l",
        "src/data/keep.js",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "dir-link").symlink_to("src")
    return folder


SHARED = ["data", "logs", "src/api/uploads"]


def test_state_secrets_and_installed_modules_are_no_part_of_a_release(source):
    names = [name for name, _path in artifacts.walk(str(source), SHARED)]
    assert names == ["dir-link", "package.json", "client/build/index.html", "src/a.js", "src/data/keep.js"]


def test_the_digest_tells_sources_apart_and_ignores_the_rest(source):
    without = [*SHARED, "client/build"]
    digest = artifacts.source_digest(str(source), without)
    (source / "client/build/index.html").write_text("rebuilt")
    (source / "data/x").write_text("more")
    os.utime(source / "src/a.js", (1, 1))
    assert artifacts.source_digest(str(source), without) == digest
    seen = {digest}
    for step in (
        lambda: (source / "src/a.js").write_text("changed"),
        lambda: (source / "src/a.js").chmod(0o755),
        lambda: (source / "src/a.js").rename(source / "src/b.js"),
        lambda: (source / "dir-link").unlink(),
    ):
        step()
        seen.add(artifacts.source_digest(str(source), without))
    assert len(seen) == 5
