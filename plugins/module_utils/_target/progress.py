# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a long operation is: phases, each of so many bytes and files."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
import time
import typing as t

from .._core import fs, processes
from .._core.errors import IntegrityError
from . import records, shapes
from .record_types import Phase, Progress

#: Seconds between two writes of a record.
PERIOD = 0.5
#: Ended phases that a record keeps.
KEPT = 20


class Meter:
    """Counts what was done; this one tells nobody. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.name = ""
        self.total_bytes = self.total_files = 0
        self.bytes = self.files = 0

    def phase(self, name: str, total_bytes: int = 0, total_files: int = 0) -> None:
        """Begin a phase; the counts start anew."""
        with self._lock:
            self._begin()
            self.name, self.total_bytes, self.total_files = name, total_bytes, total_files
            self.bytes = self.files = 0

    def add(self, size: int = 0, files: int = 0) -> None:
        """So many bytes and files more are done."""
        with self._lock:
            self.bytes += size
            self.files += files

    def _begin(self) -> None:
        """A phase begins now; the counts are still those of the one before."""


class Share(Meter):
    """One file's part of a phase of another meter: never more than *size* bytes, and all of them in the end.

    So what is done twice counts once, and an operation with phases of its own is a part of one phase here.
    """

    def __init__(self, whole: Meter, size: int) -> None:
        super().__init__()
        self._whole, self._size, self._scale, self._given = whole, size, 1.0, 0

    def phase(self, name: str, total_bytes: int = 0, total_files: int = 0) -> None:
        """What is counted from now on are parts of *total_bytes*, which stand for the share's size."""
        super().phase(name, total_bytes, total_files)
        self._scale = self._size / total_bytes if total_bytes else 0.0

    def add(self, size: int = 0, files: int = 0) -> None:
        """So many bytes more are done; files count with :meth:`end` only."""
        super().add(size, files)
        self._give(int(self.bytes * self._scale))

    def end(self, files: int = 1) -> None:
        """The file is done."""
        self._give(self._size)
        self._whole.add(0, files)

    def _give(self, done: int) -> None:
        with self._lock:
            step = max(0, min(done, self._size) - self._given)
            self._given += step
        self._whole.add(step)


class Recorder(Meter):
    """A meter that keeps its counts in a file, a JSON record of the process and its phases.

    A thread writes it, so that ``add`` costs no more than that of the silent one and a phase in which nothing moves is
    seen too. A record that cannot be written, on a full disk say, is none of the work's concern.
    """

    def __init__(self, path: str, sleep: t.Callable[[float], t.Any] = time.sleep) -> None:
        super().__init__()
        self.path, self._sleep = path, sleep
        self._writing = threading.Lock()
        self._ended: list[Phase] = []
        self._number, self._since = 0, time.monotonic()
        self._process = {"pid": os.getpid(), "ticks": processes.start_ticks(os.getpid())}
        self.write()

    def start(self) -> Recorder:
        """Write from now on by itself, and once more when the process ends."""
        atexit.register(self.write)
        threading.Thread(target=self._keep, daemon=True).start()
        return self

    def write(self) -> None:
        """Put the record in its place, as one step."""
        with self._lock:
            phases = [*self._ended, self._state()]
        with self._writing, contextlib.suppress(OSError):
            with open(self.path + ".tmp", "w", encoding="utf-8", opener=_private) as stream:
                json.dump({**self._process, "phases": phases}, stream)
            os.replace(self.path + ".tmp", self.path)

    def _keep(self) -> None:
        while True:
            self._sleep(PERIOD)
            self.write()

    def _begin(self) -> None:
        if self._number:
            self._ended = [*self._ended, self._state()][-KEPT:]
        self._number, self._since = self._number + 1, time.monotonic()

    def _state(self) -> Phase:
        return {
            "number": self._number,
            "name": self.name,
            "bytes": self.bytes,
            "files": self.files,
            "total_bytes": self.total_bytes,
            "total_files": self.total_files,
            "seconds": round(time.monotonic() - self._since, 2),
        }


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def meter(params: t.Mapping[str, t.Any]) -> Meter:
    """What the options of a module ask for: a meter that keeps the record ``progress_file``, or a silent one."""
    path = params.get("progress_file")
    return Recorder(path).start() if path else Meter()


def read(path: str) -> Progress | None:
    """A record, or ``None`` when there is none, or none that can be read."""
    try:
        found = fs.read_json(path)
    except (OSError, IntegrityError):
        return None
    return None if found is None or shapes.fault(found, records.PROGRESS) else found
