# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The job metrics: look at service and disks, keep a sample now and then, and tell what people have to hear of.

A watch that runs judges the service itself, and whoever holds the deploy lock changes it on purpose: then a service that is down is only
noted. One that was stopped by an operator is not down.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import time
import typing as t

from .._core import clock, dotenv, fs
from .._core.errors import OpsError
from .._observe import health, host_metrics, probe, thresholds
from .._observe.host_metrics import Metric, Reading
from .._service import registry as service_registry
from .._target import deploy_lock, incident_log, records
from .._target.layout import Layout
from .._target.record_types import Check
from .._target.releases import ReleaseStore
from .._watch import folders as watch_folders
from .._watch.watch_types import WatchState
from . import series
from .ended import Ended, Trouble, Wanted

#: A service is down when that many looks say so, so many seconds apart; the checks of a look take at most LIMIT seconds.
LOOKS, PAUSE, LIMIT = 3, 2.0, 5.0
#: Seconds that a service has to become ready, after a boot or when it was started on purpose; one that has crashed has none.
GRACE = 60.0
#: Seconds for which a trouble has to be gone before its incident is resolved: one that comes and goes is one incident.
DWELL = 600
DOWN, DISK = "service_down", "disk_critical"
#: Severities: the service is out; uploads, renders and backups fail soon.
_DOWN_SEVERITY, _DISK_SEVERITY = 1, 2


@dataclasses.dataclass(frozen=True)
class Request:
    """What to look at."""

    service: str
    #: In full form (``_observe.health.normalize_all``).
    checks: list[Check]
    thresholds: dict[str, tuple[float, float]]
    mounts: tuple[str, ...]
    #: Seconds between two samples that are kept, and days for which they are.
    every: float
    keep_days: int

    @classmethod
    def read(cls, options: t.Mapping[str, t.Any], service: str) -> Request:
        """The request of a record. :raises InputError: when something in it has a wrong value."""
        return cls(
            service,
            health.normalize_all(options["checks"], options["headers"], options["secret_headers"]),
            thresholds.merge(options["thresholds"]),
            tuple(options["mounts"]),
            options["every"],
            options["keep_days"],
        )


@dataclasses.dataclass(frozen=True)
class Found:
    """How the service is."""

    status: str
    #: What is wrong; empty when nothing is, or nothing can be told.
    fault: str
    pid: int | None
    restarts: int | None
    p95_ms: float | None


def look(layout: Layout, wanted: Wanted) -> Ended:
    """Look once."""
    request = Request.read(wanted.options["metrics"], wanted.service)
    found = service(layout, request)
    busy = _busy(layout) if found.fault else ""
    disks = host_metrics.disks([*host_metrics.places(layout), *request.mounts], request.thresholds)
    full = [metric for metric in disks if metric["status"] == "critical"]
    now, before = clock.now(), _before(layout)
    due = not before.sampled or abs((now - clock.parse(before.sampled)).total_seconds()) >= request.every
    if due:
        series.keep(layout, now, found.status, found.p95_ms, _sample(request, found, disks), request.keep_days)
    troubles = [_full(metric, disks) for metric in full]
    if found.fault and not busy:
        troubles.insert(0, _down(layout, request.service, found))
    said = [
        f"{request.service} is {found.status}" + (f": {found.fault}" if found.fault else ""),
        busy,
        *(host_metrics.told(metric) for metric in full),
    ]
    seen, over = _settled(before.seen, now, [each.cause for each in troubles], bool(found.fault))
    if due or seen != before.seen:
        _save(layout, Looked(clock.iso(now) if due else before.sampled, seen))
    return Ended("trouble" if troubles else "looked", ". ".join(filter(None, said)) + ".", True, tuple(troubles), tuple(over))


def _sample(request: Request, found: Found, disks: list[Metric]) -> t.Sequence[Reading]:
    """The figures of one sample; without psutil only those of disks."""
    readings: list[Reading] = [*disks, *filter(None, [_bytes(metric["subject"]) for metric in disks if metric["metric"] == "disk_pct"])]
    try:
        return [
            *host_metrics.collect({"window": 1.0, "pid": found.pid, "restarts": found.restarts, "thresholds": request.thresholds})[
                "metrics"
            ],
            *readings,
        ]
    except OpsError:
        return readings


def _bytes(mount: str) -> Reading | None:
    """Bytes that are used on a file system, for forecasts."""
    with contextlib.suppress(OSError, OpsError):
        return {"metric": "disk_used_bytes", "subject": mount, "value": host_metrics.room(mount).used}
    return None


