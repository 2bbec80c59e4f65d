# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(status_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.filter import upkeep_page
from ansible_collections.mobius.ops.plugins.module_utils._backup.backup_types import BackupFacts
from ansible_collections.mobius.ops.plugins.module_utils._core import clock, wording
from ansible_collections.mobius.ops.plugins.module_utils._core.wording import human_size
from ansible_collections.mobius.ops.plugins.module_utils._observe import host_metrics
from ansible_collections.mobius.ops.plugins.module_utils._observe.dora import FourKeys
from ansible_collections.mobius.ops.plugins.module_utils._target.deploy_lock import Shown
from ansible_collections.mobius.ops.plugins.module_utils._target.incident_list import Summary
from ansible_collections.mobius.ops.plugins.module_utils._target.record_types import Event, Release
from ansible_collections.mobius.ops.plugins.plugin_utils import task_result
from ansible_collections.mobius.ops.plugins.plugin_utils.status_types import Host, Incidents, Releases, Service

DOCUMENTATION = r"""
name: status_page
short_description: Lay out the state of a host as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes a page for people of what M(mobius.ops.node_service_info), M(mobius.ops.release_info) and
    M(mobius.ops.backup_info) returned, and M(mobius.ops.host_metrics) where it was asked.
positional: _input, releases, backups, backups_fault
options:
  _input:
    description: The result of M(mobius.ops.node_service_info).
    type: dict
    required: true
  releases:
    description: The result of M(mobius.ops.release_info).
    type: dict
    required: true
  backups:
    description: The backups that M(mobius.ops.backup_info) returned.
    type: list
    elements: dict
    required: true
  backups_fault:
    description: Why the backups could not be listed; shown in their place.
    type: str
    default: ""
  host:
    description:
      - The result of M(mobius.ops.host_metrics). The key metrics and what is not normal are shown, or why the host could not be measured.
    type: dict
  incidents:
    description: The result of M(mobius.ops.incident_info). The open incidents are shown, or why they could not be read.
    type: dict
  upkeep:
    description: The result of M(mobius.ops.upkeep_info), or why the host could not be looked at.
    type: dict
"""

