# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What needs attention on a host and has no verdict of its own: jobs that are stuck, errors that are new, disks that fill up."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import os
import typing as t

from .._core import clock
from .._core.errors import OpsError
from .._jobs import listing
from .._jobs.listing import Watched
from .._logs import marks, report, totals
from .._logs.serving import Past
from .._maintenance import forecast
from .._observe import host_metrics
from .._service import registry as service_registry
from .._target import records
from .._target.layout import Layout
from . import series

#: Days of samples that a forecast takes, and that it needs at least.
_DAYS, _LEAST = 14, 7
#: Error templates that are named.
_ROWS = 10
_USED = "disk_used_bytes "


def stuck(layout: Layout, service: str, programs: list[str], window: float) -> list[Watched]:
    """The jobs of a service that do not get on. Without jobs this takes no time; with jobs *window* seconds.

    :raises OpsError: when the service cannot be looked at.
    """
    jobs = listing.listed(service_registry.load(layout, service), programs)
    return [one for one in listing.watched(jobs, window) if one["verdict"] in ("stuck", "stopped")] if jobs else []


@dataclasses.dataclass(frozen=True)
class NewErrors:
    """Error templates whose first line came after the last deploy, as the last reading of the logs found them."""

    #: When the logs were read; ``None`` when they never were.
    read: str | None
    templates: tuple[dict[str, object], ...] = ()


def new_errors(layout: Layout) -> NewErrors:
    """What the last run of ``log_report`` has counted. Nothing is read but its totals. :raises IntegrityError: when they are damaged."""
    path = marks.path(layout)
    found = records.read(path, records.LOGS)
    if found is None or found["version"] != marks.VERSION:
        return NewErrors(None)
    rows: t.Sequence[t.Mapping[str, object]] = report.errors(totals.from_json(found["totals"]), Past(layout))
    fresh = [{name: row[name] for name in ("template", "count", "first", "last", "release", "incident")} for row in rows if row["new"]]
    return NewErrors(clock.from_epoch(os.stat(path).st_mtime), tuple(fresh[:_ROWS]))


def days_left(layout: Layout, now: datetime.datetime) -> dict[str, float | None]:
    """Mount point -> days until it is full, by the forecast of maintenance from the last two weeks; ``None`` when it does not fill up.

    Disks with less than a week of samples, or that do not answer, are left out.
    """
    days: dict[str, dict[int, float]] = collections.defaultdict(dict)
    for sample in series.read(layout, now - datetime.timedelta(days=_DAYS)):
        for name, value in sample["figures"].items():
            if name.startswith(_USED):
                days[name[len(_USED) :]][clock.parse(sample["when"]).toordinal()] = value
    found: dict[str, float | None] = {}
    for mount, used in sorted(days.items()):
        if len(used) <= _LEAST:
            continue
        with contextlib.suppress(OSError, OpsError):
            told = forecast.forecast([forecast.Sample(day, used[day]) for day in sorted(used)], host_metrics.room(mount).free)
            found[mount] = None if told.likely is None else round(told.likely, 1)
    return found


def of(layout: Layout, service: str, programs: list[str], window: float, findings: records.Findings) -> dict[str, object]:
    """All of it; what cannot be told is ``None``, and a damaged record a finding."""
    try:
        jobs: list[Watched] | None = stuck(layout, service, programs, window)
    except OpsError:
        jobs = None
    errors = findings.without(lambda: new_errors(layout), NewErrors(None))
    return {"stuck_jobs": jobs, "new_errors": list(errors.templates), "logs_read": errors.read, "disk_days": days_left(layout, clock.now())}