def service(layout: Layout, request: Request, sleep: t.Callable[[float], t.Any] = time.sleep) -> Found:
    """How the service is; one that does not answer is asked again before it counts as down."""
    found = _once(layout, request)
    for _again in range(LOOKS - 1):
        if not found.fault:
            break
        sleep(PAUSE)
        found = _once(layout, request)
    return found


def _once(layout: Layout, request: Request) -> Found:
    try:
        known = service_registry.load(layout, request.service)
        facts, live = known.status(), ReleaseStore(layout).live()
    except OpsError as error:
        return Found("unknown", str(error).rstrip("."), None, None, None)
    status, pid, restarts = facts["status"], facts["pid"], facts["restarts"]
    if status == "stopped" or (live is None and known.deployed):
        return Found(status, "", pid, restarts, None)
    redactor = dotenv.Redactor(layout.env_file)
    short: list[Check] = [{**check, "timeout": min(check["timeout"], LIMIT)} for check in request.checks]
    checks = probe.of_release(short, live, redactor.secrets)
    samples = health.sample_all(checks) if pid else []
    figures = health.summarize(samples, request.thresholds)
    failed = health.outcome(samples) == "failed"
    fault = redactor.text(health.first_fault(samples)) if failed else "" if pid else f"no process of it runs ({status})"
    if fault and pid and facts["uptime"] < GRACE and not restarts:
        return Found("starting", "", pid, restarts, None)
    return Found("failing" if failed else status, fault, pid, restarts, figures["p95_ms"])


def _busy(layout: Layout) -> str:
    """Who else looks after the service now; empty when nobody does."""
    with contextlib.suppress(OpsError):
        watch = watch_folders.latest(layout)
        state = watch.state() if watch else None
        if watch and state and state["status"] in watch_folders.GOING:
            return f"watch {watch.id} judges that"
        if (
            watch
            and state
            and state.get("verdict") == "frozen"
            and state.get("release") == ReleaseStore(layout).live()
            and _open(layout, state)
        ):
            return f"{state['incident']} of watch {watch.id} is open for that"
    lock = deploy_lock.DeployLock(layout).look()
    if lock and not lock.get("fault") and not lock["expired"]:
        return deploy_lock.DeployLock.holder(lock)
    return ""


def _open(layout: Layout, state: WatchState) -> bool:
    """Whether the incident of a watch is not resolved."""
    path = os.path.join(layout.incidents, os.path.basename(state.get("incident") or "none") + ".json")
    record = records.read(path, records.INCIDENT)
    return bool(record) and not incident_log.state(record).resolved


def _down(layout: Layout, name: str, found: Found) -> Trouble:
    console: list[str] = []
    with contextlib.suppress(OpsError, OSError):
        console = service_registry.load(layout, name).evidence()
    said = f"{found.fault}. No watch runs, so nothing was rolled back."
    return Trouble(DOWN, _DOWN_SEVERITY, f"{name} is down", said, {"console": console})


def _full(metric: Metric, disks: list[Metric]) -> Trouble:
    what = "full" if metric["metric"] == "disk_pct" else "out of inodes"
    return Trouble(
        f"{DISK}:{metric['subject']}",
        _DISK_SEVERITY,
        f"{metric['subject']} is nearly {what}",
        f"{host_metrics.told(metric)}. {metric['todo']}",
        {"disks": [host_metrics.told(each) for each in disks]},
    )


@dataclasses.dataclass(frozen=True)
class Looked:
    """What looks have left for the next one."""

    #: When the last sample was kept.
    sampled: str | None
    #: Cause of a trouble -> when it was last there.
    seen: dict[str, str]


def _path(layout: Layout) -> str:
    return layout.path("state", "schedule", "look.json")


def _before(layout: Layout) -> Looked:
    """What looks have left; nothing when that is damaged."""
    found = records.Findings().without(lambda: records.read(_path(layout), records.LOOKED), None) or {"sampled": None, "seen": {}}
    return Looked(found["sampled"], found["seen"])


def _save(layout: Layout, looked: Looked) -> None:
    os.makedirs(os.path.dirname(_path(layout)), 0o700, exist_ok=True)
    fs.write_json(_path(layout), dataclasses.asdict(looked), 0o600)


def _settled(seen: dict[str, str], now: datetime.datetime, there: list[str], unclear: bool) -> tuple[dict[str, str], list[str]]:
    """The troubles to remember, and those that have been gone for long enough.

    :param there: causes that are there now.
    :param unclear: whether the service is down while others look after it.
    """
    present = [*there, *([DOWN] if unclear and DOWN in seen else [])]
    gone = [cause for cause, last in seen.items() if cause not in present and (now - clock.parse(last)).total_seconds() >= DWELL]
    kept = {cause: last for cause, last in seen.items() if cause not in present and cause not in gone}
    return {**kept, **{cause: clock.iso(now) for cause in present}}, gone
