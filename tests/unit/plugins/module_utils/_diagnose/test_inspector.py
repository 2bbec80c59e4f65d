# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Node whose event loop hangs; and what else may answer in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest
from support.ports import free_port
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import interrupt, processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import inspector, websocket
from ansible_collections.mobius.ops.plugins.module_utils._observe import node_exceptions

pytestmark = pytest.mark.slow


def test_a_hung_loop_is_told_again_and_again_and_then_ended(node):
    server = node()
    server.hang()
    for _time in range(2):
        found = server.look()
        assert found.place.startswith("spin (app.mjs:3:") and found.request == "GET /slow?x=1000000" and not found.interrupted
        assert len(found.frames) > 1 and not processes.listeners(server.inspector)
        assert not server.get(timeout=0.5)  # it hangs on
    assert server.look(interrupt=True).interrupted
    assert server.get() == b"ok" and server.process.poll() is None and not processes.listeners(server.inspector)


def test_an_inspector_that_opens_again_when_the_code_ends_is_closed(node):
    """Node heard only one of three requests to open it while it hung."""
    server = node()
    server.hang(6)
    assert "spin" in server.look().place
    server.asked.join()
    for _time in range(3):
        assert server.get() == b"ok"  # the event loop goes round
        wait_until(lambda: not processes.listeners(server.inspector))


def test_nothing_is_evaluated_before_the_code_has_ended(node, monkeypatch):
    """It would take the request to end it back, and the code went on."""
    seen, ask, message = [], inspector.Session.ask, inspector.Session._message

    def asks(session, method, **params):
        seen.append((method, ask(session, method, **params)))
        return seen[-1][1]

    def tells(session, deadline):
        told = message(session, deadline)
        seen.append(("told", told.get("id")))
        return told

    monkeypatch.setattr(inspector.Session, "ask", asks)
    monkeypatch.setattr(inspector.Session, "_message", tells)
    server = node()
    server.hang()
    assert server.look(interrupt=True).interrupted and server.get() == b"ok"
    number = next(number for method, number in seen if method == "Runtime.terminateExecution")
    assert seen.index(("told", number)) < next(at for at, (method, _number) in enumerate(seen) if method == "Runtime.evaluate")


def test_one_that_waits_is_told_and_its_inspector_is_closed(node, monkeypatch):
    monkeypatch.setattr(inspector, "_ANSWER", 1.0)
    server = node()
    with pytest.raises(StateError) as error:
        server.look()
    assert "does not answer in time" in str(error.value)
    assert not processes.listeners(server.inspector) and server.get() == b"ok"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ss"), reason="only root closes the sockets of others, with ss")
def test_an_inspector_that_its_process_cannot_close_is_closed_by_root(node, monkeypatch):
    monkeypatch.setattr(inspector, "_ANSWER", 2.0)
    server = node()
    server.hang()
    monkeypatch.setattr(inspector, "_END", "1")  # asked to end, it does something else
    assert "spin" in server.look().place
    assert not processes.listeners(server.inspector)


def test_no_socket_of_a_process_that_closes_it_itself_is_closed_by_force(node, monkeypatch):
    """With Node 18 the process would hang when its inspector is closed."""
    forced = []
    monkeypatch.setattr(inspector, "_close_by_force", forced.append)
    monkeypatch.setattr(inspector, "_POLITE", HANG)
    server = node()
    os.kill(server.pid, signal.SIGUSR1)
    wait_until(lambda: processes.listeners(server.inspector) == [server.pid])
    assert inspector._close(server.pid, server.inspector) == "" and not processes.listeners(server.inspector)
    server.hang()
    assert server.look(interrupt=True).interrupted and server.get() == b"ok" and not forced


def test_a_program_that_the_signal_would_end_gets_none():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        with pytest.raises(StateError) as error:
            inspector.look(process.pid, node_exceptions.Place([]))
        assert "expected a Node that opens its inspector on SIGUSR1" in str(error.value) and process.poll() is None


