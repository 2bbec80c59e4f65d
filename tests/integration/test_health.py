"""The endpoints, asked from the target and through a public address."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request

import pytest
from support.waiting import HANG

pytestmark = pytest.mark.xdist_group("health")


@pytest.fixture
def ready(shared_served):
    """A site with v1 live."""
    return shared_served


@pytest.fixture
def public(ready, free_port):
    """A public address before the site that does not pass on ``/static/``; its URL."""

    class Front(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = 502, b"nobody there"
            if not self.path.startswith("/static/"):
                try:
                    url = f"http://127.0.0.1:{ready.port}{self.path}"
                    request = urllib.request.Request(url, headers={"Origin": self.headers["Origin"]})
                    with urllib.request.urlopen(request, timeout=HANG) as answer:
                        status, body = answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    status, body = error.code, error.read()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128  # twenty connect at once, and who is turned away tries again in a second or more

    server = Server(("127.0.0.1", free_port()), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def lines_of(result, name):
    """The words of the table's lines of an endpoint."""
    return [line.split() for line in result.output.splitlines() if line.split()[:1] == [name]]


def test_a_site_that_is_well(ready, says):
    tree = ready.tree()
    result = ready.play("health")
    assert (result.status, result.outcome, result.changed()) == (0, "healthy_now", 0), result.output
    assert says(result, "HEALTHY_NOW: all 4 endpoints are well.")
    for name in ("health", "client", "static", "uploads"):
        ((_name, *words),) = lines_of(result, name)
        assert words[:5] == ["the", "instance", "normal", "5", "0"], result.output
    assert result.stats["mobius_failed_checks"] == [] and ready.tree() == tree


@pytest.mark.parametrize("key", ["{}", "{}-not"])
def test_a_key_makes_no_difference_to_the_default_checks(ready, says, key):
    """The application answers 401 to a folder without a key, 403 with a wrong one, and with the page when it is right."""
    result = ready.play("health", mobius_check_secret_headers={"X-Mobius-API-Key": key.format(ready.secret())})
    assert (result.status, result.outcome) == (0, "healthy_now") and says(result, "all 4 endpoints are well."), result.output


def test_one_bad_endpoint_is_named_with_its_evidence(ready, says):
    checks = [
        {"name": "health", "url": f"http://127.0.0.1:{ready.port}/health"},
        {"name": "gone", "url": f"http://127.0.0.1:{ready.port}/api/render/none/status"},
    ]
    result = ready.play(
        "health", mobius_smoke_checks=checks, mobius_health_requests="3", mobius_check_secret_headers={"X-Mobius-API-Key": ready.secret()}
    )
    assert (result.status, result.outcome, result.changed()) == (2, "unhealthy_now", 0), result.output
    assert result.stats["mobius_failed_checks"] == ["gone"]
    assert says(result, "gone from the instance is critical (3 of 3: status 404 instead of 200), of 2 endpoints.")
    assert lines_of(result, "health")[0][3:5] == ["normal", "3"] and lines_of(result, "gone")[0][3:7] == ["critical", "3", "100", "%"]


def test_the_public_address_is_asked_too(ready, public, says):
    result = ready.play("health", mobius_public_url=public)
    assert (result.status, result.outcome) == (2, "unhealthy_now"), result.output
    assert says(result, "static from outside is critical (5 of 5: status 502 instead of 200 or 301 or 401 or 403 or 404), of 8 endpoints.")
    inside, outside = lines_of(result, "static")
    assert inside[3] == "normal" and outside[1:3] == ["outside", "critical"]
    assert [line[1] for line in lines_of(result, "health")] == ["the", "outside"]


def test_a_slow_endpoint_is_a_warning(ready):
    checks = [{"name": "slow", "url": f"http://127.0.0.1:{ready.port}/api/slow?ms=200", "max_ms": "50"}]
    result = ready.play("health", mobius_smoke_checks=checks, mobius_check_secret_headers={"Authorization": f"Bearer {ready.secret()}"})
    assert (result.status, result.outcome) == (0, "impaired_now"), result.output


def test_a_service_that_does_not_answer(ready, free_port, says):
    result = ready.play("health", mobius_base_url=f"http://127.0.0.1:{free_port()}")
    assert (result.status, result.outcome) == (2, "unhealthy_now")
    assert says(result, "connection refused at http://127.0.0.1:")


def test_check_mode_asks_too(ready):
    assert ready.play("health", "--check").outcome == "healthy_now"
