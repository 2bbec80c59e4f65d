"""A `.env` file means to this collection what it means to the application: held against the npm package dotenv itself."""
from __future__ import annotations

import json
import random
import subprocess

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv as core_dotenv

PARSE = ("const {parse} = require('dotenv'); let all = ''; process.stdin.on('data', d => all += d); "
         "process.stdin.on('end', () => console.log(JSON.stringify(JSON.parse(all).map(text => Object.entries(parse(text))))))")
NAMES, SIGNS = ["A", "B", "KEY_1", "1X", "a.b", "x-y", "export A", " A", "A B"], ["=", " = ", ": ", ":", "=\n", " ="]
PARTS = ["A", "export ", "=", ": ", "'", '"', "`", "\\'", '\\"', "\\`", "\\n", "\\r", "\\\\", "#", " #",
         "# note", " ", "\t", "\n", "\r\n", "\r", "\n\n", "value", "two words", "$HOME", "${A}",
         "{\"a\": 1}", "é", "\u2028", "\ufeff", "\u00a0",
         "-----BEGIN KEY-----\nMIIB\n-----END KEY-----", "a=b=c", "https://u:p@h/x?y=1#z"]
#: What people write by hand, each of these once.
BY_HAND = ['KEY="value" # comment', "KEY=value # comment", "KEY='v # no comment'", 'KEY="-----BEGIN\nabc\n-----END" # key\nB=2',
           "KEY=`it's \"so\"`", 'KEY="a\\nb"', "KEY='a\\nb'", "A=1\r\nB='2'\r\n", "KEY=\nB=2", "KEY=\n'next line'", 'KEY="a" b"',
           "KEY: value", "export KEY=v", "KEY='unclosed\nB=2", "\ufeffKEY=1", "KEY=1\nKEY=2", "# KEY=1\n  # B=2", "KEY=a\\#b",
           "KEY='it\\'s'"]


@pytest.fixture(scope="module")
def dotenv(tmp_path_factory):
    """Parse texts by the npm package: for each its names and values."""
    folder = tmp_path_factory.mktemp("dotenv")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder), "dotenv@16"], check=True,
                   capture_output=True)

    def parse(texts):
        done = subprocess.run(["node", "-e", PARSE], input=json.dumps(texts), cwd=folder, check=True, capture_output=True, text=True)
        return [dict(pairs) for pairs in json.loads(done.stdout)]
    return parse


def differing(texts, theirs):
    return [(text, ours, their) for text, their in zip(texts, theirs) for ours in [dict(core_dotenv.entries(text))] if ours != their]


def test_files_by_hand_are_read_as_the_application_reads_them(dotenv):
    assert differing(BY_HAND, dotenv(BY_HAND)) == []


def test_made_up_files_are_read_as_the_application_reads_them(dotenv):
    chance = random.Random("dotenv")

    def entry():
        quote = chance.choice(["", "", "'", '"', "`"])
        value = "".join(chance.choices(PARTS, k=chance.randint(0, 5)))
        return chance.choice(NAMES) + chance.choice(SIGNS) + quote + value + quote + chance.choice(["\n", "\n", "\r\n", " # note\n", ""])
    texts = ["".join(entry() for _entry in range(chance.randint(1, 4))) for _number in range(5000)]
    theirs = dotenv(texts)
    assert sum(map(bool, theirs)) > 4000 and differing(texts, theirs)[:3] == []
