#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check that a host can take a deploy
version_added: 0.1.0
description:
  - Makes every check that a deploy needs before anything is changed, and tells for each whether it passed, what was expected and
    found, and what to do when it did not. Source is the runbook's "Prerequisites" and "Final validation".
  - Fails after all checks were made, with one message that names each that did not pass and its remedy.
  - The controller measures how far the host's clock is off.
  - The given O(checks) are not sent; a mistake in their definitions is found now.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.attributes
  - mobius.ops.shared.signatures
  - mobius.ops.checks
options:
  env:
    description: The environment whose backups are looked at. Needed with O(backup_max_age).
    type: str
    default: ""
  service:
    description: The service whose port must be free or its own.
    type: str
    default: mobius
  port:
    description: The port that the service should have been set up for.
    type: int
  programs:
    description: Programs that must be on the target's PATH, and the argument that makes each print its version.
    type: dict
    default: {node: --version, npm: --version, ffmpeg: -version}
  min_versions:
    description: Programs and the lowest version of each that will do, as text, such as V("18.0").
    type: dict
    default: {}
  encoders:
    description: Encoders that ffmpeg must have. Each encodes a fifth of a second of a made-up picture or sound.
    type: list
    elements: str
    default: [libx264, aac]
  min_free_mb:
    description: Megabytes (10^6 bytes) that must be free on the root's file system; any when 0.
    type: int
    default: 1000
  min_memory_mb:
    description: Megabytes of memory that must be available; any when 0.
    type: int
    default: 0
  max_clock_skew:
    description: Seconds that the host's clock may be off from the controller's; any when 0.
    type: float
    default: 0
  clock_skew:
    description:
      - Seconds that the host's clock is ahead of the controller's.
      - Set by the collection itself.
    type: float
  backup_dir:
    description: Folder of the backups, by default C(backups) below the root.
    type: path
  backup_max_age:
    description:
      - Hours that the newest backup of all O(components) may be old; it must be verified too. Not looked at when 0.
      - A host that has neither a backup nor a live release passes by.
    type: float
    default: 0
  components:
    description: The parts of the state that the backup must hold.
    type: list
    elements: str
    default: [all]
  given:
    description: Rows of other checks that belong into the same table, as RV(checks) has them.
    type: list
    elements: dict
    default: []
  skip:
    description:
      - Names of checks that may fail. They are made all the same; one that fails is V(waived).
      - An unknown name is refused, and so are those that a deploy cannot do without (V(artifact), V(write), V(port), V(lock)).
    type: list
    elements: str
    default: []
  why:
    description: Why they may fail. Needed with O(skip).
    type: str
    default: ""
  lock:
    description: Whether it counts when somebody holds the deploy lock.
    type: bool
    default: true
  record:
    description: Whether the result goes into the history. A waiver always does.
    type: bool
    default: false
  recorded:
    description: Names of checks whose waiver this run has put into the history already.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    details: Writes no line into the history.
  diff_mode:
    support: none
  idempotent:
    support: full
    details: A line in the history is no change.
seealso:
  - module: mobius.ops.preflight_request
"""

EXAMPLES = r"""
- name: Can this host take a deploy?
  mobius.ops.preflight:
    root: /opt/mobius
    env: production
    min_free_mb: 5000
    min_versions: {node: "18", ffmpeg: "4.0"}
    max_clock_skew: 5
    backup_max_age: 26

- name: Deploy though the last backup is old
  mobius.ops.preflight:
    root: /opt/mobius
    env: production
    backup_max_age: 26
    skip: [backup]
    why: the disk for backups is being replaced
"""

RETURN = r"""
checks:
  description: A row for each check.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The check's name, as O(skip) takes it.
      type: str
    status:
      description: One of V(passed), V(failed), V(waived) and V(skipped).
      type: str
    found:
      description: What was found; of a check that was skipped, why.
      type: str
    expected:
      description: What should have been found.
      type: str
    remedy:
      description: What to do; empty when it passed.
      type: str
passed:
  description: Whether no check failed.
  returned: always
  type: bool
waived_by:
  description: C(who) waived which C(checks), C(why) and C(when); none when nothing was waived.
  returned: always
  type: dict
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import host as preflight_host
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import table as preflight_table
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._target import history
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Make every check, then fail when one did not pass."""
    layout = Layout(params["root"])
    layout.require()
    health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
    preflight_table.require_rows(params["given"])
    made = [*params["given"], *preflight_host.check(layout, params)]
    rows = preflight_table.waive(made, params["skip"], params["why"])
    result = preflight_table.report(rows, params["why"])
    bad = [one["name"] for one in preflight_table.failures(rows)]
    waived = result["waived_by"]["checks"] if result["waived_by"] else []
    if not check_mode and (params["record"] or set(waived) - set(params["recorded"])):
        history.record(layout, "preflight", params["why"], verdict="failed" if bad else "passed", failed=bad, waived=waived)
    if bad:
        raise preflight_table.refusal(rows, result)
    return arguments.Answer(False, result)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "env": {"type": "str", "default": ""},
            "service": {"type": "str", "default": "mobius"},
            "port": {"type": "int"},
            "programs": {"type": "dict", "default": {"node": "--version", "npm": "--version", "ffmpeg": "-version"}},
            "min_versions": {"type": "dict", "default": {}},
            "encoders": {"type": "list", "elements": "str", "default": ["libx264", "aac"]},
            "min_free_mb": {"type": "int", "default": 1000},
            "min_memory_mb": {"type": "int", "default": 0},
            "max_clock_skew": {"type": "float", "default": 0},
            "clock_skew": {"type": "float"},
            "backup_dir": {"type": "path"},
            "backup_max_age": {"type": "float", "default": 0},
            "components": arguments.COMPONENTS,
            "given": {"type": "list", "elements": "dict", "default": []},
            "skip": {"type": "list", "elements": "str", "default": []},
            "why": {"type": "str", "default": ""},
            "lock": {"type": "bool", "default": True},
            "record": {"type": "bool", "default": False},
            "recorded": {"type": "list", "elements": "str", "default": []},
            "checks": arguments.CHECKS,
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
            **arguments.SIGNATURES,
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
