# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tree of odd files in all components: names, types, times, sizes, links, databases, attributes and modes.

The functions that begin with ``_`` and stand in :data:`KINDS` each make one kind, in a folder that is given, from random choices that are
given: the same choices make the same tree.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import socket
import sqlite3
import tempfile
import typing as t

from support import vault
from support.state import REST, State

#: Names that a file may have, each a kind of its own.
NAMES = {
    "line feed": b"line\nbreak",
    "only a line feed": b"\n",
    "tab and return": b"tab\tand\rreturn",
    "control": b"\x01\x1b[31m\x7f",
    "latin": b"latin \xe9\xff",
    "no utf-8": b"\x80",
    "encoded surrogate": b"half \xed\xa0\x80",
    "overlong": b"over\xc0\xaf",
    "dash": b"-rf",
    "two dashes": b"--help",
    "255 bytes": b"x" * 255,
    "255 bytes of two each": "é".encode() * 127 + b"x",
    "spaces": b"  begins and ends  ",
    "backslash": b"back\\slash\\n",
    "quotes": b"quote\"'`$(id)`",
    "pattern": b"*?[a-z]{b,c}",
    "percent": b"%2e%2e%2f %s %d",
    "emoji": "😀‍👩".encode(),
    "decomposed": "e\u0301".encode(),
    "composed": "é".encode(),
    "right to left": "gpj.\u202etxt".encode(),
    "upper": b"CASE.TXT",
    "lower": b"case.txt",
    "hidden": b".hidden",
    "dots": b"...",
    "windows": b"con",
    "drive": b"C:",
    "home": b"~root",
    "comment": b"#",
    "manifest": b"MANIFEST.json",
    "archive": b"dhash_production_20260101_000000.zip.sha256",
    "work": b".restore-mine",
    "kept": b".kept-mine",
    "equals": b"=cmd|x",
    "at": b"@args",
}
#: Times in nanoseconds: of 1600, 1901, 1969, 1970, 2038, 2106, 2263, 2400, 2446.
TIMES = {
    "1600": -11_676_096_000_000_000_000,
    "1901": -2_147_483_649_000_000_001,
    "1969": -1,
    "1970": 0,
    "2001": 10**18 + 1,
    "2038": 2**31 * 10**9 + 999_999_999,
    "2106": 2**32 * 10**9,
    "2263": 9_246_182_400 * 10**9 + 5,
    "2400": 13_569_465_600_123_456_789,
    "2446": 15_021_072_000 * 10**9,
    "whole": 1_700_000_000 * 10**9,
}
SIZES = {
    "empty": 0,
    "one byte": 1,
    "page": 4096,
    "page and one": 4097,
    "block less one": 2**20 - 1,
    "block": 2**20,
    "block and one": 2**20 + 1,
}
MODES = (0o000, 0o200, 0o400, 0o444, 0o555, 0o600, 0o640, 0o711, 0o777, 0o1644)
FOLDER_MODES = (0o000, 0o500, 0o555, 0o700, 0o1777, 0o2775)
TARGETS = {
    "dangling": b"/nowhere/at/all",
    "absolute": b"/etc/passwd",
    "up": b"../../../../..",
    "itself": b"itself",
    "long": b"x/" * 2000,
    "strange": b"\xff/\n\xed\xa0\x80",
    "space": b" ",
}
ANYWHERE = ("config", "database", "uploads", "generated", "logs")
FREE = ("uploads", "generated")


