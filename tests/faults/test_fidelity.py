# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that a file is comes back: as root and as somebody else, wherever the clocks are set to."""

from __future__ import annotations

import calendar
import datetime
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
import typing as t
import zipfile
import zoneinfo

import pytest
from support import trees
from support.processes import Runner
from support.state import REST, State

ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns")
#: Local times that do not exist, or exist twice, in St. John's; the beginning and the end of what headers can say.
EDGES = {
    "spring": "2026-03-08 05:29:59",
    "after spring": "2026-03-08 05:30:00",
    "first 1:30": "2026-11-01 04:00:00",
    "second 1:30": "2026-11-01 05:00:00",
    "dos begins": "1980-01-01 00:00:00",
    "before dos": "1979-12-31 23:59:59",
    "dos ends": "2107-12-31 23:59:59",
    "after dos": "2108-01-01 00:00:00",
    "epoch": "1970-01-01 00:00:00",
    "before all": "1931-05-05 05:05:05",
    "2038": "2038-01-19 03:14:08",
}
NAMES = (
    "with space",
    " begins and ends ",
    "line\nbreak",
    "tab\tand\rreturn",
    "back\\slash",
    "quote\"'`$(id)",
    "-rf",
    "*?[a]",
    "#",
    "%2e",
    "ünïcödé 😀",
    "e\u0301 decomposed",
    "é decomposed",
    os.fsdecode(b"latin \xe9\xff"),
    os.fsdecode(b"\x80"),
    "\x01\x7f",
    ".hidden",
    "...",
    "x" * 255,
    "é" * 127,
    "con",
    "nul.txt",
    "C:",
    "a:b",
    "~",
    "MANIFEST.json",
    "a.zip",
    "dhash_x.zip.sha256",
    "CASE",
    "case",
)
NOBODY = 65534


def nanoseconds(text: str) -> int:
    """Of a time in UTC, with a fraction that shows."""
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S")) * 10**9 + 123_456_789


def plant(state: State, root: bool) -> None:
    """One of everything."""
    state.put("config/.env", b"KEY=1\n", 0o600)
    state.put("database/projects.json", b"{}\n")
    state.put("logs/app.log", b"INFO\n")
    for mode in (0o000, 0o400, 0o444, 0o600, 0o640, 0o755, 0o777, 0o1644):
        if mode & 0o400 or root:
            state.put(f"uploads/modes/{mode:04o}", b"%o" % mode, mode)
    for mode in (0o500, 0o550, 0o700, 0o777, 0o1777):
        os.makedirs(state.path(f"uploads/modes/folder {mode:04o}"))
        os.chmod(state.path(f"uploads/modes/folder {mode:04o}"), mode)
    for name, text in EDGES.items():
        state.put("uploads/times/" + name, text.encode(), mtime_ns=nanoseconds(text))
        os.mkdir(state.path(f"uploads/times/folder {name}"))
    for name in NAMES:
        state.put("uploads/names/" + name, name.encode("utf-8", "surrogateescape"))
        os.makedirs(state.path(f"uploads/folders/{name}/empty"))
        os.symlink(name, state.path(f"uploads/link {NAMES.index(name)}"))
    deep = "/".join(["deep" * 20] * 12)
    state.put(f"uploads/{deep}/bottom", b"deep")
    for name, target in (
        ("dangling", "/nowhere/at/all"),
        ("absolute", "/etc/passwd"),
        ("up", "../../.."),
        ("self", "self"),
        ("folder", "names"),
        ("long", "x" * 4000),
        ("strange", os.fsdecode(b"\xff/\n")),
    ):
        os.symlink(target, state.path("uploads/" + name))
    state.put("uploads/empty", b"")
    state.put("generated/hole", b"\0" * 300_000)
    if root:
        os.chown(state.path("uploads/names/with space"), 12345, 54321)
        os.lchown(state.path("uploads/dangling"), 1, 1)
        os.chown(state.path("uploads/folders/~"), 12345, 0)
    state.settle()
    for name, text in EDGES.items():
        os.utime(state.path(f"uploads/times/folder {name}"), ns=(0, nanoseconds(text)))
        os.symlink("x", state.path(f"uploads/times/link {name}"))
        os.utime(state.path(f"uploads/times/link {name}"), ns=(0, nanoseconds(text)), follow_symlinks=False)
    os.utime(state.path("uploads/times"), ns=(REST, REST))


