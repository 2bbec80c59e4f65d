#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Makes one verified archive of an application's state
version_added: 0.1.0
description:
  - Writes C(<dest>/dhash_<env>_<YYYYMMDD_HHMMSS>.zip), the time in UTC, and C(<archive>.sha256) beside it. C(unzip)
    reads the archive and C(sha256sum -c) checks it on any machine, without this collection. Both files have mode
    V(0600).
  - The first member, C(MANIFEST.json), holds for every entry its SHA-256, size in bytes, mode, owner, time and link
    target.
  - The archive is written under a hidden temporary name, made durable, read back member by member, and only then
    given its name. A run that was killed leaves earlier backups as they are, and nothing that
    M(mobius.ops.backup_info) lists; the next run removes what it left.
  - SQLite databases, known by their content, that a program uses are taken with SQLite's online backup in one step. The C(-wal), C(-shm)
    and C(-journal) files that SQLite keeps beside them are left out, and the copy does not need them. A database that nobody uses is
    stored as the file that it is. Those of the component C(database) are checked with C(integrity_check) in both cases. A check that
    needs something of the application, such as a collation, is a warning and no failure.
  - Files that are right only together are one state of all of them, or a problem. These are a file with its C(-wal) or C(-journal) that
    SQLite cannot read, such as a database of SQLCipher, and folders of LMDB, LevelDB, RocksDB, PostgreSQL, MySQL and MongoDB.
  - A file that changes while it is read is read again, up to 3 times. A log is taken up to the size that was seen first. A JSON file of
    the component C(database) that was just written is read again until it is a whole document or rests.
  - A file that still changes, vanishes or cannot be read makes the backup C(incomplete), unless O(allow_changed=true). It fails then, and
    what could be taken is kept aside under a name that is never offered for a restore. One that vanishes and is named after a
    JSON file beside it in C(database), such as C(projects.json.tmp), was that one's next content, and is not missed.
  - Symbolic links are stored as links and not followed. Sockets, named pipes and devices are left out and listed.
options:
  dest:
    description:
      - The folder that gets the archive. It must exist, outside of the chosen components.
      - C(<root>/backups) when it is not given.
    type: path
  level:
    description:
      - How hard to compress, from V(1), the fastest, to V(9), the smallest.
      - Media and other content that is compressed already is stored as it is.
    type: int
    default: 5
  full_every:
    description:
      - Days after which every file is read again. Until then, the members of files that look unchanged (size, times,
        inode) are copied from the archive before, after their stored bytes were checked by SHA-256.
      - Each archive is complete and stands alone. V(0) reads every file every time.
    type: int
    default: 7
  never_reuse:
    description:
      - Files and folders that are read every time, by their paths in the archive, such as V(uploads/maps).
      - For files that a program changes through memory (C(mmap)), whose times change only when the system writes them to the disk. LMDB
        is known by its names and read every time anyway.
    type: list
    elements: str
    default: []
  allow_changed:
    description:
      - Make the archive even if some files could not be taken as one state of them.
      - A file that changes is stored as it was read last and marked C(changed) in the manifest; one that cannot be
        read is missing. Both are listed in RV(problems).
    type: bool
    default: false
  allow_shrunk:
    description:
      - Take what is there now as what later backups are compared with, however little it is. Without it a component that lost more than
        nine tenths of its files or bytes is a finding of this and every later backup (RV(shrunk)), as long as the archive from before is
        there.
    type: bool
    default: false
  sign_key:
    description:
      - Path on the target of a private key that signs the archive. C(<archive>.sha256.sig) is C(ssh-keygen)'s signature of the
        sidecar's line for the purpose V(mobius-backup); M(mobius.ops.backup_info) and C(ssh-keygen -Y verify) check it.
      - The key must be readable by its owner only, and have no passphrase. No signature is made when it is not given.
    type: path
  purpose:
    description:
      - What the backup is made for. The manifest has it, M(mobius.ops.backup_info) and the status show it.
      - Safety backups, the third kind, are made by M(mobius.ops.backup_restore) only.
    type: str
    choices: [ordinary, deploy]
    default: ordinary
  why:
    description:
      - The reason in words, for the manifest and the history, such as V(before the deploy of v2).
    type: str
    default: ''
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Every run makes a new archive.
notes:
  - Fails, and makes no archive, when the host was not set up, a component is unknown or its folder is a symbolic
    link, O(dest) is missing, lies inside a component or has too little space, a file could not be taken, a restore
    runs or was interrupted, O(sign_key) cannot sign, or when what was written is not what was read.
  - The archive holds the secrets of C(config/.env). No content is ever part of the result.
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.components
  - mobius.ops.shared.progress
  - mobius.ops.shared.attributes
seealso:
  - module: mobius.ops.backup_info
  - module: mobius.ops.backup_restore
author:
  - MOBIUS operations (@mobius-ops)
"""

EXAMPLES = r"""
- name: Back up everything before a deploy
  mobius.ops.backup:
    root: /opt/mobius
    env: production
  register: backup

- name: Back up only the settings and the database, onto another disk
  mobius.ops.backup:
    root: /opt/mobius
    env: production
    components: [config, database]
    dest: /srv/backups
    level: 9
