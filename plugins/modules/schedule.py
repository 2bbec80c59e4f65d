#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: schedule
short_description: Let a host back up, verify, page and look after itself, by timers of systemd
version_added: 0.1.0
description:
  - Installs a timer and a service of systemd for each job, C(<service>-<env>-<job>.timer). They need no controller, no Ansible and no AWX,
    and go on after a reboot. A run that was missed while the host was off is made up.
  - A job does what the module of its work does, by the same code, with the options that it is given here. They are kept in
    C(state/schedule.json), which only root reads, and the code in C(state/code). Run it again after an upgrade of the collection.
  - C(backup) makes a backup and prunes. C(verify) verifies archives. C(escalate) pages the people of open incidents. C(metrics) looks at
    service and disks. C(weekly), C(monthly) and C(quarterly) take the steps of M(mobius.ops.maintenance).
  - A backup or a verification that fails, a service that is down outside a watch, and a disk that is critical open one incident for each
    cause, and page at once. The incident is resolved by the next good run; that of a service or a disk after ten good minutes.
  - All but C(escalate) and C(metrics) wait for a deploy to end, 90 minutes at most, and have low priority. No job runs twice at a time.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.checks
  - mobius.ops.checks.drill
  - mobius.ops.shared.attributes
options:
  state:
    description:
      - V(present) schedules exactly the jobs of O(jobs). V(absent) removes all timers; what runs goes on.
    type: str
    choices: [present, absent]
    default: present
  service:
    description: Name of the service, as M(mobius.ops.node_service) knows it.
    type: str
    default: mobius
  jobs:
    description:
      - When each job runs, as a calendar event of systemd in the host's time (C(systemd.time(7))), such as V(*-*-* 02:15), or V(off).
        The names are V(backup), V(verify), V(escalate), V(weekly), V(monthly), V(quarterly) and V(metrics).
    type: dict
    default: {}
  backup:
    description: Options of M(mobius.ops.backup) for the job C(backup), without C(root), C(env) and those of progress.
    type: dict
    default: {}
  prune:
    description: Options of M(mobius.ops.backup_prune) for the same job. Nothing is pruned without them.
    type: dict
  verify:
    description: Options of M(mobius.ops.backup_info) for the job C(verify).
    type: dict
    default: {}
  maintenance:
    description:
      - O(mobius.ops.maintenance#module:request) of M(mobius.ops.maintenance) for the jobs C(weekly), C(monthly) and C(quarterly), without
        C(cadence), C(env) and C(service).
    type: dict
    default: {}
  thresholds:
    description: Rows of the table of key metrics to use instead of the default ones; metric to C([warning, critical]).
    type: dict
    default: {}
  mounts:
    description: Further paths whose file systems the job C(metrics) looks at.
    type: list
    elements: path
    default: []
  sample_interval:
    description: Seconds between two samples that the job C(metrics) keeps in C(state/metrics).
    type: float
    default: 300
  keep_days:
    description: Days for which samples are kept.
    type: int
    default: 90
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: mobius.ops.upkeep_info
  - module: mobius.ops.backup
  - module: mobius.ops.backup_prune
  - module: mobius.ops.backup_info
  - module: mobius.ops.maintenance
  - module: mobius.ops.notify
"""

EXAMPLES = r"""
- name: Back up each night, and look at the service twice a minute
  mobius.ops.schedule:
    root: /opt/mobius
    env: production
    jobs: {backup: "*-*-* 02:15", metrics: "*:*:0/30"}
    prune: {keep_daily: 7, keep_weekly: 4}
    checks: [{name: health, url: "http://127.0.0.1:5001/health"}]

- name: Remove all timers
  mobius.ops.schedule: {root: /opt/mobius, env: production, state: absent}
"""

RETURN = r"""
jobs:
  description: Each job as M(mobius.ops.upkeep_info) returns it; in check mode what is there already.
  returned: success
  type: list
  elements: dict
timers:
  description: The timers that are wanted.
  returned: success
  type: list
  elements: str
  sample: [mobius-production-backup.timer]
message:
  description: What there is now, in a sentence.
  returned: success
  type: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._people import sender
from ansible_collections.mobius.ops.plugins.module_utils._schedule import install, overview
from ansible_collections.mobius.ops.plugins.module_utils._schedule.record import Schedule
from ansible_collections.mobius.ops.plugins.module_utils._target import records
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout, check_name


def request_of(params: arguments.Params) -> install.Request:
    """What the options ask for. :raises InputError: when one has a wrong value."""
    if params["sample_interval"] < 0 or params["keep_days"] < 1:
        raise InputError(
            "sample_interval and keep_days",
            "seconds from 0 and days from 1",
            f"{params['sample_interval']:g} and {params['keep_days']}",
            "Correct them",
        )
    metrics = {name: params[name] for name in ("checks", "headers", "secret_headers", "thresholds", "mounts", "keep_days")}
    maintenance = {**params["maintenance"], **{name: params[name] for name in ("checks", "drill_checks", "headers", "secret_headers")}}
    return install.Request(
        check_name(params["env"], "env"),
        check_name(params["service"], "service"),
        install.calendars(params["jobs"]),
        {
            "backup": arguments.checked("backup", arguments.BACKUP, params["backup"]),
            "prune": arguments.checked("prune", arguments.PRUNE, params["prune"]) if params["prune"] else None,
            "verify": {**arguments.checked("verify", arguments.VERIFY, {"verify": "checksum", **params["verify"]})},
            "metrics": {**metrics, "every": params["sample_interval"]},
            "maintenance": maintenance,
        },
    )


def shown(schedule: Schedule | None) -> str:
    """One line a job for the diff."""
    return "".join(f"{name}  {job.calendar}\n" for name, job in schedule.jobs.items()) if schedule else ""


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Bring about the schedule."""
    layout = Layout(params["root"])
    request = request_of(params)
    layout.require()
    if params["state"] == "absent":
        changed, before = install.absent(layout, request.service, request.env, check_mode)
        timers: list[str] = []
        after = None
    else:
        changed, plan, before = install.present(layout, request, check_mode)
        timers, after = [name for name in plan.units if name.endswith(".timer")], plan.schedule
    rows = overview.rows(layout, records.Findings())
    message = overview.sentence(rows) if not check_mode else f"{len(timers)} timers would be in place."
    warnings = sender.missing() if "escalate" in request.calendars and params["state"] == "present" else []
    return arguments.Answer(
        changed,
        {"jobs": overview.facts(rows), "timers": timers, "message": message, "warnings": warnings},
        {"before": shown(before), "after": shown(after)},
    )


def main() -> None:
    """Run as an Ansible module."""
    empty: dict[str, object] = {"type": "dict", "default": {}}
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "env": arguments.ENV,
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "service": {"type": "str", "default": "mobius"},
                "jobs": empty,
                "backup": empty,
                "prune": {"type": "dict"},
                "verify": empty,
                "maintenance": empty,
                "checks": arguments.CHECKS,
                "drill_checks": arguments.CHECKS,
                "headers": arguments.HEADERS,
                "secret_headers": arguments.SECRET_HEADERS,
                "thresholds": empty,
                "mounts": {"type": "list", "elements": "path", "default": []},
                "sample_interval": {"type": "float", "default": 300},
                "keep_days": {"type": "int", "default": 90},
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
