#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: Lists the archives in a folder and tells which are sound
version_added: 0.1.0
description:
  - Lists the archives C(dhash_<env>_<YYYYMMDD_HHMMSS>.zip) in a folder, newest first, several of them examined at once. A safety
    backup of a restore has C(_safety) before C(.zip).
  - A damaged archive, or a file of another kind with such a name, is listed as V(corrupt) with the reason. It never
    makes the module fail.
options:
  root:
    description:
      - The application's root folder on the target. Its C(backups) folder is listed when there is no O(dest). Its history and its
        release records say what an archive is for that was made before manifests had a purpose.
      - One of O(root) and O(dest) is needed.
    type: path
  dest:
    description:
      - The folder to list.
    type: path
  env:
    description:
      - List only the archives of this environment, such as V(production).
    type: str
  verify:
    description:
      - V(none) reads the structure and the manifest of each archive. It finds one that is cut short or not an
        archive, but no damage inside of a file, so it calls none V(verified).
      - V(checksum) also compares each archive with its sidecar.
      - V(deep) also reads every member and compares its CRC, its SHA-256 and its size with the manifest.
    type: str
    choices: [none, checksum, deep]
    default: none
  components:
    description:
      - List only the archives that hold all of these components, or found no folder for one when they were made. A damaged
        archive is listed, for it cannot tell. V(all) stands for every component.
      - All archives by default.
    type: list
    elements: str
  skip_safety:
    description:
      - Leave out the safety backups that restores made, of the data that they replaced. The newest archive may be one of the very
        data that was bad.
    type: bool
    default: false
  limit:
    description:
      - Examine and list only so many, the newest.
    type: int
  max_age:
    description:
      - How many hours old the newest verified archive may be for RV(well). Any number of hours when V(0).
      - It is asked of each component that a verified archive holds, so a backup of some components does not hide that there is none
        of the others. Safety backups do not count.
    type: float
    default: 0
attributes:
  check_mode:
    support: full
    details:
      - The module only reads.
  diff_mode:
    support: N/A
    details:
      - The module changes nothing.
  idempotent:
    support: full
notes:
  - Fails when the folder does not exist, O(limit) is less than 1, O(max_age) is less than 0, or signatures cannot be checked
    because the file of O(allowed_signers) or C(ssh-keygen) is missing.
extends_documentation_fragment:
  - mobius.ops.shared.signatures
  - mobius.ops.shared.progress
  - mobius.ops.shared.attributes
seealso:
  - module: mobius.ops.backup
  - module: mobius.ops.backup_restore
author:
  - MOBIUS operations (@mobius-ops)
"""

EXAMPLES = r"""
- name: List all backups
  mobius.ops.backup_info:
    root: /opt/mobius

- name: Read every member of the newest production backup
  mobius.ops.backup_info:
    dest: /srv/backups
    env: production
    verify: deep
    limit: 1
    skip_safety: true
  register: newest

- name: Stop when it is not sound
  ansible.builtin.assert:
    that: newest.backups[0].status == 'verified'

- name: Ask for signed archives, the newest of them not older than a day
  mobius.ops.backup_info:
    root: /opt/mobius
    env: production
    verify: checksum
    max_age: 24
    allowed_signers: /etc/mobius/allowed_signers
  register: backups
  failed_when: not backups.well
"""

RETURN = r"""
backups:
  description: The archives, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    archive:
      description: Path of the archive.
      type: str
      sample: /opt/mobius/backups/dhash_production_20261123_160000.zip
    env:
      description: The environment, by the archive's name.
      type: str
      sample: production
    created:
      description: When it was made, in UTC, by the archive's name.
      type: str
      sample: '2026-11-23T16:00:00Z'
    size:
      description: Size of the archive in bytes.
      type: int
      sample: 1048576
    components:
      description: The components in it; empty when the manifest cannot be read.
      type: list
      elements: str
      sample: [config, database]
    purpose:
      description:
        - What the archive is for. V(safety) when a restore made it of what it replaced, V(deploy) when a deploy made it, V(ordinary)
          when it was made by itself.
        - V(unknown) for an archive whose manifest does not say it and that the history of O(root) does not know.
      type: str
      sample: deploy
    why:
      description: The reason that was given for it, such as V(before the deploy of v2); empty when there was none or it is not known.
      type: str
      sample: before the deploy of v2
    release:
      description: Id of the release that served when it was made; none when none did or it is not known.
      type: str
    shrunk:
      description:
        - Components of which it holds less than a tenth of what the backup before held, each with the file name of the last archive from
          before. See RV(mobius.ops.backup#module:shrunk).
      type: dict
      sample: {}
    future:
      description:
        - Whether the archive's name is dated in the future, because a clock was wrong. Its place in the list is that of RV(backups) by
          the history of O(root); without one it is the last. It counts for no age.
      type: bool
      sample: false
    problems:
      description:
        - Number of files that could not be taken as one state of them.
        - They were accepted with O(mobius.ops.backup#module:allow_changed).
      type: int
      sample: 0
    status:
      description:
        - V(verified) when everything that was read is right and the sidecar agrees.
        - V(unverified) when there is no sidecar, it was not read (O(verify=none)), or the archive may not be read; with
          O(allowed_signers) also when there is no signature.
        - V(corrupt) when the archive, its manifest, its sidecar or its signature is wrong.
      type: str
      sample: verified
    reason:
      description: Why the status is not V(verified), such as V(no sidecar) or V(not checked); empty when it is.
      type: str
findings:
  description: Records of releases that are damaged, so that the purpose of an older archive may not be known.
  returned: success
  type: list
  elements: str
well:
  description: Whether no archive is corrupt, and there is a verified one, no safety backup and not dated in the future, that
    is not older than O(max_age) and of which no component shrank.
  returned: when O(verify) is not V(none)
  type: bool
message:
  description: RV(well) in words, with what to do when it is not so.
  returned: when O(verify) is not V(none)
  type: str
  sample: 7 verified; the newest verified archive is /opt/mobius/backups/dhash_production_20261123_160000.zip, 3 h old.
newest_verified:
  description: Path of the newest verified archive that is no safety backup; none when there is none.
  returned: when O(verify) is not V(none)
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_160000.zip
age:
  description: Age in seconds, by its name, of the newest verified archive; of the component for which that is the oldest.
  returned: when O(verify) is not V(none)
  type: float
  sample: 10800.0
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._backup import asked
from ansible_collections.mobius.ops.plugins.module_utils._target import progress


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """List the archives; check mode is no different."""
    return arguments.Answer(False, asked.look(params, progress.meter(params)))


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={"root": {"type": "path"}, "env": {"type": "str"}, **arguments.VERIFY, **arguments.PROGRESS},
        required_one_of=[("root", "dest")],
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
