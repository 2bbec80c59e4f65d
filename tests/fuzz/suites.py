# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Suites of smoke tests, as operators and generators write them wrongly: the module has a verdict, or says what is wrong with a step."""

from __future__ import annotations

import http.server
import json
import os
import random
import threading
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from support import corruption

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import wording
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.modules import smoke_test

TEXTS = [
    "",
    "a",
    "/a",
    "/a/{id}",
    "{id}",
    "{nobody}",
    "{release}",
    "http://[",
    "http://127.0.0.1:1/",
    "//x",
    "id",
    "list[0]",
    "[?a == '{id}']",
    "length(@) > `1`",
    "@[",
    "'",
    "a'b",
    "a\\b",
    "{",
    "}",
    "{}",
    "x" * 3000,
    "\ud800",
    "\x1b[31m",
    "a\nb",
    "../..",
    "18.0",
    "v" * 50,
    "GET",
    "post",
    "BREW",
    "\0",
    "[" * 300 + "]" * 300,
    "!" * 2000,
    "(" * 2000,
    "a" + ".a" * 3000,
    "@ | " * 500 + "@",
]
OTHERS: list[t.Any] = [
    0,
    1,
    -1,
    0.01,
    2,
    1e300,
    float("nan"),
    float("inf"),
    10**30,
    True,
    False,
    [],
    {},
    ["x"],
    {"a": "b"},
    {"id": "id"},
    [200],
]
BODY = json.dumps({"id": "x7", "status": "ok", "list": ["a", 1, None], "number": 7}).encode()


class _Answers(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_words: t.Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """The same to everybody."""
        self.rfile.read(min(10**6, int(self.headers.get("Content-Length") or 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_words: t.Any) -> None:
        """Clients that go away are no concern."""


class Target:
    """A server that is well."""

    def __init__(self, folder: str) -> None:
        self.server = _Server(("127.0.0.1", 0), _Answers)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.root = folder
        options = {
            "suite": {"type": "list", "elements": "dict", "required": True, "options": smoke_test.STEP},
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
        }
        self.checked = ArgumentSpecValidator(options)

    def case(self, chance: random.Random) -> str:
        """Make a suite, check it as Ansible does, and run it."""
        suite = [step(chance) for _number in range(chance.choice([0, 1, 2, 2, 3]))]
        try:
            checked = self.checked.validate({"suite": suite})
        except OverflowError:  # an endless number for a whole one; Ansible's own
            return "refused by Ansible"
        if checked.error_messages:
            return "refused by Ansible"
        params = {
            **checked.validated_parameters,
            "base_url": chance.choice([self.base, self.base, "", "http://["]),
            "timeout": 1.0,
            "attempts": 1,
            "root": chance.choice([self.root, None]),
            "release": "r1",
            "folders": {"/uploads/": "uploads"},
            "remove": [],
            "began": None,
            "outside": chance.random() < 0.1,
            "junit": os.path.join(self.root, "junit.xml"),
            "env": "",
            "service": None,
        }
        try:
            _changed, found, _diff = smoke_test.run(params, chance.random() < 0.2)
        except OpsError as error:
            found = {"msg": str(error), **getattr(error, "facts", {})}
        text = json.dumps(wording.cleaned(found), ensure_ascii=False)
        text.encode()
        return "passed" if found.get("passed") else "failed" if "tests" in found else "refused"

    def end(self) -> None:
        """Nobody asks any more."""
        self.server.shutdown()


def step(chance: random.Random) -> dict[str, t.Any]:
    """A step: some right fields, some others."""
    made: dict[str, t.Any] = {"name": chance.choice([str(chance.random()), str(chance.random()), "a", "b", "", "\x1b", "d" * 500])}
    kind = chance.choice(["url", "url", "url", "file", "program", "disk", "none"])
    if kind == "url":
        made["url"] = chance.choice(["/a", "/a", *TEXTS[:12]])
    elif kind != "none":
        made[kind] = chance.choice({"program": ["sh", "nothing-of-that-name", "a b", ""], "disk": ["/", "/nowhere", "\0"]}.get(kind, TEXTS))
    for _number in range(chance.choice([0, 0, 0, 1, 1, 3])):
        field = chance.choice(sorted(set(smoke_test.STEP) - {"video"}))
        made[field] = some(chance, field)
    if chance.random() < 0.6:
        made.update(limit=0.01, interval=0.01, pause=0)
    if "attempts" in made:
        made["attempts"] = chance.choice([0, 1, 2, -1])
    for slow in ("pause", "interval", "limit", "timeout"):
        if isinstance(made.get(slow), (int, float)) and made[slow] > 1:
            made[slow] = 0.01
    return made


def some(chance: random.Random, field: str) -> t.Any:
    """A value for a field, of its kind more often than not."""
    kind = smoke_test.STEP[field].get("type", "str")
    if chance.random() < 0.15:
        return chance.choice([*TEXTS, *OTHERS, *corruption.VALUES])
    if kind == "dict":
        return {
            chance.choice(["id", "x", "field", "filename", "text", "form", *TEXTS[:6]]): chance.choice([*TEXTS, *OTHERS])
            for _one in range(chance.choice([0, 1, 2]))
        }
    if kind == "list":
        return [chance.choice([*TEXTS, 200, 1]) for _one in range(chance.choice([0, 1, 2]))]
    return chance.choice(TEXTS) if kind in ("str", "path") else chance.choice([0, 1, -1, 0.01, 2, True])
