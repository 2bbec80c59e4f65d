# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the JavaScript of a Node process is, also while its event loop hangs: function, line and request, without a restart.

SIGUSR1 opens Node's inspector on a port of 127.0.0.1 (Chrome DevTools Protocol), in a thread of its own that a hung loop does not hold up.
Until that port is closed again, any local user can run code in the process through it. So it is open for as short as can be, and closed
on every way out; when that fails, the caller is told. Nothing that the process answers is trusted: it is bounded and made printable.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import signal
import time
import typing as t

from .._core import commands, documents, processes, wording
from .._core.errors import OpsError, StateError
from .._core.interrupt import undivided
from .._observe import node_exceptions
from .websocket import Broken, Line, WebSocket

#: The port that Node takes unless it was told another one.
DEFAULT_PORT = 9229
#: Seconds for all of it, and for one answer.
PATIENCE, _ANSWER = 8.0, 4.0
#: Frames that are looked at.
_FRAMES = 40
#: Scripts whose addresses are kept, and letters of one.
_SCRIPTS, _LONGEST = 20_000, 400
_PATH = re.compile(r"ws://[^/\s]{1,80}(/[0-9a-f-]{36})$")
#: Asks Node to open its inspector when it starts.
_OPENED = re.compile(r"--(?:inspect|debug)(?:-brk|-wait)?(?:=|$)")
_PORT = re.compile(r"--(?:inspect|debug)-port=(?:.*:)?(\d{1,5})$")
_FOREIGN = re.compile(r"node:|internal/|(?:.*/)?node_modules/|$")
#: Closes the inspector, and closes it again when the event loop goes on: Node asks itself in three ways to open it, of which a hung loop
#: hears only one, so it opens it once more when it hears the others (Node's ``RequestIoThreadStart``).
_END = """(() => { let left = 60; const timer = setInterval(() => { process._debugEnd(); if (--left < 1) clearInterval(timer) }, 25);
    timer.unref(); process._debugEnd() })()"""
#: Seconds for which a process is asked to close its inspector before its sockets are closed by force.
_POLITE = 1.0
#: Seconds for which the port must stay closed behind code that was ended.
_STAYS = 0.4
#: Tells method and address of the request that a frame works on, by the names that Express, Fastify, Koa and Node's own handlers use.
_REQUEST = """(() => { const known = [typeof req === 'object' && req, typeof request === 'object' && request,
    typeof ctx === 'object' && ctx && ctx.req, typeof arguments === 'object' && arguments[0]];
    for (const one of known) if (one && one.method && one.url) return one.method + ' ' + (one.originalUrl || one.url); return '' })()"""


Found = t.TypeVar("Found")


@dataclasses.dataclass(frozen=True)
class Stack:
    """Where a process is."""

    #: The application's own function that it is in, such as ``slow (src/api/index.js:12:7)``; the innermost one when none is its own.
    place: str
    #: Its functions, innermost first.
    frames: tuple[str, ...]
    #: The request that it works on, such as ``GET /api/slow``; empty when that cannot be told.
    request: str
    #: Seconds from the signal to this answer.
    seconds: float
    #: Whether the code was ended.
    interrupted: bool = False


class Session:
    """A debugging session. :raises Broken: when the process does not answer."""

    def __init__(self, port: int) -> None:
        self.socket = WebSocket(port, _target(port), _ANSWER)
        self._number = 0
        self._events: list[t.Mapping[str, t.Any]] = []
        #: Number of a script -> its address.
        self.scripts: dict[str, str] = {}

    def ask(self, method: str, **params: t.Any) -> int:
        """Call a method, and do not wait for what it returns; the number of the call."""
        self._number += 1
        self.socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        return self._number

    def call(self, method: str, timeout: float = _ANSWER, **params: t.Any) -> t.Mapping[str, t.Any]:
        """What a method returns."""
        return self.answer(self.ask(method, **params), timeout)

    def answer(self, number: int, timeout: float) -> t.Mapping[str, t.Any]:
        """What a call returns. :raises Broken: when it does not within so many seconds."""
        deadline = time.monotonic() + timeout
        told = next((one for one in self._events if one.get("id") == number), None)
        while told is None:
            one = self._message(deadline)
            if one.get("id") == number:
                told = one
            else:
                self._events.append(one)
        found = told.get("result")
        return found if isinstance(found, dict) else {}

    def stream(self, method: str, event: str, timeout: float, **params: t.Any) -> t.Iterator[t.Mapping[str, t.Any]]:
        """What comes with each event of a name until a method returns. :raises Broken: when that takes longer, or it refuses."""
        self.ask(method, **params)
        deadline = time.monotonic() + timeout
        while True:
            told = self._message(deadline)
            if told.get("id") == self._number:
                if "result" not in told:
                    raise Broken("it refuses")
                return
            if told.get("method") == event and isinstance(told.get("params"), dict):
                yield told["params"]

    def event(self, method: str, timeout: float) -> t.Mapping[str, t.Any]:
        """What comes with the next event of that name."""
        deadline = time.monotonic() + timeout
        while True:
            told = self._events.pop(0) if self._events else self._message(deadline)
            if told.get("method") == method:
                found = told.get("params")
                return found if isinstance(found, dict) else {}

    def _message(self, deadline: float) -> t.Mapping[str, t.Any]:
        try:
            told = documents.parse(self.socket.receive(deadline - time.monotonic()))
        except ValueError as error:
            raise Broken("it does not send JSON") from error
        told = told if isinstance(told, dict) else {}
        if told.get("method") == "Debugger.scriptParsed" and isinstance(told.get("params"), dict) and len(self.scripts) < _SCRIPTS:
            self.scripts[str(told["params"].get("scriptId"))] = str(told["params"].get("url"))[:_LONGEST]
        return told


