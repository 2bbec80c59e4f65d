#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: release_migration
short_description: Migrate the data for a release, or undo that
version_added: 0.1.0
description:
  - Runs a command of a release that is prepared, in its folder, as the user of the service and with the service's environment. The old
    release serves meanwhile, and must be able to work with what the command makes (first add, and take away in a later release).
  - It runs once; the record of the release says so. A command that was cut short runs again, so it has to stand that.
  - Whoever goes back from the release on this host undoes it by O(down_command), after the old release serves again. That holds for
    M(mobius.ops.release) and for the watch of M(mobius.ops.monitor), too.
  - Hosts that share their data share the migration. When some of them serve the release already (O(others)), another one that gets it
    neither migrates again nor undoes anything under them.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.attributes
options:
  state:
    description:
      - V(up) migrates. V(down) undoes what V(up) did on this host, by the command that the record has, unless the release is live.
      - V(shared) only notes O(others), before anything is done on this host that may have to be gone back from.
    type: str
    choices: [up, down, shared]
    default: up
  release_id:
    description: The release that brings the migration.
    type: str
    required: true
  service:
    description: Name of the service, as M(mobius.ops.node_service) knows it.
    type: str
    default: mobius
  kind:
    description: V(reversible) needs O(down_command). V(forward_only) has none, and is not taken back by a watch.
    type: str
    choices: [none, reversible, forward_only]
    default: none
  command:
    description: The words of the command that migrates.
    type: list
    elements: str
    default: []
  down_command:
    description: The words of the command that undoes it.
    type: list
    elements: str
    default: []
  others:
    description:
      - Hosts that serve the release already, on the same data. With V(up) and V(shared) the record keeps them, when a migration of the
        release ever ran on this host; going back from it undoes nothing then, until it was verified here too.
      - With them V(up) runs only when the record of this host says that the migration was undone here, or cut short.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds after which either command is killed.
    type: float
    default: 600
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Migrate, on one host for all
  mobius.ops.release_migration:
    root: /opt/mobius
    release_id: 1.4.0-5f1d2c3b
    kind: reversible
    command: [npm, run, migrate]
    down_command: [npm, run, migrate:down]
  run_once: true
"""

RETURN = r"""
migrated:
  description:
    - What the record of the release has; C(state) (C(running), C(done), C(undoing), C(undone)), C(when), the commands.
    - C(others), the hosts that served it before, until it was verified here.
  returned: when there was a migration
  type: dict
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import migration
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.record_types import Migrated
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Migrate, or undo it."""
    store = ReleaseStore(Layout(params["root"]))
    store.layout.require()
    release_id = params["release_id"]
    migration.check(params["kind"], params["command"], params["down_command"])
    if params["timeout"] <= 0:
        raise InputError("mobius_migration_timeout", "seconds above 0", f"{params['timeout']:g}", "Correct it")
    service, others = service_registry.load_deployed(store.layout, params["service"]), params["others"]
    if params["state"] == "down":
        record = store.get(release_id)
        changed = release_id != store.live() and record is not None and migration.must_undo(record)
        if changed and not check_mode:
            migration.down(store, service, release_id)
    else:
        changed = migration.share(store, release_id, others, check_mode)
    if params["state"] == "up" and params["command"]:
        plan: Migrated = {"up": params["command"], "down": params["down_command"], "timeout": params["timeout"]}
        changed = migration.up(store, service, release_id, plan, others, check_mode) or changed
    record = store.get(release_id)
    return arguments.Answer(changed, {"migrated": record.get("migrated") if record else None})


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "state": {"type": "str", "choices": ["up", "down", "shared"], "default": "up"},
            "release_id": {"type": "str", "required": True},
            "service": {"type": "str", "default": "mobius"},
            "kind": {"type": "str", "choices": ["none", "reversible", "forward_only"], "default": "none"},
            "command": {"type": "list", "elements": "str", "default": []},
            "down_command": {"type": "list", "elements": "str", "default": []},
            "others": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 600},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
