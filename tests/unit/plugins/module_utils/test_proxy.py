# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proxy's configuration and what it is told, with the real HAProxy; how it serves is in tests/traffic."""
from __future__ import annotations

import http.server
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from ansible_collections.mobius.ops.plugins.module_utils import _blue_green, _proxy, _service
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, ServiceError, StateError

SETTINGS = {"host": "127.0.0.1", "certificate": "", "max_body": 1000, "max_connections": 100, "timeout": 5, "url": ""}


class Answer(http.server.BaseHTTPRequestHandler):
    """Says which instance it is."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("X-Powered-By", "Express")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(str(self.server.server_port).encode())

    do_POST = do_GET

    def log_message(self, *words):
        pass


@pytest.fixture
def instances():
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) for _number in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def proxy(host, instances):
    """A proxy, not started yet."""
    return _proxy.Proxy(host.layout, {**SETTINGS, "port": host.port}, instances, "127.0.0.1", None)


@pytest.fixture
def running(proxy):
    proxy.save()
    process = subprocess.Popen(proxy.command(), cwd=proxy.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    proxy.wait()
    yield proxy
    process.terminate()
    process.wait(10)


def ask(proxy, **options):
    request = urllib.request.Request(f"http://127.0.0.1:{proxy.settings['port']}/", **options)
    with urllib.request.urlopen(request, timeout=8) as answer:
        return int(answer.read()), answer.headers


def test_it_points_to_one_instance_and_remembers_that(running, host, instances):
    assert running.live() == instances[0] and ask(running)[0] == instances[0]
    running.point(instances[1])
    assert running.live() == instances[1] and ask(running)[0] == instances[1]
    again = _proxy.Proxy(host.layout, running.settings, instances, "127.0.0.1", None)
    assert again.save() is False and again.live() == instances[1]


def test_headers_and_limits(running):
    headers = ask(running)[1]
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Cache-Control"] == "no-cache" and headers["X-Powered-By"] is None
    with pytest.raises(urllib.error.HTTPError, match="413"):
        ask(running, data=b"x" * 1001)
    ask(running, data=b"x" * 1000)


def test_held_requests_wait_until_they_are_let_go(running):
    running.hold(5)
    threading.Timer(0.5, running.release).start()
    begun = time.monotonic()
    ask(running)
    assert 0.4 < time.monotonic() - begun < 3


def test_nobody_is_held_for_ever_when_the_one_who_held_was_killed(running):
    running.hold(0)
    begun = time.monotonic()
    ask(running)
    assert time.monotonic() - begun < 3


def test_a_configuration_that_haproxy_refuses_never_takes_the_place_of_one_that_works(running, host, instances):
    before = running.current()
    bad = _proxy.Proxy(host.layout, {**running.settings, "certificate": str(host.layout.path("no.pem"))}, instances, "127.0.0.1", None)
    with pytest.raises(InputError, match=r"the proxy's configuration: expected one that HAProxy accepts, found .*no\.pem.* mobius_proxy_"):
        bad.save()
    assert running.current() == before and ask(running)[0] == instances[0]


def test_without_haproxy(monkeypatch, proxy):
    monkeypatch.setattr(_proxy.shutil, "which", lambda *_words, **_options: None)
    with pytest.raises(InputError, match=r"the program haproxy on the target, found none\. .*set mobius_proxy_port to 0"):
        proxy.save()


def test_a_proxy_that_does_not_run(monkeypatch, proxy, instances):
    proxy.save()
    monkeypatch.setattr(_proxy, "PATIENCE", 0.1)
    assert not proxy.answers() and proxy.requests(instances[0]) == [] and proxy.live() == instances[0]
    with pytest.raises(ServiceError, match=r"expected to answer within 0 s, found no answer\. Look what it printed"):
        proxy.wait()
    with pytest.raises(ServiceError, match="expected to take 'live"):
        proxy.point(instances[1])


@pytest.mark.parametrize("ports", [(1, 2, 1), (1, 1, 3), (1, None, 3)])
def test_three_different_ports(host, ports):
    names = dict(zip(("port", "standby_port", "proxy_port"), ports))
    with pytest.raises(InputError, match="three different ports"):
        _service.build_spec(host.layout, host.params(host="127.0.0.1", user=None, environment=None, **names))


@pytest.mark.parametrize("age, seconds", [("3s", 3), ("2m5s", 125), ("1h0m1s", 3601), ("1d2h", 93600), ("", 0)])
def test_ages_as_haproxy_writes_them(age, seconds):
    assert _proxy._seconds(age) == seconds


class Busy:
    """A service whose instance never comes to rest."""

    name = "mobius@1"

    def __init__(self, force):
        self.spec = {"drain_timeout": 0.1, "drain_force": force}


@pytest.mark.parametrize("work", [(1, 0), (0, 2)])
def test_work_that_does_not_end_is_not_cut(monkeypatch, work):
    monkeypatch.setattr(_blue_green, "work_of", lambda *_words: work)
    with pytest.raises(StateError, match=rf"come to rest within 0\.1 s, found {work[0]} long requests and {work[1]} renders"):
        _blue_green.drain(Busy(False), Busy(False))


def test_work_is_cut_when_that_was_asked_for(monkeypatch):
    monkeypatch.setattr(_blue_green, "work_of", lambda *_words: (1, 1))
    _blue_green.drain(Busy(True), Busy(True))
    _blue_green._await_rest(Busy(True), Busy(True), _blue_green.LONG, time.monotonic() - 1, _blue_green.Drain(0.1, True))
