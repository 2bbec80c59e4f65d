# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a check may ask for beside the answer: redirects, TLS, a proxy, credentials, further attempts."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
import types

import pytest
from support.listening import Listener
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import expressions
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._observe import health, probe
from ansible_collections.mobius.ops.plugins.module_utils._observe.http import certificate
from ansible_collections.mobius.ops.plugins.module_utils._observe.http import library as http_library


def run(**check):
    with probe.session() as client:
        return probe.probe(probe.normalize({"timeout": HANG, **check}), client)


def to(target, status=302):
    return lambda handler, _body: handler.send(status, "", Location=target)


# --- redirects


def count(handler, _body):
    """Each leads to one that is longer by a letter."""
    if len(handler.path) < 20:
        handler.send(302, "", Location=handler.path + "x")
    else:
        handler.send(200, "")


@pytest.fixture
def redirects(web):
    web.answers.update(
        {
            "/one": to("/health"),
            "/two": to(web.base + "/one", 301),
            "/circle": to("/circle2"),
            "/circle2": to("/circle"),
            "/file": to("file:///etc/passwd"),
            "/broken": to("http://[::1"),
            "/nowhere": (302, ""),
        }
    )
    web.answers.update({"/count" + "x" * number: count for number in range(20)})
    return web


@pytest.mark.parametrize(
    "path, limit, outcome, kind, words",
    [
        ("/one", 1, "ok", "", ""),
        ("/two", 2, "ok", "", ""),
        ("/two", 1, "failed", "redirect", "more redirects than 1, the last one to "),
        ("/one", 0, "failed", "status", "status 302 instead of 200"),
        ("/circle", 50, "failed", "redirect", "the redirects go in a circle, back to "),
        ("/count", 5, "failed", "redirect", "more redirects than 5"),
        ("/count", 14, "ok", "", ""),
        ("/file", 3, "failed", "redirect", "a redirect to 'file:///etc/passwd', which is no web address"),
        ("/broken", 3, "failed", "redirect", "which is no web address"),
        ("/nowhere", 3, "failed", "status", "status 302 instead of 200"),
    ],
)
def test_redirects_are_followed_as_far_as_allowed(redirects, path, limit, outcome, kind, words):
    sample = run(url=redirects.base + path, redirects=limit)
    assert (sample["outcome"], sample["kind"]) == (outcome, kind), sample
    assert words in sample["error"]


def test_a_redirect_that_is_expected_is_not_followed(redirects):
    assert run(url=redirects.base + "/one", redirects=5, status=[302])["outcome"] == "ok"
    assert [path for _method, path, _headers in redirects.seen] == ["/one"]


