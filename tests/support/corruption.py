# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What damage, editors and other programs make of a JSON record."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import types
import typing as t

#: Values of every kind, and texts that break what uses them as a time, a number, a path or a command.
VALUES: list[t.Any] = [
    None,
    True,
    False,
    0,
    -1,
    7,
    1.5,
    1e308,
    float("inf"),
    float("nan"),
    10**400,
    "",
    "abc",
    "../../etc",
    "/",
    "a\0b",
    "\ud800",
    "\x1b[31m",
    "2026-01-01",
    "9999-99-99T99:99:99Z",
    "x" * 5000,
    [],
    [[]],
    ["x"],
    [None],
    {},
    {"a": "b"},
    [{"a": {}}],
]

#: Whole contents that are no record.
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  \n",
    "garbage": bytes(range(256)),
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "zeros": b"\0" * 4096,
    "list": b"[1, 2]",
    "null": b"null",
    "number": b"7",
    "text": b'"abc"',
    "object": b"{}",
    "word": b"WRONG",
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "closed and deep": b"[" * 900 + b"]" * 900,
    "digits": b"9" * 100_000,
    "surrogate": b'{"\\ud800": "\\udfff"}',
    "two": b"{} {}",
    "utf-16": '{"a": 1}'.encode("utf-16"),
}


def other_kind(value: t.Any) -> t.Any:
    """A value of another kind."""
    return "x" if isinstance(value, list) else ["x"]


def variants(value: t.Any) -> t.Iterator[tuple[str, t.Any]]:
    """A record with each field of its upper two levels missing, and of another kind."""
    yield "all of another kind", {name: other_kind(item) for name, item in value.items()} if isinstance(value, dict) else {"a": value}
    items: list[t.Any] = list(value.items() if isinstance(value, dict) else enumerate(value))
    for name, item in items:
        left = {key: each for key, each in items if key != name}
        yield f"without {name}", left if isinstance(value, dict) else list(left.values())
        for strange in (other_kind(item), None if item is not None else 7, {"a": [1]} if not isinstance(item, dict) else 1.5):
            changed = {**left, name: strange}
            yield f"{name} as {strange!r}", changed if isinstance(value, dict) else list(changed.values())
        if isinstance(item, (dict, list)) and item:
            inner = next(variants(item))[1]
            changed = {**left, name: inner}
            yield f"{name} of others", changed if isinstance(value, dict) else list(changed.values())


def _fifo(path: str) -> None:
    os.mkfifo(path)


def _socket(path: str) -> None:
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")  # a path has 107 bytes at most
    finally:
        os.close(folder)


#: What may be in a record's place.
PLACES: dict[str, t.Callable[[str], None]] = {
    "a folder": os.mkdir,
    "a pipe": _fifo,
    "a socket": _socket,
    "a link to nothing": lambda path: os.symlink("nowhere", path),
    "a link to itself": lambda path: os.symlink(os.path.basename(path), path),
    "an endless file": lambda path: os.symlink("/dev/zero", path),
}


@contextlib.contextmanager
def instead(path: str, content: bytes | t.Callable[[str], None]) -> t.Iterator[None]:
    """While the block runs, a record has another content, or something else is in its place."""
    kept = f"{path}.kept-by-the-test"
    there = os.path.lexists(path)
    if there:
        os.rename(path, kept)
    try:
        if callable(content):
            content(path)
        else:
            with open(path, "wb") as stream:
                stream.write(content)
        yield
    finally:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
        if there:
            os.rename(kept, path)


class Hang(BaseException):
    """Something waits for what never comes."""


@contextlib.contextmanager
def no_hang(seconds: float) -> t.Iterator[None]:
    """:raises Hang: when the block takes so long."""

    def end(_number: int, _frame: types.FrameType | None) -> None:
        raise Hang(f"no end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def damages(path: str) -> t.Iterator[tuple[str, bytes | t.Callable[[str], None]]]:
    """Everything that a record is damaged by, with a name."""
    yield from CONTENTS.items()
    yield from PLACES.items()
    if os.path.isfile(path):
        with open(path, "rb") as stream:
            content = stream.read()
        yield "cut", content[: len(content) // 2]
        if content:
            yield "one bit", content[: len(content) // 3] + bytes([content[len(content) // 3] ^ 0x10]) + content[len(content) // 3 + 1 :]
        with contextlib.suppress(ValueError):
            for name, value in variants(json.loads(content)):
                yield name, json.dumps(value).encode()
