#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: watch_report
short_description: Write a page about a watch and the deploy or rollback that it belongs to
version_added: 0.1.0
description:
  - Gathers on the target what there is to tell about a watch (M(mobius.ops.monitor)), that is its verdict, the figures of its rounds and of
    the host, the steps of the deploy or rollback before it with who did them, the releases, the backup, the incidents and the evidence.
  - Draws it on the controller, and writes it to the target as C(<root>/reports/watch-<env>-<watch id>.html), mode 0640. The page is
    one file of HTML that needs no network, no other file and no script.
  - The controller needs the Python package C(pygal); the target does not.
  - Secrets of C(.env) are replaced by asterisks. Headers of checks, and what follows the C(?) of an address, are left out.
  - Figures of more than 240 rounds are drawn as 240 points, each with the worst of its rounds (of the p50 the median).
  - Changed when there was no such page, or another one. Check mode writes nothing and tells the path.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
options:
  watch_id:
    description:
      - The watch, a folder's name below C(<root>/state/watch).
      - The watch that was started last when it is not given.
    type: str
attributes:
  check_mode:
    description: Can run in check mode and tell what would be changed without changing it.
    support: full
  diff_mode:
    description: Can show what was changed.
    support: none
"""

EXAMPLES = r"""
- name: Write the page of the last watch
  mobius.ops.watch_report:
    root: /opt/mobius
  register: told

- name: Fetch it
  ansible.builtin.fetch:
    src: "{{ told.report }}"
    dest: reports/
    flat: true
"""

RETURN = r"""
report:
  description: Path of the page on the target.
  returned: success
  type: str
  sample: /opt/mobius/reports/watch-production-20261123_160000.html
watch_id:
  description: The watch that it is about.
  returned: success
  type: str
verdict:
  description: >-
    The watch's verdict, V(healthy), V(degraded), V(rolled_back), V(frozen) or V(inconclusive); empty while it goes on.
  returned: success
  type: str
summary:
  description: The headline of the page.
  returned: success
  type: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._watch import report as watch_report


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Gather the facts, and change nothing; the action plugin makes the page of them."""
    layout = Layout(params["root"])
    layout.require()
    facts = watch_report.gather(layout, params["watch_id"])
    report = f"watch-{facts['watch']['env']}-{facts['watch']['id']}.html"
    return arguments.Answer(False, {"report": layout.path("reports", report), "facts": facts})


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(argument_spec={"root": arguments.ROOT, "watch_id": {"type": "str"}}, supports_check_mode=True)
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