EXAMPLES = r"""
- name: Show the state
  ansible.builtin.debug:
    msg: "{{ service | mobius.ops.status_page(releases, backups.backups) }}"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""


#: Seconds after which another drill is due: a quarter and some days.
DRILL_EVERY = 100 * 86400


def table(head: list[str], rows: list[list[t.Any]]) -> list[str]:
    """Lines of a plain table; columns as wide as their widest cell."""
    if not rows:
        return ["  none"]
    cells = [head] + [[str(cell if cell is not None else "-") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def marks(record: Release, releases: Releases) -> str:
    """What a release is to an operator."""
    return "<- live" if record["id"] == releases["live"] else "<- rollback target" if record["id"] == releases["target"] else ""


def made_for(backup: BackupFacts) -> str:
    """What a backup is for, such as ``deploy: before the deploy of v2``."""
    return ": ".join(filter(None, [backup.get("purpose") or "unknown", (backup.get("why") or "")[:100]]))


def remarks(backup: BackupFacts) -> str:
    """Why a backup is not verified, and what else is to be known of it."""
    shrunk = ", ".join(sorted(backup.get("shrunk") or {}))
    return "; ".join(
        filter(None, [backup.get("reason"), f"shrunk: {shrunk}" if shrunk else "", "dated in the future" if backup.get("future") else ""])
    )


def drill_line(event: Event | None) -> str:
    """When it was last tried whether a backup can be restored."""
    todo = "Run: ansible-playbook mobius.ops.drill."
    if not event:
        return f"Last drill: none. {todo}"
    age = (clock.now() - clock.parse(event["when"])).total_seconds()
    verdict = event.get("verdict") or "unknown"
    due = "" if verdict == "passed" and age < DRILL_EVERY else " " + todo
    why = "" if verdict == "passed" else f" ({event['why'][:100]})"
    return f"Last drill: {verdict}{why} {wording.duration(age)} ago, {event['when']}.{due}"


def lock_lines(lock: Shown | None) -> list[str]:
    """Who works on the host, when somebody does."""
    if not lock:
        return []
    if "fault" in lock:
        return [f"Deploy lock: {lock['fault']}"]
    until = ("expired " if lock["expired"] else "expires ") + lock["expires"]
    return [f"Deploy lock: held by {lock['owner']} on {lock['host']} since {lock['since']} for '{lock['reason']}', {until}"]


def finding_lines(service: Service, releases: Releases) -> list[str]:
    """Torn stores, and damaged records that the message of the service does not name already."""
    found = dict.fromkeys(releases.get("findings") or [])
    lock = (releases.get("lock") or {}).get("fault")
    damaged = [f"Damaged: {finding}" for finding in found if finding not in service["message"] and finding != lock]
    return [f"Damaged: {sentence}" for sentence in service.get("torn_stores") or []] + damaged


def dora_line(dora: FourKeys | None) -> str:
    """The four keys in a line."""
    if not dora or not dora["deploys"]:
        return f"Deploys in the last {dora['days'] if dora else 30} days: none"
    parts = [
        f"Deploys in the last {dora['days']} days: {dora['deploys']} ({dora['deploys_per_week']:g} a week)",
        f"{dora['failed']} failed ({dora['change_failure_rate_pct']:g} %)",
    ]
    if dora["time_to_restore"] is not None:
        parts.append(f"time to restore {wording.duration(dora['time_to_restore'])}")
    if dora["unrestored"]:
        parts.append(f"{dora['unrestored']} not restored yet")
    if dora["lead_time"] is not None:
        parts.append(f"lead time from the commit {wording.duration(dora['lead_time'])}")
    return ", ".join(parts)


#: How the application gets to the folder in which it sees its release.
WAYS = {
    "mounted": "{}, where systemd mounts its release",
    "bound": "{}, where its release is mounted in a mount namespace of its own",
    "linked": "{}, which has links to all that is in its release",
    "moving": "that of its release, so paths that it stores break with the next one. Where the host allows it, a restart brings {}",
}


def place_lines(service: Service) -> list[str]:
    """Where the application sees its release, its instances, and the folders that all releases share."""
    if service.get("manager") == "adopted":
        return ["This collection takes care of it, and does not deploy it: no releases, no rollback."]
    lines = ["Application folder: " + WAYS[service["app_path"]].format(service["app_folder"])] if service.get("app_path") else []
    if service.get("slots"):
        lines += [
            "",
            "Instances",
            *table(
                ["port", "status", "release", ""],
                [
                    [port, facts["status"], facts["release"], "<- serves" if facts["serves"] else ""]
                    for port, facts in service["slots"].items()
                ],
            ),
        ]
    if service.get("shared_folders"):
        lines += [
            "",
            "Shared folders",
            *table(
                ["path in the release", "kept in", "component", ""],
                [
                    [entry["path"], entry["place"], entry["component"], "" if entry["exists"] else "MISSING: run mobius.ops.setup"]
                    for entry in service["shared_folders"]
                ],
            ),
        ]
    elif "shared_folders" in service:
        lines += ["", "Shared folders", "  unknown: an earlier version has set this host up. Run: ansible-playbook mobius.ops.setup."]
    return lines


def host_lines(host: Host | None) -> list[str]:
    """The host's key metrics and what is not normal, or why there are none."""
    if not host:
        return []
    if "metrics" not in host:
        return ["", "Host", "  " + task_result.cause(host, "not measured")]
    rows = [
        [metric["metric"], metric["subject"], host_metrics.shown(metric), metric["status"], metric["todo"]]
        for metric in host["metrics"]
        if metric["metric"] in host_metrics.KEY or metric["status"] != "normal"
    ]
    return ["", f"Host: {host['status']}", *table(["metric", "subject", "value", "status", "what to do"], rows)]


