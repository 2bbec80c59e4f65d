# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Probes against a real HTTP server that answers well, wrongly, slowly, in part, for ever, or not at all."""

from __future__ import annotations

import socket
import time

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import expressions
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._observe import probe
from ansible_collections.mobius.ops.plugins.module_utils._observe.http import library as http_library


def run(**check):
    with probe.session() as http:
        return probe.probe(probe.normalize({"timeout": HANG, **check}), http)


def raw(handler, text):
    """Send bytes as they are and close."""
    handler.wfile.write(text)
    handler.close_connection = True


def slow(handler, _body):
    time.sleep(0.15)
    handler.send(200, "late")


def hang(handler, _body):
    handler.server.ending.wait()


def drip(handler, _body):
    """A byte now and then, each in time, the whole never."""
    raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not handler.server.ending.wait(0.05):
        handler.wfile.write(b"x")


def cut(handler, _body):
    raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")


def close(handler, _body):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def nonsense(handler, _body):
    raw(handler, b"SMTP ready\r\n\r\n")


def echo(handler, body):
    handler.send(200, b"%s origin=%s body=%s" % (handler.command.encode(), handler.headers["Origin"].encode(), body))


@pytest.fixture(autouse=True)
def answers(web):
    web.answers.update(
        {
            "/slow": slow,
            "/hang": hang,
            "/drip": drip,
            "/cut": cut,
            "/close": close,
            "/echo": echo,
            "/nonsense": nonsense,
            "/busy": (503, "too busy"),
            "/missing": (404, "no"),
            "/text": (200, "hello Ada"),
            "/json": (200, '{"status": "ok", "release": "r1", "parts": [{"up": true}]}'),
            "/bad-json": (200, '{"status": '),
            "/empty": (200, ""),
            "/redirect": lambda handler, _body: handler.send(302, "", Location="/health"),
            "/binary": (200, b"\xff\xfe\x00 hello"),
        }
    )


@pytest.mark.parametrize(
    "path, check, outcome, kind, words",
    [
        ("/health", {}, "ok", "", ""),
        ("/empty", {}, "ok", "", ""),
        ("/missing", {"status": [200, 404]}, "ok", "", ""),
        ("/missing", {"status": "200,404"}, "ok", "", ""),
        ("/busy", {}, "failed", "status", "status 503 instead of 200"),
        ("/missing", {"status": [200, 204]}, "failed", "status", "status 404 instead of 200 or 204"),
        ("/redirect", {}, "failed", "status", "status 302 instead of 200"),
        ("/text", {"contains": "Ada"}, "ok", "", ""),
        ("/binary", {"contains": "hello"}, "ok", "", ""),
        ("/text", {"contains": "Grace"}, "failed", "body", "the body does not contain 'Grace'"),
        ("/json", {"json": ["status == 'ok'", "parts[0].up"]}, "ok", "", ""),
        ("/json", {"json": "status == 'ok'"}, "ok", "", ""),
        ("/json", {"json": ["status == 'ok'", "release == 'r2'"]}, "failed", "assertion", "not satisfy: release == 'r2'"),
        ("/json", {"json": ["gone"]}, "failed", "assertion", "not satisfy: gone"),
        ("/bad-json", {"json": ["status == 'ok'"]}, "failed", "body", "the body is not JSON"),
        ("/empty", {"json": ["status == 'ok'"]}, "failed", "body", "the body is not JSON"),
        ("/slow", {}, "ok", "", ""),
        ("/slow", {"max_ms": 100}, "slow", "latency", "over the limit of 100 ms"),
        ("/hang", {"timeout": 0.05}, "failed", "timeout", "no whole answer within 0.05 s"),
        ("/hang", {"timeout": 0.4}, "failed", "timeout", "no whole answer within 0.4 s"),
        ("/drip", {"timeout": 0.4}, "failed", "timeout", "no whole answer within 0.4 s"),
        ("/cut", {}, "failed", "closed", "closed before the answer was whole"),
        ("/close", {}, "failed", "closed", "closed before the answer was whole"),
        ("/nonsense", {}, "failed", "closed", "closed before the answer was whole"),
    ],
)
def test_each_answer_has_its_outcome(web, path, check, outcome, kind, words):
    sample = run(name="it", url=web.base + path, **check)
    assert (sample["outcome"], sample["kind"]) == (outcome, kind), sample
    assert words in sample["error"] and bool(sample["error"]) == bool(words)
    assert sample["check"] == "it" and sample["ms"] >= 0


