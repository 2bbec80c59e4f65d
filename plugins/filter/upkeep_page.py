# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(upkeep_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import wording
from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: upkeep_page
short_description: Lay out what a host does by itself as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes a page for people of what M(mobius.ops.upkeep_info) or M(mobius.ops.schedule) returned.
positional: _input
options:
  _input:
    description: The result of one of these modules, also of one that failed.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the jobs
  ansible.builtin.debug:
    msg: "{{ upkeep | mobius.ops.upkeep_page }}"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

#: Letters of a sentence and of a template.
_SAID = 90


class Job(t.TypedDict):
    """A job of a timer; ``seconds`` that its last run took."""

    job: str
    calendar: str
    next: str | None
    last: str | None
    state: str
    good: bool
    outcome: str
    message: str
    seconds: float | None


class StuckJob(t.TypedDict):
    """An ffmpeg job that does not get on."""

    name: str
    verdict: str
    pid: int


class NewError(t.TypedDict):
    """A template of errors that is new since the last deploy."""

    template: str
    count: int


class Upkeep(t.TypedDict, total=False):
    """The result of M(mobius.ops.upkeep_info) or M(mobius.ops.schedule); ``disk_days`` by mount point."""

    jobs: list[Job]
    stuck_jobs: list[StuckJob] | None
    new_errors: list[NewError]
    logs_read: str | None
    disk_days: dict[str, float | None]


def job_lines(jobs: list[Job]) -> list[str]:
    """Each job with its next run and its last one."""
    rows = [
        [
            one["job"],
            one["calendar"],
            one["next"] or "-",
            one["last"] or "-",
            one["state"],
            "-" if one["seconds"] is None else f"{one['seconds']:g} s",
            wording.cut(one["message"], _SAID) if not one["good"] or one["state"] == "skipped" else one["outcome"],
        ]
        for one in jobs
    ]
    return (
        wording.table(["job", "when", "next run", "last run", "state", "took", "result"], rows)
        if rows
        else ["  none; mobius.ops.schedule installs timers"]
    )


def attention_lines(upkeep: Upkeep) -> list[str]:
    """Jobs of the service that do not get on, new errors, and disks that fill up; nothing where there is nothing to say."""
    lines = []
    for one in upkeep.get("stuck_jobs") or []:
        lines.append(f"FFmpeg job {one['name']} is {one['verdict']} (process {one['pid']}). Run: ansible-playbook mobius.ops.ffmpeg.")
    errors = upkeep.get("new_errors") or []
    if errors:
        lines.append(f"New errors since the last deploy, as of {upkeep['logs_read']}: ansible-playbook mobius.ops.logs shows all.")
        lines += [f"  {one['count']} × {wording.cut(one['template'], _SAID)}" for one in errors]
    for mount, days in (upkeep.get("disk_days") or {}).items():
        if days is not None:
            lines.append(f"Disk {mount} is full in about {days:g} days at the pace of the last two weeks.")
    return lines


def upkeep_page(upkeep: Upkeep) -> str:
    """The page."""
    if "jobs" not in upkeep:
        return task_result.cause(upkeep, "The host could not be looked at.")
    return "\n".join(["Scheduled jobs", *job_lines(upkeep["jobs"]), *attention_lines(upkeep)])


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"upkeep_page": upkeep_page}
