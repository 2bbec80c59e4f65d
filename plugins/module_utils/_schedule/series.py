# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Samples of host and service over time: ``state/metrics/<day>.jsonl``, a line a sample, a file a day (UTC), for so many days."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import typing as t

from .._core import clock, documents, fs
from .._observe.host_metrics import Reading
from .._target import records, shapes
from .._target.layout import Layout

_DAY = re.compile(r"(\d{4}-\d\d-\d\d)\.jsonl")


class Sampled(t.TypedDict):
    """A sample of a host; its figures by metric and subject."""

    when: str
    service: str
    p95_ms: float | None
    figures: dict[str, float]


def folder(layout: Layout) -> str:
    """Where they are."""
    return layout.path("state", "metrics")


def keep(layout: Layout, now: datetime.datetime, service: str, p95_ms: float | None, metrics: t.Sequence[Reading], days: int) -> None:
    """Append a sample, and remove the files of days that are older than so many.

    :param metrics: as ``_observe.host_metrics`` has them.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder(layout), 0o700)
    figures: dict[str, float] = {}
    for metric in metrics:
        if metric["value"] is not None:
            name = f"{metric['metric']} {metric['subject']}".rstrip()
            figures[name] = metric["value"]
    line: Sampled = {"when": clock.iso(now), "service": service, "p95_ms": p95_ms, "figures": figures}
    fs.append_line(os.path.join(folder(layout), f"{now:%Y-%m-%d}.jsonl"), json.dumps(line, sort_keys=True), 0o600)
    oldest = f"{now - datetime.timedelta(days=days):%Y-%m-%d}"
    for name in os.listdir(folder(layout)):
        match = _DAY.fullmatch(name)
        if match and match.group(1) < oldest:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder(layout), name))


def read(layout: Layout, since: datetime.datetime) -> t.Iterator[Sampled]:
    """The samples since a moment, oldest first; lines that are none are left out."""
    names = sorted(os.listdir(folder(layout))) if os.path.isdir(folder(layout)) else []
    for name in names:
        match = _DAY.fullmatch(name)
        if match and match.group(1) >= f"{since:%Y-%m-%d}":
            for line in records.lines(os.path.join(folder(layout), name)):
                with contextlib.suppress(ValueError):
                    found = documents.parse(line)
                    if (
                        not shapes.fault(found, {"when": shapes.moment, "figures": {str: shapes.number}})
                        and clock.parse(found["when"]) >= since
                    ):
                        yield found