def test_a_node_that_takes_any_port_for_its_inspector_gets_no_signal():
    code = "require('http').createServer(() => {}).listen(0, '127.0.0.1', () => console.log('on'))"
    with subprocess.Popen(["node", "--inspect-port=0", "-e", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"on\n"
        with pytest.raises(StateError, match=r"any free one \(--inspect-port=0\)"):
            inspector.look(process.pid, node_exceptions.Place([]))
        process.kill()
        assert b"Debugger listening" not in process.stderr.read()


def test_a_port_that_is_taken_is_told_before_the_signal(node):
    server = node()
    with socket.create_server(("127.0.0.1", server.inspector)), pytest.raises(StateError) as error:
        server.look()
    assert f"port {server.inspector}: expected nobody to listen" in str(error.value)


def test_an_inspector_that_a_killed_look_has_left_is_used_and_closed(node):
    server = node()
    os.kill(server.pid, signal.SIGUSR1)
    wait_until(lambda: processes.listeners(server.inspector) == [server.pid])
    server.hang()
    assert server.look(interrupt=True).place.startswith("spin (app.mjs:")
    assert not processes.listeners(server.inspector) and server.get() == b"ok"


@pytest.mark.parametrize("option", ["--inspect", "--inspect-brk=127.0.0.1:9230", "--inspect-wait"])
def test_an_inspector_that_a_process_was_started_with_stays(monkeypatch, option):
    monkeypatch.setattr(processes, "listeners", lambda _port: [process.pid])
    monkeypatch.setattr(inspector, "_catches", lambda *_words: True)
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "NODE_OPTIONS": f"--max-old-space-size=99 {option}"}) as process:
        wait_until(lambda: processes.words(process.pid, 99)[:1] == ["sleep"])
        with pytest.raises(StateError, match="an inspector that the process was started with"):
            inspector.require(process.pid, 9229)
        process.kill()


@pytest.mark.parametrize(
    "options, port",
    [
        ("", 9229),
        ("--inspect-port=9333", 9333),
        ("--max-old-space-size=99 --inspect-port=127.0.0.1:9334", 9334),
        ("--inspect-port=0", 9229),
    ],
)
def test_the_port_is_the_one_that_node_was_told(options, port):
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "NODE_OPTIONS": options}) as process:
        wait_until(lambda: inspector.port_of(process.pid) == port)  # once it has become sleep
        process.kill()


