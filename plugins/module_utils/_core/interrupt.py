# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work that removes its temporary folders and ends its programs when it is interrupted by a signal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import typing as t

from .errors import StateError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds between two checks that a pipe still has a reader.
_LOOK = 0.5

#: How many blocks wait with an interruption until they end, and the signal that they wait with.
_blocks, _waiting = [0], [""]


class Interrupted(BaseException):
    """A signal arrived. Not an ``Exception``, so that no error handling on the way takes it for a failure."""


@contextlib.contextmanager
def undivided() -> t.Iterator[None]:
    """A short block that is never interrupted in between: what it makes is known to whoever cleans up. Raises at its end instead.

    An error of the block is raised as it is: it may tell what is left to do.
    """
    _blocks[0] += 1
    try:
        yield
    finally:
        _blocks[0] -= 1
    if _waiting[0] and not _blocks[0]:
        raise Interrupted(_waiting[0])


@contextlib.contextmanager
def handling(handlers: dict[int, t.Any]) -> t.Iterator[None]:
    """Handle signals so until the block ends. Outside of the main thread, where no handler can be set, nothing changes.

    :param handlers: signal -> what :func:`signal.signal` takes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _needs_reader(pipe: int | None) -> t.Iterator[None]:
    """Send this process SIGTERM when the pipe loses its last reader while the block runs."""
    if pipe is None:
        yield
        return
    over, poll = threading.Event(), select.poll()

    def look() -> None:
        while not over.wait(_LOOK):
            if poll.poll(0):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    poll.register(pipe, 0)  # POLLERR (poll(2)): the end to read from is closed. Nothing is ever told of a file
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def interruptible(what: str, pipe: int | None = None) -> t.Iterator[None]:
    """Let the first of ``SIGNALS`` unwind the block, so that everything in it is cleaned up. Later ones are ignored until then.

    A signal that is ignored already stays ignored. Outside of the main thread, where no handler can be set, nothing changes.

    :param what: the work, in words.
    :param pipe: the descriptor of a pipe. When it loses its last reader, the block is unwound as well: Ansible's worker may end without a
        signal to its module (seen on ansible-core 2.21 with SIGINT).
    :raises StateError: when a signal interrupted the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def interrupt(number: int, _frame: t.Any) -> None:
        for other in handled:
            signal.signal(other, signal.SIG_IGN)
        _waiting[0] = signal.Signals(number).name
        if not _blocks[0]:
            raise Interrupted(_waiting[0])

    try:
        with handling(dict.fromkeys(handled, interrupt)), _needs_reader(pipe):
            yield
    except Interrupted as interruption:
        raise StateError(what, "to run to its end", str(interruption), "Its temporary files were removed. Run it again") from None
    finally:
        _waiting[0] = ""


@contextlib.contextmanager
def undeterred() -> t.Iterator[None]:
    """Go on at SIGINT (Ctrl-C) and SIGHUP (the session ends): what stops here would be half done.

    Programs that are started meanwhile have the usual handlers: unlike SIG_IGN, they do not inherit a function.
    """
    handled = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    with handling(dict.fromkeys(handled, lambda *_: None)):
        yield
