"""A `.env` file means to this collection what it means to the application: held against the npm package dotenv itself."""

from __future__ import annotations

import json
import random
import subprocess

import pytest
from support import dotenv_file

from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv_rules

PARSE = (
    "const {parse} = require('dotenv'); let all = ''; process.stdin.on('data', d => all += d); "
    "process.stdin.on('end', () => console.log(JSON.stringify(JSON.parse(all).map(text => Object.entries(parse(text))))))"
)
NAMES, SIGNS = ["A", "B", "KEY_1", "1X", "a.b", "x-y", "export A", " A", "A B"], ["=", " = ", ": ", ":", "=\n", " ="]
PARTS = [
    "A",
    "export ",
    "=",
    ": ",
    "'",
    '"',
    "`",
    "\\'",
    '\\"',
    "\\`",
    "\\n",
    "\\r",
    "\\\\",
    "#",
    " #",
    "# note",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "value",
    "two words",
    "$HOME",
    "${A}",
    '{"a": 1}',
    "é",
    "\u2028",
    "\ufeff",
    "\u00a0",
    "-----BEGIN KEY-----\nMIIB\n-----END KEY-----",
    "a=b=c",
    "https://u:p@h/x?y=1#z",
]


@pytest.fixture(scope="module")
def dotenv(tmp_path_factory):
    """Parse texts by the npm package: for each its names and values."""
    folder = tmp_path_factory.mktemp("dotenv")
    argv = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--cache",
        str(folder / "cache"),
        "--prefix",
        str(folder),
        "dotenv@16",
    ]
    for _try in range(3):  # a registry may be busy
        done = subprocess.run(argv, cwd=folder, check=False, capture_output=True, text=True)
        if not done.returncode:
            break
    assert done.returncode == 0, done.stderr

    def parse(texts):
        done = subprocess.run(["node", "-e", PARSE], input=json.dumps(texts), cwd=folder, check=True, capture_output=True, text=True)
        return [dict(pairs) for pairs in json.loads(done.stdout)]

    return parse


def differing(texts, theirs):
    return [(text, ours, their) for text, their in zip(texts, theirs) for ours in [dict(dotenv_rules.entries(text))] if ours != their]


def test_a_file_by_hand_is_read_as_the_application_reads_it(dotenv):
    assert dotenv([dotenv_file.TEXT]) == [dotenv_file.VALUES]
    texts = [text for text, _values in dotenv_file.LINES]
    assert (
        dotenv(texts) == [values for _text, values in dotenv_file.LINES]
        and differing([dotenv_file.TEXT, *texts], dotenv([dotenv_file.TEXT, *texts])) == []
    )


def test_made_up_files_are_read_as_the_application_reads_them(dotenv):
    chance = random.Random("dotenv")

    def entry():
        quote = chance.choice(["", "", "'", '"', "`"])
        value = "".join(chance.choices(PARTS, k=chance.randint(0, 5)))
        return chance.choice(NAMES) + chance.choice(SIGNS) + quote + value + quote + chance.choice(["\n", "\n", "\r\n", " # note\n", ""])

    texts = ["".join(entry() for _entry in range(chance.randint(1, 4))) for _number in range(5000)]
    theirs = dotenv(texts)
    assert sum(map(bool, theirs)) > 4000 and differing(texts, theirs)[:3] == []
