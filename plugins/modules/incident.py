#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: incident
short_description: Open an incident, and add to it until it is reviewed
version_added: 0.1.0
description:
  - An incident is a list of events in C(incidents/INC-<date>-<n>.json) that only grows. Its severity, status, clocks and the page
    C(INC-<date>-<n>.md) are derived from them. Values of the application's C(.env) are hidden in it.
  - When it is opened it gathers its evidence, such as releases, failed rounds of the watch, errors and lines of logs, the last backup, the
    newest events and metrics of the host. A part that cannot be gathered is named and does not keep the incident from being opened.
  - While it is acknowledged, resolved or reviewed, M(mobius.ops.notify) pages only the levels that were escalated to by hand.
  - See docs/incidents.md for severities, clocks, and what is resolved by itself.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.fleet
  - mobius.ops.shared.attributes
options:
  state:
    description:
      - V(opened) opens an incident. V(settled) says that the O(cause) is gone. The others need O(id).
      - V(acknowledged) notes who takes care of it, which ends the paging. The first acknowledgement stays.
      - V(updated) adds O(why), O(severity), O(affected), O(done) and O(reached), whichever are given.
      - V(escalated) pages the next level of its chain at once, also while it is acknowledged.
      - V(resolved) ends it, and writes C(INC-<date>-<n>.review.md), the template of its review, unless that is there.
      - V(reopened) opens a resolved one again. Its levels are paged again from the first one.
      - V(reviewed) closes it. It must be resolved.
      - V(settled) resolves the incidents of O(cause) by themselves, but none of severity 1 and none that a person has acknowledged,
        updated or escalated.
    type: str
    choices: [opened, acknowledged, updated, escalated, resolved, reopened, reviewed, settled]
    default: opened
  id:
    description: The incident to change, such as V(INC-20261127-1). Not for O(state=opened) and O(state=settled).
    type: str
  if_missing:
    description: What to do when this host has no incident with O(id). A fleet is asked for it with V(skip).
    type: str
    choices: [fail, skip]
    default: fail
  why:
    description: A remark on the event, for the record and the history.
    type: str
    default: ""
  title:
    description: What happened, in a few words. Needed with O(state=opened).
    type: str
  severity:
    description:
      - V(1) critical, V(2) high, V(3) medium, V(4) low; the runbook's severity levels. When in doubt, the worse one.
      - Needed with O(state=opened). With O(state=updated) it changes the severity.
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
  cause:
    description:
      - A key of the cause, such as V(backup). While an incident of the same cause and environment is not resolved, no second one is opened;
        the open one notes that it occurred again, and the worse severity counts. Needed with O(state=settled).
      - Empty for an incident of its own.
    type: str
    default: ""
  rollback:
    description: Whether a release was rolled back, which starts the clocks of the runbook's post-rollback actions.
    type: bool
    default: false
  affected:
    description: What is affected, in some words.
    type: str
    default: ""
  done:
    description: What was done, in some words.
    type: str
    default: ""
  reached:
    description: What was reached by then.
    type: list
    elements: str
    choices: [stability, root_cause, report, prevention]
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Without O(cause) each run opens one more incident. Each escalation pages one more level.
      - The other states change nothing when the incident is in that state, or when the last event said the same.
"""

EXAMPLES = r"""
- name: Tell that rendering is broken
  mobius.ops.incident:
    root: /opt/mobius
    env: production
    severity: 2
    title: Renders fail since 14:00
    cause: renders
    evidence:
      report: "{{ checks.results }}"

- name: Acknowledge it, which ends the paging
  mobius.ops.incident:
    root: /opt/mobius
    env: production
    state: acknowledged
    id: INC-20261127-1

- name: Note the cause
  mobius.ops.incident:
    root: /opt/mobius
    env: production
    state: updated
    id: INC-20261127-1
    why: The encoder was removed by an upgrade of the host
    done: Installed libx264 again
    reached: [root_cause]
"""

RETURN = r"""
incident:
  description:
    - The record, with C(id), C(path), C(severity), C(status) (V(open), V(acknowledged), V(resolved) or V(reviewed)), C(opened),
      C(respond_by) (ISO 8601 UTC), C(escalation), C(channel), C(evidence), C(events), and C(acknowledged) with C(when), C(who) and C(why)
      once it was acknowledged.
    - Without a value when O(if_missing=skip) and this host has none with O(id), and with O(state=settled).
  returned: success
  type: dict
message:
  description: What came of it, in a sentence.
  returned: success
  type: str
  sample: INC-20261127-1 is acknowledged.
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._incidents import escalating, opening
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_log, incident_record, incidents
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore

_UPDATE = ("severity", "affected", "done", "reached")


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Open the incident, or add an event to it."""
    layout = Layout(params["root"])
    layout.require()
    if params["state"] == "settled":
        found = incidents.settle(layout, params["env"], params["cause"], params["why"], check_mode)
        return arguments.Answer(bool(found), {"incident": None, "message": f"Resolved by itself: {', '.join(found) or 'none'}."})
    if params["state"] == "opened":
        return arguments.Answer(True, _opened(layout, params, check_mode))
    if params["if_missing"] == "skip" and not incident_record.exists(layout, params["id"]):
        return arguments.Answer(False, {"incident": None, "message": f"{params['id']}: this host has no such incident."})
    if params["state"] == incident_log.ESCALATED:
        changed, record, message = escalating.escalate(layout, params["id"], params["why"], check_mode)
        return arguments.Answer(changed, {"incident": record, "message": message})
    facts = {name: params[name] for name in _UPDATE} if params["state"] == incident_log.UPDATED else {}
    changed, record = incidents.change(layout, params["id"], params["state"], check_mode, why=params["why"], **facts)
    return arguments.Answer(changed, {"incident": record, "message": incident_log.told(record, params["state"])})


def _opened(layout: Layout, params: arguments.Params, check_mode: bool) -> dict[str, object]:
    if check_mode:
        return {"incident": {"id": None, "title": params["title"]}, "message": "An incident would be opened."}
    facts: incidents.Opening = {
        "title": params["title"],
        "severity": params["severity"],
        "env": params["env"],
        "summary": params["summary"],
        "release": params["release"] or ReleaseStore(layout).live(),
        "evidence": params["evidence"],
        "cause": params["cause"],
        "fleet": params["fleet"],
        "rollback": params["rollback"],
        "affected": params["affected"],
        "reached": params["reached"],
    }
    record = opening.open_incident(layout, facts)
    return {"incident": record, "message": incident_log.told(record, params["state"])}


def main() -> None:
    """Run as an Ansible module."""
    text = {"type": "str", "default": ""}
    states = ["opened", "acknowledged", "updated", "escalated", "resolved", "reopened", "reviewed", "settled"]
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "env": arguments.ENV,
            "state": {"type": "str", "choices": states, "default": "opened"},
            "id": {"type": "str"},
            "if_missing": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
            "why": text,
            "title": {"type": "str"},
            "severity": {"type": "int", "choices": [1, 2, 3, 4]},
            "summary": text,
            "release": {"type": "str"},
            "evidence": {"type": "dict", "default": {}},
            "cause": text,
            "fleet": arguments.FLEET,
            "rollback": {"type": "bool", "default": False},
            "affected": text,
            "done": text,
            "reached": {"type": "list", "elements": "str", "choices": ["stability", "root_cause", "report", "prevention"], "default": []},
        },
        required_if=[
            ("state", "opened", ("title", "severity")),
            ("state", "settled", ("cause",)),
            *(("state", state, ("id",)) for state in states[1:-1]),
        ],
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
