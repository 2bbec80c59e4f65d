# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The history of a target: one JSON line an event, in ``state/history.jsonl``."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import typing as t

from .._core import clock, documents, foreign, fs
from . import records, shapes
from .layout import Layout
from .record_types import Event


def who() -> str:
    """The operator: who launched the job where that is told, else the user that runs this."""
    told = os.environ.get("MOBIUS_OPERATOR") or os.environ.get("SUDO_USER")
    return told or pwd.getpwuid(os.getuid()).pw_name


def record(layout: Layout, what: str, why: str = "", **facts: t.Any) -> Event:
    """Append an event and return it.

    :param what: the kind of event: ``prepared``, ``activated``, ``verified``, ``rolled_back``, ``backup``, ….
    :param why: the reason, in words.
    :param facts: further fields, e.g. ``release``, ``previous``, ``elapsed`` (seconds).
    """
    event = {"when": clock.iso(), "who": who(), "what": what, "why": why, **facts}
    fs.append_line(layout.history, json.dumps(event, sort_keys=True))
    return t.cast(Event, event)


def last(layout: Layout, what: str) -> Event | None:
    """The newest event of a kind, however long ago; ``None`` when there was none."""
    found = None
    for event in of_kinds(layout, (what,)):
        found = event
    return found


def size(layout: Layout) -> int:
    """How long the history is, in bytes: what is written from now on comes after that."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.getsize(layout.history)
    return 0


def of_kinds(layout: Layout, kinds: t.Collection[str], after: int = 0) -> t.Iterator[Event]:
    """Every event of some kinds, oldest first. A line that a crash cut short or that is no event is skipped.

    :param after: an earlier :func:`size`; only events that came later.
    """
    marks = [f'"what": {json.dumps(what)}'.encode() for what in kinds]
    for line in records.lines(layout.history, after):
        if any(mark in line for mark in marks):
            event = _event(line)
            if event and event["what"] in kinds:
                yield event


def events(layout: Layout, limit: int = 1000) -> list[Event]:
    """The newest events, oldest first. A line that a crash cut short or that is no event is skipped."""
    return [event for event in map(_event, _newest(layout, limit)) if event]


def unread(layout: Layout, limit: int = 1000) -> str:
    """How many of the newest lines are no events, as a finding; empty when all are."""
    if os.path.lexists(layout.history) and not os.path.isfile(layout.history):
        return f"{layout.history}: expected a file, found something else. Move it away; the next event begins another one."
    lines = _newest(layout, limit)
    bad = sum(1 for line in lines if line.strip("\0 ") and not _event(line))
    return f"{layout.history}: {bad} of the last {len(lines)} lines are not events of the history, and are skipped." if bad else ""


def _newest(layout: Layout, limit: int) -> list[str]:
    return foreign.tail(layout.history, limit, limit * 1024)


def _event(line: str | bytes) -> Event | None:
    """The event of a line, or ``None`` when it is none."""
    with contextlib.suppress(ValueError):
        event: dict[str, object] = documents.parse(line if isinstance(line, str) else line.decode("utf-8", "replace"))
        if not shapes.fault(event, records.EVENT):
            return t.cast(Event, {"who": "", "why": "", **event})
    return None