@pytest.mark.parametrize("status, method", [(302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_the_method_after_a_redirect(web, status, method):
    web.answers["/post"] = to("/health", status)
    assert run(url=web.base + "/post", method="POST", body="x", redirects=1)["outcome"] == "ok"
    assert web.seen[-1][0] == method


def test_another_host_gets_no_secrets(web):
    web.answers["/away"] = to(f"http://localhost:{web.port}/health")
    web.answers["/stay"] = to("/health")
    for path, told in (("/stay", True), ("/away", False)):
        run(url=web.base + path, redirects=1, token="sekret", secret_headers={"X-Key": "sekret"})
        assert ("sekret" in str(web.seen[-1])) is told


def test_a_slow_chain_ends_at_the_timeout(web):
    def slowly(handler, _body):
        time.sleep(0.3)
        handler.send(302, "", Location=handler.path + "x")

    web.answers.update({"/s" + "x" * number: slowly for number in range(30)})
    sample = run(url=web.base + "/s", redirects=25, timeout=1)
    assert sample["kind"] == "timeout" and len(web.seen) < 25


# --- TLS


@pytest.fixture
def tls(secure, authority):
    return lambda name="127.0.0.1", days=90.5, clients="": secure(authority.certificate(name, days), clients)


def test_a_good_certificate_and_its_days(tls, authority):
    sample = run(url=tls().base + "/health", ca=authority.ca)
    assert sample["outcome"] == "ok" and 90 <= sample["certificate_days"] <= 90.5


@pytest.mark.parametrize(
    "name, days, ours, outcome, words",
    [
        ("127.0.0.1", -2, True, "failed", "the certificate of 127.0.0.1 has expired"),
        ("other.example", 90, True, "failed", "the certificate of 127.0.0.1 is for another host ("),
        ("127.0.0.1", 90, False, "error", "the certificate of 127.0.0.1 has an unknown issuer ("),
    ],
)
def test_wrong_certificates_are_told_apart(tls, authority, name, days, ours, outcome, words):
    sample = run(url=tls(name, days).base + "/health", **({"ca": authority.ca} if ours else {}))
    assert (sample["outcome"], sample["kind"]) == (outcome, "tls"), sample
    assert words in sample["error"]


def test_an_unverified_certificate_still_tells_its_days(tls):
    sample = run(url=tls("other.example", -2).base + "/health", validate_certs=False)
    assert sample["outcome"] == "ok" and -3 < sample["certificate_days"] < -1.9


def test_a_connection_that_was_not_verified_serves_no_check_that_verifies(tls):
    checks = [{"name": str(verify), "url": tls().base + "/health", "validate_certs": verify} for verify in (False, True)]
    with probe.session() as client:
        outcomes = [probe.probe(probe.normalize(check), client)["outcome"] for check in checks * 2]
    assert outcomes == ["ok", "error"] * 2


def test_a_kept_connection_tells_the_days_again(tls, authority):
    check = probe.normalize({"url": tls().base + "/health", "ca": authority.ca})
    with probe.session() as client:
        days = [probe.probe(check, client)["certificate_days"] for _number in range(3)]
    assert len(set(days)) == 1 and days[0] > 89


def test_a_certificate_of_this_side(tls, authority):
    url = tls(clients=authority.ca).base + "/health"
    sample = run(url=url, ca=authority.ca)
    assert sample["outcome"] != "ok" and sample["kind"] in ("tls", "closed")
    assert run(url=url, ca=authority.ca, client_cert=authority.certificate("ada"))["outcome"] == "ok"
    key = authority.certificate("bert")
    assert run(url=url, ca=authority.ca, client_cert=key, client_key=key)["outcome"] == "ok"


@pytest.mark.parametrize("field", ["ca", "client_cert", "client_key"])
def test_a_file_that_is_not_there_is_an_error_of_this_side(field, tmp_path):
    sample = run(url="https://127.0.0.1:1/", **{field: str(tmp_path / "none.pem")})
    assert (sample["outcome"], sample["kind"]) == ("error", "request")
    assert f"{field} {tmp_path}/none.pem: expected a file that can be read" in sample["error"]


def test_a_file_that_is_no_certificate_is_an_error_of_this_side(tls, tmp_path):
    (tmp_path / "x.pem").write_text("nothing")
    assert run(url=tls().base + "/health", ca=str(tmp_path / "x.pem"))["outcome"] == "error"


def test_a_handshake_that_never_ends(hung):
    assert run(url=f"https://127.0.0.1:{hung}/", timeout=0.5)["kind"] == "timeout"


@pytest.fixture
def hung():
    """A port that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_bytes_that_are_no_certificate_have_no_end():
    assert certificate.ends(b"") is None and certificate.ends(b"\x30\x82\x01") is None and certificate.ends(b"x" * 99) is None


# --- a proxy


class Relay(Listener):
    """A proxy: it answers what is asked in the clear itself, and passes on what is tunnelled."""

    def __init__(self, refuse=False):
        self.seen, self.refuse = [], refuse
        super().__init__()
        self.url = f"http://ada:pr0xy-sekret@127.0.0.1:{self.port}"

    def talk(self, line):
        with line:
            head = line.recv(65536).decode()
            self.seen.append(head)
            verb, where, _version = head.split("\r\n", maxsplit=1)[0].split()
            if self.refuse:
                line.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            elif verb == "CONNECT":
                line.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                with socket.create_connection(where.split(":")) as far:
                    other = threading.Thread(target=self.pump, args=(far, line), daemon=True)
                    other.start()
                    self.pump(line, far)
                    other.join()
            else:
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nrelayed")

    @staticmethod
    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def relay():
    made = []
    yield lambda *options: made.append(Relay(*options)) or made[-1]
    for one in made:
        one.listener.close()


def test_http_goes_through_the_proxy(relay):
    proxy = relay()
    assert run(url="http://app.invalid/health", proxy=proxy.url, contains="relayed")["outcome"] == "ok"
    assert proxy.seen[0].startswith("GET http://app.invalid/health ") and "Proxy-Authorization: Basic " in proxy.seen[0]


def test_https_goes_through_the_proxy_and_is_verified(relay, tls, authority):
    proxy, url = relay(), tls().base + "/health"
    sample = run(url=url, proxy=proxy.url, ca=authority.ca)
    assert sample["outcome"] == "ok" and sample["certificate_days"] > 89 and proxy.seen[0].startswith("CONNECT 127.0.0.1:")
    assert run(url=url, proxy=proxy.url)["kind"] == "tls"


def test_a_proxy_that_is_not_there_is_an_error_of_this_side(free_port):
    sample = run(url="http://app.invalid/", proxy=f"http://ada:pr0xy-sekret@127.0.0.1:{free_port()}")
    assert (sample["outcome"], sample["kind"]) == ("error", "proxy") and "Connection refused" in sample["error"]
    assert "sekret" not in str(sample)


def test_a_proxy_that_refuses_is_an_error_of_this_side(relay):
    sample = run(url="https://app.invalid/", proxy=relay(True).url)
    assert (sample["outcome"], sample["kind"]) == ("error", "proxy") and "403" in sample["error"]


def test_a_proxy_that_drips_ends_at_the_timeout(relay, monkeypatch):
    def drip(_relay, line):
        with line, contextlib.suppress(OSError):  # they hang up
            line.recv(65536)
            while not gone.wait(0.05):
                line.sendall(b"H")

    gone = threading.Event()
    monkeypatch.setattr(Relay, "talk", drip)
    try:
        sample = run(url="https://app.invalid/", proxy=relay().url, timeout=0.5)
    finally:
        gone.set()
    assert (sample["outcome"], sample["kind"]) == ("error", "proxy")


@pytest.mark.parametrize("url", ["http://app.invalid/", "https://app.invalid/"])
def test_a_proxy_that_is_silent_is_an_error_of_this_side(relay, monkeypatch, url):
    monkeypatch.setattr(Relay, "talk", lambda _relay, line: line.recv(65536) and line.recv(65536))
    sample = run(url=url, proxy=relay().url, timeout=0.4)
    assert (sample["outcome"], sample["kind"]) == ("error", "proxy"), sample
    assert "sekret" not in str(sample)


def test_a_service_that_hangs_behind_a_proxy_is_the_services_fault(relay, tls, authority):
    web = tls()
    web.answers["/health"] = lambda handler, _body: handler.server.ending.wait()
    timeout = 0.5
    while not web.seen:  # on a busy machine the request needs longer to get through the tunnel
        sample = run(url=web.base + "/health", proxy=relay().url, ca=authority.ca, timeout=timeout)
        timeout *= 2
    assert (sample["outcome"], sample["kind"]) == ("failed", "timeout"), sample


def test_a_service_that_hangs_up_behind_a_proxy_is_the_services_fault(relay, tls, authority):
    web = tls()
    web.answers["/health"] = lambda handler, _body: handler.connection.shutdown(socket.SHUT_RDWR)
    sample = run(url=web.base + "/health", proxy=relay().url, ca=authority.ca)
    assert (sample["outcome"], sample["kind"]) == ("failed", "closed"), sample


@pytest.mark.parametrize("found", [True, False])
def test_a_name_that_takes_too_long_is_an_error_of_this_side(web, monkeypatch, found):
    """The resolver of the system has a time limit of its own, and most often it is longer."""
    real = socket.getaddrinfo

    def slow(host, *args, **options):
        time.sleep(0.5)
        if not found:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    sample = run(url=f"http://slow.invalid:{web.port}/health", timeout=0.3)
    assert (sample["outcome"], sample["kind"]) == ("error", "dns") and "slow.invalid" in sample["error"], sample
    assert web.seen == []


def test_no_part_of_a_secret_is_left_where_a_sample_is_cut(web):
    secret = "zekret-" + "x" * 40
    web.answers["/bad"] = (500, "a" * (probe.EVIDENCE_LIMIT - 10) + secret)
    (check,) = probe.hiding([probe.normalize({"url": web.base + "/bad"})], [secret])
    with probe.session() as http:
        sample = probe.probe(check, http)
    assert "zek" not in str(sample) and sample["evidence"].endswith("a********")


@pytest.mark.parametrize(
    "library, checks, words",
    [
        ("requests", [{"url": "http://127.0.0.1/"}], "the Python library requests on the target"),
        ("jmespath", [{"url": "http://127.0.0.1/", "json": ["a"]}], "the Python library jmespath on the target"),
        ("jmespath", [{"url": "http://127.0.0.1/"}], None),
    ],
)
def test_what_a_check_takes_is_asked_for_beforehand(monkeypatch, library, checks, words):
    full = [probe.normalize(check) for check in checks]
    if library == "requests":
        monkeypatch.setattr(http_library, "_found", lambda: None)
    else:
        monkeypatch.setattr(expressions, library, None)
    if words is None:
        probe.require(full)
        return
    with pytest.raises(StateError, match=words):
        probe.require(full)


# --- credentials


@pytest.mark.parametrize(
    "fields, header",
    [
        ({"token": "t0ken-sekret"}, "Bearer t0ken-sekret"),
        ({"username": "ada", "password": "pä-sekret"}, "Basic " + base64.b64encode("ada:pä-sekret".encode()).decode()),
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_credentials_are_sent_and_never_shown(web, fields, header, status):
    web.answers["/who"] = lambda handler, _body: handler.send(status, f"hello {handler.headers['Authorization']}".encode("latin-1"))
    sample = run(url=web.base + "/who", headers={"Authorization": "other"}, **fields)
    assert web.seen[0][2]["Authorization"] == header
    assert sample["outcome"] == ("ok" if status == 200 else "failed")
    assert "sekret" not in str(sample) and header.split()[1] not in str(sample)
    assert status == 200 or sample["evidence"] == f"hello {header.split()[0]} ********"


def test_a_secret_at_the_end_of_the_evidence_is_not_cut_and_shown(web):
    web.answers["/long"] = (500, "x" * (probe.EVIDENCE_LIMIT - 5) + "sekret-and-more")
    assert "sekre" not in run(url=web.base + "/long", token="sekret-and-more")["evidence"]


def test_secret_headers_of_all_checks_are_not_shown(web):
    web.answers["/who"] = lambda handler, _body: handler.send(500, handler.headers["X-Key"])
    checks = health.normalize_all([{"url": web.base + "/who"}], secret_headers={"X-Key": "sekret"})
    assert health.sample_all(checks)[0]["evidence"] == "********"


def test_no_cookie_is_kept(web):
    web.answers["/cookie"] = lambda handler, _body: handler.send(200, "", Set_Cookie="a=b; Path=/")
    check = probe.normalize({"url": web.base + "/cookie"})
    with probe.session() as client:
        for _number in range(2):
            assert probe.probe(check, client)["outcome"] == "ok"
    assert len(web.seen) == 2 and "Cookie" not in web.seen[1][2]


# --- further attempts


def test_an_attempt_that_succeeds_ends_them_and_tells_why_others_failed(web, monkeypatch):
    answers = iter([(500, "a"), (503, "b"), (200, "c"), (200, "d")])
    web.answers["/health"] = lambda handler, _body: handler.send(*next(answers))
    pauses = []
    monkeypatch.setattr(probe, "time", types.SimpleNamespace(**{**vars(time), "sleep": pauses.append}))
    sample = run(url=web.base + "/health", attempts=4, backoff=0.1)
    assert (sample["outcome"], sample["attempts"]) == ("ok", 3)
    assert sample["earlier"] == ["status 500 instead of 200", "status 503 instead of 200"]
    assert pauses == [0.1, 0.2]


def test_the_last_attempt_counts(web):
    web.answers["/health"] = (500, "no")
    sample = run(url=web.base + "/health", attempts=3)
    assert (sample["outcome"], sample["attempts"], len(sample["earlier"]), len(web.seen)) == ("failed", 3, 2, 3)


def test_a_slow_answer_is_not_attempted_again(web):
    assert run(url=web.base + "/health", attempts=3, max_ms=0.001)["attempts"] == 1


# --- wrong fields


@pytest.mark.parametrize(
    "check, words",
    [
        ({"redirects": "-1"}, "numbers in status"),
        ({"redirects": "many"}, "numbers in status"),
        ({"attempts": 0}, "1 or more attempts"),
        ({"backoff": -1}, "numbers in status"),
        ({"timeout": "nan"}, "numbers in status"),
        ({"proxy": "socks5://a:1"}, "a proxy with http:// or https://, found 'socks5://a:1'"),
        ({"token": "a", "username": "b"}, "a token, or username and password, found both"),
    ],
)
def test_a_wrong_field_is_refused(check, words):
    with pytest.raises(InputError, match=words):
        probe.normalize({"url": "http://a/", **check})


def test_a_check_in_full_form_is_a_check():
    check = probe.normalize({"url": "http://a/", "token": "t", "secret_headers": {"X": "s"}, "redirects": "3"})
    assert probe.normalize(check) == check
    assert check["secrets"] == ["s", "t"]


def test_a_check_that_an_older_version_wrote_can_be_run(web):
    new = ("redirects", "ca", "validate_certs", "client_cert", "client_key", "proxy", "attempts", "backoff", "secrets")
    check = {key: value for key, value in probe.normalize({"url": web.base + "/health"}).items() if key not in new}
    with probe.session() as client:
        assert probe.probe(check, client)["outcome"] == "ok"
