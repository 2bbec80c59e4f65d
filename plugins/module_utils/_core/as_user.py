# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs functions with the rights of the service's user, in a process that is forked for it and limited in time and memory.

What reads or writes below the service's folders does it here: a link that its user puts in the way then leads to nothing
that this user could not reach anyway. What comes back is JSON of bounded length, which is data to check and nothing more.

The process is forked, so that it has all code already and needs no right to read any. It inherits no descriptors.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import threading
import time
import typing as t
import warnings

from . import accounts, documents, errors, fs, wording
from .accounts import Account
from .errors import OpsError

#: Bytes of an answer, at most.
MOST = 16 * 1024**2
_CHUNK = 65536


class Failed(Exception):
    """A function ended its process, or raised what it may not raise."""


class TooSlow(Failed):
    """It took longer than it may."""


class Helper:
    """One process of an account, forked when it is needed; after a function that failed badly, or took too long, a new one.

    Safe to use from several threads: one function runs at a time.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self._lock = threading.Lock()
        self._pid = self._to = self._from = -1

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def start(self) -> None:
        """Fork it now, best before there are threads."""
        with self._lock:
            self._start()

    def call(self, function: t.Callable[..., t.Any], *words: t.Any, seconds: float, written: int = 0) -> t.Any:
        """What a function of a util returns for arguments that JSON can hold.

        :param seconds: it may take.
        :param written: bytes, up to which a file of it may grow.
        :raises TooSlow: when it takes longer.
        :raises Failed: when it ends its process, or raises anything but an ``OpsError`` or ``OSError``, which come through.
        """
        request = json.dumps([function.__module__, function.__name__, words, seconds, written]).encode("ascii") + b"\n"
        with self._lock:
            try:
                self._start()
                answer = self._ask(request, seconds)
            except BaseException:
                self._end()
                raise
        return _result(answer)

    def _start(self) -> None:
        if self._pid > 0:
            return
        requests, self._to = os.pipe()
        self._from, answers = os.pipe()
        try:
            self._pid = _fork()
            if not self._pid:
                _serve(self.account, requests, answers)
        finally:
            os.close(requests)
            os.close(answers)
        with contextlib.suppress(OSError):
            os.setpgid(self._pid, self._pid)

    def _ask(self, request: bytes, seconds: float) -> bytes:
        deadline, answer, poll = time.monotonic() + seconds, bytearray(), select.poll()
        poll.register(self._from, select.POLLIN)
        with contextlib.suppress(BrokenPipeError):
            fs.write_all(self._to, request)
        while not answer.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TooSlow(f"it takes more than {seconds:.0f} s")
            chunk = os.read(self._from, _CHUNK)
            answer += chunk
            if not chunk:
                raise Failed("its process ended")
            if len(answer) > MOST:
                raise Failed(f"it says more than {wording.human_size(MOST)}")
        return bytes(answer)

    def _end(self) -> None:
        if self._pid <= 0:
            return
        for end in (os.killpg, os.kill):
            with contextlib.suppress(OSError):
                end(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)
        self._pid = self._to = self._from = -1


def run(account: Account, function: t.Callable[..., t.Any], *words: t.Any, seconds: float, written: int = 0) -> t.Any:
    """:meth:`Helper.call` of one function, in a process of its own."""
    with Helper(account) as helper:
        return helper.call(function, *words, seconds=seconds, written=written)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child uses no lock that one of them may hold
        return os.fork()


def _result(answer: bytes) -> t.Any:
    try:
        said = documents.parse(answer)
    except ValueError as error:
        raise Failed("it answers no JSON") from error
    kind, words = said if isinstance(said, list) and len(said) == 2 and isinstance(said[1], list) else ("", [])
    if kind == "result" and len(words) == 1:
        return words[0]
    if kind == "OSError" and len(words) == 2 and isinstance(words[0], int):
        raise OSError(words[0], os.strerror(words[0]), str(words[1]) or None)
    made = getattr(errors, kind, None) if isinstance(kind, str) else None
    if isinstance(made, type) and issubclass(made, OpsError) and len(words) == 4:
        subject, expected, found, todo = map(str, words)
        raise made(subject, expected, found, todo)
    raise Failed(" ".join(map(str, words))[:300] or "it answers something else")


def _serve(account: Account, requests: int, answers: int) -> t.NoReturn:
    """The forked process: it answers requests until there are no more."""
    try:
        _prepare(requests, answers)
        accounts.confine(account)
        with os.fdopen(0, "rb") as stream:
            for line in stream:
                module, name, words, seconds, written = documents.parse(line)
                accounts.limit_work(seconds, written)
                fs.write_all(1, _answer(getattr(sys.modules[module], name), words))
    finally:
        os._exit(1)


def _prepare(requests: int, answers: int) -> None:
    """A process group of its own, signals that end it, and no descriptor but the two pipes, as its input and output."""
    gc.disable()  # what the parent held open must not be closed by its number, which is another file's soon
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    kept = [os.dup(requests), os.dup(answers)]
    os.dup2(kept[0], 0)
    os.dup2(kept[1], 1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _answer(function: t.Callable[..., t.Any], words: list[t.Any]) -> bytes:
    try:
        said: list[t.Any] = ["result", [function(*words)]]
    except OpsError as error:
        said = [type(error).__name__, [error.subject, error.expected, error.found, error.todo]]
    except OSError as error:
        said = ["OSError", [error.errno or 0, os.fsdecode(error.filename) if error.filename else ""]]
    except MemoryError:
        said = ["Failed", [f"it needs more than {wording.human_size(accounts.MEMORY)} of memory"]]
    except Exception as error:
        said = ["Failed", [f"{type(error).__name__}: {error}"]]
    return json.dumps(said).encode("ascii") + b"\n"
