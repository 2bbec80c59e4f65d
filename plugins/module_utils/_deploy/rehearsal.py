# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release whose state only one instance may have is tried on a throw-away copy of the data before the old one is stopped.

It runs as the drill's instance does: kept from the live data, on a spare port, for a moment. The copy has the database and the
settings; uploads and clips are left out, for they may be large and are not read at the start.
"""

from __future__ import annotations

import contextlib
import os
import stat

from .._core import accounts, as_user, dotenv, fs, sqlite, sqlite_check, walk
from .._core.accounts import Account
from .._core.errors import OpsError, StateError
from .._service import readiness, write_attempts
from .._service.scratch import app as scratch_app
from .._service.scratch import folder as scratch_folder
from .._service.scratch import instance as scratch_instance
from .._service.slots import SlottedService
from .._service.write_attempts import Finding
from .._target.layout import Layout
from .._target.record_types import Check
from . import tree_copy

#: Components that the copy has.
COPIED = ("config", "database")
#: Bytes that a file of the copy may have beyond twice the size of the largest one.
_MARGIN = 64 * 1024**2
#: File among the logs of watches with what the last instance printed that did not become well on a copy.
LOG = "gate.log"


def on_copy(layout: Layout, service: SlottedService, release_id: str, checks: list[Check], timeout: float) -> list[Finding]:
    """Start a release on a copy of the data and wait until it is well; where it tried to write elsewhere (``_service.write_attempts``).

    :raises OpsError: when it does not become well, or cannot be kept from the live data. Nothing is left of it.
    """
    needed = sum(walk.size(layout.component(name), 4096) for name in COPIED) + scratch_app.size_of_code(layout, release_id)
    with scratch_folder.alone(layout):
        scratch_folder.sweep(layout)
        scratch = scratch_folder.make(layout, layout.root, needed)
        instance = None
        try:
            instance = _instance(layout, scratch, service, release_id, timeout)
            instance.log = layout.path("monitor_logs", LOG)
            return _tried(instance, service.direct(checks, instance.port), release_id, timeout)
        except OpsError as error:
            error.say(f"On a copy of the data: {error}")
            if instance:
                _keep_log(instance)
            raise
        finally:
            if instance:
                instance.stop()
            scratch_folder.remove(layout, scratch)


def _instance(layout: Layout, scratch: Layout, service: SlottedService, release_id: str, timeout: float) -> scratch_instance.Instance:
    copies = scratch.path("restored")
    os.mkdir(copies)
    os.chmod(copies, 0o755)  # the folder around it keeps others out
    scratch_folder.let_in(scratch, accounts.named(service.spec["user"]))
    for name in COPIED:
        if os.path.isdir(layout.component(name)):
            copy(layout.component(name), os.path.join(copies, name), accounts.owner_of(layout.component(name)))
    scratch_folder.furnish(layout, scratch, copies, service.spec["user"])
    scratch_app.copy_release(layout, scratch, release_id)
    spec = scratch_app.build_spec(layout, scratch, service.spec, release_id, scratch_app.spare_port(), {})
    return scratch_instance.instance_for(scratch, spec, timeout * 2 + 60)


def _tried(instance: scratch_instance.Instance, checks: list[Check], release_id: str, timeout: float) -> list[Finding]:
    instance.require_port()
    instance.start()
    try:
        readiness.ready(instance, checks, release_id, timeout)
    except OpsError as error:
        error.facts = {"evidence": instance.evidence(), **error.facts}
        raise
    pid = instance.status()["pid"]
    if pid:
        instance.require_isolation(pid)
    return write_attempts.of(instance)


def _keep_log(instance: scratch_instance.Instance) -> None:
    """Keep what the instance printed beyond its scratch folder, for the message names that file. A full disk is no other failure."""
    with contextlib.suppress(OSError):
        fs.write_text(instance.log, dotenv.Redactor(instance.spec["env_file"]).text(instance.printed()))


def copy(source: str, target: str, account: Account) -> None:
    """Copy a component while the application writes to it (``_deploy.tree_copy``), with the rights of whose it is.

    :param target: it is made, and belongs to that user; the folder that it is in does not.
    :raises StateError: when a JSON store is never found whole, or it takes too long.
    """
    sizes = [status.st_size for folder in walk.walk(source) for _name, status in folder.entries if stat.S_ISREG(status.st_mode)]
    seconds = sqlite.PATIENCE + 2 * sqlite_check.seconds(walk.size(source))
    os.mkdir(target, 0o700)
    if account.drops:
        os.chown(target, account.uid, account.gid)
    try:
        as_user.run(account, tree_copy.copy, source, target, seconds=seconds, written=2 * max(sizes, default=0) + _MARGIN)
    except (as_user.Failed, OSError) as error:
        raise StateError(f"folder {source}", "to be copied", str(error), "Run it again, and look for what fills that folder") from error
