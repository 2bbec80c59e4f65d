# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP answers: whatever bytes come back, a probe has a sample, a suite a verdict, and what is shown is plain text."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import typing as t
import zlib

from support import corruption

from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv, wording
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import made_files as smoke_files
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import run as smoke_run
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import suite as smoke_suite
from ansible_collections.mobius.ops.plugins.module_utils._observe import health as observe_health
from ansible_collections.mobius.ops.plugins.module_utils._observe import probe, thresholds
from ansible_collections.mobius.ops.plugins.module_utils._service import ongoing_work

SECRET = "zeKr1t/of+the answers"
EVIL = [
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "```\n# x",
    "<script>alert(1)</script>",
    "\ud800",
    "\0",
    "http://[",
    "//[::1",
    "http://a:b:c",
    "../../../etc/passwd",
    "\r\nX: y",
    "%",
    "{release}",
    "{id}",
    "'",
    "\\",
    "`",
    "[?",
    "9" * 400,
    SECRET,
]
CHECKS = [
    {"json": ["status == 'ok'"]},
    {"json": ["sum(list) > `1`", "floor(number) == `1`", "sort_by(list, &id)[0].id == 'a'"]},
    {"contains": "ok"},
    {"json": ["length(@) > `0`"], "redirects": 3},
    {"redirects": 2},
    {"status": [200, 302, 500], "method": "POST"},
]
STEPS: list[list[dict[str, t.Any]]] = [
    [
        {"name": "a", "url": "/a", "capture": {"id": "id"}},
        {"name": "b", "url": "/b/{id}", "json": ["id == '{id}'"]},
        {"name": "f", "file": "{id}", "min_bytes": 1},
    ],
    [{"name": "a", "url": "/a", "capture": {"id": "url"}, "made": ["{id}"]}, {"name": "b", "url": "{id}"}],
    [
        {"name": "a", "url": "/a", "capture": {"id": "list[0]", "n": "number"}},
        {"name": "b", "url": "/b", "method": "POST", "body": {"x": "{id}", "y": ["{n}"]}, "headers": {"X-Id": "{id}"}},
    ],
    [{"name": "a", "url": "/a", "repeat_until": "status == 'done'", "give_up_when": "status == 'bad'", "limit": 0.01, "interval": 0.01}],
    [
        {"name": "a", "url": "/a", "upload": {"field": "f"}, "capture": {"id": "id"}, "skip_unless": "list"},
        {"name": "b", "url": "/b/{id}", "same_as": "a"},
    ],
]


class Target:
    """A server that says what the case has made up."""

    def __init__(self, folder: str) -> None:
        self.root, self.answer = folder, b""
        self.server = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()
        self.redactor = dotenv.Redactor("/dev/null")
        self.redactor.add([SECRET])

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self.server.accept()
            except OSError:
                return
            with client:
                client.settimeout(1)
                try:
                    client.recv(65536)
                    client.sendall(self.answer)
                except OSError:
                    continue

    def case(self, chance: random.Random) -> str:
        """Ask for an answer, by a check or a suite."""
        self.answer = answer(chance, self.base)
        what = chance.randrange(4)
        if what == 0:
            return self._suite(chance)
        checks = observe_health.normalize_all([{"name": "c", "url": self.base + "/", "timeout": 1, **chance.choice(CHECKS)}])
        if what == 1:
            document = json.loads(json.dumps(value(chance)))
            names = ongoing_work._counted(document)
            assert len(names) <= ongoing_work.MOST and all(isinstance(name, str) for name in names)
        samples = self.redactor.value(observe_health.sample_all(probe.hiding(checks, [SECRET])))
        health = observe_health.summarize(samples, thresholds.merge({}))
        self._shown(
            {
                "samples": samples,
                "fault": observe_health.first_fault(samples),
                "health": health,
                "remedy": observe_health.remedy(samples, checks),
            }
        )
        return samples[0]["outcome"]

    def _suite(self, chance: random.Random) -> str:
        settings = smoke_suite.Settings(self.base, {}, {}, 1.0, 1, "r1", False, False, self.root, {"/uploads/": "uploads"}, (SECRET,))
        tests, made = smoke_run.perform(smoke_suite.plan(chance.choice(STEPS), settings), settings)
        removed, left = smoke_files.remove(made, self.root, {"/uploads/": "uploads"}, 0)
        self._shown({"tests": tests, "sentence": smoke_run.sentence(tests), "removed": removed, "left": left})
        return "suite " + "/".join(sorted({test["status"] for test in tests}))

    def _shown(self, found: t.Any) -> None:
        """What a module returns can be written, and commands no terminal."""
        text = json.dumps(wording.cleaned(self.redactor.value(found)), ensure_ascii=False)
        text.encode("utf-8")
        assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or 0x202A <= ord(sign) <= 0x202E for sign in text), text
        assert SECRET not in text, text

    def end(self) -> None:
        """Nobody asks any more."""
        self.server.close()


