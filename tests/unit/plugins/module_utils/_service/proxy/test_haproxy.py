# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proxy's configuration and what it is told, with the real HAProxy; how it serves is in tests/traffic."""

from __future__ import annotations

import http.server
import os
import socket
import ssl
import subprocess
import threading
import tracemalloc
import urllib.error
import urllib.request

import pytest
from support.certificates import Authority
from support.ipv6 import needs_ipv6
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, ServiceError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._service import definition
from ansible_collections.mobius.ops.plugins.module_utils._service.proxy import haproxy
from ansible_collections.mobius.ops.plugins.module_utils._service.slots import SlottedService

SETTINGS = {"host": "127.0.0.1", "certificate": "", "max_body": 1000, "max_connections": 100, "timeout": 60, "url": ""}


OWN = {
    "Cache-Control": "no-store, private",
    "X-Frame-Options": "DENY",
    "Strict-Transport-Security": "max-age=63072000",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Answer(http.server.BaseHTTPRequestHandler):
    """Says which instance it is."""

    def do_GET(self):
        if self.path == "/hang":
            self.server.hang.wait(10 * HANG)  # longer than anybody waits for an end of it
        self.send_response(200)
        self.send_header("X-Powered-By", "Express")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("X-Was-Told", self.headers.get("X-Forwarded-Proto", "nothing"))
        for name, value in OWN.items() if self.path == "/own" else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(str(self.server.server_port).encode())

    do_POST = do_GET

    def log_message(self, *words):
        pass


@pytest.fixture
def instances():
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) for _number in range(2)]
    for server in servers:
        server.hang = threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield [server.server_port for server in servers]
    for server in servers:
        server.hang.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def proxy(host, instances):
    """A proxy, not started yet."""
    return haproxy.Proxy(host.layout, {**SETTINGS, "port": host.port}, instances, "127.0.0.1", None)


