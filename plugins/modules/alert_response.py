#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: alert_response
short_description: Confirm an alert, act within a policy, and hand over to a person
version_added: 0.1.0
description:
  - Diagnoses the service. When nothing is wrong, nothing is done. Otherwise it tries the actions of O(policy) that fit the cause, one after
    the other, until the service is well. When none helps, it opens an incident for a person.
  - Holds the deploy lock all the time. When a deploy, a rollback or another response holds it, nothing is done.
  - Never loops. C(state/responses.json) has each action before it begins. The same cause is acted on once within O(quiet) and O(limit)
    times within an hour, all causes together three times as often. Once a person was called, that cause is left to that person for an hour.
  - A service that an operator has stopped stays stopped. While a watch guards the release, only the watch rolls back.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.fleet
  - mobius.ops.checks
  - mobius.ops.shared.attributes
options:
  name:
    description: The service's name.
    type: str
    default: mobius
  alert:
    description: The alert's name, up to 100 letters, digits and C(_.:-).
    type: str
    required: true
  text:
    description: What the alert says, for the incident.
    type: str
    default: ""
  severity:
    description: Severity of the incident when a person has to act.
    type: int
    choices: [1, 2, 3, 4]
    default: 2
  policy:
    description:
      - The actions that may be tried. V(mend) is what needs no restart, such as SIGCONT, owners and modes of folders, or ending a render
        that is stuck.
      - V(rollback) is tried for a release that crashes or lacks a module, and when a restart did not help; within O(rollback_hours) only.
    type: list
    elements: str
    choices: [mend, restart, rollback]
    default: [mend, restart, rollback]
  limit:
    description: How many responses to one cause may act within an hour.
    type: int
    default: 2
  quiet:
    description: Seconds after an action in which the same cause gets no other one.
    type: float
    default: 300
  may_roll_back:
    description: Whether this host may go back to an earlier release. Set it to false when other hosts serve the same release.
    type: bool
    default: true
  rollback_hours:
    description: Hours since a release went live, within which it may be rolled back.
    type: float
    default: 24
  window:
    description: Seconds for which processes and renders are watched, unless a short look shows the cause.
    type: float
    default: 3
  programs:
    description: Names of programs that are renders.
    type: list
    elements: str
    default: [ffmpeg]
  ready_timeout:
    description: Seconds within which the service must be ready after a restart or a rollback.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    details: Says which actions would be tried.
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: mobius.ops.diagnosis
  - module: mobius.ops.deploy_lock
"""

EXAMPLES = r"""
- name: Respond to an alert
  mobius.ops.alert_response:
    root: /opt/mobius
    env: production
    alert: MobiusDown
    policy: [mend, restart]
    checks:
      - url: http://127.0.0.1:5001/health
"""

RETURN = r"""
outcome:
  description: >-
    V(mended), V(rolled_back), V(handed_over), V(not_confirmed), V(deferred), V(left_alone), or V(planned) in check mode.
  returned: success
  type: str
message:
  description: What was found and done, in some sentences.
  returned: success
  type: str
cause:
  description: The cause as M(mobius.ops.diagnosis) names it, or V(unknown); empty when nothing is wrong.
  returned: success
  type: str
actions:
  description: What was tried, in order.
  returned: success
  type: list
  elements: str
incident:
  description: The id of the incident, also of an earlier one; empty without one.
  returned: success
  type: str
opened:
  description: Whether the incident was opened now.
  returned: success
  type: bool
"""

import dataclasses
import re

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv, wording
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import remedies
from ansible_collections.mobius.ops.plugins.module_utils._observe import health as observe_health
from ansible_collections.mobius.ops.plugins.module_utils._observe import probe
from ansible_collections.mobius.ops.plugins.module_utils._respond import policy, respond
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import tenancy
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

#: The most that is kept of what an alert says.
TEXT = 500


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Answer the alert."""
    if not re.fullmatch(r"[\w.:-]{1,100}", params["alert"], re.ASCII):
        found = repr(wording.cut(params["alert"], 100))
        raise InputError("mobius_alert", "1 to 100 letters, digits and _.:-", found, "Give the alert's name")
    for name, least in (("limit", 0), ("quiet", 0), ("rollback_hours", 0), ("window", 0.1)):
        if params[name] < least:
            raise InputError(name, f"{least:g} or more", f"{params[name]:g}", f"Correct mobius_respond_{name}")
    layout = Layout(params["root"])
    layout.require()
    tenancy.require_env(layout, params["env"])
    service, redactor = service_registry.load(layout, params["name"]), dotenv.Redactor(layout.env_file)
    checks = observe_health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
    checks = probe.hiding(checks, redactor.secrets)
    asked = respond.Asked(
        params["env"],
        params["alert"],
        wording.printable(wording.cut(params["text"], TEXT)),
        params["severity"],
        policy.Policy(tuple(params["policy"]), params["limit"], params["quiet"]),
        params["may_roll_back"],
        params["rollback_hours"] * 3600,
        params["window"],
        check_mode,
        params["fleet"],
    )
    answer = respond.respond(layout, service, asked, remedies.Allowed(False, checks, params["ready_timeout"], params["programs"]))
    return arguments.Answer(answer.opened, redactor.value(dataclasses.asdict(answer)))


def main() -> None:
    """Run as an Ansible module."""
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "env": arguments.ENV,
                "name": {"type": "str", "default": "mobius"},
                "checks": arguments.CHECKS,
                "headers": arguments.HEADERS,
                "secret_headers": arguments.SECRET_HEADERS,
                "alert": {"type": "str", "required": True},
                "text": {"type": "str", "default": ""},
                "severity": {"type": "int", "choices": [1, 2, 3, 4], "default": 2},
                "policy": {"type": "list", "elements": "str", "choices": list(policy.ACTIONS), "default": list(policy.ACTIONS)},
                "limit": {"type": "int", "default": 2},
                "quiet": {"type": "float", "default": 300},
                "may_roll_back": {"type": "bool", "default": True},
                "rollback_hours": {"type": "float", "default": 24},
                "window": {"type": "float", "default": 3},
                "programs": {"type": "list", "elements": "str", "default": ["ffmpeg"]},
                "ready_timeout": {"type": "float", "default": 60},
                "fleet": arguments.FLEET,
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
