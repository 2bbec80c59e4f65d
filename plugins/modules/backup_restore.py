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
    anything is written. A damaged, incomplete or hostile archive is refused whole.
  - Then extracts it into a fresh private folder on the same file system, makes a safety backup of what is there now,
    stops the service, lets the folders of the components change places, starts the service and waits until it is well.
    On any error all folders are as they were, and the service runs on them again.
  - The service is down only for the change of places and its own start, however large the data is. What is written between the safety
    backup and the stop is not lost - when there was such, a second safety backup is taken of the folders that were replaced, while
    the service runs again, and takes the place of the first.
  - Owners (as root), modes, times in nanoseconds, symbolic and hard links, extended attributes and ACLs come back. Set-uid and
    set-gid bits of files do not. Databases that were in WAL mode are so again.
  - With C(database), releases whose migration was done after the archive was made do not count as migrated any more; see RV(unmigrated).
  - When a run was killed, the next one, for whatever archive, first brings it to a known end; see O(archive).
author:
  - MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.attributes
  - mobius.ops.shared.progress
  - mobius.ops.shared.signatures
  - mobius.ops.checks
options:
  archive:
    description:
      - Path of the archive on the target, with its C(.sha256) beside it.
      - Without it, a restore that was interrupted is brought to a known end and nothing else is done. A run that was killed in
        the midst of the change of places is undone. One that was killed later, before the service was found well, stays if
        the service is well by now; if not, what was there before comes back and what was restored is kept aside, see RV(kept).
    type: path
  components:
    description:
      - The parts to restore. V(all) stands for every component that is in the archive.
      - The folder of each is replaced whole; what is in it and not in the archive goes (it is in the safety backup).
    type: list
    elements: str
    default: [all]
  allow_env:
    description:
      - Needed when the archive comes, by its manifest, from another environment than O(env).
      - It names both, as in V(production onto staging).
    type: str
  allow_unverified:
    description:
      - Accept an archive that has no sidecar, or no signature where one is asked for. All other checks are made. One that does not fit
        is never accepted.
    type: bool
    default: false
  safety_backup:
    description:
      - Back up the present state of the components to C(<root>/backups) before it is replaced.
      - It is taken as it is; what is damaged in it is listed in RV(safety_problems).
    type: bool
    default: true
  sign_key:
    description:
      - Path on the target of a private key that signs the safety backup, as in O(mobius.ops.backup#module:sign_key).
    type: path
  service:
    description:
      - Name of the service to stop and to start, as M(mobius.ops.node_service) knows it. A watch of it is ended, and no release is
        switched meanwhile.
      - A service that was stopped on purpose stays stopped. One that crashed, or was killed, is started.
      - Without it only the folders change places; stop what uses them before.
    type: str
  ready_timeout:
    description: Seconds within which the service has to become ready on the restored data. If it does not, what was there comes back.
    type: float
    default: 60
  release_id:
    description:
      - Put this release live in the same step, as a rollback of code and data. It must have served before. When it does not become
        ready on the restored data, both go back. Needs O(service), which is then started in any case.
      - What of the migration of the release that was live before is in the data then (M(mobius.ops.release_migration)) is undone, as by
        any rollback, after this one serves.
    type: str
  why:
    description: The reason, for the history and the records of releases.
    type: str
    default: ""
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
  - The folder of a component may be a mount point. It cannot be renamed then, so its entries are, one by one; when the run is killed
    meanwhile, the next one puts all of them back. A file system that is mounted deeper inside of a component is refused.
  - A file system that cannot hold extended attributes is no failure; see RV(attributes_lost). Where an ACL is lost, the mode gives nobody
    more than the ACL did.
  - Fails, with everything left as it was, when there is no such archive, its sidecar or signature is missing or does not
    fit,
    anything in it is wrong, it comes from another environment, it does not hold a component that was asked for, there
    is too little space, the safety backup cannot be made, another program has the service's port, or other work on the same
    folders runs.
  - Fails at its very end, with code and data gone back, when the migration of the release before could not be undone.
seealso:
  - module: mobius.ops.backup
  - module: mobius.ops.backup_info
  - module: mobius.ops.node_service
"""

EXAMPLES = r"""
- name: Put back the database of this morning
  mobius.ops.backup_restore:
    root: /opt/mobius
    env: production
    archive: /opt/mobius/backups/dhash_production_20261123_060000.zip
    components: [database]
    service: mobius
    checks:
      - url: http://127.0.0.1:5001/health

- name: Try production's data on staging, on purpose
  mobius.ops.backup_restore:
    root: /opt/mobius
    env: staging
    archive: /srv/copies/dhash_production_20261123_060000.zip
    components: [database, uploads]
    allow_env: production onto staging
    service: mobius

- name: Bring a restore that was killed to a known end
  mobius.ops.backup_restore:
    root: /opt/mobius
    env: production
    service: mobius
"""

RETURN = r"""
archive:
  description: Path of the archive; none when there was only an interrupted restore to end.
  returned: success
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_060000.zip
env:
  description: The environment that the archive comes from, by its manifest.
  returned: success, with O(archive)
  type: str
  sample: production
created:
  description: When the archive was made. What was written since is lost from the service.
  returned: success, with O(archive)
  type: str
  sample: "2026-11-23T06:00:00Z"
restored:
  description: The components that were put back, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [database]
safety_backup:
  description: Path of the archive of what was replaced; none in check mode and without O(safety_backup).
  returned: success, or after the service was stopped
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_160000_safety.zip
safety_problems:
  description: Files that the safety backup could not take as one state of them, each with the reason.
  returned: success, or after the service was stopped
  type: list
  elements: dict
  sample: []
release:
  description: Id of the release that served when the archive was made; none when none did.
  returned: success, with O(archive)
  type: str
status:
  description: V(verified), or V(unverified) when the archive had no sidecar.
  returned: success, with O(archive)
  type: str
  sample: verified
previous:
  description: Id of the release that was live before.
  returned: success
  type: str
serving:
  description: Whether the service runs and is well now; false also when it was stopped before and stays so.
  returned: success, or after the service was stopped
  type: bool
put_back:
  description: Whether what was there before is back.
  returned: failure after the service was stopped
  type: bool
cut:
  description: What the service worked on when it was stopped, C(requests) (a number) and C(renders) (a list of names).
  returned: success
  type: dict
  version_added: 0.1.0
cut_text:
  description: The same as a sentence, empty when nothing was cut.
  returned: success
  type: str
  version_added: 0.1.0
downtime:
  description: Seconds from the stop of the service until it was ready; none when it was not stopped.
  returned: success, or after the service was stopped
  type: float
  sample: 1.4
watch:
  description: Id of the watch that was ended; none when none ran.
  returned: success, or after the service was stopped
  type: str
evidence:
  description: The last lines that the service printed on the restored data.
  returned: when it did not become ready
  type: list
  elements: str
attributes_lost:
  description: Extended attributes that the file system cannot hold - C(name), how many C(files), the C(first) of them, C(reason).
  returned: success, or after the service was stopped
  type: list
  elements: dict
  sample: []
unmigrated:
  description:
    - Releases whose migration is not in the data, for it was done after the archive was made, or the archive comes from another
      environment. Their records say C(undone), and a deploy of them migrates again.
  returned: success, or after the service was stopped
  type: list
  elements: str
  sample: [1.4.0-5f1d2c3b]
undone:
  description: Components that were put back first because an earlier restore had been interrupted.
  returned: success, or after an interrupted restore was ended
  type: list
  elements: str
  sample: []
confirmed:
  description: Components of an earlier restore that was interrupted at its end, and that stay as it left them.
  returned: success, or after an interrupted restore was ended
  type: list
  elements: str
  sample: []
kept:
  description: Folders with what an interrupted restore left and what may be wanted. Nothing removes them.
  returned: success, or after an interrupted restore was ended
  type: list
  elements: str
  sample: []
elapsed:
  description: Duration in seconds.
  returned: success
  type: float
  sample: 3.1
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._core import wording
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._restore import recovery, restore
from ansible_collections.mobius.ops.plugins.module_utils._restore.live_service import Serving
from ansible_collections.mobius.ops.plugins.module_utils._target import progress
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout, check_name


def counts(found: dict[str, dict[str, int]]) -> str:
    """One line a component for the diff."""
    return "".join(f"{name}: {count['files']} files, {wording.human_size(count['bytes'])}\n" for name, count in found.items())


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Restore, or check the archive and tell what would be replaced."""
    layout = Layout(params["root"])
    env = check_name(params["env"], "env")
    layout.require()
    checks = health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
    serving = Serving(layout, params["service"], checks, params["ready_timeout"], params["release_id"])
    meter = progress.meter(params)
    if not params["archive"]:
        result = recovery.recover(layout, serving, check_mode, meter)
        return arguments.Answer(bool(result["undone"] or result["confirmed"]), result, {"before": "", "after": ""})
    request = restore.Request(
        archive=params["archive"],
        env=env,
        components=params["components"],
        allow_env=params["allow_env"],
        allow_unverified=params["allow_unverified"],
        safety_backup=params["safety_backup"],
        why=params["why"],
        policy=signature.policy(params["allowed_signers"], params["signer"]),
        sign_key=params["sign_key"],
    )
    if check_mode:
        result, after = restore.planned(layout, request, serving, meter)
        return arguments.Answer(True, result, {"before": counts(restore.present(layout, result["restored"])), "after": counts(after)})
    result, before = restore.restore(layout, request, serving, meter)
    return arguments.Answer(True, result, {"before": counts(before), "after": counts(restore.present(layout, result["restored"]))})


def main() -> None:
    """Module entry point."""
    spec = {
        "root": arguments.ROOT,
        "env": arguments.ENV,
        "archive": {"type": "path"},
        "components": arguments.COMPONENTS,
        "allow_env": {"type": "str"},
        "allow_unverified": {"type": "bool", "default": False},
        "safety_backup": {"type": "bool", "default": True},
        "service": {"type": "str"},
        "checks": arguments.CHECKS,
        "headers": arguments.HEADERS,
        "secret_headers": arguments.SECRET_HEADERS,
        "ready_timeout": {"type": "float", "default": 60},
        "release_id": {"type": "str"},
        **arguments.SIGNATURES,
        **arguments.PROGRESS,
        "sign_key": {"type": "path", "no_log": False},
        "why": {"type": "str", "default": ""},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, required_by={"release_id": ["service"]})
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
