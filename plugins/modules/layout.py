#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: layout
short_description: Make the folders that a MOBIUS host has
version_added: 0.1.0
description:
  - Makes the application's root with its folders for releases, shared state, backups, logs and records, in one call.
  - What the application writes to (uploads, database, generated video, logs) belongs to the service user. Everything
    else belongs to the user who runs the module, so that a service that was broken into cannot change its own code,
    its backups or its history.
  - A root inside of another one, or around one, is refused.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.attributes
options:
  owner:
    description:
      - The user that the service runs as; it must exist.
      - By default the user who runs the module.
    type: str
  env:
    description:
      - The environment that uses this root. It is kept in C(state/env.json) the first time, and another one is refused from then on, by
        M(mobius.ops.deploy_lock) too.
      - To turn a root over to another environment, remove that file first.
      - Empty to check nothing.
    type: str
    default: ""
    version_added: 0.1.0
  shared_folders:
    description:
      - The folders that all releases share. Everything that the application writes has to be in one of them.
      - By default those of MOBIUS.
    type: list
    elements: dict
    suboptions:
      path:
        description: Where the application sees it, below its working folder.
        type: str
        required: true
      component:
        description: The part of the state that keeps it, which is backed up and restored with it.
        type: str
        choices: [database, uploads, generated, logs]
        required: true
      folder:
        description: Where it is below the component's folder, when that holds more than one; the component's folder itself by default.
        type: str
        default: ""
      create:
        description: Folders that must be in it.
        type: list
        elements: str
        default: []
  external_state:
    description:
      - State that the service keeps elsewhere, such as in PostgreSQL. With it, every backup of the component V(database) holds a dump.
      - C(dump) is the command that prints it, C(restore) the one that reads it from its standard input and replaces what is there,
        C(drill) one that does so in a place of its own, for drills. Each is a list of words; there is no shell.
      - They run as the service's user, with its environment, in the folder of the live release. C(timeout) is the seconds that
        each may take (600), C(max_mb) the megabytes that a dump may have (10000).
    type: dict
    default: {}
    version_added: 0.1.0
  stateless:
    description: Whether the service keeps no state anywhere. A backup without any is right then; otherwise it is not called verified.
    type: bool
    default: false
    version_added: 0.1.0
  service:
    description: The service whose user runs the commands of O(external_state).
    type: str
    default: mobius
    version_added: 0.1.0
attributes:
  check_mode:
    support: full
    details: On a host that was not set up yet the owner may be missing, too.
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: mobius.ops.node_service
"""

EXAMPLES = r"""
- name: Make the folders below /opt/mobius
  mobius.ops.layout:
    root: /opt/mobius
    owner: mobius

- name: Let the application write to two folders only
  mobius.ops.layout:
    root: /opt/shop
    owner: shop
    shared_folders:
      - {path: var/db, component: database}
      - {path: public/uploads, component: uploads, create: [small]}
"""

RETURN = r"""
folders:
  description: Every folder of the layout.
  returned: always
  type: list
  elements: str
  sample: [/opt/mobius, /opt/mobius/releases]
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._backup import external_state
from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._target import folders, shared_folders, tenancy
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

CHOICES = ("database", "uploads", "generated", "logs")


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Plan, compare, apply."""
    layout = Layout(params["root"])
    tenancy.require_apart(layout)
    tenancy.require_env(layout, params["env"])
    shared = shared_folders.normalize(params["shared_folders"])
    wanted = folders.plan(layout, params["owner"], check_mode and not os.path.isdir(layout.state))
    before = folders.found(wanted)
    lacking = [
        os.path.join(layout.component(name), path)
        for name in folders.WRITABLE
        for path in shared_folders.missing(layout.component(name), shared, name)
    ]
    external = external_state.normalize(params["external_state"], params["service"], params["stateless"])
    kept = os.path.isdir(layout.state) and shared_folders.load(layout) == shared
    told = external_state.load(layout) == external
    owned = not params["env"] or tenancy.environment(layout) is not None
    if not check_mode:
        if before != wanted:
            folders.apply(wanted)
        for name in folders.WRITABLE:
            shared_folders.complete(layout.component(name), shared, name)
        if not kept:
            shared_folders.save(layout, shared)
        if not told:
            fs.write_json(external_state.kept(layout), external)
        if not owned:
            tenancy.keep(layout, params["env"])
    changed = before != wanted or bool(lacking) or not kept or not told or not owned
    return arguments.Answer(changed, {"folders": list(wanted)}, {"before": before, "after": {**wanted, **dict.fromkeys(lacking, "made")}})


def main() -> None:
    """Run as an Ansible module."""
    shared = {
        "path": {"type": "str", "required": True},
        "component": {"type": "str", "choices": list(CHOICES), "required": True},
        "folder": {"type": "str", "default": ""},
        "create": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "owner": {"type": "str"},
            "env": {"type": "str", "default": ""},
            "shared_folders": {"type": "list", "elements": "dict", "options": shared},
            "external_state": {"type": "dict", "default": {}},
            "stateless": {"type": "bool", "default": False},
            "service": {"type": "str", "default": "mobius"},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
