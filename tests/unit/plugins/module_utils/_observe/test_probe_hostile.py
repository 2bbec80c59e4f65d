# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers that mean no good: each has its outcome, after its timeout and within the memory that a check may take."""

from __future__ import annotations

import concurrent.futures
import gzip
import itertools
import threading
import time
import tracemalloc
import zlib

import pytest
from support.listening import Listener
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._observe import probe
from ansible_collections.mobius.ops.plugins.module_utils._observe.http import body as http_body

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH_LATER = HEAD + b"Connection: close\r\n"
MEGABYTE = 1024 * 1024


class Hostile(Listener):
    """A server that sends what it likes to everybody who connects, once the request was read."""

    def __init__(self, answer):
        self.ending = threading.Event()
        self.answer = answer
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}/"

    def talk(self, line):
        with line:
            try:
                line.recv(65536)
                end = time.monotonic() + HANG  # so that a probe without a limit fails instead of hanging
                for piece in itertools.takewhile(lambda _piece: time.monotonic() < end, self.answer(self)):
                    line.sendall(piece)
            except OSError:
                pass  # they hung up, as they should

    def dripping(self, text, pause=0.05):
        """A byte now and then, for ever."""
        for byte in itertools.cycle(text):
            if self.ending.wait(pause):
                return
            yield bytes([byte])


@pytest.fixture
def hostile():
    made = []

    def make(answer):
        made.append(Hostile(answer))
        return made[-1].url

    yield make
    for server in made:
        server.ending.set()
        server.listener.close()


def run(**check):
    with probe.session() as client:
        return probe.probe(probe.normalize({"timeout": HANG, **check}), client)


def measured(**check):
    """A sample, and the bytes that it took."""
    tracemalloc.start()
    try:
        sample = run(**check)
        return sample, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bomb(megabytes, packed):
    """Zeros, packed a thousand to one, piece by piece."""
    for _megabyte in range(megabytes):
        yield packed.compress(bytes(MEGABYTE))
    yield packed.flush()


def zeros(megabytes):
    return bomb(megabytes, zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS))


def chunks(pieces):
    """As HTTP sends what it does not know the length of."""
    for piece in pieces:
        if piece:
            yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def with_head(head, pieces):
    return itertools.chain([head + b"\r\n"], pieces)


GZIP = b"Content-Encoding: gzip\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FOR_EVER = itertools.repeat(b"x" * 65536)

