# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pages read of the state of a host and of its incidents, for mypy: at run time each of them is a dictionary. Times are in seconds."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core.kinds import Slot
from ansible_collections.mobius.ops.plugins.module_utils._observe.dora import FourKeys
from ansible_collections.mobius.ops.plugins.module_utils._observe.host_metrics import Metric
from ansible_collections.mobius.ops.plugins.module_utils._observe.samples import Figures, Sample
from ansible_collections.mobius.ops.plugins.module_utils._target.deploy_lock import Shown
from ansible_collections.mobius.ops.plugins.module_utils._target.incident_list import Due, Summary
from ansible_collections.mobius.ops.plugins.module_utils._target.record_types import Event, Release
from ansible_collections.mobius.ops.plugins.module_utils._target.shared_folders import Described


class Health(Figures):
    """What the checks said."""

    results: list[Sample]


class _Service(t.TypedDict):
    message: str
    health: Health


class Service(_Service, total=False):
    """The result of M(mobius.ops.node_service_info); ``slots`` by their ports."""

    manager: str
    app_path: str
    app_folder: str
    slots: dict[str, Slot]
    shared_folders: list[Described]
    torn_stores: list[str]


class _Releases(t.TypedDict):
    live: str | None
    target: str | None
    releases: list[Release]
    history: list[Event]


class Releases(_Releases, total=False):
    """The result of M(mobius.ops.release_info); ``drill`` is the newest one."""

    findings: list[str]
    lock: Shown | None
    dora: FourKeys | None
    drill: Event | None


class Host(t.TypedDict, total=False):
    """What M(mobius.ops.host_metrics) returns; without metrics when it failed."""

    status: str
    metrics: list[Metric]


class IncidentRecord(t.TypedDict):
    """What of the record of an incident is shown."""

    path: str


class WholeIncident(t.TypedDict):
    """An incident with its clocks, its timeline, and the template of its review."""

    summary: Summary
    record: IncidentRecord
    clocks: list[Due]
    timeline: list[str]
    review: str


class Incidents(t.TypedDict, total=False):
    """What M(mobius.ops.incident_info) returns; without incidents when it failed."""

    incidents: list[Summary]
    incident: WholeIncident | None
    findings: list[str]