def _target(port: int) -> str:
    """The path of the process's own debugging session."""
    line = Line(port, _ANSWER)
    try:
        said = documents.parse(line.body(line.ask(b"GET /json/list HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % port)))
        return next(match.group(1) for one in said for match in [_PATH.match(str(one.get("webSocketDebuggerUrl")))] if match)
    except (ValueError, AttributeError, TypeError, StopIteration) as error:
        raise Broken("it tells of no debugging session") from error
    finally:
        line.close()


def port_of(pid: int) -> int:
    """The port on which a Node opens its inspector: 9229, or the one that it was told with ``--inspect-port``."""
    told = _told_port(pid)
    return told if 0 < told < 65536 else DEFAULT_PORT


def _told_port(pid: int) -> int:
    told = [match.group(1) for match in map(_PORT.match, _options(pid)) if match]
    return int(told[-1]) if told else DEFAULT_PORT


def _options(pid: int) -> list[str]:
    return [*processes.words(pid, 65536), *(processes.environment(pid) or {}).get("NODE_OPTIONS", "").split()]


def require(pid: int, port: int) -> None:
    """An inspector that is open, though the process was not started with it, was left by a look that was killed: it is used, and closed.

    :raises StateError: when the signal would end a process, or open nothing.
    """
    if not _catches(pid, signal.SIGUSR1) or "--disable-sigusr1" in processes.words(pid, 65536):
        raise StateError(
            f"process {pid}",
            "a Node that opens its inspector on SIGUSR1",
            "another program, or one with --disable-sigusr1",
            "Look at it with: ps -o pid,stat,wchan,args -p " + str(pid),
        )
    if not _told_port(pid):  # it would be open where nobody looks for it, and stay so
        raise StateError(
            f"process {pid}", "a known port for its inspector", "any free one (--inspect-port=0)", "Start it with another --inspect-port"
        )
    listening = processes.listeners(port)
    if listening and (listening != [pid] or any(map(_OPENED.match, _options(pid))) or not _is_inspector(port)):
        raise StateError(
            f"port {port}",
            "nobody to listen, so that Node's inspector can",
            "another program, the application itself, or an inspector that the process was started with",
            f"Look who it is with: ss -tlnp sport = :{port}",
        )


def _is_inspector(port: int) -> bool:
    """Whether an inspector answers there, which it does also while the event loop hangs."""
    try:
        return bool(_target(port))
    except Broken:
        return False


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal (``SigCgt`` of proc(5))."""
    with contextlib.suppress(OSError, ValueError, StopIteration), open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
        mask = next(line.split()[1] for line in stream if line.startswith("SigCgt:"))
        return bool(int(mask, 16) >> (number - 1) & 1)
    return False


def look(pid: int, place: node_exceptions.Place, interrupt: bool = False) -> Stack:
    """Where the JavaScript of a process is at this moment.

    :param place: the folders of the application's own files.
    :param interrupt: end the code that it is in by an exception that nothing catches but the event loop; the process lives on, and
        that request is lost.
    :raises StateError: when it cannot be told. It also says when the inspector is still open.
    """
    return asked(pid, lambda session, began: _stack(session, place, interrupt, began), _STAYS if interrupt else 0.0)


def asked(pid: int, question: t.Callable[[Session, float], Found], stays: float = 0.0) -> Found:
    """What a question comes to that is put to the inspector of a process, which is closed on every way out.

    A signal that interrupts the diagnosis takes effect when the inspector is closed.

    :param question: gets a session, and when the process was asked to open it.
    :param stays: seconds for which the port must stay closed then.
    :raises StateError: when there is no answer. It also says when the inspector is still open.
    """
    port, ticks = port_of(pid), processes.start_ticks(pid)
    require(pid, port)
    with undivided():
        return _asked(pid, port, ticks, question, stays)


def _asked(pid: int, port: int, ticks: int | None, question: t.Callable[[Session, float], Found], stays: float) -> Found:
    began = time.monotonic()
    try:
        if ticks is None or not processes.send(pid, ticks, signal.SIGUSR1):
            raise Broken("it has ended")
        _wait(lambda: pid in processes.listeners(port), began + PATIENCE, "it does not open its inspector")
        session = Session(port)
        try:
            found = question(session, began)
            with contextlib.suppress(Broken):  # it may be gone before it answers
                session.call("Runtime.evaluate", expression=_END, timeout=_ANSWER)
        finally:
            session.socket.close()
    except BaseException as error:
        left = _close(pid, port)
        if not isinstance(error, Broken):
            raise
        raise StateError(
            f"process {pid}",
            "Node's inspector to tell where it is",
            wording.printable(str(error)),
            left or "It waits for the system, or for something that happens: look at it again while it hangs",
        ) from error
    left = _close(pid, port, stays)
    if left:
        raise StateError(f"process {pid}", "Node's inspector to close", f"port {port} still open", left)
    return found


def _stack(session: Session, place: node_exceptions.Place, interrupt: bool, began: float) -> Stack:
    session.call("Debugger.enable")
    session.call("Debugger.pause")
    frames = session.event("Debugger.paused", _ANSWER).get("callFrames")
    frames = [frame for frame in frames if isinstance(frame, dict)][:_FRAMES] if isinstance(frames, list) else []
    names = [_named(session, frame, place) for frame in frames]
    own = next((name for name, mine in names if mine), names[0][0] if names else "")
    request = next(filter(None, (_request(session, frame) for frame in frames)), "")
    seconds = round(time.monotonic() - began, 2)
    ending = session.ask("Runtime.terminateExecution") if interrupt else 0
    session.call("Debugger.resume")
    if interrupt:
        # whatever else is evaluated before the code has ended takes the request to end it back
        session.answer(ending, _ANSWER)
    return Stack(own, tuple(name for name, _mine in names), request, seconds, interrupt)


def _named(session: Session, frame: t.Mapping[str, t.Any], place: node_exceptions.Place) -> tuple[str, bool]:
    """A frame in words, and whether it is of the application's own code."""
    where = frame.get("location") if isinstance(frame.get("location"), dict) else {}
    line, column = (
        int(where.get(name) or 0) + 1 if isinstance(where.get(name), int) else 1  # type: ignore[union-attr]
        for name in ("lineNumber", "columnNumber")
    )
    file = place.relative(session.scripts.get(str(where.get("scriptId")), ""))  # type: ignore[union-attr]
    file = re.sub(r".*/(?=node_modules/)", "", file)
    name = wording.printable(str(frame.get("functionName") or "an anonymous function"))[:80]
    return f"{name} ({wording.printable(file)[-200:]}:{line}:{column})", not _FOREIGN.match(file)


def _request(session: Session, frame: t.Mapping[str, t.Any]) -> str:
    told = session.call(
        "Debugger.evaluateOnCallFrame", callFrameId=str(frame.get("callFrameId")), expression=_REQUEST, silent=True, returnByValue=True
    ).get("result")
    value = told.get("value") if isinstance(told, dict) else ""
    return wording.printable(value)[:200] if isinstance(value, str) else ""


def _close(pid: int, port: int, stays: float = 0.0) -> str:
    """Close the inspector where it is still open; what to do when that fails, else nothing.

    :param stays: seconds for which it has to stay closed.
    """
    began = closed = time.monotonic()
    while pid in processes.listeners(port) or time.monotonic() < closed + stays:
        if pid not in processes.listeners(port):
            time.sleep(0.02)
            continue
        closed = time.monotonic()
        if closed > began + _ANSWER:
            return "Restart the service at once (mobius.ops.restart): until then any local user can run code in it"
        with contextlib.suppress(Broken):
            session = Session(port)
            try:
                session.call("Runtime.evaluate", expression=_END, timeout=1.0)
            finally:
                session.socket.close()
        if time.monotonic() > began + _POLITE and pid in processes.listeners(port):
            _close_by_force(port)
        time.sleep(0.05)
    return ""


def _close_by_force(port: int) -> None:
    """Close the sockets of an inspector whose process does not do it: root may.

    Node 18 has to be restarted then. The thread of its inspector asks the closed socket for connections for ever, and the main thread waits
    for that thread when the inspector is closed.
    """
    with contextlib.suppress(OpsError):
        commands.capture(["ss", "-K", "-n", "-t", "-a", "sport", "=", f":{port}"], timeout=_ANSWER)


def _wait(ready: t.Callable[[], bool], deadline: float, otherwise: str) -> None:
    while not ready():
        if time.monotonic() > deadline:
            raise Broken(otherwise)
        time.sleep(0.02)
