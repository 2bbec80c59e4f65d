#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: incident_info
short_description: List incidents and what is overdue, or show one with its timeline
version_added: 0.1.0
description:
  - Reads the incidents of a host, also those of earlier versions. The status of each is what its events add up to.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.reads_only
options:
  show:
    description:
      - V(open) lists what is not resolved, V(overdue) what has something late, V(all) every incident.
    type: str
    choices: [open, overdue, all]
    default: open
  id:
    description: Show this incident in full, such as V(INC-20261127-1), beside the list.
    type: str
seealso:
  - module: mobius.ops.incident
"""

EXAMPLES = r"""
- name: What is overdue?
  mobius.ops.incident_info:
    root: /opt/mobius
    show: overdue
  register: late

- name: Say it
  ansible.builtin.debug:
    msg: "{{ late.message }}"
"""

RETURN = r"""
incidents:
  description: The incidents, the worst first, then the newest.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    title:
      description: What happened.
      type: str
    severity:
      description: From 1 to 4; 1 when it is unknown.
      type: int
    status:
      description: V(open), V(acknowledged), V(resolved) or V(reviewed).
      type: str
    phase:
      description: V(initial response), V(investigation), V(resolution), V(post-incident) or V(closed).
      type: str
    opened:
      description: When it was opened (ISO 8601 UTC); empty when that is unknown.
      type: str
    overdue:
      description: What is late, each with C(name), C(due) and C(late_seconds).
      type: list
      elements: dict
    next:
      description: What is due next, with C(name) and C(due).
      type: dict
    fleet:
      description: The key that the hosts of a run share; empty for an incident of one host.
      type: str
    cause:
      description: The key of its cause; empty when it has none.
      type: str
    acknowledged_by:
      description: Who takes care of it; empty when nobody does.
      type: str
    again:
      description: How often it occurred again.
      type: int
message:
  description: How many there are, and the worst.
  returned: success
  type: str
  sample: "1 open incident, 0 with something overdue; the worst: INC-20261127-1 (severity 2, open): Renders fail."
incident:
  description:
    - The one with O(id), with C(summary) as in the list, C(record), C(clocks), C(timeline) (lines), C(page) and C(review) (Markdown).
    - None when this host does not have it.
  returned: when O(id) is given
  type: dict
findings:
  description: Records that are damaged, each with what to do. They are not in the list.
  returned: success
  type: list
  elements: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_list, incident_record, records
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Read, and change nothing."""
    layout, findings, now = Layout(params["root"]), records.Findings(), clock.now()
    layout.require()
    found = incident_list.listed(layout, params["show"], now, findings)
    result: dict[str, object] = {"incidents": found, "message": incident_list.message(found, params["show"]), "findings": findings.told}
    if params["id"]:
        known = incident_record.exists(layout, params["id"])
        result["incident"] = incident_list.one(layout, params["id"], now) if known else None
    return arguments.Answer(False, result)


def main() -> None:
    """Run as an Ansible module."""
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "id": {"type": "str"},
                "show": {"type": "str", "choices": ["open", "overdue", "all"], "default": "open"},
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