def answering(*answers):
    """A server that gives each connection the next answer and ends it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for answer in answers:
            connection, _peer = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
        listener.close()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"x" * 20_000,
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
    ],
)
def test_what_does_not_speak_websocket_is_refused(answer):
    with pytest.raises(websocket.Broken):
        websocket.WebSocket(answering(answer), "/" + "a" * 36, 5.0)


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b"[1]", b'[{"webSocketDebuggerUrl": "ws://x/../etc"}]', b"[" * 50_000, b"\xff\xfe"])
def test_what_tells_of_no_session_is_refused(body):
    port = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    with pytest.raises(websocket.Broken):
        inspector.Session(port)


def test_an_answer_that_drips_is_given_up(monkeypatch):
    """As a hostile process may answer: a byte now and then, for ever."""
    monkeypatch.setattr(inspector, "_ANSWER", 0.5)
    listener, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def drip():
        connection, _peer = listener.accept()
        with connection, contextlib.suppress(OSError):
            while not over.wait(0.02):
                connection.sendall(b"x")

    threading.Thread(target=drip, daemon=True).start()
    with pytest.raises(websocket.Broken):
        inspector.Session(listener.getsockname()[1])
    over.set()
    listener.close()


@pytest.mark.parametrize(
    "frame, words",
    [(b"\x81\x05hello", "hello"), (b"\x89\x02hi\x81\x02ok", "ok"), (b"\x01\x02ab\x80\x01c", "abc"), (b"\x81\x7e\x00\x03abc", "abc")],
)
def test_messages_are_read(frame, words):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(frame)
        assert connected(ours).receive(5.0) == words


@pytest.mark.parametrize("frame", [b"\x88\x00", b"\x81\x85abcd", b"\x81\x7f" + b"\x7f" * 8, b"\x81\x05hel", b""])
def test_other_messages_end_the_connection(frame):
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(frame)
        theirs.close()
        with pytest.raises(websocket.Broken):
            connected(ours).receive(5.0)


@pytest.mark.parametrize("held", [b"", b"{", b"x"])
def test_a_connection_ends_when_the_other_side_has_sent_all_and_ends_it(monkeypatch, held):
    """Node can crash when what it still sends is refused; and what is held may be a part of a message."""
    monkeypatch.setattr(websocket, "_GOODBYE", HANG)
    ours, theirs = socket.socketpair()
    client = connected(ours)
    client._held = held
    closing = threading.Thread(target=client.close)
    with ours:
        closing.start()
        assert theirs.recv(2) == b"\x88\x80"  # masked, as clients must
        theirs.sendall(b"\x81\x05hello" * 1_000_000)  # more than is held on the way
        theirs.sendall(b"\x88\x00")
        assert ours.fileno() != -1
        theirs.close()
        closing.join(HANG)
        assert ours.fileno() == -1


@pytest.mark.parametrize("said", [b"", b"\x81\x05hel", b"\x81\x85abcd"])
def test_a_connection_ends_without_an_answer_too(monkeypatch, said):
    monkeypatch.setattr(websocket, "_GOODBYE", 0.2)
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(said)
        connected(ours).close()
        assert ours.fileno() == -1


def test_a_signal_waits_until_the_inspector_is_closed(node):
    server = node()

    def asks(session, _began):
        os.kill(os.getpid(), signal.SIGTERM)
        return session.call("Runtime.getHeapUsage")

    with pytest.raises(StateError, match=r"the diagnosis.*SIGTERM"), interrupt.interruptible("the diagnosis"):
        inspector.asked(server.pid, asks)
    assert not processes.listeners(server.inspector) and server.get() == b"ok"


def test_an_error_is_not_displaced_by_a_signal(node, monkeypatch):
    def stays_open(*_words):
        os.kill(os.getpid(), signal.SIGTERM)
        return "Restart the service at once"

    server = node()
    monkeypatch.setattr(inspector, "_close", stays_open)
    with pytest.raises(StateError, match=r"still open\. Restart the service at once"), interrupt.interruptible("the diagnosis"):
        inspector.asked(server.pid, lambda session, _began: session.call("Runtime.getHeapUsage"))


def test_a_server_of_the_application_on_that_port_is_left_alone(node):
    code = "import http from 'node:http'; http.createServer((q, s) => s.end('ok')).listen(PORT, '127.0.0.1', () => console.log('on'))"
    port = free_port()
    with subprocess.Popen(
        ["node", f"--inspect-port={port}", "--input-type=module", "-e", code.replace("PORT", str(port))], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"on\n"
        with pytest.raises(StateError, match="found another program, the application itself"):
            inspector.asked(process.pid, lambda session, _began: None)
        assert processes.listeners(port) == [process.pid]
        process.kill()


def connected(end):
    """A client behind its handshake."""
    made = object.__new__(websocket.WebSocket)
    made._socket, made._held = end, b""
    return made


def test_the_signal_goes_only_to_the_process_that_was_meant(node, monkeypatch):
    server = node()
    monkeypatch.setattr(processes, "send", lambda *_words: False)  # another one has its id by now
    with pytest.raises(StateError) as error:
        server.look()
    assert "it has ended" in str(error.value) and server.process.poll() is None
    assert not processes.listeners(server.inspector)
    os.kill(server.pid, signal.SIGTERM)