"""

RETURN = r"""
archive:
  description: Path of the archive; in check mode, of the one that would be made now.
  returned: success
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_160000.zip
signature:
  description: Path of its signature; none in check mode and without O(sign_key).
  returned: success
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_160000.zip.sha256.sig
sha256:
  description: SHA-256 of the archive; none in check mode.
  returned: success
  type: str
size:
  description: Size of the archive in bytes; in check mode, of the files that would go into it.
  returned: success
  type: int
  sample: 1048576
entries:
  description: Number of files, folders and links.
  returned: success
  type: int
  sample: 421
reused:
  description: Number of members that were copied from the archive before; in check mode, 0.
  returned: success
  type: int
  sample: 398
full:
  description: When every file in the archive was last read, ISO 8601; none in check mode.
  returned: success
  type: str
  sample: "2026-11-23T16:00:00Z"
components:
  description: The components in the archive.
  returned: success
  type: list
  elements: str
  sample: [config, database, uploads, generated, logs]
empty:
  description: Chosen components that have no folder on this host, and so are not in the archive.
  returned: success
  type: list
  elements: str
status:
  description:
    - V(verified), V(unverified) when RV(missing) says why, V(planned) in check mode, or V(incomplete) when it failed because of
      RV(problems).
  returned: success, and failure because of RV(problems)
  type: str
  sample: verified
missing:
  description:
    - Why the backup cannot hold the state of the service; empty when it does. Its database is somewhere else, and neither a folder nor
      a dump command was named (O(mobius.ops.layout#module:shared_folders), O(mobius.ops.layout#module:external_state)).
  returned: success
  type: str
purpose:
  description: What the backup is for, as O(purpose) says.
  returned: success
  type: str
  sample: deploy
release:
  description: Id of the release that served when the backup was made; none when none did.
  returned: success
  type: str
aside:
  description: Path of what is kept of an incomplete backup; only the newest one is.
  returned: failure because of RV(problems)
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_160000.zip.incomplete
problems:
  description: Files that could not be taken as one state of them, each with the reason.
  returned: success, and failure for this cause
  type: list
  elements: dict
  sample: [{path: uploads/big.mp4, reason: it changed while it was read}]
shrunk:
  description:
    - Components that hold less than a tenth of the files or bytes (of logs, of the files) that the archive C(before) holds of
      them, as when a disk is not mounted. There is a warning for each.
    - M(mobius.ops.backup_prune) keeps that archive as long as one that lists it is kept.
  returned: success
  type: list
  elements: dict
  sample:
    - {component: uploads, before: /opt/mobius/backups/dhash_production_20261122_160000.zip, files_before: 812, files: 0,
       bytes_before: 52428800, bytes: 0}
left_out:
  description: Sockets, named pipes and devices, each with the reason.
  returned: success, and failure because of RV(problems)
  type: list
  elements: dict
  sample: [{path: uploads/render.sock, reason: socket has no content}]
elapsed:
  description: Duration in seconds.
  returned: success
  type: float
  sample: 2.7
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._backup import asked, shrinkage
from ansible_collections.mobius.ops.plugins.module_utils._backup import catalog as backup_catalog
from ansible_collections.mobius.ops.plugins.module_utils._backup import create as backup_create
from ansible_collections.mobius.ops.plugins.module_utils._backup.backup_types import Made
from ansible_collections.mobius.ops.plugins.module_utils._core import clock, wording
from ansible_collections.mobius.ops.plugins.module_utils._target import progress, restore_journal
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def planned(layout: Layout, request: backup_create.Request) -> Made:
    """The result of check mode."""
    started = time.monotonic()
    with restore_journal.locked(layout):
        restore_journal.refuse_interrupted(layout)
        plan = backup_create.plan(layout, request)
        shrunk = backup_create.shrunk(request, plan, backup_catalog.find(request.dest, request.env, layout))
    return {
        "archive": os.path.join(request.dest, backup_catalog.file_name(request.env, clock.stamp())),
        "signature": None,
        "sha256": None,
        "size": plan.size,
        "entries": len(plan.sources),
        "reused": 0,
        "full": None,
        "components": plan.components,
        "empty": plan.empty,
        "status": "planned",
        "missing": "",
        "purpose": request.purpose,
        "release": backup_create.live_release(layout),
        "problems": plan.problems,
        "left_out": plan.skipped,
        "shrunk": shrunk,
        "warnings": [shrinkage.sentence(one) + "." for one in shrunk],
        "elapsed": round(time.monotonic() - started, 3),
    }


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Make the backup, or tell what it would hold."""
    layout = Layout(params["root"])
    request = asked.backup_request(params, layout)
    layout.require()
    result = planned(layout, request) if check_mode else asked.back_up(layout, request, progress.meter(params))
    what = ", ".join(result["components"]) or "nothing"
    after = (
        f"archive {result['archive']}, {result['entries']} entries of {what}, "
        f"{wording.human_size(result['size'])}{' before compression' if check_mode else ''}\n"
    )
    return arguments.Answer(True, result, {"before": "", "after": after})


def main() -> None:
    """Module entry point."""
    arguments.execute(
        AnsibleModule(
            argument_spec={"root": arguments.ROOT, "env": arguments.ENV, **arguments.BACKUP, **arguments.PROGRESS}, supports_check_mode=True
        ),
        run,
    )


if __name__ == "__main__":
    main()