def incident_lines(incidents: Incidents | None) -> list[str]:
    """Open incidents, when there are any, with what is late or due next."""
    if not incidents:
        return []
    if "incidents" not in incidents:
        return ["", "Open incidents", "  " + task_result.cause(incidents, "not read")]
    damaged = [f"Damaged: {finding}" for finding in incidents.get("findings") or []]
    if not incidents["incidents"]:
        return [*damaged, "Open incidents: none"]
    return [
        *damaged,
        "",
        "Open incidents",
        *table(
            ["id", "severity", "status", "opened", "due", "what"],
            [
                [one["id"], f"{one['severity']} {one['severity_name']}", one["status"], one["opened"] or None, due(one), one["title"][:100]]
                for one in incidents["incidents"]
            ],
        ),
    ]


def due(incident: Summary) -> str:
    """What of an incident is late, else what is due next."""
    late = [f"{each['name']} {wording.duration(each['late_seconds'])}" for each in incident["overdue"]]
    if late:
        return "OVERDUE: " + ", ".join(late)
    return f"{incident['next']['name']} by {incident['next']['due']}" if incident["next"] else "-"


def upkeep_lines(upkeep: upkeep_page.Upkeep | None) -> list[str]:
    """What the host does by itself, and what needs attention."""
    if not upkeep:
        return []
    if "jobs" not in upkeep:
        return ["", "Scheduled jobs", "  " + task_result.cause(upkeep, "not looked at")]
    return ["", "Scheduled jobs", *upkeep_page.job_lines(upkeep["jobs"]), *upkeep_page.attention_lines(upkeep)]


def status_page(
    service: Service,
    releases: Releases,
    backups: list[BackupFacts],
    backups_fault: str = "",
    host: Host | None = None,
    incidents: Incidents | None = None,
    upkeep: upkeep_page.Upkeep | None = None,
) -> str:
    """The page: service, health, open incidents, host, releases, backups, jobs, last events."""
    health = service["health"]
    lines = [service["message"]]
    if health["results"]:
        lines.append(f"Health: {health['status']}, error rate {health['error_rate_pct']} %, p95 {health['p95_ms']} ms")
    lines += finding_lines(service, releases)
    lines += lock_lines(releases.get("lock"))
    lines += incident_lines(incidents)
    lines += place_lines(service)
    lines += host_lines(host)
    lines += upkeep_lines(upkeep)
    lines += ["", "Releases", *release_table(releases), "  " + dora_line(releases.get("dora"))]
    lines += ["", "Backups", *(["  " + backups_fault] if backups_fault else backup_table(backups))]
    lines += ["  " + drill_line(releases.get("drill"))]
    lines += ["", "Last events", *event_table(releases["history"])]
    return "\n".join(lines)


def release_table(releases: Releases) -> list[str]:
    """Every release, and what it is at this moment."""
    rows = [
        [record["id"], record["status"], record["activated"], record["verified"], marks(record, releases)]
        for record in releases["releases"]
    ]
    return table(["id", "status", "activated", "verified", ""], rows)


def backup_table(backups: list[BackupFacts]) -> list[str]:
    """Every backup, and what is wrong with it."""
    rows = []
    for backup in backups:
        status = backup["status"] + (f" ({remarks(backup)})" if remarks(backup) else "")
        size = human_size(backup["size"]) if backup["size"] is not None else None
        rows.append([backup["archive"], status, size, backup["created"], made_for(backup)])
    return table(["archive", "status", "size", "created", "for"], rows)


def event_table(history: list[Event]) -> list[str]:
    """What was done, the newest first."""
    rows = []
    for event in history:
        verdict = event.get("verdict")
        what = event["what"] + (": " + verdict if verdict else "")
        rows.append([event["when"], event["who"], what, event.get("release"), event["why"][:100]])
    return table(["when", "who", "what", "release", "why"], rows)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"status_page": status_page}
