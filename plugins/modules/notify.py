#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Page the people of open incidents, level by level, and send what waits
version_added: 0.1.0
description:
  - Writes a message for each incident, level and channel that is due into the outbox of the host, then sends it through Apprise.
  - Run it each minute. A run that was missed, repeated, killed or runs beside another one loses no message and pages no level twice.
  - A message is repeated only when a run ended between the receiver's answer and its record. Its key is then the same.
  - A channel that hangs or is down delays no other. A failed message is tried again after 30 s, then twice as long, 15 min at most.
    After two failures the fallback channel gets it too. Results hold ids of channels and no URLs.
author: MOBIUS operations (@mobius-ops)
requirements: [apprise (Python library)]
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.attributes
  - mobius.ops.people.directory
attributes:
  check_mode:
    support: partial
    details: With O(state=escalated) and O(state=sent) it only lists what waits.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: Each run with O(state=sent) sends one more message.
options:
  state:
    description:
      - V(configured) writes contacts, schedules, chains and URLs to the host, or removes them when there are no channels.
        V(escalated) pages every level that is due, and sends everything that waits.
      - V(sent) sends O(title) and O(body) to O(to), and everything else that waits.
      - V(listed) shows the outbox.
    type: str
    choices: [configured, escalated, sent, listed]
    default: escalated
  env:
    description: The environment's name, for O(state=configured).
    type: str
    default: ""
  host:
    description: The host's name in the inventory, for O(state=configured).
    type: str
    default: ""
  link:
    description: An address that messages show, in which V({incident}) stands for the id, for O(state=configured).
    type: str
    default: ""
  runbook:
    description:
      - The address of the page C(docs/runbook.md) where it can be read, for O(state=configured).
      - Messages show it with the heading that helps. Without it they show the page's path in the documentation.
    type: str
    default: ""
  urls:
    description: An Apprise URL for each channel, for O(state=configured). They are written to a file that only root reads.
    type: dict
    default: {}
  urls_file:
    description: A JSON file on the host with the URLs, which only root can read, instead of O(urls), for O(state=configured).
    type: path
    default: ""
  to:
    description: Schedules, people and channels, for O(state=sent).
    type: list
    elements: str
    default: []
  title:
    description: The title, for O(state=sent).
    type: str
    default: ""
  body:
    description: The text, for O(state=sent).
    type: str
    default: ""
seealso:
  - module: mobius.ops.incident
"""

EXAMPLES = r"""
- name: Page what is due
  mobius.ops.notify:
    root: /opt/mobius

- name: Try a channel
  mobius.ops.notify: {root: /opt/mobius, state: sent, to: [anna_phone], title: A test of this channel}
"""

RETURN = r"""
delivered:
  description: Whether every open incident reaches someone, no message waits after a failure, and no record is damaged.
  returned: not with O(state=configured)
  type: bool
message:
  description: What was done and what is wrong, in some sentences.
  returned: not with O(state=configured)
  type: str
page:
  description: The newest messages of the outbox as a table.
  returned: not with O(state=configured)
  type: str
sent:
  description: The messages that were sent, such as V(INC-20261127-1 level 1 anna_phone).
  returned: not with O(state=configured)
  type: list
  elements: str
waiting:
  description: The messages that wait after a failure.
  returned: not with O(state=configured)
  type: list
  elements: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._people import plan, sender, service
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

_SETTINGS = ("contacts", "oncall", "escalation", "env", "host", "link", "runbook", "urls_file")


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Write the settings, page, send or list."""
    layout = Layout(params["root"])
    if not check_mode or params["state"] != "configured":  # a setup in check mode may come before the first one
        layout.require()
    if params["state"] == "configured":
        changed = plan.configure(layout, {name: params[name] for name in _SETTINGS}, params["urls"], check_mode)
        return arguments.Answer(changed, {"warnings": sender.missing() if params["contacts"].get("channels") else []})
    if check_mode or params["state"] == "listed":
        return arguments.Answer(False, service.listed(layout))
    post = (params["to"], params["title"], params["body"]) if params["state"] == "sent" else None
    return arguments.Answer(*service.escalated(layout, post))


def main() -> None:
    """Run as an Ansible module."""
    text: dict[str, object] = {"type": "str", "default": ""}
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                **arguments.DIRECTORY,
                "env": text,
                "host": text,
                "link": text,
                "runbook": text,
                "title": text,
                "body": text,
                "state": {"type": "str", "choices": ["configured", "escalated", "sent", "listed"], "default": "escalated"},
                "urls": {"type": "dict", "default": {}, "no_log": True},
                "urls_file": {"type": "path", "default": ""},
                "to": {"type": "list", "elements": "str", "default": []},
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
