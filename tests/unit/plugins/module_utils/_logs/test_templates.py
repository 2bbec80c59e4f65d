"""Templates of messages, and routes of paths."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._logs import templates


@pytest.mark.parametrize(
    "template, message",
    [
        ("render <id> failed after <n> s", "render mwygqose-046fd1 failed after 12.5 s"),
        ("ENOENT: no such file or directory, open '<path>'", "ENOENT: no such file or directory, open '/opt/mobius/data/7/x.json'"),
        ("connect ECONNREFUSED <address>", "connect ECONNREFUSED 127.0.0.1:5432"),
        ("client <address> left", "client 2001:db8::1 left"),
        ("client <address> left", "client ::ffff:10.0.0.7 left"),
        ("fetch of <url> failed", "fetch of https://user:pw@example.org/a?b=c failed"),
        ("mail to <mail> refused", "mail to some.one+x@mail.example.org refused"),
        ("project <n> has <n> images", "project 17 has 4,000 images"),
        ("id <id>", "id 123e4567-e89b-12d3-a456-426614174000"),
        ("sum <id>", "sum 9f86d081884c7d65"),
        ("took <n>ms", "took 31ms"),
        ("job <id> of a cafe", "job 0815a of a cafe"),
        ("since <time> ago", "since 2026-11-27T08:00:00.123Z ago"),
        ("charset utf-<n> is unknown", "charset utf-8 is unknown"),
        ("TypeError: x is not a function", "TypeError: x is not a function | at a (/x/y.js:1:2) | at b (/x/z.js:3:4)"),
        ("Cannot read properties of undefined (reading 'name')", "Cannot read properties of undefined (reading 'name')"),
        ("red alert", "\x1b[31mred alert\x1b[0m"),
        ("half \ufffd", b"half \xff"),
    ],
)
def test_what_differs_is_masked(template, message):
    data = message if isinstance(message, bytes) else message.encode()
    assert [templates.shown(one) for one in templates.masked([data, b"other"])] == [template, "other"]


def test_messages_keep_their_order_and_number():
    messages = [b"", b"a 1", b"b\x00c", b"/a/b/c", b""]
    assert templates.masked(messages) == [b"", b"a <n>", b"b\x00c", b"<path>", b""] and templates.masked([]) == []


@pytest.mark.parametrize(
    "route, path",
    [
        ("/", b"/"),
        ("/api/projects/:id/images", b"/api/projects/17/images?x=1"),
        ("/api/render/:id/status", b"/api/render/mwygqose-046fd1/status"),
        ("/uploads/:file", b"/uploads/board.png"),
        ("/x/:id", b"/x/123e4567-e89b-12d3-a456-426614174000"),
        ("/api/v2", b"/api/v2"),
        ("/static/js/:file", b"/static/js/main.abc.js"),
        ("/upload-images", b"/upload-images"),
        ("/load-project/:id", b"/load-project/8#a"),
        ("/:id", b"/" + b"y" * 60),
        ("/a\ufffdb", b"/a\xffb"),
        ("/a b", b"/a\x1bb"),
    ],
)
def test_routes(route, path):
    assert [templates.label(b"", one) for one in templates.routes([path, b"/x/7"])] == [route, "/x/:id"]


@pytest.mark.parametrize(
    "masked, address",
    [
        ("10.1.2.x", "10.1.2.3"),
        ("10.1.2.x", "::ffff:10.1.2.3"),
        ("2001:db8:1::x", "2001:db8:1:2:3::4"),
        ("2001:db8::x", "2001:db8::4"),
        ("::x", "::1"),
        ("-", "-"),
        ("x", "some-host"),
        ("(other)", "(other)"),
    ],
)
def test_addresses_keep_their_network(masked, address):
    assert templates.masked_address(address) == masked


@pytest.mark.parametrize(
    "text", ["MulterError: Unexpected field", "upload of x failed", "LIMIT_FILE_SIZE", "Multipart: Boundary not found"]
)
def test_errors_about_uploads(text):
    assert templates.UPLOAD.search(text) and not templates.UPLOAD.search("the render failed")


def test_secrets_are_hidden_before_anything_is_masked():
    hide = {"topsecret42": "***", "two\nlines": "***"}

    def without(text):
        for secret, mark in hide.items():
            text = text.replace(secret, mark)
        return text

    messages = [b"login with topsecret42 \xff", b"it has two", b"lines"]
    assert templates.hidden(messages, without) == [b"login with *** \xff", b"it has two", b"lines"] and templates.hidden([], without) == []


@pytest.mark.parametrize(
    "shown, text",
    [
        ("from 10.1.2.x - - [", "from 10.1.2.3 - - ["),
        ("10.1.2.x:5", "::ffff:10.1.2.3:5"),
        ("2001:db8:1::x left", "2001:db8:1::4 left"),
        ("at 2026-11-27T08:33:54.123Z v5.1.9", "at 2026-11-27T08:33:54.123Z v5.1.9"),
        ("(::x)", "(::1)"),
        ("/x.js:1:2", "/x.js:1:2"),
        ("fe80:1:2::x ok", "fe80:1:2:3:4:5:6:7 ok"),
        ("10.1.2.x:5432 refused", "10.1.2.3:5432 refused"),
    ],
)
def test_addresses_in_texts(shown, text):
    assert templates.without_addresses(text) == shown