class Home:
    """A folder that another user may work in, whoever runs the tests."""

    def __init__(self, runner: Runner, uid: int) -> None:
        self.path = tempfile.mkdtemp(prefix="mobius-fidelity-")
        self.how: dict[str, t.Any] = {"uid": uid} if uid else {}
        self.state = State(os.path.join(self.path, "mobius"), runner, **self.how)

    def give(self, uid: int) -> None:
        """Let all of it belong to a user."""
        for path in (self.path, *trees.walk(self.path)):
            os.lchown(path, uid, uid)


@pytest.fixture(params=["root", "somebody"])
def home(request: pytest.FixtureRequest, runner: Runner) -> t.Iterator[Home]:
    """A home of root's, and one of somebody's."""
    if request.param == "root" and os.geteuid():
        pytest.skip("only root can give files to others")
    made = Home(runner, 0 if os.geteuid() or request.param == "root" else NOBODY)
    yield made
    for path in (made.path, *trees.walk(made.path)):
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
    shutil.rmtree(made.path)


def as_somebody(home: Home) -> None:
    if home.how:
        home.give(NOBODY)


@pytest.mark.parametrize("there", ZONES)
def test_round_trip(home, there, request):
    """Back up in one zone, restore in another one and in the same."""
    state, root = home.state, not home.how and os.geteuid() == 0
    plant(state, root)
    as_somebody(home)
    before = state.facts()
    state.how = {**home.how, "environment": {"TZ": there}}
    earliest = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    made = state.backup().good()
    latest = datetime.datetime.now(datetime.timezone.utc)
    stamp = re.search(r"_(\d{8}_\d{6})\.zip", made["archive"]).group(1)
    named = datetime.datetime.strptime(stamp, "%Y%m%d_%H%M%S").replace(tzinfo=datetime.timezone.utc)
    assert earliest <= named - datetime.timedelta(seconds=state.runner.ahead) <= latest
    check_headers(made["archive"])
    for zone in ZONES:
        state.how = {**home.how, "environment": {"TZ": zone, "LC_ALL": "C" if zone == "UTC" else "C.UTF-8"}}
        state.put("uploads/names/with space", b"other")
        if home.how:
            home.give(NOBODY)
        result = state.restore(made["archive"], safety_backup=False).good()
        assert result["status"] == "verified"
        found = state.facts()
        assert found == before, trees.difference(found, before)
    state.restore(made["archive"]).good()
    assert state.facts() == before


def check_headers(archive: str) -> None:
    """Times in zip headers are UTC and within what they can say; the manifest has them in full."""
    with zipfile.ZipFile(archive) as opened:
        manifest = json.loads(opened.read("MANIFEST.json"))
        infos = {info.orig_filename: info for info in opened.infolist()}
        said = {item["path"]: item for item in manifest["entries"]}
    for name, text in EDGES.items():
        path = f"uploads/times/{name}"
        assert said[path]["mtime_ns"] == nanoseconds(text)
        year, *rest = infos[path].date_time
        expected = time.strptime(text, "%Y-%m-%d %H:%M:%S")
        if 1980 <= expected.tm_year <= 2107:
            assert (year, *rest[:4]) == tuple(expected)[:5] and rest[4] == expected.tm_sec // 2 * 2
        else:
            assert year == (1980 if expected.tm_year < 1980 else 2107)


def test_hard_links(home):
    """Several names of one file are so again, also in other folders; two files with the same content stay two."""
    state = home.state
    first = state.put("uploads/one", b"the same")
    os.makedirs(state.path("uploads/deep/er"))
    for name in ("uploads/another", "uploads/deep/er/third", "uploads/deep/0"):
        os.link(first, state.path(name))
    state.put("uploads/twin", b"the same")
    second = state.put("generated/film.mp4", b"film")
    os.link(second, state.path("generated/link.mp4"))
    os.link(second, state.path("uploads/film.mp4"))
    os.link(state.put("logs/outside.log", b"log"), os.path.join(home.path, "outside of the components"))
    state.settle()
    as_somebody(home)
    before = state.facts()
    archive = state.backup().good()["archive"]
    os.unlink(first)
    state.put("uploads/one", b"other")
    state.restore(archive, safety_backup=False).good()
    found = state.facts()
    for facts in (before, found):
        facts["logs/outside.log"].pop("same_as", None)
    assert found == before, trees.difference(found, before)
    with open(state.path("uploads/deep/0"), "ab") as stream:
        stream.write(b"!")
    with open(state.path("uploads/another"), "rb") as stream:
        assert stream.read() == b"the same!"
    with zipfile.ZipFile(archive) as opened:  # who unzips it gets each of them whole
        assert {opened.read(f"uploads/{name}") for name in ("one", "another", "deep/er/third", "deep/0", "twin")} == {b"the same"}
    # Each component alone has the names that it has.
    state.restore(archive, components=["uploads"], safety_backup=False).good()
    assert os.stat(state.path("uploads/film.mp4")).st_nlink == 1 and os.stat(state.path("uploads/one")).st_nlink == 4


