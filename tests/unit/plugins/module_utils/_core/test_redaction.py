# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is secret in a text, in all the forms in which programs show it."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv, redaction

SECRET = 's3cr&t/+"ö\\x'
FORMS = {
    "plain": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "with plus signs": quote_plus,
    "percent-encoded in lower case": lambda text: re.sub("%..", lambda match: match.group().lower(), quote(text, safe="")),
    "twice percent-encoded": lambda text: quote(quote(text, safe=""), safe=""),
    "Python": repr,
    "HTML": html.escape,
    "JSON": json.dumps,
    "JSON in Unicode": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "Basic": lambda text: base64.b64encode(f"ada:{text}".encode()).decode(),
    "base64 amid": lambda text: base64.b64encode(f"xy{text}zz".encode()).decode(),
}


def pieces(text: str) -> list[str]:
    """Parts of a form that would give the secret away."""
    return [text.strip("'\"=")[at : at + 8] for at in range(2, max(3, len(text) - 10))]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_secret_is_hidden(form):
    told = FORMS[form](SECRET)
    shown = redaction.hide(f"it said <{told}> twice: {told}", [SECRET])
    assert shown.count(redaction.HIDDEN) >= 2 and SECRET not in shown and told not in shown, shown
    assert not [piece for piece in pieces(told) if len(piece) == 8 and piece in shown], shown


@pytest.mark.parametrize(
    "line, secrets",
    [
        ("DB=postgres://ada:p%40ss-word@db.example:5432/app", ["p%40ss-word", "p@ss-word", "ada:p%40ss-word"]),
        ("DB=postgres://ada:p@ss-word@db.example/app", ["p@ss-word", "p%40ss-word"]),
        ("REDIS_URL=redis://:hunter2@cache", ["hunter2"]),
        ("HOOK=https://t0ken-of@hooks.example/x", ["t0ken-of"]),
        ("A=mongodb+srv://u:short@h,https://x:other-pw@y", ["short", "other-pw"]),
    ],
)
def test_passwords_in_addresses_are_hidden_by_themselves(tmp_path, line, secrets):
    (tmp_path / ".env").write_text(line + "\n")
    redactor = dotenv.Redactor(str(tmp_path / ".env"))
    for secret in secrets:
        assert secret not in redactor.text(f"authentication failed for '{secret}'"), (secret, redactor.secrets)


@pytest.mark.parametrize(
    "line, text, shown",
    [
        ("API_KEY=abc12", "key abc12 and KEY=abc12, 'abc12'", "key ******** and KEY=********, '********'"),
        ("API_KEY=abc", "abcde dabc abc-d a_abc abc", "abcde dabc abc-d a_abc ********"),
        ("DB_PASSWORD=x7", "x7 is too short to be one", "x7 is too short to be one"),
        ("LEVEL=warn", "warn of it", "warn of it"),
        ("AUTH=true", "it is true", "it is true"),
        ("API_PIN=123", "123 ms", "123 ms"),
        ("WORKERS=12345", "12345 requests", "12345 requests"),
        ("PORT=500123", "port 500123", "port 500123"),
    ],
)
def test_short_values_are_hidden_only_as_whole_words_of_secrets(tmp_path, line, text, shown):
    (tmp_path / ".env").write_text(line + "\n")
    assert dotenv.Redactor(str(tmp_path / ".env")).text(text) == shown


@pytest.mark.parametrize(
    "text, shown",
    [
        ("https://ada:p@ss@h/x", "https://h/x"),
        ("https://h/x?mail=a@b", "https://h/x?mail=a@b"),
        ("http://h/a@b", "http://h/a@b"),
        ("ssh://git@h/x", "ssh://git@h/x"),
        ("postgres://u:p@h and amqp://v:q@i", "postgres://h and amqp://i"),
        ('"http://a","b@c"', '"http://a","b@c"'),
    ],
)
def test_users_and_passwords_are_taken_out_of_addresses(text, shown):
    assert redaction.without_passwords(text) == shown


def test_a_text_without_secrets_stays_as_it_is():
    text = "GET /health 200 in 5 ms"
    assert redaction.hide(text, [SECRET, "abc"]) == text
