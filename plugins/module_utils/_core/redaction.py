# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is secret in a text, and how it is hidden there. No other file decides either.

A secret of :data:`LONG` characters or more is hidden wherever it stands, also in the forms in which programs show it: percent-encoded,
escaped as in JSON, HTML or Python, and in base64, alone or as a part of what was encoded. A shorter one, of :data:`SHORT` or more, is
hidden as a whole word only: ``abc`` in ``key 'abc'`` or ``KEY=abc``, and not in ``abcde``. Hiding it everywhere would destroy the text.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import re
import typing as t
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "********"
LONG, SHORT = 6, 3
#: Names of variables whose short values are secrets, too.
NAMED = re.compile(r"(?i)secret|token|passw|passphrase|pwd|credential|private|auth|salt|signature|api_?key|_key|^key|keys?$|dsn|pin$")
#: What stands as a short value, and tells nothing.
_COMMON = frozenset(["true", "false", "yes", "none", "null", "off", "auto", "dev", "test", "prod", "info", "warn", "debug", "error"])
#: A user, a password or a token in a web address, or in that of a database. Text before an @ further on is a part of it, because
#: passwords may have one.
_USERINFO = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{1,20}://)([^/\s?#\"'<>]+)@")
#: A plain web address is no secret, and checks and incidents need to show it.
_ORIGIN = re.compile(r"https?://[^/@\s]+/?$")
#: Characters of encoded text that are specific enough to look for.
_LEAST_ENCODED = 8
#: Signs of base64 -> what stands for them in addresses.
_OF_ADDRESSES = str.maketrans("+/", "-_")


def without_passwords(text: str) -> str:
    """The text without user and password (or token) in the addresses in it."""
    return _USERINFO.sub(lambda match: match.group(1) if _is_secret(match) else match.group(), text)


def passwords(text: str) -> list[str]:
    """The ``user:password`` and tokens in the addresses of a text."""
    return [match.group(2) for match in _USERINFO.finditer(text) if _is_secret(match)]


def _is_secret(match: re.Match[str]) -> bool:
    """Whether what stands before an @ is more than a user's name, as in ssh://git@host. Web addresses have tokens there."""
    return ":" in match.group(2) or match.group(1).lower().endswith(("http://", "https://"))


def of_address(text: str) -> set[str]:
    """Everything secret in the addresses of a text: the pairs, the passwords or tokens, encoded as they are there and decoded."""
    found = set()
    for pair in passwords(text):
        user, colon, password = pair.partition(":")
        found |= {pair, unquote(pair), password if colon else user, unquote(password if colon else user)}
    return found - {""}


def in_addresses(value: t.Any) -> set[str]:
    """What is secret in the addresses of a module's arguments, in all forms; what is too short to be hidden everywhere with its @."""
    if isinstance(value, str):
        found = of_address(value) if "@" in value else set()
        return {form for text in found for form in (_forms(text) if len(text) >= LONG or ":" in text else [text + "@"])}
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return set().union(*map(in_addresses, items))


def of_value(name: str, value: str) -> set[str]:
    """What is secret of a variable: its value, each comma-separated part, each of its lines, and the passwords in it.

    A plain web address is not.
    """
    parts = {part.strip() for part in [value, *value.split(","), *value.splitlines()]}
    least = SHORT if NAMED.search(name) else LONG
    plain = {part for part in parts if len(part) >= least and not _ORIGIN.match(part) and not _tells_nothing(part)}
    return plain | {text for text in of_address(value) if len(text) >= SHORT}


def _tells_nothing(part: str) -> bool:
    return len(part) < LONG and (part.lower() in _COMMON or (part.isdigit() and len(part) <= SHORT))


def ordered(texts: t.Iterable[str]) -> list[str]:
    """Without empty ones, the longest first: one may be a part of another."""
    return sorted({text for text in texts if text}, key=lambda text: (-len(text), text))


def hide(text: str, secrets: t.Iterable[str]) -> str:
    """The text with every secret replaced by asterisks, in each of its forms."""
    for secret in secrets:
        if len(secret) >= LONG:
            for form in _forms(secret):
                if form in text:
                    text = text.replace(form, HIDDEN)
        elif len(secret) >= SHORT and secret in text:
            text = re.sub(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", HIDDEN, text)
    return text


@functools.lru_cache(maxsize=512)
def _forms(secret: str) -> list[str]:
    """A secret as it may stand in a text, the longest form first."""
    data = secret.encode("utf-8", "surrogateescape")
    escaped = json.dumps(secret)[1:-1]
    found = {
        secret,
        escaped,
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(escaped)[1:-1],
        escaped.replace("/", "\\/"),
        repr(secret)[1:-1],
        html.escape(secret),
        html.escape(secret, quote=False),
    }
    for encoded in (quote(data, safe=""), quote(data), quote_plus(data), quote(quote(data, safe=""), safe="")):
        found |= {encoded, re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), encoded)}
    for before in range(3):  # base64 of something that ends or goes on with it
        whole = base64.b64encode(b"\0" * before + data).decode("ascii")
        end = whole[(0, 2, 3)[before] :]
        inner = end[: (len(data) + before) * 8 // 6 - (0, 2, 3)[before]]
        if len(inner) >= _LEAST_ENCODED:
            found |= {text.translate(signs) for text in (inner, end, end.rstrip("=")) for signs in ({}, _OF_ADDRESSES)}
    return ordered(found)