def test_a_refused_connection(free_port):
    sample = run(url=f"http://127.0.0.1:{free_port()}/")
    assert (sample["outcome"], sample["kind"], sample["status"]) == ("failed", "refused", None)


def test_a_name_that_does_not_resolve_is_an_error_of_this_side():
    sample = run(url="http://no-such-host.invalid/")
    assert (sample["outcome"], sample["kind"]) == ("error", "dns")
    assert "http://no-such-host.invalid/ cannot be resolved" in sample["error"]


def test_a_server_without_tls_is_an_error_of_this_side(web):
    assert run(url=f"https://127.0.0.1:{web.port}/")["kind"] == "tls"


@pytest.mark.parametrize("url", ["http://", "http://[::1", f"http://{'x' * 70}.example/"])
def test_an_impossible_url_is_an_error_of_this_side(url):
    assert run(url=url)["outcome"] == "error"


def test_method_headers_and_body_are_sent(web):
    sample = run(
        url=web.base + "/echo",
        method="POST",
        body="grüße",
        headers={"Origin": "https://a.example"},
        contains="POST origin=https://a.example body=grüße",
    )
    assert sample["outcome"] == "ok", sample


def test_a_header_may_be_a_number(web):
    assert run(url=web.base + "/echo", headers={"Origin": 5}, contains="origin=5")["outcome"] == "ok"


def test_no_proxy_of_the_environment_is_used(web, monkeypatch, free_port):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    assert run(url=web.base + "/health")["outcome"] == "ok"


def test_the_wrong_body_is_evidence_and_a_short_one(web):
    web.answers["/long"] = (500, "a\n  b " + "x" * 5000)
    sample = run(url=web.base + "/long")
    assert sample["evidence"].startswith("a b xxx") and len(sample["evidence"]) <= probe.EVIDENCE_LIMIT


def test_fill_names_the_release_that_has_to_answer():
    check = probe.normalize({"url": "http://a/", "json": ["release == '{release}'"], "contains": "id {release}"})
    filled = probe.fill(check, "r7")
    assert filled["json"] == ["release == 'r7'"] and filled["contains"] == "id r7"
    assert check["contains"] == "id {release}"
    assert probe.fill(check, None)["contains"] == "id "


def test_normalize_fills_in_and_a_checks_own_headers_win():
    check = probe.normalize(
        {"url": "http://a/", "headers": {"A": "own"}, "timeout": "2", "max_ms": "9", "name": None}, {"A": "all", "B": "all"}
    )
    assert check["headers"] == {"A": "own", "B": "all"}
    assert (check["timeout"], check["max_ms"], check["name"], check["method"]) == (2.0, 9.0, "http://a/", "GET")


@pytest.mark.parametrize(
    "check, words",
    [
        ({}, "a url with http:// or https://, found None"),
        ({"url": "ftp://a/"}, "found 'ftp://a/'"),
        ({"url": "http://a/", "staus": 200}, "found staus"),
        ({"url": "http://a/", "status": ["ok"]}, "numbers in status"),
        ({"url": "http://a/", "timeout": "soon"}, "numbers in status, timeout"),
        ({"url": "http://a/", "json": ["status == "]}, "a JMESPath expression"),
        ({"url": "http://a/", "json": ["status == 'ok'", "release == '{release}' &"]}, "a JMESPath expression"),
    ],
)
def test_a_wrong_check_is_refused_before_anything_is_sent(check, words):
    with pytest.raises(InputError, match=words):
        probe.normalize(check)


def test_an_expression_that_does_not_fit_the_body_is_not_satisfied(web):
    assert run(url=web.base + "/json", json=["abs(status) > `1`"])["kind"] == "assertion"


def test_missing_libraries_are_named_with_their_package(monkeypatch, web):
    monkeypatch.setattr(expressions, "jmespath", None)
    with pytest.raises(StateError, match="python3-jmespath"):
        run(url=web.base + "/json", json=["status"])
    monkeypatch.setattr(http_library, "_found", lambda: None)
    with pytest.raises(StateError, match="python3-requests"):
        probe.session()


def test_a_password_in_a_url_is_in_no_sample(free_port):
    sample = run(url=f"http://ada:t0ken@127.0.0.1:{free_port()}/health")
    assert sample["kind"] == "refused" and sample["check"].endswith("/health") and "t0ken" not in str(sample)
