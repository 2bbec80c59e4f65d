# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading ``.env``, and keeping its values out of texts."""

from __future__ import annotations

import json
import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv, redaction


def parsed(tmp_path, content):
    path = tmp_path / ".env"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return dotenv.read(str(path))


@pytest.mark.parametrize(
    "content, values",
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("# A=1\n   # B=2\n\n", {}),
        ("export A=1\nexport=2\n", {"A": "1", "export": "2"}),
        ("A='it s'\nB=\"x\"\nC='\nD=''\n", {"A": "it s", "B": "x", "C": "'", "D": ""}),
        ("A=b=c#d\nB='b#c'\n", {"A": "b=c", "B": "b#c"}),
        ('A="b" # c\nB=b # c\n', {"A": "b", "B": "b"}),
        ('A="one\ntwo" # c\nB=`one\n"two"`\n', {"A": "one\ntwo", "B": 'one\n"two"'}),
        ("A=\"one\\ntwo\"\nB='one\\ntwo'\n", {"A": "one\ntwo", "B": "one\\ntwo"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("1A=yes\nA-B=yes\nno line\n", {"1A": "yes", "A-B": "yes"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=1", {"A": "1"}),
        (b"\xef\xbb\xbfA=1\nB=2\n", {"A": "1", "B": "2"}),
    ],
)
def test_read(tmp_path, content, values):
    assert parsed(tmp_path, content) == values


def test_no_file_is_no_values(tmp_path):
    assert dotenv.read(str(tmp_path / "gone")) == {}


def test_bytes_that_are_no_utf8_are_passed_on_as_they_are(tmp_path):
    values = parsed(tmp_path, b"# caf\xe9\nA=caf\xe9\nB=2\n")
    assert os.fsencode(values["A"]) == b"caf\xe9" and values["B"] == "2"


@pytest.fixture
def redactor(tmp_path):
    path = tmp_path / ".env"
    path.write_text(
        "MOBIUS_API_KEYS=first-key-1, second-key-2\nPORT=5001\nORIGIN=https://mobius.example.com\n"
        "DATABASE=postgres://user:pass@db/x\nQUOTED='with \"marks\" é'\nHOOK=https://hooks.example/T0/abc\n"
    )
    return dotenv.Redactor(str(path))


@pytest.mark.parametrize(
    "secret",
    [
        "first-key-1",
        "second-key-2",
        "first-key-1, second-key-2",
        "postgres://user:pass@db/x",
        "https://hooks.example/T0/abc",
        'with "marks" é',
    ],
)
def test_each_secret_is_hidden(redactor, secret):
    assert redactor.text(f"before {secret} after") == "before ******** after"


def test_each_line_of_a_key_is_hidden_and_a_comment_is_not(tmp_path):
    (tmp_path / ".env").write_text(
        'KEY="-----BEGIN KEY-----\nMIIBabcdefgh\nabc12345zz\n-----END KEY-----" # of ada\nTOKEN=tok-12345 # of ada\r\n'
    )
    redactor = dotenv.Redactor(str(tmp_path / ".env"))
    for shown in ("MIIBabcdefgh", "abc12345zz", "tok-12345", json.dumps("MIIBabcdefgh\nabc12345zz")):
        assert "MIIB" not in redactor.text(f"at {shown}:") and "12345" not in redactor.text(f"at {shown}:")
    assert redactor.text("a note of ada") == "a note of ada"


def test_a_value_that_a_later_line_replaces_is_hidden_too(tmp_path):
    (tmp_path / ".env").write_text("API_KEY=first-value\nAPI_KEY=other-value\n")
    assert dotenv.Redactor(str(tmp_path / ".env")).text("first-value, other-value") == "********, ********"


def test_plain_addresses_and_short_values_stay_readable(redactor):
    assert redactor.text("port 5001 at https://mobius.example.com") == "port 5001 at https://mobius.example.com"


def test_records_are_copied_and_every_text_in_them_is_hidden(redactor):
    record = {"a": ["first-key-1", ("second-key-2", 5)], "b": {"c": None, "d": True}}
    assert redactor.value(record) == {"a": ["********", ["********", 5]], "b": {"c": None, "d": True}}
    assert record["a"][0] == "first-key-1"


WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="*,#"), min_size=6, max_size=20)
SECRETS = st.lists(WORDS.map(str.strip).filter(lambda word: len(word) >= 6 and word[0] not in "'\"`"), min_size=1, max_size=4)


@given(SECRETS, st.data())
def test_no_secret_is_left_in_any_text_or_record(secrets, data):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, ".env")
        with open(path, "w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(f"S{number}={secret}\n" for number, secret in enumerate(secrets))
        redactor = dotenv.Redactor(path)
    around = st.text(st.characters(blacklist_categories=("Cs",)), max_size=5)
    text = "".join(data.draw(around) + word for word in data.draw(st.permutations(secrets * 2)))
    hidden = [secret for secret in secrets if not redaction._ORIGIN.match(secret)]
    assert not [secret for secret in hidden if secret in redactor.text(text)]
    shown = json.loads(json.dumps(redactor.value({"a": [{"b": text}]})))
    assert not [secret for secret in hidden if secret in shown["a"][0]["b"]]
