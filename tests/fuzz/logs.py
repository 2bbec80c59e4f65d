# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logs of random bytes, endless lines, broken gzip, mixed encodings, wild times and rotations: they are read, and never twice."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._logs import run
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

LINES = [
    b"2026-11-26T08:00:00.123Z ERROR render 7f2c1a failed | at x (/y.js:1:2)",
    b"2026-11-26T08:00:01Z INFO GET /a 200 3.5 ms",
    b"Error: x",
    b'10.0.0.7 - - [26/Nov/2026:08:00:00 +0000] "POST /upload-images HTTP/1.1" 413 5 "-" "a" rt=0.004',
    b"    at y (/z.js:3:4)",
    b"",
    b'{"level":50,"time":1795680000000,"err":{"message":"no"},"msg":"failed"}',
    b"response time: 7 s",
    b"2026/11/26 08:00:00 [crit] 1#1: x",
    b'{"level":30,"time":1795680000000,"req":{"method":"GET","url":"/x"},"res":{"statusCode":200},"responseTime":3}',
    b'{"responseTime":',
    b'h haproxy[7]: 10.0.0.7:5 [26/Nov/2026:08:00:00.123] f b/s 0/0/1/12/13 500 2 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"',
    b"9999-99-99T99:99:99Z ERROR x",
    b"2199-12-31T23:59:59+99:99 ERROR x",
    b'1 - - [31/Feb/1971:23:59:60 -9999] "GET" 999 -',
    b"\xff\xfe\x00E\x00r",
    "2026-11-26T08:00:00Z ERROR größe \u202e \u2028 \ud800".encode("utf-8", "surrogatepass"),
    b"(" * 300,
    b"/" * 500,
    b"a@" * 300,
    b"1:" * 300,
    b'"method":"GET","url":"' + b"\\" * 99,
    b'{"level":50,"msg":"' + b"[" * 9000,
    b"GET /" + b"x" * 3000 + b" 500 1ms",
    b"\x1b[2J ERROR x",
]
MOST = 400_000


class Target:
    """A host with one log folder, read again and again."""

    def __init__(self, folder: str) -> None:
        self.layout = Layout(os.path.join(folder, "host"))

    def case(self, chance: random.Random) -> str:
        """Some files, some runs with changes between them; what the last run ended with."""
        shutil.rmtree(self.layout.root, ignore_errors=True)
        for path in self.layout.folders():
            os.makedirs(path, exist_ok=True)
        logs = self.layout.component("logs")
        for name in chance.sample(["app.log", "app.log.1", "access.log", "b.log.2.gz", "c.log-20261126"], chance.randrange(1, 5)):
            self.put(os.path.join(logs, name), self.content(chance), name.endswith("gz") or chance.random() < 0.1, chance)
        end = ""
        for _run in range(chance.randrange(1, 4)):
            end = self.read(chance)
            self.change(logs, chance)
        return end

    def content(self, chance: random.Random) -> bytes:
        """Lines, some of them damaged; or bytes of any kind, or one line."""
        kind = chance.randrange(5)
        if kind == 0:
            return chance.randbytes(chance.randrange(MOST))
        if kind == 1:
            return chance.choice(LINES) + b"x" * chance.randrange(3 * MOST)
        lines = chance.sample(LINES, chance.randrange(1, 5)) if kind == 2 else LINES
        found = [self.damaged(chance.choice(lines), chance) for _number in range(chance.randrange(2000))]
        text = chance.choice([b"\n", b"\n", b"\r\n", b"\r"]).join(found)
        return text.decode("latin-1").encode("utf-16") if kind == 3 and chance.random() < 0.3 else text + b"\n" * chance.randrange(2)

    @staticmethod
    def damaged(line: bytes, chance: random.Random) -> bytes:
        """A line, of some one byte is another or the rest is missing."""
        if chance.random() < 0.8 or not line:
            return line
        at = chance.randrange(len(line))
        return line[:at] + (chance.randbytes(1) + line[at + 1 :] if chance.random() < 0.5 else b"")

    @staticmethod
    def put(path: str, content: bytes, packed: bool, chance: random.Random) -> None:
        """Write a file, packed and damaged perhaps."""
        if packed:
            content = gzip.compress(content, 1)
            if chance.random() < 0.5 and content:
                at = chance.randrange(len(content))
                content = content[:at] + (b"" if chance.random() < 0.5 else chance.randbytes(9) + content[at + 9 :])
        with open(path, "wb") as stream:
            stream.write(content)

    def change(self, logs: str, chance: random.Random) -> None:
        """What happens to logs between two runs."""
        path = os.path.join(logs, "app.log")
        with contextlib.suppress(FileNotFoundError):
            kind = chance.randrange(5)
            if kind == 0:
                os.rename(path, path + ".1")
            elif kind == 1:
                os.truncate(path, chance.randrange(os.path.getsize(path) + 1))
            elif kind == 2:
                shutil.copy(path, path + ".1")
                os.truncate(path, 0)
        with open(path, "ab") as stream:
            stream.write(self.content(chance))
        state = self.layout.path("state", "logs.json")
        if chance.random() < 0.1 and os.path.exists(state):
            with open(state, "r+b") as stream:
                stream.seek(chance.randrange(os.path.getsize(state)))
                stream.write(chance.randbytes(3))

    def read(self, chance: random.Random) -> str:
        """One run, and what has to be true of it."""
        params = {
            "root": self.layout.root,
            "files": None,
            "units": [],
            "service": "mobius",
            "page": False,
            "slow_ms": 1000.0,
            "rows": 20,
            "since": chance.choice(["", "", "", "2026-11-26T08:00:00Z"]),
            "detail": chance.choice(["exact", "sampled"]),
            "processes": chance.choice([1, 1, 2]),
            "max_mb": chance.choice([1, 100]),
            "keep_days": 30000,
            "addresses": "masked",
            "explain": chance.random() < 0.2,
        }
        try:
            found = run.read_and_report(params, True)
        except OpsError as error:
            return type(error).__name__
        text = json.dumps(found)
        assert len(text) < 2_000_000, len(text)
        for one in found["sources"]:
            assert min(one[name] for name in ("lines", "requests", "failed", "refused", "errors", "malformed")) >= 0, one
        again = run.read_and_report({**params, "explain": False}, True)
        assert params["max_mb"] == 1 or params["since"] or again["lines"] == found["lines"], (again["lines"], found["lines"])
        return "errors" if found["errors"] else "lines" if found["lines"] else "nothing"

    def end(self) -> None:
        """Nothing runs."""
