# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the application stores in its component ``database``: every SQLite database and JSON file there, at any depth.

Runs with the rights of the service's user (``_core.as_user``). A store that cannot be read is an error: what it names is not known.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import time
import typing as t
import urllib.parse

from .._core import documents, foreign, sqlite, walk
from .._core.errors import StateError
from . import words

#: What identifies the content of a file: inode, size and times.
State = tuple[int, int, int, int]
#: Seconds that a store that is just being written has to become whole; pause between two looks.
PATIENCE, _PAUSE = 5.0, 0.05
#: A store that changed so short a time (ns) before it was read may have changed since without a trace in its times.
_TICK = 100_000_000
#: Seconds that a look counts at most; never longer than it took.
_VALID = 0.05
#: Bytes of text that are cut into words at a time.
_CHUNK = 1024**2
#: The smallest number that may be an id.
_ID = 100_000
#: Names of databases that nothing here can read.
_UNREADABLE = re.compile(r"(?i).*\.(db|db3|sqlite|sqlite3|mdb|ldb|sst|wt)|ibdata\d+|PG_VERSION")
#: Files beside a database that are a part of it.
_BESIDE = sqlite.COMPANIONS


class Stores:
    """What all stores below a folder name. Asked again, it reads only what changed.

    :param top: the component's folder; a host may have none.
    :param limit: seconds that reading one store may take.
    """

    def __init__(self, top: str, limit: float = 60.0) -> None:
        self._top, self._limit = top, limit
        self._known: dict[str, tuple[tuple[State | None, ...], set[int]]] = {}
        self._kinds: dict[str, tuple[State, str]] = {}
        self._hot: set[str] = set()
        self._valid_until = 0.0

    def refresh(self) -> None:
        """Look for changes, and read what changed. :raises StateError: when a store cannot be read."""
        begun = time.monotonic()
        if begun < self._valid_until:
            return
        now = self._present()
        looked = time.monotonic() - begun
        self._known = {path: known for path, known in self._known.items() if path in now}
        for path, state in now.items():
            if path in self._hot or path not in self._known or self._known[path][0] != state:
                self._read(path, state)
        self._valid_until = time.monotonic() + min(looked, _VALID)  # so that looking takes half of the time, where that is long

    def name(self, handles: t.Iterable[list[str]]) -> bool:
        """Whether a store names something by one of its handles (``words.handles``)."""
        return any(handle and all(self._has(hash(word)) for word in handle) for handle in handles)

    def _has(self, word: int) -> bool:
        return any(word in found for _state, found in self._known.values())

    def _present(self) -> dict[str, tuple[State | None, ...]]:
        """Relative path of each store -> the states of it and of what belongs to it."""
        found = {}
        for folder in walk.walk(self._top):
            states = {name: _state(status) for name, status in folder.entries if stat.S_ISREG(status.st_mode)}
            for name in states:
                if name.endswith(_BESIDE) and name.rpartition("-")[0] in states:
                    continue
                path = os.path.join(folder.relative, name)
                if self._kinds.get(path, ((), ""))[0] != states[name]:
                    self._kinds[path] = states[name], _kind(name, folder.descriptor)
                kind = self._kinds[path][1]
                if kind == "unreadable" and states[name][1]:
                    raise self._cannot(path, "a kind of database that cannot be read here")
                if kind in ("json", "sqlite"):
                    beside = [name + suffix for suffix in ("", "-wal", "-journal")] if kind == "sqlite" else [name]
                    found[path] = tuple(states.get(each) for each in beside)
        return found

    def _read(self, path: str, state: tuple[State | None, ...]) -> None:
        folder, name = os.path.split(path)
        deadline, begun = time.monotonic() + PATIENCE, time.time_ns()
        self._known.pop(path, None)
        while True:
            try:
                with foreign.folder(self._top, folder) as descriptor:
                    read = _json if _kind(name, descriptor) == "json" else _database
                    found = read(name, descriptor, os.path.join(self._top, path), self._limit)
                break
            except FileNotFoundError:
                return  # it went; the next look does not find it
            except (OSError, ValueError, sqlite3.Error) as error:
                if time.monotonic() > deadline:
                    raise self._cannot(path, f"{type(error).__name__}: {error}"[:200]) from error
                time.sleep(_PAUSE)
        self._known[path] = (state, found)
        newest = max(max(each[2:]) for each in state if each)
        (self._hot.add if newest > begun - _TICK else self._hot.discard)(path)

    def _cannot(self, path: str, found: str) -> StateError:
        return StateError(
            f"store {os.path.join(self._top, path)}",
            "a store that can be read, because it may name files",
            found,
            "Repair it, or clean up logs only (mobius_cleanup_kinds)",
        )


