# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pages read of the state of a host and of its incidents, for mypy: at run time each of them is a dictionary. Times are in seconds."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core.kinds import Slot
from ansible_collections.mobius.ops.plugins.module_utils._observe.host_metrics import Metric
from ansible_collections.mobius.ops.plugins.module_utils._observe.samples import Figures, Sample
from ansible_collections.mobius.ops.plugins.module_utils._target.record_types import Event, Release


class Health(Figures):
    """What the checks said."""

    results: list[Sample]


class SharedFolder(t.TypedDict):
    """A folder that all releases share, its place below the root, and whether it is there."""

    path: str
    component: str
    place: str
    exists: bool


class _Service(t.TypedDict):
    message: str
    health: Health


class Service(_Service, total=False):
    """The result of M(mobius.ops.node_service_info); ``slots`` by their ports."""

    manager: str
    app_path: str
    app_folder: str
    slots: dict[str, Slot]
    shared_folders: list[SharedFolder]
    torn_stores: list[str]


class Lock(t.TypedDict, total=False):
    """The deploy lock, or the ``fault`` of its damaged record."""

    fault: str
    owner: str
    host: str
    since: str
    reason: str
    expires: str
    expired: bool


class FourKeys(t.TypedDict):
    """DORA's four keys; ``None`` for a figure of nothing."""

    days: int
    deploys: int
    deploys_per_week: float
    failed: int
    unrestored: int
    change_failure_rate_pct: float | None
    time_to_restore: float | None
    lead_time: float | None


class _Releases(t.TypedDict):
    live: str | None
    target: str | None
    releases: list[Release]
    history: list[Event]


class Releases(_Releases, total=False):
    """The result of M(mobius.ops.release_info); ``drill`` is the newest one."""

    findings: list[str]
    lock: Lock | None
    dora: FourKeys | None
    drill: Event | None


class Host(t.TypedDict, total=False):
    """The result of M(mobius.ops.host_metrics); one that failed has no metrics."""

    status: str
    metrics: list[Metric]


class Due(t.TypedDict):
    """A time by which something has to be done, and when it was."""

    name: str
    due: str
    met: str
    overdue: bool
    late_seconds: int


class Incident(t.TypedDict):
    """An incident in short."""

    id: str
    fleet: str
    title: str
    severity: int
    severity_name: str
    status: str
    phase: str
    opened: str
    again: int
    acknowledged_by: str
    overdue: list[Due]
    next: Due | None


class IncidentRecord(t.TypedDict):
    """What of the record of an incident is shown."""

    path: str


class WholeIncident(t.TypedDict):
    """An incident with its clocks, its timeline, and the template of its review."""

    summary: Incident
    record: IncidentRecord
    clocks: list[Due]
    timeline: list[str]
    review: str


class Incidents(t.TypedDict, total=False):
    """The result of M(mobius.ops.incident_info); one that failed has no incidents."""

    incidents: list[Incident]
    incident: WholeIncident | None
    findings: list[str]
