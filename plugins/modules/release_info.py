#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell which releases a host has, which serves, and where a rollback would go
version_added: 0.1.0
description:
  - Reads the release records, the C(current) link and the newest events of the history.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.reads_only
options:
  events:
    description: How many of the newest events of the history to return.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Which release serves?
  mobius.ops.release_info:
    root: /opt/mobius
  register: info

- name: Say it
  ansible.builtin.debug:
    msg: "{{ info.live }} serves; a rollback would go to {{ info.target }}"
"""

RETURN = r"""
live:
  description: The id of the live release, if any.
  returned: success
  type: str
target:
  description: The id of the release that a rollback would go to, if any; the newest verified one older than the live one.
  returned: success
  type: str
releases:
  description: The records, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The release's id.
      type: str
    version:
      description: Its version.
      type: str
    status:
      description: One of V(prepared), V(active), V(verified), V(failed), V(rolled_back).
      type: str
    sha256:
      description: The SHA-256 of its artifact.
      type: str
    source:
      description: Where it came from.
      type: str
    migration:
      description: One of V(none), V(reversible), V(forward_only).
      type: str
    backup:
      description: The backup that was taken before it.
      type: str
    created:
      description: When it was prepared, ISO 8601 UTC.
      type: str
    activated:
      description: When it went into service, ISO 8601 UTC.
      type: str
    verified:
      description: When it was found good, ISO 8601 UTC.
      type: str
    failed_reason:
      description: Why it failed or was rolled back.
      type: str
    committed:
      description: When its source was committed, ISO 8601 UTC, where its artifact tells it.
      type: str
dora:
  description:
    - DORA's four keys over the last 30 days, by the history. Each figure of nothing is none.
    - A deployment is a release that a deploy switched to. It failed when it did not become ready, was rolled back, or was left to a person
      because nothing could be rolled back.
  returned: success
  type: dict
  contains:
    days:
      description: How many days the figures are about.
      type: int
    deploys:
      description: Number of deployments.
      type: int
    deploys_per_week:
      description: Deployments a week.
      type: float
    failed:
      description: How many of them failed.
      type: int
    unrestored:
      description: How many of those were followed by no release that serves well yet.
      type: int
    change_failure_rate_pct:
      description: Percentage of deployments that failed.
      type: float
    time_to_restore:
      description: Median of the seconds from the switch to a release that failed until a release served well.
      type: float
    lead_time:
      description: Median of the seconds from the commit to the switch, of releases whose artifact tells the commit's time.
      type: float
drill:
  description: The newest drill (M(mobius.ops.backup_drill)) in the history, with C(when), C(verdict) and C(report); none without one.
  returned: success
  type: dict
lock:
  description: Who holds the deploy lock, as M(mobius.ops.deploy_lock) returns it; none when nobody does.
  returned: success
  type: dict
unfinished:
  description: The switch between releases that has begun and not ended; none without one.
  returned: success
  type: dict
  contains:
    kind:
      description: V(rollback), V(watch) (a rollback by the watch), V(going_back) (after a failed activation) or V(activation).
      type: str
    from:
      description: The release that was live.
      type: str
    to:
      description: The release that is to serve.
      type: str
    why:
      description: The reason that was given.
      type: str
    by:
      description: The operator.
      type: str
    since:
      description: When it began, ISO 8601 UTC.
      type: str
    running:
      description: Whether its process works on. Otherwise it was interrupted.
      type: bool
    message:
      description: A sentence with the command that finishes it; empty while its process works on.
      type: str
    fault:
      description: What is wrong with its file; then there is only C(message) beside it.
      type: str
  version_added: 0.1.0
findings:
  description: Records of releases and lines of the history that are damaged, each with what to do. They are not in the other values.
  returned: success
  type: list
  elements: str
history:
  description: The newest events, oldest first, each with C(when), C(who), C(what), C(why) and further fields.
  returned: success
  type: list
  elements: dict
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._observe import release_facts
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Read, and change nothing."""
    layout = Layout(params["root"])
    layout.require()
    return arguments.Answer(False, release_facts.of(layout, params["events"]))


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(argument_spec={"root": arguments.ROOT, "events": {"type": "int", "default": 10}}, supports_check_mode=True)
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
