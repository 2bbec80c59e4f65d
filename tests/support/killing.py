# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kill a piece of work with SIGKILL right before one of its effects, in a process of its own."""

from __future__ import annotations

import functools
import os
import signal
import threading
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._deploy import migration
from ansible_collections.mobius.ops.plugins.module_utils._service import process_service, readiness
from ansible_collections.mobius.ops.plugins.module_utils._service.proxy import haproxy
from ansible_collections.mobius.ops.plugins.module_utils._target import history, switch_journal

#: What changes something that lasts, or takes long. Between two of them a kill makes no difference.
EFFECTS = (
    (fs, "write_json"),
    (fs, "atomic_symlink"),
    (history, "record"),
    (migration, "_run"),
    (readiness, "ready"),
    (process_service.ProcessService, "start"),
    (process_service.ProcessService, "stop"),
    (haproxy.Proxy, "point"),
    (haproxy.Proxy, "release"),
    (switch_journal.Journal, "end"),
)


def killed_before(number: int, work: t.Callable[[], t.Any], only: str = "", effects: t.Sequence[tuple[t.Any, str]] = EFFECTS) -> str:
    """Do the work in a child process that is killed right before its effect of this number, counted from 1.

    :param only: count effects of this name.
    :param effects: owners and names of what counts as an effect.
    :returns: the name of that effect; empty when the work came to its end before.
    """
    return begun(number, work, only, effects).end()


class Victim(t.NamedTuple):
    """A child process that is killed, or comes to its end before."""

    pid: int
    pipe: int

    def end(self) -> str:
        """Wait for its end; the name of the effect that it was killed before."""
        with os.fdopen(self.pipe) as pipe:
            _pid, status = os.waitpid(self.pid, 0)
            name = pipe.read() if os.WIFSIGNALED(status) else ""
        assert bool(name) == os.WIFSIGNALED(status)
        return name


def begun(number: int, work: t.Callable[[], t.Any], only: str = "", effects: t.Sequence[tuple[t.Any, str]] = EFFECTS) -> Victim:
    """As :func:`killed_before`, without waiting for the end."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            _trap(number, writing, only, effects)
            work()
        except Exception as error:  # the work failed, as an activation of a bad release does
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    return Victim(child, reading)


def _trap(number: int, writing: int, only: str, effects: t.Sequence[tuple[t.Any, str]]) -> None:
    seen, counting = 0, threading.Lock()

    def before(real: t.Callable[..., t.Any], name: str) -> t.Callable[..., t.Any]:
        @functools.wraps(real)
        def called(*words: t.Any, **options: t.Any) -> t.Any:
            nonlocal seen
            with counting:
                seen += only in ("", name)
                hit = seen == number and only in ("", name)
            if hit:
                os.write(writing, name.encode())
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*words, **options)

        return called

    os.set_inheritable(writing, False)
    for owner, name in effects:
        setattr(owner, name, before(getattr(owner, name), name))