class Place:
    """Where the next oddities go: a component's folder, or one below it."""

    def __init__(self, state: State, component: str, below: str, chance: random.Random) -> None:
        self.state, self.component, self.below, self.chance = state, component, below, chance

    def path(self, name: bytes | str) -> bytes:
        """The path of a name here."""
        return os.path.join(os.fsencode(self.state.path(self.component)), os.fsencode(self.below), os.fsencode(name))

    def put(self, name: bytes | str, content: bytes) -> bytes:
        """A new file, long at rest."""
        path = self.path(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as stream:
            stream.write(content)
        os.utime(path, ns=(REST, REST))
        return path

    def some(self, most: int = 300) -> bytes:
        """Random content of a random size."""
        return self.chance.randbytes(self.chance.randrange(most))

    def elsewhere(self, name: str) -> bytes:
        """The path of a name at the top of another component."""
        other = self.chance.choice([one for one in ANYWHERE if one != self.component])
        return os.path.join(os.fsencode(self.state.path(other)), os.fsencode(f"{self.below or 'top'} {self.component} {name}"))


Kind = tuple[str, tuple[str, ...], t.Callable[[Place], None]]


def _named(name: bytes) -> t.Callable[[Place], None]:
    return lambda place: void(place.put(name, place.some()))


def _timed(what: str, when: int) -> t.Callable[[Place], None]:
    def make(place: Place) -> None:
        for path in (place.put(f"time {what}", place.some()), place.path(f"time of a folder {what}"), place.path(f"time of a link {what}")):
            if b"folder" in path.rpartition(b"/")[2]:
                os.mkdir(path)
            elif b"link" in path.rpartition(b"/")[2]:
                os.symlink(b"x", path)
            with contextlib.suppress(OverflowError, OSError):  # a file system that refuses such a time; most clip it
                os.utime(path, ns=(REST, when), follow_symlinks=False)

    return make


def _sized(what: str, size: int) -> t.Callable[[Place], None]:
    return lambda place: void(place.put(f"size {what}.{place.chance.choice(['bin', 'txt', 'mp4'])}", _content(place.chance, size)))


def _content(chance: random.Random, size: int) -> bytes:
    return chance.choice([bytes, chance.randbytes, lambda many: (b"a line of text\n" * (many // 15 + 1))[:many]])(size)


def _moded(mode: int) -> t.Callable[[Place], None]:
    def make(place: Place) -> None:
        if os.geteuid() == 0 or mode & 0o400:
            os.chmod(place.put(f"mode {mode:04o}", place.some()), mode)

    return make


def _folder_moded(mode: int) -> t.Callable[[Place], None]:
    def make(place: Place) -> None:
        path = place.path(f"folder of mode {mode:04o}")
        os.mkdir(path)
        place.put(path + b"/in it", b"x")
        if os.geteuid() == 0 or mode & 0o500 == 0o500:
            os.chmod(path, mode)

    return make


def _linked(what: str, target: bytes) -> t.Callable[[Place], None]:
    return lambda place: os.symlink(target, place.path(b"itself" if what == "itself" else f"link {what}"))


def _sparse(what: str, pieces: t.Sequence[int], size: int) -> t.Callable[[Place], None]:
    def make(place: Place) -> None:
        path = place.put(f"sparse {what}.{place.chance.choice(['img', 'mp4'])}", b"")
        with open(path, "r+b") as stream:
            for offset in pieces:
                stream.seek(offset)
                stream.write(place.chance.randbytes(100))
            stream.truncate(size)
        os.utime(path, ns=(REST, REST))

    return make


def _hard_links(place: Place) -> None:
    first = place.put("hard link", place.some())
    os.mkdir(place.path("of links"))
    for name in ("another name", "of links/third", b"of links/\xff"):
        os.link(first, place.path(name))


def _hard_links_of_components(place: Place) -> None:
    os.link(place.put("hard link to elsewhere", place.some()), place.elsewhere("hard link"))


def _hard_links_of_nothing(place: Place) -> None:
    os.link(place.put("empty one", b""), place.path("empty other"))


def _hard_links_outside(place: Place) -> None:
    outside = os.path.join(place.state.root, f"{place.component} {place.below} outside")
    os.link(place.put("has a name outside", place.some()), outside)


def _twins(place: Place) -> None:
    content = place.some()
    place.put("twin", content)
    place.put("other twin", content)


def _deep(place: Place) -> None:
    path = place.path("deep")
    for _level in range(40):
        os.mkdir(path)
        path += b"/" + b"d" * 60
    os.mkdir(path)
    place.put(path + b"/bottom", b"x")


def _empty_folders(place: Place) -> None:
    os.makedirs(place.path(b"empty/\n/-/\xff"))


def _tagged(place: Place) -> None:
    for path in (place.put("tagged", place.some()), place.path("tagged folder")):
        if path.endswith(b"folder"):
            os.mkdir(path)
        for name, value in (
            (b"user.text", b"text"),
            (b"user.bytes", bytes(range(256))),
            ("user.\u00fc".encode(), b""),
            (b"user." + b"x" * 200, b"y"),
        ):
            try:
                os.setxattr(path, name, value)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.ENOSPC):
                    raise


def _owned(place: Place) -> None:
    path = place.put("owned", place.some())
    if os.geteuid() == 0:
        os.chown(path, place.chance.randrange(1, 2**31), place.chance.randrange(1, 2**31))


def _database(journal: str, pages: int = 4096) -> t.Callable[[Place], None]:
    def make(place: Place) -> None:
        _sqlite(place, f"{journal} {pages}.db", journal, pages)

    return make


def _sqlite(place: Place, name: str, journal: str, pages: int = 4096, sql: t.Sequence[str] = ()) -> bytes:
    path = place.path(name)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in (
            f"PRAGMA page_size={pages}",
            f"PRAGMA journal_mode={journal}",
            "PRAGMA synchronous=OFF",
            "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)",
            *sql,
        ):
            database.execute(statement)
        database.executemany("INSERT INTO note (text) VALUES (?)", [(place.chance.randbytes(20).hex(),) for _row in range(20)])
    os.utime(path, ns=(REST, REST))
    return path


def _searched(place: Place) -> None:
    _sqlite(place, "searched.sqlite", "delete", sql=("CREATE VIRTUAL TABLE word USING fts4 (text)", "INSERT INTO word VALUES ('a word')"))


def _checked_by_none(place: Place) -> None:
    """Its collation and its function are the application's own."""
    path = place.path("collation.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.create_collation("odd", lambda one, other: (one > other) - (one < other))
        database.execute("CREATE TABLE note (text TEXT COLLATE odd)")
        database.execute("CREATE INDEX by_text ON note (text)")
        database.execute("INSERT INTO note VALUES ('a')")
    os.utime(path, ns=(REST, REST))


def _with_more(place: Place) -> None:
    """A database with bytes behind it, and files of a user beside it that are named like SQLite's own."""
    path = _sqlite(place, "more.db", "delete")
    with open(path, "ab") as stream:
        stream.write(b"bytes behind the database" * 10)
    os.utime(path, ns=(REST, REST))
    for suffix in ("-wal", "-journal", "-shm", "-wal.bak"):
        place.put("more.db" + suffix, b"notes of a user")


def _looks_like_one(place: Place) -> None:
    place.put("looks like one.db", b"SQLite format 3\0" + place.some())


def _empty_database(place: Place) -> None:
    place.put("nothing.sqlite3", b"")


def _linked_database(place: Place) -> None:
    os.link(_sqlite(place, "linked.db", "delete"), place.path("linked too.db"))


def _encrypted(place: Place) -> None:
    with contextlib.suppress(ImportError):
        path = os.fsdecode(place.path("vault.db"))
        vault.create("encrypted", path)
        os.utime(path, ns=(REST, REST))


def _several_files(place: Place) -> None:
    """Of a store that nothing here knows."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        place.put("unknown.store" + suffix, b"unknown" + place.some())


def _folder_of(what: str, names: t.Sequence[str]) -> t.Callable[[Place], None]:
    def make(place: Place) -> None:
        for name in names:
            path = place.path(f"{what}/{name}")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            place.put(path, place.some())

    return make


def _json(what: str, content: bytes) -> t.Callable[[Place], None]:
    return lambda place: void(place.put(f"{what}.json", content))


def void(_value: t.Any) -> None:
    """Nothing."""


KINDS: list[Kind] = [
    *[(f"name: {what}", ANYWHERE, _named(name)) for what, name in NAMES.items()],
    *[(f"time: {what}", ANYWHERE, _timed(what, when)) for what, when in TIMES.items()],
    *[(f"size: {what}", ANYWHERE, _sized(what, size)) for what, size in SIZES.items()],
    ("sparse: nothing but a hole", ANYWHERE, _sparse("hole", (), 3 * 2**20)),
    ("sparse: ends in a hole", FREE, _sparse("end", (0, 50_000), 2**20)),
    ("sparse: begins with a hole", FREE, _sparse("begin", (2**21,), 2**21 + 100)),
    ("sparse: many holes", ANYWHERE, _sparse("many", range(0, 2**20, 2**17), 2**20 + 5)),
    *[(f"mode: {mode:04o}", ANYWHERE, _moded(mode)) for mode in MODES],
    *[(f"folder: {mode:04o}", FREE, _folder_moded(mode)) for mode in FOLDER_MODES],
    *[(f"link: {what}", ANYWHERE, _linked(what, target)) for what, target in TARGETS.items()],
    ("hard links", ANYWHERE, _hard_links),
    ("hard links: in two components", ANYWHERE, _hard_links_of_components),
    ("hard links: of nothing", ANYWHERE, _hard_links_of_nothing),
    ("hard links: outside", FREE, _hard_links_outside),
    ("twins", ANYWHERE, _twins),
    ("folders: deep", ANYWHERE, _deep),
    ("folders: empty", ANYWHERE, _empty_folders),
    ("attributes", ANYWHERE, _tagged),
    ("owners", ANYWHERE, _owned),
    *[(f"database: {journal}", ANYWHERE, _database(journal)) for journal in ("delete", "truncate", "persist", "wal")],
    *[(f"database: pages of {pages}", ANYWHERE, _database("wal", pages)) for pages in (512, 65536)],
    ("database: searched", ANYWHERE, _searched),
    ("database: collation", ANYWHERE, _checked_by_none),
    ("database: more behind and beside it", FREE, _with_more),
    ("database: looks like one", FREE, _looks_like_one),
    ("database: empty", ANYWHERE, _empty_database),
    ("database: two names", FREE, _linked_database),
    ("database: encrypted", ANYWHERE, _encrypted),
    ("database: several files", ANYWHERE, _several_files),
    ("database: LMDB", ANYWHERE, _folder_of("lmdb", ("data.mdb", "lock.mdb"))),
    ("database: LevelDB", ANYWHERE, _folder_of("leveldb", ("CURRENT", "MANIFEST-000001", "000003.log", "000002.ldb", "LOG", "LOCK"))),
    ("database: PostgreSQL", ANYWHERE, _folder_of("postgres", ("PG_VERSION", "global/1", "base/1/2", "pg_wal/000000010000000000000001"))),
    ("json", ANYWHERE, _json("store", json.dumps({"projects": list(range(50))}).encode())),
    ("json: UTF-16", ANYWHERE, _json("wide", '{"a": "é"}'.encode("utf-16"))),
    ("json: lines", ANYWHERE, _json("lines", b'{"a": 1}\n{"a": 2}\n')),
    ("json: nothing", ANYWHERE, _json("nothing", b"")),
    ("json: AppleDouble", ANYWHERE, _json("._store", b"\0\x05\x16\x07" + bytes(60))),
    ("json: cut", FREE, _json("cut", b'{"a": [1, 2')),
]


def plant(state: State, chance: random.Random, number: int) -> int:
    """Make oddities of all kinds, in turns and in all components, until there are so many; how many there are."""
    made = turn = 0
    before, to_top = _count(state), number > 1000
    while made < number:
        for _what, components, make in KINDS:
            for component in components if turn == 0 and to_top else [chance.choice(components)]:
                place = Place(state, component, f"turn {turn}" if turn else "", chance)
                os.makedirs(place.path(""), exist_ok=True)
                make(place)
        turn += 1
        made = _count(state) - before
    for parent, dirs, _names in os.walk(os.fsencode(state.shared)):
        for name in dirs:
            if not name.startswith(b"time of") and not os.path.islink(os.path.join(parent, name)):
                os.utime(os.path.join(parent, name), ns=(REST, chance.randrange(10**18)))
    return made


def _count(state: State) -> int:
    return sum(len(names) + len(dirs) for _parent, dirs, names in os.walk(os.fsencode(state.shared)))


def specials(state: State) -> list[str]:
    """What has no content: a pipe and a socket, by their names in an archive."""
    os.mkfifo(state.path("uploads/pipe"))
    folder = os.getcwd()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as made, tempfile.TemporaryDirectory() as short:
        os.symlink(state.path("generated"), short + "/s")
        made.bind(short + "/s/socket")
    os.chdir(folder)
    return ["generated/socket", "uploads/pipe"]


def hot(state: State, chance: random.Random) -> dict[str, list[t.Any]]:
    """Databases whose writer was killed, so that a part of them is in a WAL or a journal; their rows by name."""
    found = {}
    for component in ("database", "uploads"):
        name = f"{component}/hot/in a wal.db"
        os.makedirs(os.path.dirname(state.path(name)), exist_ok=True)
        pid = os.fork()
        if pid == 0:
            database = sqlite3.connect(state.path(name), isolation_level=None)
            for statement in ("PRAGMA journal_mode=wal", "CREATE TABLE note (text TEXT)", f"INSERT INTO note VALUES ('{chance.random()}')"):
                database.execute(statement)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert os.path.getsize(state.path(name + "-wal"))
        found[name] = rows(state.path(name), copy=True)
    return found


def rows(path: str, copy: bool = False) -> list[t.Any]:
    """What a database holds; a copy of it is opened, because opening may change it."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal", "-journal") if copy else ("",):
            if os.path.exists(path + suffix):
                with open(path + suffix, "rb") as source, open(folder + "/copy" + suffix, "wb") as target:
                    target.write(source.read())
        with contextlib.closing(sqlite3.connect(folder + "/copy")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return database.execute("SELECT * FROM note").fetchall()