def value(chance: random.Random, depth: int = 0) -> t.Any:
    """A document's value."""
    how = chance.randrange(6 if depth < 4 else 3)
    if how <= 1:
        return chance.choice([*corruption.VALUES, *EVIL])
    if how == 2:
        return chance.choice(["ok", "done", "a", 1, 1.5, 10**300, "".join(chance.choices(EVIL, k=3))])
    if how == 3:
        return [value(chance, depth + 1) for _item in range(chance.choice([0, 1, 3]))]
    names = chance.sample(["status", "id", "url", "list", "number", "error", "message", *EVIL[:5]], 4)
    return {name: value(chance, depth + 1) for name in names}


def body(chance: random.Random) -> bytes:
    """A body."""
    how = chance.randrange(6)
    if how == 0:
        return chance.choice(list(corruption.CONTENTS.values()))
    if how == 1:
        return "".join(chance.choices([*EVIL, "ok ", "\n"], k=chance.choice([1, 5, 200]))).encode("utf-8", "surrogatepass")
    if how == 2:
        return b"[" * chance.choice([50, 99, 101, 500, 990, 5000, 200_000]) + b"]" * chance.choice([0, 101, 990, 5000])
    return json.dumps(value(chance)).encode()


def answer(chance: random.Random, base: str) -> bytes:
    """A whole answer, or what passes for one."""
    content = body(chance)
    status = chance.choice(
        [b"200 OK"] * 8 + [b"500 x", b"302 Found", b"303 x", b"204 x", b"401 x", b"403 CORS", b"100 Continue", b"999 x", b"x"]
    )
    headers = {
        b"Content-Type": chance.choice(
            [
                b"application/json",
                b"text/html; charset=utf-8",
                b"text/plain; charset=utf-7",
                b"x",
                b"text/plain; charset=\xff",
                b"application/json; charset=utf-16",
            ]
        )
    }
    how = chance.randrange(8)
    if how == 0:
        content = gzip.compress(content, 1)
        headers[b"Content-Encoding"] = chance.choice([b"gzip", b"deflate", b"br", b"gzip, gzip"])
    elif how == 1:
        content = zlib.compress(content)[: chance.choice([2, 10, 10**6])]
        headers[b"Content-Encoding"] = b"deflate"
    if chance.random() < 0.7:
        headers[b"Content-Length"] = chance.choice([b"%d" % len(content)] * 6 + [b"-1", b"x", b"99999999999999999999", b"0", b"1, 2"])
    elif chance.random() < 0.4:
        headers[b"Transfer-Encoding"] = b"chunked"
        content = chance.choice([b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content), b"zz\r\n" + content, b"ffffffffff\r\n" + content])
    if chance.random() < 0.25:
        places = [*EVIL, base + "/", "/", "http://127.0.0.1:1/", "ftp://a/", "http://127.0.0.1:x/", "\u202e", "?" * 9000]
        headers[b"Location"] = chance.choice(places).encode("utf-8", "surrogatepass")
    if chance.random() < 0.05:
        headers[b"X" * chance.choice([1, 70_000])] = b"y" * chance.choice([1, 70_000])
    head = b"HTTP/1.1 " + status + b"\r\n" + b"".join(name + b": " + text + b"\r\n" for name, text in headers.items())
    whole = head + b"\r\n" + content
    return whole[: chance.randrange(len(whole))] if chance.random() < 0.05 else whole
