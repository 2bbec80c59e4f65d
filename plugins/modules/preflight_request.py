#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_request
short_description: Check what a deploy needs of CI, people and the calendar
version_added: 0.1.0
description:
  - Checks CI, approvals, the operator, the window, freezes, who is on call, and the artifact, once for all hosts.
  - It runs on the controller.
  - It never fails by what it finds. Give its RV(checks) to O(mobius.ops.preflight#module:given), which makes one table of all.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.people.directory
  - mobius.ops.shared.reads_only
options:
  ci:
    description:
      - A file with the status of CI, or a command as a list of words whose exit status tells it within 60 seconds.
        Not looked at when empty.
      - A file holds a word such as V(success), or JSON; an object with C(conclusion), C(state) or C(status), or a list of them
        (also below C(check_runs), C(checks), C(statuses) or C(jobs)), of which all must be good.
    type: raw
    default: ""
  approvals:
    description: Who has approved; a list of C({name, role}), or text such as V(anna:ops, bert:dev). A person counts once.
    type: raw
    default: []
  min_approvals:
    description: How many approvals are needed; none when 0.
    type: int
    default: 0
  approval_role:
    description: The role that one of them must be in; any when empty.
    type: str
    default: ops
  operator:
    description: Who looks after the deploy.
    type: str
    default: ""
  needs_operator:
    description: Whether O(operator) must be named.
    type: bool
    default: false
  windows:
    description: When a deploy may be, in UTC, such as V(Mon-Thu 09:00-16:00). Any time when empty.
    type: list
    elements: str
    default: []
  freeze:
    description: Days on which nothing is deployed, such as V(2026-12-20/2027-01-03 Christmas), first and last included.
    type: list
    elements: str
    default: []
  watch_duration:
    description: Seconds of the watch after the deploy, which must end within the window.
    type: float
    default: 0
  artifact:
    description: The result of M(mobius.ops.release_artifact), which has checked the artifact; also that of one that failed.
    type: dict
    default: {}
seealso:
  - module: mobius.ops.preflight
"""

EXAMPLES = r"""
- name: Have people and CI agreed?
  mobius.ops.preflight_request:
    ci: [gh, run, view, --exit-status, "4711"]
    approvals: anna:ops, bert:dev
    min_approvals: 2
    windows: ["Mon-Thu 09:00-16:00"]
  delegate_to: localhost
  run_once: true
  register: request
"""

RETURN = r"""
checks:
  description: A row for each check, as in RV(mobius.ops.preflight#module:checks).
  returned: success
  type: list
  elements: dict
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import request as preflight_request


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Make every check; check mode is no different."""
    now = clock.now()
    return arguments.Answer(
        False,
        {
            "checks": [
                preflight_request.ci(params["ci"]),
                preflight_request.approvals_row(params["approvals"], params["min_approvals"], params["approval_role"].strip()),
                preflight_request.operator(params["operator"], params["needs_operator"]),
                preflight_request.window(params["windows"], now, params["watch_duration"]),
                preflight_request.freeze(params["freeze"], now),
                preflight_request.oncall((params["contacts"], params["oncall"], params["escalation"]), now),
                preflight_request.artifact(params["artifact"]),
            ]
        },
        {},
    )


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "ci": {"type": "raw", "default": ""},
            "approvals": {"type": "raw", "default": []},
            "min_approvals": {"type": "int", "default": 0},
            "approval_role": {"type": "str", "default": "ops"},
            "operator": {"type": "str", "default": ""},
            "needs_operator": {"type": "bool", "default": False},
            "windows": {"type": "list", "elements": "str", "default": []},
            "freeze": {"type": "list", "elements": "str", "default": []},
            "watch_duration": {"type": "float", "default": 0},
            "artifact": {"type": "dict", "default": {}},
            **arguments.DIRECTORY,
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
