#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: adopted_service
short_description: Take a service under this collection's care that something else deploys
version_added: 0.1.0
description:
  - Makes a root for a service that a unit of systemd runs, or that listens on a port. Afterwards it can be asked, watched, diagnosed,
    backed up, restored and cleaned up, and its logs and incidents are kept, as for a service that this collection deploys.
  - The service itself is not changed. Its folders are mounted (bind mounts) where the components of the root lie; under systemd mount units
    bring them back after a reboot.
  - It has no releases. So nothing deploys, switches or rolls back, and a watch only opens incidents. RV(lacks) says what else needs more.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: What the service is called here.
    type: str
    default: mobius
  state:
    description:
      - With V(absent) the mounts and the definition go. The service, its folders, backups, logs and incidents stay.
    type: str
    choices: [present, absent]
    default: present
  unit:
    description: The unit of systemd that runs it, such as V(shop.service). Without one the process is found by its port.
    type: str
    default: ""
  host:
    description: The address on which it listens.
    type: str
    default: 127.0.0.1
  port:
    description: The TCP port on which it listens. Required unless it is to be V(absent).
    type: int
  log:
    description: A file that it prints to. By default that is the journal of its unit.
    type: path
  folders:
    description:
      - Its folders by component, which is V(database), V(uploads), V(generated), V(logs) or V(config). Only root, or the user who runs
        this, may be able to rename something on the way to such a folder, because backups read there and restores write there.
    type: dict
    default: {}
seealso:
  - module: mobius.ops.node_service
"""

EXAMPLES = r"""
- name: Take care of a shop that its packages have installed
  mobius.ops.adopted_service:
    root: /opt/shop-ops
    env: production
    name: shop
    unit: shop.service
    port: 3000
    folders:
      database: /var/lib/shop/data
      uploads: /var/lib/shop/uploads
      logs: /var/log/shop
"""

RETURN = r"""
status:
  description: C(running), C(restarting), C(failed) or C(stopped). C(gone), when it is found by its port and no process listens there.
  returned: when O(state=present)
  type: str
pid:
  description: Its process, if any.
  returned: when O(state=present)
  type: int
user:
  description: The user that it runs as; empty when it does not run, or when that user has no name.
  returned: when O(state=present)
  type: str
folders:
  description: Component -> its folder.
  returned: success
  type: dict
lacks:
  description: What does not work with it, and what that would need, a sentence each.
  returned: when O(state=present)
  type: list
  elements: str
  sample: ["deploy, rollback, and a drill that starts it: they need releases, which mobius.ops.setup and mobius.ops.deploy make"]
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._service import adopted_service
from ansible_collections.mobius.ops.plugins.module_utils._target import adopted_folders, folders, records, shared_folders, tenancy
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def present(layout: Layout, params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Make the root, mount the folders, and keep the definition."""
    if params["port"] is None:
        raise InputError("port", "the TCP port of the service", "none", "Give mobius_port")
    service = adopted_service.AdoptedService(layout, adopted_service.build_spec(layout, params))
    require_own(layout, service.name)
    wanted = adopted_folders.checked(layout, params["folders"])
    plan = {path: facts for path, facts in folders.plan(layout, None).items() if path not in [each.place for each in wanted]}
    plan.update(owned_alike(layout, plan, wanted))
    before, lacking, saved = folders.found(plan), adopted_folders.missing(wanted), service.saved()
    surplus = adopted_folders.others(layout, wanted)
    owned = tenancy.environment(layout) is not None
    changed = before != plan or bool(lacking) or bool(surplus) or saved != service.spec or not owned
    if changed and not check_mode:
        adopted_folders.unmount(surplus)
        folders.apply({**plan, **{each.place: plan[layout.shared] for each in lacking}})
        adopted_folders.mount(lacking)
        service.save()
        shared_folders.save(layout, [])
        if not owned:
            tenancy.keep(layout, params["env"])
    result = {
        "folders": {each.component: each.source for each in wanted},
        "lacks": adopted_service.lacks(service.spec, [each.component for each in wanted]),
    }
    status = service.status()
    return arguments.Answer(
        changed,
        {**status, "user": adopted_service.user_of(status["pid"]), **result},
        {"before": {"definition": saved, "folders": before}, "after": {"definition": service.spec, "folders": plan, **result}},
    )


def owned_alike(layout: Layout, plan: dict[str, folders.Wanted], wanted: list[adopted_folders.Folder]) -> dict[str, folders.Wanted]:
    """The folders of components that the service has not, with the owner of those that it has: all of them have one owner."""
    known = [each.source for each in wanted if each.component in folders.WRITABLE]
    status = os.lstat(known[0]) if known else None
    places = [layout.component(name) for name in folders.WRITABLE]
    return {place: {**plan[place], "uid": status.st_uid, "gid": status.st_gid} for place in places if status and place in plan}


def require_own(layout: Layout, name: str) -> None:
    """:raises StateError: when this root has a service that this collection deploys."""
    base = layout.path("state", "service")
    for one in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        spec = records.read(os.path.join(base, one, "spec.json"), records.SERVICE)
        if spec and (spec["manager"] != adopted_service.MANAGER or one != name):
            kind = "adopted" if spec["manager"] == adopted_service.MANAGER else "deployed by this collection"
            raise StateError(
                f"root {layout.root}",
                f"a root of its own for the adopted service {name}",
                f"the service {one}, {kind}",
                "Give another mobius_root, or leave out mobius_adopted",
            )


def absent(layout: Layout, params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Let go of it."""
    require_own(layout, params["name"])
    mounted, place = adopted_folders.others(layout, []), layout.path("state", "service", params["name"])
    changed = bool(mounted) or os.path.isdir(place)
    if changed and not check_mode:
        adopted_folders.unmount(mounted)
        shutil.rmtree(place, ignore_errors=True)
    there = {"folders": [each.component for each in mounted], "definition": os.path.isdir(place)}
    return arguments.Answer(changed, {"folders": {}}, {"before": there, "after": {"folders": [], "definition": False}})


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Bring about the state."""
    layout = Layout(params["root"])
    tenancy.require_apart(layout)
    tenancy.require_env(layout, params["env"])
    return (present if params["state"] == "present" else absent)(layout, params, check_mode)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "env": arguments.ENV,
            "name": {"type": "str", "default": "mobius"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "unit": {"type": "str", "default": ""},
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int"},
            "log": {"type": "path"},
            "folders": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
