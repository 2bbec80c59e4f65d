#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Take every step of the weekly, monthly or quarterly maintenance
version_added: 0.1.0
description:
  - Takes every step of the runbook's list of a cadence. Each step ends as V(done), V(attention) or V(failed), with a sentence, evidence,
    and what changed since its last run. A step that fails or hangs keeps no other one from running.
  - Writes a page to C(<root>/reports/maintenance-<cadence>.html), mode 0640, and keeps figures in C(<root>/state/maintenance.json).
  - Opens one incident for each cause that has weight. No second one is opened while it is open.
  - Sends the summary as one message to the people of C(summary_to) in O(request), or to the first level of severity 4's own escalation
    chain. It goes through the outbox of M(mobius.ops.notify), so it is tried again when a receiver is down.
  - Newer packages and patches are reported. Nothing is installed, unless C(apply_patches) in O(request) asks for security patches.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.checks
  - mobius.ops.checks.drill
  - mobius.ops.shared.progress
  - mobius.ops.shared.attributes
options:
  request:
    description:
      - What to do, as a plain object of JSON. V(cadence) is V(weekly), V(monthly) or V(quarterly), V(env) the environment. The other names
        are those of the fields of C(plugins/module_utils/_maintenance/request.py), and have defaults there.
      - A timer on the target uses the same object, without Ansible.
    type: dict
    required: true
attributes:
  check_mode:
    support: full
    details: Lists the steps, and takes none.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each run adds figures, and may make a backup.
seealso:
  - module: mobius.ops.backup_drill
  - module: mobius.ops.log_report
"""

EXAMPLES = r"""
- name: Take the weekly steps
  mobius.ops.maintenance:
    root: /opt/mobius
    checks:
      - url: http://127.0.0.1:5001/health
    request:
      cadence: weekly
      env: production
      backup_max_age: 26
  register: weekly

- name: Report the summary
  ansible.builtin.debug:
    msg: "{{ weekly.message }}"
"""

RETURN = r"""
steps:
  description:
    - Every step with C(name), C(title), C(status), C(text), C(evidence), C(trend), C(causes), C(figures), C(details) and C(seconds).
    - A cause has C(name), C(severity), C(text), C(subjects), C(new) and the id of its C(incident).
  returned: success
  type: list
  elements: dict
well:
  description: Whether every step was taken.
  returned: success
  type: bool
message:
  description: The summary in some sentences.
  returned: success
  type: str
  sample: "Weekly maintenance: 5 of 5 steps done."
page:
  description: Path of the page; empty when it was not written.
  returned: success
  type: str
incidents:
  description: Ids of the incidents that are open because of what was found.
  returned: success
  type: list
  elements: str
summary_sent:
  description: The channels that have taken the summary as a message.
  returned: success
  type: list
  elements: str
cadence:
  description: The cadence.
  returned: success
  type: str
started:
  description: When the run began; C(ended) is its end.
  returned: success
  type: str
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import run as maintenance_run
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import summary
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.request import Request
from ansible_collections.mobius.ops.plugins.module_utils._target import progress
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Take the steps; in check mode only list them."""
    given = {name: params[name] for name in ("checks", "drill_checks", "headers", "secret_headers") if params[name]}
    request = Request.read({**params["request"], **given})
    layout = Layout(params["root"])
    layout.require()
    summary.check(layout, request)
    report = maintenance_run.run(layout, request, progress.meter(params), check_mode)
    return arguments.Answer(not check_mode, {**dataclasses.asdict(report), "well": report.well})


def main() -> None:
    """Run as an Ansible module."""
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "request": {"type": "dict", "required": True},
                "checks": arguments.CHECKS,
                "drill_checks": arguments.CHECKS,
                "headers": arguments.HEADERS,
                "secret_headers": arguments.SECRET_HEADERS,
                **arguments.PROGRESS,
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