def _state(status: os.stat_result) -> State:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _kind(name: str, folder: int) -> str:
    """``json``, ``sqlite``, ``unreadable``, or nothing for a file that is no store."""
    if name.lower().endswith(".json"):
        return "json"
    if sqlite.is_database(name, folder):
        return "sqlite"
    return "unreadable" if _UNREADABLE.fullmatch(name) else ""


def _json(name: str, folder: int, _path: str, _limit: float) -> set[int]:
    """The words of each text, key and large number of a document. :raises ValueError: when it is none."""
    with os.fdopen(foreign.plain(name, at=folder), "rb") as stream:
        content = stream.read()
    waiting: list[t.Any] = [documents.parse(content)]
    texts: list[str] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            texts += value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) or (isinstance(value, int) and value >= _ID):
            texts.append(str(value))
    return words.hashes("\n".join(texts))


def _database(name: str, folder: int, path: str, limit: float) -> set[int]:
    """The words of each cell, in one read transaction.

    A database in WAL mode that no process has open is read as immutable, because SQLite would make files beside it. That is believed only
    if nothing moved meanwhile.
    """

    def states() -> tuple[State | None, ...]:
        return tuple(_state_of(name + suffix, folder) for suffix in ("", "-wal"))

    before = states()
    if sqlite.in_wal_mode(path) and before[1] is None:
        found = _cells(path, "&immutable=1", limit)
        if states() == before:
            return found
    return _cells(path, "", limit)


def _state_of(name: str, folder: int) -> State | None:
    with contextlib.suppress(FileNotFoundError):
        return _state(os.stat(name, dir_fd=folder, follow_symlinks=False))
    return None


def _cells(path: str, more: str, limit: float) -> set[int]:
    found: set[int] = set()
    uri = "file:" + urllib.parse.quote(os.fsencode(path)) + "?mode=ro" + more
    deadline = time.monotonic() + limit
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=limit, isolation_level=None)) as database:
        database.text_factory = bytes
        database.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
        for setting in ("trusted_schema=OFF", "query_only=ON", "temp_store=MEMORY"):
            database.execute("PRAGMA " + setting).fetchall()
        database.execute("BEGIN")
        held, size = [], 0
        for cell in _all_cells(database):
            held.append(cell)
            size += len(cell)
            if size > _CHUNK:
                found |= _of(held)
                held, size = [], 0
        database.execute("COMMIT")
    return found | _of(held)


def _all_cells(database: sqlite3.Connection) -> t.Iterator[bytes]:
    tables = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    for table, text in tables:
        if (text or b"").upper().startswith(b"CREATE VIRTUAL"):  # what it shows is in ordinary tables, which are listed too
            continue
        quoted = table.decode("utf-8").replace('"', '""')
        for row in database.execute(f'SELECT * FROM "{quoted}"'):
            for cell in row:
                if isinstance(cell, bytes):
                    yield cell
                elif isinstance(cell, int) and cell >= _ID:
                    yield b"%d" % cell


def _of(cells: list[bytes]) -> set[int]:
    return words.hashes(b"\n".join(cells).decode("utf-8", "surrogateescape"))
