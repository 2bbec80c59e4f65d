# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The history of a target: one JSON line an event, in ``state/history.jsonl``."""
from __future__ import annotations

import contextlib
import json
import os
import pwd
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _clock, _files
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout


def who() -> str:
    """The operator: who launched the job where that is told, else the user that runs this."""
    told = os.environ.get("MOBIUS_OPERATOR") or os.environ.get("SUDO_USER")
    return told or pwd.getpwuid(os.getuid()).pw_name


def record(layout: Layout, what: str, why: str = "", **facts: t.Any) -> dict[str, t.Any]:
    """Append an event and return it.

    :param what: the kind of event: ``prepared``, ``activated``, ``verified``, ``rolled_back``, ``backup``, ….
    :param why: the reason, in words.
    :param facts: further fields, e.g. ``release``, ``previous``, ``elapsed`` (seconds).
    """
    event = {"when": _clock.iso(), "who": who(), "what": what, "why": why, **facts}
    _files.append_line(layout.history, json.dumps(event, sort_keys=True))
    return event


def last(layout: Layout, what: str) -> dict[str, t.Any] | None:
    """The newest event of a kind, however long ago; ``None`` when there was none."""
    found = None
    mark = f'"what": {json.dumps(what)}'
    with contextlib.suppress(FileNotFoundError), open(layout.history, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if mark in line:
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    found = event if event["what"] == what else found
    return found


def size(layout: Layout) -> int:
    """How long the history is, in bytes: what is written from now on comes after that."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.getsize(layout.history)
    return 0


def of_kinds(layout: Layout, kinds: t.Collection[str], after: int = 0) -> t.Iterator[dict[str, t.Any]]:
    """Every event of some kinds, oldest first. A line that a crash cut short is passed over.

    :param after: an earlier :func:`size`; only events that came later.
    """
    marks = [f'"what": {json.dumps(what)}' for what in kinds]
    with contextlib.suppress(FileNotFoundError), open(layout.history, encoding="utf-8", errors="replace") as stream:
        stream.seek(after)
        for line in stream:
            if any(mark in line for mark in marks):
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event["what"] in kinds:
                        yield event


def events(layout: Layout, limit: int = 1000) -> list[dict[str, t.Any]]:
    """The newest events, oldest first. A line that a crash cut short is passed over."""
    found = []
    for line in _files.tail(layout.history, limit, limit * 1024):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
