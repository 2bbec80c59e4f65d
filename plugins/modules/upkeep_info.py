#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: upkeep_info
short_description: Tell what a host does by itself, and what needs attention
version_added: 0.1.0
description:
  - Lists the jobs that M(mobius.ops.schedule) has installed, with the next run, the last run, and what is overdue or failed.
  - Lists FFmpeg jobs that are stuck or stopped, error templates that are new since the last deploy, and the days until a disk is full.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.reads_only
options:
  service:
    description: Name of the service, as M(mobius.ops.node_service) knows it.
    type: str
    default: mobius
  programs:
    description: Names of programs that are jobs of the service.
    type: list
    elements: str
    default: [ffmpeg]
  window:
    description: Seconds between two looks at the jobs of the service. It only waits when there are some; V(0) looks at none.
    type: float
    default: 5
seealso:
  - module: mobius.ops.schedule
  - module: mobius.ops.ffmpeg_job
  - module: mobius.ops.log_report
"""

EXAMPLES = r"""
- name: What does the host do by itself?
  mobius.ops.upkeep_info:
    root: /opt/mobius
  register: upkeep

- name: Stop when a job failed or is overdue
  ansible.builtin.assert:
    that: upkeep.well
    fail_msg: "{{ upkeep.message }}"
"""

RETURN = r"""
well:
  description: Whether no job failed, was killed or is overdue, and all timers run. Also when nothing is scheduled.
  returned: success
  type: bool
message:
  description: RV(well) in words, with what to do.
  returned: success
  type: str
  sample: "4 jobs are scheduled: backup, verify, escalate, metrics."
jobs:
  description: The jobs; none when nothing is scheduled.
  returned: success
  type: list
  elements: dict
  contains:
    job:
      description: Its name.
      type: str
    calendar:
      description: When it runs, as systemd has it.
      type: str
    next:
      description: When it runs next; none when that cannot be told, as while it runs.
      type: str
    last:
      description: When its last run ended, or began when it runs.
      type: str
    state:
      description:
        - V(scheduled) before its first run, V(running), V(done), V(skipped) (a deploy held the host), V(failed), V(killed),
          V(overdue), or V(stopped) when its timer does not run.
      type: str
    good:
      description: Whether V(state) is one of the first four.
      type: bool
    outcome:
      description: How its last run ended, in the word of the playbook that does the same.
      type: str
    message:
      description: The same in a sentence.
      type: str
    seconds:
      description: How long it took.
      type: float
    incident:
      description: Id of the incident that is open for its failure.
      type: str
    last_good:
      description: When it last did its work.
      type: str
stuck_jobs:
  description: FFmpeg jobs that are stuck or stopped, as M(mobius.ops.ffmpeg_job) has them; none when they could not be looked at.
  returned: success
  type: list
  elements: dict
new_errors:
  description: Error templates that are new since the last deploy, with C(count), C(first), C(last), C(release) and C(incident).
  returned: success
  type: list
  elements: dict
logs_read:
  description: When M(mobius.ops.log_report) read the logs for RV(new_errors); none when it never did.
  returned: success
  type: str
disk_days:
  description:
    - Days until each disk is full, by mount point; none for one that does not fill up. Disks with less than a week of samples are missing.
  returned: success
  type: dict
  sample: {/: 41.5}
findings:
  description: Records that are damaged.
  returned: success
  type: list
  elements: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._schedule import attention, overview
from ansible_collections.mobius.ops.plugins.module_utils._target import records
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Look, and change nothing."""
    layout = Layout(params["root"])
    layout.require()
    if params["window"] < 0:
        raise InputError("window", "0 or more seconds", f"{params['window']:g}", "Correct it")
    findings = records.Findings()
    rows = overview.rows(layout, findings)
    found = attention.of(layout, params["service"], params["programs"] if params["window"] else [], params["window"], findings)
    result = {
        "jobs": overview.facts(rows),
        "well": all(row.good for row in rows) and not findings.told,
        "message": " ".join([overview.sentence(rows), *findings.told]),
        "findings": findings.told,
        **found,
    }
    return arguments.Answer(False, dotenv.Redactor(layout.env_file).value(result))


def main() -> None:
    """Run as an Ansible module."""
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "service": {"type": "str", "default": "mobius"},
                "programs": {"type": "list", "elements": "str", "default": ["ffmpeg"]},
                "window": {"type": "float", "default": 5},
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
