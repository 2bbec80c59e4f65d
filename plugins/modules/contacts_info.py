#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: contacts_info
short_description: Show who is on call, until when, and whom each escalation chain reaches
version_added: 0.1.0
description:
  - Checks contacts, on-call schedules and escalation chains, and fails with one sentence that names the first mistake.
  - Shows who is on call at a moment, until when, who follows, and the channels that each level of each chain reaches.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.people.directory
  - mobius.ops.shared.reads_only
options:
  at:
    description: The moment, such as V(2026-12-24T18:00:00Z) or V(2026-12-24 18:00) (in UTC). Now by default.
    type: str
    default: ""
seealso:
  - module: mobius.ops.incident
"""

EXAMPLES = r"""
- name: Who is on call now, and until when?
  mobius.ops.contacts_info:
    contacts:
      channels: {anna_phone: {fallback: ops_mail}, ops_mail: {}}
      people: {anna: {name: Anna Berg, channels: [anna_phone]}}
    oncall:
      sre: {people: [anna], weekday: monday, time: "09:00", time_zone: Europe/Berlin, start: 2026-11-02}
    escalation:
      1: [{after: 0, notify: [sre]}, {after: 15, notify: [ops_mail]}]
  register: contacts

- name: Show it
  ansible.builtin.debug:
    msg: "{{ contacts.page }}"
"""

RETURN = r"""
reachable:
  description: Whether there is a chain, and every chain that has a level reaches a channel at the moment.
  returned: success
  type: bool
message:
  description: Who is on call, and what is wrong with that, in a sentence or two.
  returned: success
  type: str
  sample: "On call: sre: Anna Berg until Mon 2026-11-30 09:00 CET, then Bert Holm."
page:
  description: The same as tables of text.
  returned: success
  type: str
oncall:
  description: Each schedule.
  returned: success
  type: list
  elements: dict
  contains:
    schedule:
      description: Its name.
      type: str
    person:
      description: The id of the person on call; none when nobody is.
      type: str
    name:
      description: The person's name.
      type: str
    channels:
      description: Ids of the person's channels.
      type: list
      elements: str
    until:
      description: When another person or nobody takes over (ISO 8601 UTC); none when that is not within two years.
      type: str
    until_local:
      description: The same in the schedule's time zone.
      type: str
    then:
      description: The id of the person that takes over.
      type: str
levels:
  description: Each level of each chain.
  returned: success
  type: list
  elements: dict
  contains:
    severity:
      description: The severity.
      type: int
    level:
      description: The number of the level, from 1.
      type: int
    after:
      description: Minutes after the incident was opened.
      type: float
    notify:
      description: The schedules, people and channels that it names.
      type: list
      elements: str
    channels:
      description: The channels that it reaches at the moment; empty for a level that is skipped.
      type: list
      elements: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._people import contacts, overview, times


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Check the settings, and tell who is on call."""
    people = contacts.directory(params["contacts"], params["oncall"], params["escalation"])
    now = times.moment(params["at"], times.UTC, "at") if params["at"] else clock.now()
    return arguments.Answer(
        False,
        {
            "reachable": bool(people.chains) and not overview.unreachable(people, now),
            "message": overview.message(people, now),
            "page": overview.page(people, now),
            "oncall": overview.duties(people, now),
            "levels": overview.levels(people, now),
        },
    )


def main() -> None:
    """Run as an Ansible module."""
    arguments.execute(
        AnsibleModule(argument_spec={**arguments.DIRECTORY, "at": {"type": "str", "default": ""}}, supports_check_mode=True), run
    )


if __name__ == "__main__":
    main()
