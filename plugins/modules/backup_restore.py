#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore
short_description: Puts components back from an archive, all of them or none
version_added: 0.1.0
description:
  - Checks the archive against its sidecar, its structure against its manifest, and the content of every member, before
    anything is written. A damaged or hostile archive is refused whole.
  - Then extracts it into a fresh private folder on the same file system, makes a safety backup of what is there now,
    and lets the folders of the components change places. On any error all of them are as they were.
  - Modes, times, symbolic links and, as root, owners come back. Set-uid and set-gid bits do not.
  - When a run was killed while the folders changed places, the next run first puts back what was there.
options:
  archive:
    description:
      - Path of the archive on the target, with its C(.sha256) beside it.
    type: path
    required: true
  components:
    description:
      - The parts to restore. V(all) stands for every component that is in the archive.
      - The folder of each is replaced whole; what is in it and not in the archive goes (it is in the safety backup).
    type: list
    elements: str
    default: [all]
  allow_env:
    description:
      - The name of the environment that the archive comes from, when it is on purpose another one than O(env).
    type: str
  allow_unverified:
    description:
      - Accept an archive that has no sidecar. All other checks are made. A sidecar that does not fit is never accepted.
    type: bool
    default: false
  safety_backup:
    description:
      - Back up the present state of the components to C(<root>/backups) before it is replaced.
      - It is taken as it is; what is damaged in it is listed in RV(safety_problems).
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    details:
      - Checks the archive in full and tells what would be replaced.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Every run replaces the folders.
notes:
  - Stop the service before, and start it after. This module does not know the service; the roles of this collection
    do so.
  - A component's folder must not be a mount point of its own, because it is replaced by a rename.
  - Fails, with everything left as it was, when there is no such archive, its sidecar is missing or does not fit,
    anything in it is wrong, it comes from another environment, it does not hold a component that was asked for, there
    is too little space, the safety backup cannot be made, or other work on the same folders runs.
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.attributes
seealso:
  - module: mobius.ops.backup
  - module: mobius.ops.backup_info
author:
  - MOBIUS operations (@mobius-ops)
"""

EXAMPLES = r"""
- name: Put back the database of this morning
  mobius.ops.backup_restore:
    root: /opt/mobius
    env: production
    archive: /opt/mobius/backups/dhash_production_20261123_060000.zip
    components: [database]

- name: Try production's data on staging, on purpose
  mobius.ops.backup_restore:
    root: /opt/mobius
    env: staging
    archive: /srv/copies/dhash_production_20261123_060000.zip
    components: [database, uploads]
    allow_env: production
"""

RETURN = r"""
archive:
  description: Path of the archive.
  returned: success
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_060000.zip
env:
  description: The environment that the archive comes from, by its manifest.
  returned: success
  type: str
  sample: production
restored:
  description: The components that were put back, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [database]
safety_backup:
  description: Path of the archive of what was replaced; none in check mode and without O(safety_backup).
  returned: success
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_160000.zip
safety_problems:
  description: Files that the safety backup could not take as one state of them, each with the reason.
  returned: success
  type: list
  elements: dict
  sample: []
release:
  description: Id of the release that served when the archive was made; none when none did.
  returned: success
  type: str
status:
  description: V(verified), or V(unverified) when the archive had no sidecar.
  returned: success
  type: str
  sample: verified
undone:
  description: Components that were first put back because an earlier restore had been interrupted.
  returned: success
  type: list
  elements: str
  sample: []
elapsed:
  description: Duration in seconds.
  returned: success
  type: float
  sample: 3.1
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils import _arguments, _files, _restore
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout, check_name


def planned(layout: Layout, request: _restore.Request) -> tuple[dict[str, t.Any], str]:
    """The result of check mode, and what would be there after."""
    started = time.monotonic()
    layout.require()
    with _restore.checked(request) as source:
        manifest = source.archive.manifest
        after = counts(_restore.summary(source.entries, source.components))
    return {
        "archive": request.archive, "env": manifest["env"], "restored": source.components, "safety_backup": None,
        "safety_problems": [], "release": manifest.get("release"), "status": source.status, "undone": [],
        "elapsed": round(time.monotonic() - started, 3),
    }, after


def counts(found: dict[str, dict[str, int]]) -> str:
    """One line a component for the diff."""
    return "".join(f"{name}: {count['files']} files, {_files.human_size(count['bytes'])}\n"
                   for name, count in found.items())


def run(params: dict[str, t.Any], check_mode: bool) -> tuple[bool, dict[str, t.Any], dict[str, str]]:
    """Restore, or check the archive and tell what would be replaced."""
    layout = Layout(params["root"])
    request = _restore.Request(
        archive=params["archive"], env=check_name(params["env"], "env"), components=params["components"],
        allow_env=params["allow_env"], allow_unverified=params["allow_unverified"],
        safety_backup=params["safety_backup"])
    if check_mode:
        result, after = planned(layout, request)
        return True, result, {"before": counts(_restore.present(layout, result["restored"])), "after": after}
    result, before = _restore.restore(layout, request)
    return True, result, {"before": counts(before), "after": counts(_restore.present(layout, result["restored"]))}


def main() -> None:
    """Module entry point."""
    spec = {
        "root": _arguments.ROOT,
        "env": _arguments.ENV,
        "archive": {"type": "path", "required": True},
        "components": _arguments.COMPONENTS,
        "allow_env": {"type": "str"},
        "allow_unverified": {"type": "bool", "default": False},
        "safety_backup": {"type": "bool", "default": True},
    }
    _arguments.execute(AnsibleModule(argument_spec=spec, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