ANSWERS = {
    "a body without end": (lambda server: with_head(LENGTH_LATER, FOR_EVER), "too_large", "larger than 8 MB"),
    "chunks without end": (lambda server: with_head(HEAD + CHUNKED, chunks(FOR_EVER)), "too_large", "larger than 8 MB"),
    "a bomb of gzip": (lambda server: with_head(LENGTH_LATER + GZIP, zeros(300)), "too_large", "larger than 8 MB"),
    "a bomb of gzip in chunks": (lambda server: with_head(HEAD + GZIP + CHUNKED, chunks(zeros(300))), "too_large", "larger than 8 MB"),
    "a bomb in a bomb": (
        lambda server: with_head(LENGTH_LATER + b"Content-Encoding: gzip, gzip\r\n", [gzip.compress(b"".join(zeros(100)))]),
        "body",
        "encoding 'gzip, gzip'",
    ),
    "a bomb of deflate": (
        lambda server: with_head(LENGTH_LATER + b"Content-Encoding: deflate\r\n", bomb(300, zlib.compressobj(9))),
        "too_large",
        "larger than 8 MB",
    ),
    "a bomb of deflate without a header": (
        lambda server: with_head(
            LENGTH_LATER + b"Content-Encoding: deflate\r\n", bomb(300, zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS))
        ),
        "too_large",
        "larger than 8 MB",
    ),
    "a header of 10 MB": (
        lambda server: [HEAD, b"X-Long: ", *itertools.repeat(b"x" * MEGABYTE, 10), b"\r\n\r\n"],
        "too_large",
        "header of the answer is larger",
    ),
    "headers of 10 MB": (
        lambda server: [HEAD, *itertools.repeat(b"X-Many: %s\r\n" % (b"x" * 1000), 10000), b"\r\n"],
        "too_large",
        "header of the answer is larger",
    ),
    "a status line of 10 MB": (
        lambda server: [b"HTTP/1.1 200 ", *itertools.repeat(b"x" * MEGABYTE, 10), b"\r\n\r\n"],
        "too_large",
        "header of the answer is larger",
    ),
    "a chunk's size without end": (lambda server: with_head(HEAD + CHUNKED, itertools.chain([b"1;"], FOR_EVER)), "too_large", ""),
    "a byte now and then in the status": (lambda server: server.dripping(b"HTTP/1.1 200 " + b"x" * 9999), "timeout", "within 0.5 s"),
    "a byte now and then in the headers": (lambda server: itertools.chain([HEAD], server.dripping(b"A: b\r\n")), "timeout", "within 0.5 s"),
    "a byte now and then in the body": (lambda server: with_head(LENGTH_LATER, server.dripping(b"x")), "timeout", "within 0.5 s"),
    "a byte now and then in the size of a chunk": (
        lambda server: with_head(HEAD + CHUNKED, server.dripping(b"0")),
        "timeout",
        "within 0.5 s",
    ),
    "to be continued, for ever": (lambda server: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "timeout", "within 0.5 s"),
    "a redirect with a body without end": (
        lambda server: with_head(b"HTTP/1.1 302 Found\r\nLocation: /\r\nConnection: close\r\n", FOR_EVER),
        "status",
        "status 302",
    ),
    "gzip that is none": (lambda server: [LENGTH_LATER, GZIP, b"\r\nnot packed at all"], "body", "the body is not gzip"),
    "gzip that is cut": (lambda server: [LENGTH_LATER, GZIP, b"\r\n", gzip.compress(b"hello" * 99)[:-12]], "body", "ends before its gzip"),
    "an encoding that nobody asked for": (lambda server: [LENGTH_LATER, b"Content-Encoding: br\r\n\r\nx"], "body", "encoding 'br'"),
    "a body that is cut": (lambda server: [LENGTH_LATER, b"Content-Length: 100\r\n\r\nx"], "closed", "before the answer was whole"),
    "two lengths": (lambda server: [HEAD, b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"], "closed", "before the answer was whole"),
}


@pytest.mark.parametrize("answer, kind, words", ANSWERS.values(), ids=ANSWERS)
def test_a_hostile_answer_ends_at_the_timeout_and_in_bounds(hostile, answer, kind, words):
    timeout = 0.5 if kind == "timeout" else HANG
    sample, memory = measured(url=hostile(answer), timeout=timeout)
    assert (sample["outcome"], sample["kind"]) == ("failed", kind), sample
    assert words in sample["error"] and len(sample["error"]) <= probe.EVIDENCE_LIMIT
    assert memory < 8 * MEGABYTE


JSON = b"Content-Type: application/json\r\n"
TEXTS = {
    "JSON that ends too early": (b"", b'{"status": ', {"json": ["status"]}, "body", "is not JSON"),
    "JSON that is nested too deep": (b"", b"[" * 200000, {"json": ["status"]}, "body", "is not JSON"),
    "JSON that is too large": (b"", b"[" + b"1," * 200000 + b"1]", {"json": ["[0]"]}, "too_large", "larger than 256 kB"),
    "JSON in another charset": (b"", '{"status": "grün"}'.encode("latin-1"), {"json": ["status"]}, "body", "not utf-8, its charset"),
    "text in another charset": (
        b"Content-Type: text/html; charset=UTF-8\r\n",
        "grün".encode("latin-1"),
        {"contains": "gr"},
        "body",
        "not utf-8, its charset",
    ),
    "a charset that is none": (b'Content-Type: text/html; charset="klingon"\r\n', b"ok", {"contains": "ok"}, "body", "charset 'klingon'"),
    "a charset that is no text": (b"Content-Type: text/html; charset=zlib\r\n", b"ok", {"contains": "ok"}, "body", "charset 'zlib'"),
    "a charset that is slow": (b"Content-Type: text/html; charset=idna\r\n", b"ok", {"contains": "ok"}, "body", "charset 'idna'"),
    "text after what is read": (b"", b" " * 300000 + b"ok", {"contains": "ok"}, "body", "in its first 256 kB"),
}


@pytest.mark.parametrize("head, body, check, kind, words", TEXTS.values(), ids=TEXTS)
def test_a_body_that_cannot_be_judged(hostile, head, body, check, kind, words):
    sample = run(url=hostile(lambda server: [LENGTH_LATER, head, b"\r\n", body]), **check)
    assert (sample["outcome"], sample["kind"]) == ("failed", kind), sample
    assert words in sample["error"]


@pytest.mark.parametrize(
    "head, body, check",
    [
        (GZIP, gzip.compress(b"hello Ada", mtime=0), {"contains": "Ada"}),
        (GZIP, gzip.compress(b'{"up": true}', mtime=0), {"json": ["up"]}),
        (b"Content-Encoding: deflate\r\n", zlib.compress(b"hello Ada"), {"contains": "Ada"}),
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n", "grün".encode("latin-1"), {"contains": "grün"}),
        (b"Content-Type: text/plain; charset=utf-8\r\n", b"x" * (http_body.BODY_LIMIT - 1) + "ü".encode() * 9, {"contains": "xx"}),
        (b"", b"x" * 2 * MEGABYTE, {"contains": "xx"}),
        (GZIP, gzip.compress(bytes(2 * MEGABYTE), mtime=0), {}),
    ],
)
def test_what_is_unusual_and_right_is_ok(hostile, head, body, check):
    sample = run(url=hostile(lambda server: [LENGTH_LATER, head, b"\r\n", body]), **check)
    assert sample["outcome"] == "ok", sample


def test_a_wrong_status_says_more_than_a_body_that_cannot_be_read(hostile):
    sample = run(url=hostile(lambda server: with_head(b"HTTP/1.1 502 Bad\r\nConnection: close\r\n", FOR_EVER)))
    assert (sample["kind"], sample["status"]) == ("status", 502)


def test_hostile_servers_do_not_hold_up_each_other(hostile):
    """Each of 20 answers ends only once all 20 requests have arrived, so a probe that waits for another one never ends."""
    talking = []

    def drip_until_all_talk(server):
        talking.append(server)
        yield HEAD + b"Content-Length: 2\r\n"
        while len(talking) < 20 and not server.ending.wait(0.05):
            yield b"A: b\r\n"
        yield b"\r\nok"

    check = probe.normalize({"url": hostile(drip_until_all_talk), "timeout": HANG})
    with probe.session(20) as client, concurrent.futures.ThreadPoolExecutor(20) as pool:
        samples = list(pool.map(lambda _number: probe.probe(check, client), range(20)))
    assert [sample["outcome"] for sample in samples] == ["ok"] * 20, samples


def dripping_headers(handler, _body):
    handler.close_connection = True
    handler.wfile.write(HEAD)
    while not handler.server.ending.wait(0.05):
        handler.wfile.write(b"A")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_a_drip_ends_on_any_connection(web, secure, authority, tls, kept):
    server = secure(authority.certificate("127.0.0.1")) if tls else web
    server.answers["/drip"] = dripping_headers
    fields = {"timeout": HANG, "ca": authority.ca}
    with probe.session() as client:
        if kept:
            assert probe.probe(probe.normalize({"url": server.base + "/health", **fields}), client)["outcome"] == "ok"
        assert probe.probe(probe.normalize({"url": server.base + "/drip", **fields, "timeout": 1}), client)["kind"] == "timeout"
