# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Messages through Apprise to real receivers on this machine: HTTP and SMTP. No URL is in what comes back or is logged."""

from __future__ import annotations

import email
import json
import logging
import os
import re
import subprocess
import sys
import threading

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from support.ports import free_port

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._people import sender

KEY = "0123456789abcdef0123456789abcdef"
PASSWORD = "zeKr1t-of-a-channel"


class _Box(Message):
    """Keeps mails; refuses recipients at ``refused.example``."""

    def __init__(self):
        super().__init__()
        self.mails = []

    def handle_message(self, message):
        self.mails.append(message)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.endswith("@refused.example"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@pytest.fixture
def smtp():
    """A mail server on this machine: its port and its mails."""
    controller = Controller(_Box(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller.port, controller.handler.mails
    controller.stop()


@pytest.fixture(autouse=True)
def nothing_secret_is_said(caplog, capfd):
    """Whatever happens, the password of a URL reaches neither logs nor output."""
    caplog.set_level(logging.DEBUG)
    yield
    said = capfd.readouterr()
    assert PASSWORD not in caplog.text + said.out + said.err


def sent(url, key=KEY):
    """Why a message could not be sent; nothing of the URL is in it."""
    said = sender.send(url, "SEV1: renders fail", "Next: look\nä", key)
    assert PASSWORD not in said and "127.0.0.1" not in said
    return said


def test_a_message_by_http_has_its_key_as_a_header(web):
    bodies = []
    web.answers["/hook"] = lambda handler, body: (bodies.append(json.loads(body)), handler.send(200))
    assert sent(f"json://anna:{PASSWORD}@127.0.0.1:{web.port}/hook?method=post") == ""
    assert sent(f"json://anna:{PASSWORD}@127.0.0.1:{web.port}/hook") == ""
    assert [(body["title"], body["message"]) for body in bodies] == [("SEV1: renders fail", "Next: look\nä")] * 2
    assert [headers["Idempotency-Key"] for _method, _path, headers in web.seen] == [KEY, KEY]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_refusal_tells_its_status(web, status):
    web.answers["/hook"] = (status, "no")
    assert sent(f"json://anna:{PASSWORD}@127.0.0.1:{web.port}/hook") == f"the receiver refused it with HTTP status {status}"


def test_what_apprise_logs_about_a_message_goes_nowhere(web):
    seen = []
    handler = logging.Handler()
    handler.emit = seen.append
    logging.getLogger().addHandler(handler)
    web.answers["/hook"] = (503, "no")
    try:
        sent(f"json://127.0.0.1:{web.port}/hook")
    finally:
        logging.getLogger().removeHandler(handler)
    said = [record.getMessage() for record in seen if record.name == "apprise"]
    assert not [line for line in said if "renders" in line or "503" in line]


def test_the_status_of_another_channel_is_not_taken():
    handler = sender._Statuses()
    for thread, status in ((threading.get_ident(), 500), (threading.get_ident() + 1, 403)):
        record = logging.LogRecord("apprise", logging.WARNING, "", 0, f"error={status}.", (), None)
        record.thread = thread
        handler.emit(record)
    assert handler.found == ["500"]


def test_refusals_of_channels_at_the_same_time_are_told_apart(web):
    both = threading.Barrier(2)

    def answer(status):
        def now(handler, body):
            both.wait()
            handler.send(status)

        return now

    web.answers.update({"/a": answer(500), "/b": answer(403)})
    told = {}

    def ask(path):
        told[path] = sent(f"json://127.0.0.1:{web.port}/{path}")

    threads = [threading.Thread(target=ask, args=(path,)) for path in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {"a": "the receiver refused it with HTTP status 500", "b": "the receiver refused it with HTTP status 403"}


def test_a_receiver_that_is_not_there():
    assert sent(f"json://anna:{PASSWORD}@127.0.0.1:{free_port()}/hook") == "the receiver did not take it"


def test_a_receiver_that_does_not_answer_in_time(web):
    web.answers["/hook"] = lambda handler, body: web.ending.wait()
    assert sent(f"json://anna:{PASSWORD}@127.0.0.1:{web.port}/hook?rto=0.2") == "the receiver did not take it"


@pytest.mark.parametrize("url", [f"nosuch://{PASSWORD}@127.0.0.1", "json://", f"mailto://{PASSWORD}"])
def test_a_url_that_apprise_does_not_know(url):
    assert sent(url) == "Apprise does not know such a URL"


def test_a_plugin_that_breaks(monkeypatch):
    def broken(*_words, **_options):
        raise RuntimeError(PASSWORD)

    monkeypatch.setattr(sender, "_notified", broken)
    assert sent("json://127.0.0.1:1/") == "Apprise failed with RuntimeError"


def test_a_message_by_mail(smtp):
    port, mails = smtp
    assert sent(f"mailto://127.0.0.1:{port}/?from=ops@mobius.example&to=anna@mobius.example") == ""
    (mail,) = mails
    text = email.message_from_bytes(mail.as_bytes())
    assert "SEV1: renders fail" in text["Subject"] and "anna@mobius.example" in text["To"]
    assert text["X-Idempotency-Key"] == KEY
    parts = {part.get_content_type(): part.get_payload(decode=True).decode() for part in text.walk() if not part.is_multipart()}
    if "text/plain" in parts:  # an older Apprise sends HTML
        assert "Next: look\nä" in parts["text/plain"].replace("\r\n", "\n")
    else:
        assert re.search(r"Next: look<br\s*/?>\s*(ä|&auml;)", parts["text/html"]), parts


def test_one_refused_recipient_is_a_failure_of_its_own_url_only(smtp):
    port, mails = smtp
    base = f"mailto://127.0.0.1:{port}/?from=ops@mobius.example&to="
    assert [sent(base + name) for name in ("eve@refused.example", "anna@mobius.example")] == ["the receiver did not take it", ""]
    assert len(mails) == 1


def test_a_mail_server_that_is_not_there():
    url = f"mailto://anna:{PASSWORD}@127.0.0.1:{free_port()}/?from=ops@mobius.example&to=anna@mobius.example"
    assert sent(url) == "the receiver did not take it"


@pytest.mark.parametrize(
    "url, expected",
    [
        ("json://h", "json://h?+Idempotency-Key=k"),
        ("JSONS://h/?a=b", "JSONS://h/?a=b&+Idempotency-Key=k"),
        ("mailtos://h", "mailtos://h?+X-Idempotency-Key=k"),
        ("tgram://token/1", "tgram://token/1"),
    ],
)
def test_the_key_is_asked_for_where_the_plugin_has_headers(url, expected):
    assert sender._with_key(url, "k") == expected


def test_apprise_is_loaded_for_a_message_only():
    """A timer looks each half minute, and a watch lives for an hour."""
    program = "import sys; from ansible_collections.mobius.ops.plugins.module_utils._people import service; print('apprise' in sys.modules)"
    where = __file__.partition("/tests/unit/")[0]
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{where}/.build/collections"},
    )
    assert done.stdout.strip() == "False"


def test_a_target_without_apprise(monkeypatch):
    assert sender.missing() == []
    sender.require()
    monkeypatch.setattr(sender, "_installed", lambda: False)
    with pytest.raises(StateError) as caught:
        sender.require()
    assert [str(caught.value)] == sender.missing()
    assert str(caught.value).endswith("has no such library, so messages wait. Install it: apt-get install apprise, or pip install apprise.")