def test_extended_attributes(home):
    state = home.state
    path = state.put("uploads/tagged", b"x")
    try:
        os.setxattr(path, "user.probe", b"")
    except OSError as error:
        pytest.skip(f"the file system of {home.path} has no extended attributes: {error.strerror}")
    os.mkdir(state.path("uploads/folder"))
    for place in (path, state.path("uploads/folder"), state.path("uploads"), state.put("config/.env", b"K=1\n", 0o600)):
        wanted = {"user.text": b"text", "user.bytes": bytes(range(256)), "user.\u00fc \u2713": b"", "user." + "x" * 200: b"y"}
        for name, value in wanted.items():
            os.setxattr(place, name, value)
    read_only = state.put("uploads/read only", b"x", 0o600)
    os.setxattr(read_only, "user.kept", b"1")
    os.chmod(read_only, 0o400)
    if shutil.which("setfacl"):
        subprocess.run(["setfacl", "-m", "u:12345:r", path], check=False)
        subprocess.run(["setfacl", "-d", "-m", "u:12345:rwx", state.path("uploads/folder")], check=False)
    state.settle()
    as_somebody(home)
    before = state.facts()
    archive = state.backup().good()["archive"]
    os.removexattr(path, "user.text")
    os.setxattr(path, "user.new", b"new")
    state.restore(archive, safety_backup=False).good()
    found = state.facts()
    assert found == before, trees.difference(found, before)
    assert len(found["uploads/tagged"]["xattrs"]) >= 5


@pytest.mark.parametrize("home", ["root"], indirect=True)
def test_what_the_host_decides_does_not_come_back(home):
    """Attributes of the kernel and of security modules, on the way into the archive."""
    state = home.state
    path = state.put("uploads/tool", b"#!/bin/sh\n", 0o755)
    # CAP_NET_RAW, permitted and effective, for whoever runs the file
    try:
        os.setxattr(path, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
        os.setxattr(path, "trusted.mobius", b"1")
    except OSError as error:
        pytest.skip(f"such attributes cannot be set here: {error.strerror}")
    archive = state.backup().good()["archive"]
    with zipfile.ZipFile(archive) as opened:
        manifest = opened.read("MANIFEST.json")
    assert b"security." not in manifest and b"trusted." not in manifest
    state.restore(archive, safety_backup=False).good()
    assert os.listxattr(state.path("uploads/tool")) == []


def test_set_gid_of_folders_comes_back(home):
    """It hands the group on to new files, and gives nobody any right."""
    state = home.state
    os.mkdir(state.path("uploads/team"))
    as_somebody(home)
    os.chmod(state.path("uploads/team"), 0o2775)
    archive = state.backup().good()["archive"]
    state.restore(archive, safety_backup=False).good()
    assert stat.S_IMODE(os.stat(state.path("uploads/team")).st_mode) == 0o2775


def test_set_uid_does_not_come_back(home):
    state = home.state
    for mode in (0o4755, 0o2755, 0o6755, 0o7777):
        state.put(f"uploads/{mode:o}", b"#!/bin/sh\n", mode)
    as_somebody(home)
    for mode in (0o4755, 0o2755, 0o6755, 0o7777):  # who changes the owner takes them away
        os.chmod(state.path(f"uploads/{mode:o}"), mode)
    archive = state.backup().good()["archive"]
    state.restore(archive, safety_backup=False).good()
    for mode in (0o4755, 0o2755, 0o6755, 0o7777):
        assert stat.S_IMODE(os.stat(state.path(f"uploads/{mode:o}")).st_mode) == mode & 0o1777


def test_the_zones_are_really_other_ones():
    """The tests above would prove nothing in a system without time zones."""
    moment = datetime.datetime(2026, 7, 1, tzinfo=datetime.timezone.utc)
    assert len({moment.astimezone(zoneinfo.ZoneInfo(zone)).utcoffset() for zone in ZONES}) == 3
