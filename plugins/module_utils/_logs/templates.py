# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs between two lines that mean the same is masked: numbers, ids, addresses and paths."""

from __future__ import annotations

import functools
import re
import typing as t

from .._core import wording

#: Characters of a template, of a sample and of a route.
LONGEST, SAMPLE, ROUTE = 240, 400, 120
#: What has to be in a text for a mask to be tried, which is found much faster; the pattern, and the mask.
_MASKS = (
    (b"\x1b", re.compile(rb"\x1b\[[0-9;?]{0,20}[A-Za-z]"), b""),
    (b"://", re.compile(rb"[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>)\]]+"), b"<url>"),
    (b"-", re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"), b"<time>"),
    (b"@", re.compile(rb"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"), b"<mail>"),
    (b":", re.compile(rb"(?i)(?<![\w:])(?:(?:[0-9a-f]{1,4}:){2,7}(?::|[0-9a-f]{1,4})+|::(?:ffff:)?[0-9a-f.]+)"), b"<address>"),
    (b".", re.compile(rb"\b(?:\d{1,3}\.){3}\d{1,3}\b(?::\d+)?"), b"<address>"),
    (b"/", re.compile(rb"(?<![\w<])(?:file:)?\.{0,2}(?:/[^\s/:\"'<>()|,;\]]+){2,}/?(?::\d+(?::\d+)?)?"), b"<path>"),
    (
        b"",
        re.compile(
            rb"(?i)(?<![\w<-])(?=[\w-]{0,80}\d)(?=[\w-]{8})[0-9a-z_]{1,40}(?:-[0-9a-z_]{1,40}){1,6}\b|"
            rb"\b(?=[0-9a-f]{0,80}\d)(?:[0-9a-f]{7,}|(?=\d{0,80}[a-f])[0-9a-f]{4,6})\b"
        ),
        b"<id>",
    ),
    (b"", re.compile(rb"(?<![<\w])[+-]?\d+(?:[.,]\d+)*(?=(?:ms|s|kB|MB|GB|KB|B|%|px)?\b)|(?<=[a-z])\d+\b"), b"<n>"),
)
#: A frame of a stack in one line: the message before it tells what the error is.
_FRAMES = re.compile(rb"(?: \| |\\n|\s)\s*at (?:async )?[^|\n]*(?: \||\().*")
_QUERY = re.compile(rb"[?#][^\n]*")
#: Files of a folder of files, files with a number in their name, and ids, as a part of a path.
_FILES = re.compile(rb"(?m)/(uploads|static|thumbnails|assets|images|files|media|js|css|fonts)/[^/\n]*\.[A-Za-z0-9]{1,5}$")
_FILE = re.compile(rb"(?m)/[^/\n]*\d[^/\n]*\.[A-Za-z0-9]{1,5}$")
_ID = re.compile(rb"(?m)/(?:\d+|(?=[^/\n]*\d)[\w~-]{6,}|[A-Za-z_-]{0,40}\d{2,}[\w-]*|[^/\n]{41,})(?=/|$)")
#: What an error about uploads has in its text; the names are multer's and the system's.
UPLOAD = re.compile(
    r"(?i)multer|upload|\bLIMIT_(?:FILE|PART|FIELD|UNEXPECTED)|multipart|unexpected (?:field|end of form)"
    r"|file too large|too many files"
)


def hidden(messages: list[bytes], hide: t.Callable[[str], str]) -> list[bytes]:
    """Messages without secrets. All are looked through at once; a mask or a cut before that would leave a part of one."""

    def clean(text: bytes) -> bytes:
        return hide(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    found = clean(b"\n".join(messages)).split(b"\n") if messages else []
    # A secret of several lines may have been found across two messages.
    return found if len(found) == len(messages) else [clean(message) for message in messages]


def masked(messages: list[bytes]) -> list[bytes]:
    """The templates of messages, in their order. All are masked in one pass, for that is several times as fast.

    :param messages: without line ends.
    """
    starts = [message[: 2 * LONGEST] for message in messages]
    text = b"\n".join(_FRAMES.sub(b"", start) if b"at " in start else start for start in starts)
    for needle, pattern, mask in _MASKS:
        text = pattern.sub(mask, text) if needle in text else text
    return text.split(b"\n") if messages else []


def shown(template: bytes, limit: int = LONGEST) -> str:
    """Bytes of a log as a text of one line and bounded length."""
    return wording.cut(wording.one_line(template[: 4 * limit].decode("utf-8", "replace")), limit)


#: Path -> route, of those that came lately; paths that differ in each request would fill the memory.
_KNOWN: dict[bytes, bytes] = {}
_MOST_KNOWN = 30_000


def routes(paths: t.Sequence[bytes]) -> list[bytes]:
    """Paths without their queries, with ids and the names of files masked, in their order; all new ones in one pass."""
    if len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.clear()
    new = [path for path in set(paths) if path not in _KNOWN]
    if new:
        text = b"\n".join(new)
        for pattern, mask in ((_QUERY, b""), (_FILES, rb"/\1/:file"), (_FILE, b"/:file"), (_ID, b"/:id")):
            text = pattern.sub(mask, text)
        _KNOWN.update(zip(new, text.split(b"\n")))
    return [_KNOWN[path] for path in paths]


@functools.lru_cache(maxsize=4096)
def label(method: bytes, route: bytes) -> str:
    """A route's name."""
    return f"{shown(method, 12)} {shown(route or b'/', ROUTE)}".strip()


#: Addresses in a text; what only looks like one, such as a time, stays.
_ADDRESS = re.compile(
    r"(?i)(?<![\w.])(?:(?<!:)::ffff:)?\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)|(?<![\w:])"
    r"(?=[0-9a-f:]{0,40}(?:::|(?:[0-9a-f]{1,4}:){7}))[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:.])"
)


def without_addresses(text: str) -> str:
    """A text in which only the networks of addresses are left."""
    return _ADDRESS.sub(lambda found: masked_address(found.group()), text)


def masked_address(address: str) -> str:
    """An address of which only the network is left: 10.1.2.x, 2001:db8:1::x."""
    plain = address[7:] if address.lower().startswith("::ffff:") and "." in address else address
    numbers = plain.split(".")
    if len(numbers) == 4 and all(number.isdigit() for number in numbers):
        return ".".join(numbers[:3]) + ".x"
    if ":" in plain:
        return ":".join(plain.split("::")[0].split(":")[:3]) + "::x"
    return plain if plain in ("-", "(other)") else "x"
