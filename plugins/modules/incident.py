#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: incident
short_description: Open an incident record with its evidence, or acknowledge one
version_added: 0.1.0
description:
  - Writes C(incidents/INC-<date>-<n>.json) and a Markdown page beside it, with the response time, escalation and channel
    that the runbook sets for the severity. Values of the application's C(.env) are hidden in it.
  - With O(state=acknowledged), notes who takes care of an incident. M(mobius.ops.notify) then pages no further level.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.attributes
options:
  state:
    description: Whether to open an incident, or to acknowledge the one with O(id).
    type: str
    choices: [opened, acknowledged]
    default: opened
  id:
    description: The incident to acknowledge, such as V(INC-20261127-1). Needed with O(state=acknowledged).
    type: str
  why:
    description: A remark on the acknowledgement, for the record and the history.
    type: str
    default: ""
  title:
    description: What happened, in a few words. Needed with O(state=opened).
    type: str
  severity:
    description: V(1) critical, V(2) high, V(3) medium, V(4) low; the runbook's severity levels. Needed with O(state=opened).
    type: int
    choices: [1, 2, 3, 4]
  summary:
    description: What is known, in some sentences.
    type: str
    default: ""
  release:
    description: The release that is concerned; the live one by default.
    type: str
  evidence:
    description: Anything that helps to find the cause; a name for each piece.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each run opens one more incident. A second acknowledgement changes nothing.
"""

EXAMPLES = r"""
- name: Tell that rendering is broken
  mobius.ops.incident:
    root: /opt/mobius
    env: production
    severity: 2
    title: Renders fail since 14:00
    evidence:
      report: "{{ checks.results }}"

- name: Acknowledge it, which ends the paging
  mobius.ops.incident:
    root: /opt/mobius
    env: production
    state: acknowledged
    id: INC-20261127-1
"""

RETURN = r"""
incident:
  description:
    - The record, with C(id), C(path), C(severity), C(opened), C(respond_by) (ISO 8601 UTC), C(escalation), C(channel),
      C(evidence), and C(acknowledged) with C(when), C(who) and C(why) once it was acknowledged.
  returned: success
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore


def run(params: dict[str, t.Any], check_mode: bool) -> tuple[bool, dict[str, t.Any], dict[str, t.Any]]:
    """Open or acknowledge the incident."""
    layout = Layout(params["root"])
    layout.require()
    if params["state"] == "acknowledged":
        changed, record = incidents.acknowledge(layout, params["id"], params["why"], check_mode)
        return changed, {"incident": record}, {}
    facts = {**params, "release": params["release"] or ReleaseStore(layout).live()}
    return True, {"incident": {"id": None, "title": params["title"]} if check_mode else incidents.open_incident(layout, facts)}, {}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "env": arguments.ENV,
            "state": {"type": "str", "choices": ["opened", "acknowledged"], "default": "opened"},
            "id": {"type": "str"},
            "why": {"type": "str", "default": ""},
            "title": {"type": "str"},
            "severity": {"type": "int", "choices": [1, 2, 3, 4]},
            "summary": {"type": "str", "default": ""},
            "release": {"type": "str"},
            "evidence": {"type": "dict", "default": {}},
        },
        required_if=[("state", "opened", ("title", "severity")), ("state", "acknowledged", ("id",))],
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