@pytest.fixture
def started():
    """Starts proxies; the process of the master."""
    processes = []

    def start(proxy):
        proxy.save()
        processes.append(subprocess.Popen(proxy.command(), cwd=proxy.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        proxy.wait()
        return processes[-1]

    yield start
    for process in processes:
        process.terminate()
        process.wait(HANG)


@pytest.fixture
def running(proxy, started):
    started(proxy)
    return proxy


@pytest.fixture
def secure(proxy, tmp_path, free_port):
    """The settings of the proxy with a certificate, and who trusts it."""
    authority = Authority(tmp_path)
    trust = ssl.create_default_context(cafile=authority.ca)
    return {**proxy.settings, "certificate": authority.certificate("127.0.0.1"), "check_port": free_port()}, trust


def ask(proxy, url="", context=None, **options):
    request = urllib.request.Request(url or f"http://127.0.0.1:{proxy.settings['port']}/", **options)
    with urllib.request.urlopen(request, timeout=HANG, context=context) as answer:
        return int(answer.read()), answer.headers


def test_it_points_to_one_instance_and_remembers_that(running, host, instances):
    assert running.live() == instances[0] and ask(running)[0] == instances[0]
    running.point(instances[1])
    assert running.live() == instances[1] and ask(running)[0] == instances[1]
    again = haproxy.Proxy(host.layout, running.settings, instances, "127.0.0.1", None)
    assert again.save() is False and again.live() == instances[1]


def test_headers_and_limits(running):
    headers = ask(running)[1]
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Cache-Control"] == "no-cache" and headers["X-Powered-By"] is None
    with pytest.raises(urllib.error.HTTPError, match="413"):
        ask(running, data=b"x" * 1001)
    ask(running, data=b"x" * 1000)


@pytest.mark.parametrize("tls", [False, True])
def test_what_the_application_says_itself_is_not_weakened(proxy, secure, started, host, instances, tls):
    settings, trust = secure
    if tls:
        proxy = haproxy.Proxy(host.layout, settings, instances, "127.0.0.1", None)
    started(proxy)
    _answer, headers = ask(proxy, f"http{'s' * tls}://127.0.0.1:{host.port}/own", trust if tls else None)
    assert {name: headers.get_all(name) for name in OWN} == {name: [value] for name, value in OWN.items()}


@pytest.mark.parametrize(
    ("headers", "waited_for"),
    [
        ({"Accept": "text/html"}, True),
        ({"Accept": "text/event-stream"}, False),
        (
            {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Key": "c2FtcGxlIG5vbmNlIGhlcmU=",
                "Sec-WebSocket-Version": "13",
            },
            False,
        ),
    ],
)
def test_nobody_waits_for_streams(running, instances, headers, waited_for):
    with socket.create_connection(("127.0.0.1", running.settings["port"])) as client:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        client.sendall(f"GET /hang HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        wait_until(lambda: f"_{instances[0]} " in running.tell("show sess"), "it is with the instance")
        assert len(running.requests(instances[0])) == waited_for


def asking(proxy):
    """A client whose request an instance works on."""
    client = socket.create_connection(("127.0.0.1", proxy.settings["port"]), HANG)
    client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: len(proxy.requests(proxy.live())) == 1, "it is with the instance")
    return client


def test_nobody_waits_for_the_request_of_a_client_that_has_gone(host, instances, started):
    """Why the option abortonclose is there: a switch waits for the requests that are left. No timeout ends this one before the test."""
    proxy = haproxy.Proxy(host.layout, {**SETTINGS, "port": host.port, "timeout": int(10 * HANG)}, instances, "127.0.0.1", None)
    started(proxy)
    asking(proxy).close()
    wait_until(lambda: not proxy.requests(instances[0]), "its request is not at the instance any more")


def test_a_client_that_closes_its_half_counts_as_gone(running, instances):
    """The price of that. HAProxy sees the same of both: that the client sends nothing more."""
    with asking(running) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert running.requests(instances[0]) == []


def test_headers_that_node_takes_pass(running):
    assert ask(running, headers={"Cookie": "x" * 15_900})[0] == running.live()


@needs_ipv6
def test_addresses_of_ipv6(host, instances, started):
    proxy = haproxy.Proxy(host.layout, {**SETTINGS, "host": "::1", "port": host.port}, instances, "127.0.0.1", None)
    started(proxy)
    assert ask(proxy, f"http://[::1]:{host.port}/")[0] == instances[0]
    assert f"http://[::1]:{host.port}" in proxy.addresses()


class OnIPv6(http.server.ThreadingHTTPServer):
    """Listens on an address of IPv6."""

    address_family = socket.AF_INET6


@needs_ipv6
@pytest.mark.parametrize("bound", ["::1", "::"])
def test_instances_on_ipv6_are_asked_through_the_proxy_and_beside_it(host, started, bound):
    """Each with a real request."""
    with OnIPv6((bound, 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        port = server.server_port
        settings = {**SETTINGS, "port": host.port}
        started(haproxy.Proxy(host.layout, settings, [port, port + 1], bound, None))
        public = f"http://127.0.0.1:{host.port}/health?all=1"
        assert ask(None, public)[0] == port
        service = SlottedService(host.layout, {**host.service().spec, "host": bound, "slots": [port, port + 1], "proxy": settings})
        [check] = service.direct([{"url": public}], port)
        assert check["url"] == f"http://[::1]:{port}/health?all=1" and ask(None, check["url"])[0] == port
        server.shutdown()


def held_until_released(proxy, url=""):
    """Check that a request is answered after the release and not before. The hold lasts longer than the request waits."""
    marks = []
    proxy.hold(10 * HANG)
    asker = threading.Thread(target=lambda: marks.append(("answered", ask(proxy, url)[0])))
    asker.start()
    asker.join(0.3)
    marks.append("released")
    proxy.release()
    asker.join()
    assert marks == ["released", ("answered", proxy.live())]


def test_held_requests_wait_until_they_are_let_go(running):
    held_until_released(running)


def test_a_hold_that_comes_after_its_own_end_holds_nobody(running):
    """A proxy that was frozen hears of both at once, and carries them out in any order."""
    told, tell = [], running.tell
    running.tell = lambda *commands: told.extend(commands) or tell(*commands)
    running.hold(10 * HANG)
    running.release()
    (late,) = [command for command in told if " hold " in command and not command.endswith(" 0")]
    assert running.tell(late).strip() == "" and not running.holds()
    ask(running)
    held_until_released(running)  # the next one holds as ever


@pytest.mark.parametrize("backwards", [False, True])
def test_a_proxy_that_froze_while_renders_were_held_holds_nobody_when_it_goes_on(running, backwards):
    """It did not take the second hold, and hears of the end of both when it carries out what it was told."""
    running.hold(10 * HANG, "renders")
    late, tell = [], running.tell

    def frozen(*commands):
        late.extend(commands)
        raise TimeoutError("timed out")

    running.tell = frozen
    for told in (lambda: running.hold(10 * HANG), running.release):
        with pytest.raises(ServiceError, match="found timed out"):
            told()
    running.tell = tell
    for command in reversed(late) if backwards else late:
        running.tell(command)
    assert not running.holds()
    ask(running)


def test_a_map_of_an_earlier_version_is_completed(running):
    with open(running.map_path, "w", encoding="utf-8") as stream:
        stream.write(f"hold 0\nlive {running.ports[1]}\n")
    assert running.save() is True and running.save() is False
    with open(running.map_path, encoding="utf-8") as stream:
        assert stream.read() == f"free 0\nhold 0\nlive {running.ports[1]}\nrenders 0\nrenders_free 0\n"


@pytest.mark.parametrize("line", ["0x1 k{0} v\n", "0x1 live be=port_1 age={0}s\n", "x {0} "])
def test_whoever_answers_in_its_place_gets_neither_memory_nor_room_in_a_message(proxy, monkeypatch, line):
    monkeypatch.setattr(proxy, "tell", lambda *commands: "".join(line.format(number) for number in range(100_000)))
    tracemalloc.start()
    try:
        with pytest.raises(ServiceError, match="to take 'hold 0'") as refused:
            proxy._set("hold", "0")
        assert len(str(refused.value)) < 500
        assert proxy.live() == proxy.ports[0] and not proxy.holds() and proxy.requests(proxy.ports[0]) == []
        assert tracemalloc.get_traced_memory()[1] < 12_000_000  # the answer and its parts while it is made
    finally:
        tracemalloc.stop()


def test_nobody_is_held_for_ever_when_the_one_who_held_was_killed(running):
    running.hold(0)
    ask(running)


def test_a_configuration_that_haproxy_refuses_never_takes_the_place_of_one_that_works(running, host, instances):
    before = running.current()
    bad = haproxy.Proxy(host.layout, {**running.settings, "certificate": str(host.layout.path("no.pem"))}, instances, "127.0.0.1", None)
    with pytest.raises(InputError, match=r"the proxy's configuration: expected one that HAProxy accepts, found .*no\.pem.* mobius_proxy_"):
        bad.save()
    assert running.current() == before and ask(running)[0] == instances[0]


def test_with_a_certificate_all_but_checks_from_the_host_speak_tls(started, secure, host, instances):
    settings, trust = secure
    proxy = haproxy.Proxy(host.layout, {**settings, "host": "*"}, instances, "127.0.0.1", None)
    started(proxy)
    live, public = ask(proxy, f"https://127.0.0.1:{settings['port']}/", trust)
    assert live == instances[0] and public["Strict-Transport-Security"] == "max-age=31536000" and public["X-Was-Told"] == "https"
    live, inside = ask(proxy, f"http://127.0.0.1:{settings['check_port']}/")
    assert live == instances[0] and inside["Strict-Transport-Security"] is None and inside["X-Was-Told"] == "https"
    assert inside["X-Content-Type-Options"] == "nosniff" and inside["X-Powered-By"] is None
    with pytest.raises(OSError):
        ask(proxy)  # no clear text for the public
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", settings["check_port"]), 2).close()  # nor by another address of the host
    socket.create_connection(("127.0.0.2", settings["port"]), 2).close()
    proxy.point(instances[1])
    assert ask(proxy, f"http://127.0.0.1:{settings['check_port']}/")[0] == instances[1]


def test_requests_of_checks_are_held_like_all_others(started, secure, host, instances):
    proxy = haproxy.Proxy(host.layout, secure[0], instances, "127.0.0.1", None)
    started(proxy)
    held_until_released(proxy, f"http://127.0.0.1:{secure[0]['check_port']}/")


def test_without_a_certificate_there_is_no_port_for_checks(proxy):
    proxy.save()
    assert proxy.current().count("  bind ") == 1 and "ssl_fc" not in proxy.current()


def test_a_running_proxy_takes_a_certificate(started, proxy, secure, host, instances):
    settings, trust = secure
    master = started(proxy).pid
    after = haproxy.Proxy(host.layout, settings, instances, "127.0.0.1", None)
    assert after.save()
    after.reload(master)
    assert ask(after, f"https://127.0.0.1:{settings['port']}/", trust)[0] == instances[0]
    assert ask(after, f"http://127.0.0.1:{settings['check_port']}/")[0] == instances[0] and not after.differs()


def test_a_reload_that_fails_is_told_and_is_tried_again_the_next_time(monkeypatch, started, proxy, secure, host, instances):
    settings, trust = secure
    master = started(proxy).pid
    monkeypatch.setattr(haproxy, "PATIENCE", 4)  # HAProxy itself tries for two seconds
    after = haproxy.Proxy(host.layout, settings, instances, "127.0.0.1", None)
    assert after.save()
    with (
        socket.create_server(("127.0.0.1", settings["check_port"])),
        pytest.raises(
            ServiceError,
            match=r"expected to take its new configuration within 4 s, found it goes on with the one of before\. "
            r"Look .*is a port taken, or can mobius_user not read mobius_proxy_certificate",
        ),
    ):
        after.reload(master)
    assert ask(proxy)[0] == instances[0] and not proxy.differs() and after.differs()
    monkeypatch.setattr(haproxy, "PATIENCE", HANG)
    assert after.save()
    after.reload(master)
    assert ask(after, f"https://127.0.0.1:{settings['port']}/", trust)[0] == instances[0]


def test_a_proxy_that_does_not_answer_takes_no_configuration(monkeypatch, proxy):
    proxy.save()
    monkeypatch.setattr(haproxy, "PATIENCE", 0.1)
    monkeypatch.setattr(haproxy.os, "kill", lambda *_words: None)
    with pytest.raises(ServiceError, match="expected to take its new configuration"):
        proxy.reload(os.getpid())


def test_where_checks_may_ask_it(host, instances):
    def addresses(**settings):
        given = {**SETTINGS, "port": 443, "url": "https://a.example", **settings}
        return haproxy.Proxy(host.layout, given, instances, "h", None).addresses()

    of_before = {"https://a.example", "http://127.0.0.1:443", "http://localhost:443"}
    assert addresses() == addresses(check_port=0) == of_before
    assert addresses(check_port=5003) == of_before | {"http://127.0.0.1:5003", "http://localhost:5003"}


def test_without_haproxy(monkeypatch, proxy):
    monkeypatch.setattr(haproxy.shutil, "which", lambda *_words, **_options: None)
    with pytest.raises(InputError, match=r"the program haproxy on the target, found none\. .*set mobius_proxy_port to 0"):
        proxy.save()


def test_a_proxy_that_does_not_run(monkeypatch, proxy, instances):
    proxy.save()
    monkeypatch.setattr(haproxy, "PATIENCE", 0.1)
    assert not proxy.answers() and proxy.requests(instances[0]) == [] and proxy.live() == instances[0]
    with pytest.raises(ServiceError, match=r"expected to answer within 0 s, found no answer\. Look what it printed"):
        proxy.wait()
    with pytest.raises(ServiceError, match="expected to take 'live"):
        proxy.point(instances[1])


@pytest.mark.parametrize("ports", [(1, 2, 1), (1, 1, 3), (1, None, 3)])
def test_three_different_ports(host, ports):
    names = dict(zip(("port", "standby_port", "proxy_port"), ports))
    with pytest.raises(InputError, match="three different ports"):
        definition.build_spec(host.layout, host.params(host="127.0.0.1", user=None, environment=None, **names))


@pytest.mark.parametrize("check_port", [0, 1, 2, 3, 65536])
def test_a_port_for_checks_when_there_is_a_certificate(host, check_port):
    given = host.params(
        host="127.0.0.1",
        user=None,
        environment=None,
        memory_max=None,
        port=1,
        standby_port=2,
        proxy_port=3,
        proxy_certificate="a.pem",
        proxy_check_port=check_port,
    )
    words = rf"a port for checks without TLS, other than 1, 2, 3, found {check_port}\. .*mobius_proxy_check_port"
    with pytest.raises(InputError, match=words):
        definition.build_spec(host.layout, given)


def test_a_stranger_on_the_port_of_the_checks_is_named_before_anything_changes(host, free_port):
    proxy = {**SETTINGS, "port": 3, "certificate": "a.pem", "check_port": free_port()}
    service = SlottedService(host.layout, {**host.service().spec, "slots": [1, 2], "proxy": proxy})
    service.require_port()
    words = rf"port {proxy['check_port']}: expected nobody or .* found process {os.getpid()} .* another mobius_proxy_check_port"
    with socket.create_server(("127.0.0.1", proxy["check_port"])):
        for asked in (service.save, service.require_port):
            with pytest.raises(StateError, match=words):
                asked()
    assert service.saved()["slots"] is None and not os.path.exists(service.proxy.folder)


@pytest.mark.parametrize("age, seconds", [("3s", 3), ("2m5s", 125), ("1h0m1s", 3601), ("1d2h", 93600), ("", 0)])
def test_ages_as_haproxy_writes_them(age, seconds):
    assert haproxy._seconds(age) == seconds
