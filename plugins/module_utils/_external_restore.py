# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""External state in a restore and a drill.

While the service is stopped, what is there is dumped into the component that is put aside, so that it comes back with it. The journal's
``external`` says that the command which replaces it has begun.
"""
from __future__ import annotations

import os
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _external
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._restore_check import Checked
from ansible_collections.mobius.ops.plugins.module_utils._restore_journal import Journal


def require(layout: Layout, archive: str, source: Checked) -> tuple[bool, list[str]]:
    """Whether a restore has a dump to restore, and warnings.

    :raises InputError: when there is one, and no command.
    """
    there, commands = any(entry["path"] == _external.MEMBER for entry in source.entries), _external.load(layout)
    if there and not commands.get("restore"):
        raise InputError(f"archive {archive}", f"the command restore in {_external.SETTING}, for it has a dump", "none",
                         "Set it and run mobius.ops.setup, or restore other components than database")
    lacks = bool(commands.get("dump")) and _external.COMPONENT in source.components and not there
    return there, [f"{archive} has no dump of the external state, which stays as it is."] if lacks else []


def set_aside(layout: Layout) -> list[str]:
    """Dump what is there, at rest; warnings. It may be damaged, which can be why it is replaced."""
    try:
        _external.dump(layout)
    except (OpsError, OSError) as error:
        _external.discard(layout)
        return [f"The external state could not be dumped before it was replaced, so it cannot be put back: {error}"]
    return []


def replace(layout: Layout, journal: Journal) -> None:
    """Restore the dump of the archive. :raises OpsError: when it fails."""
    journal.update(external=True)
    _external.restore(layout)


def put_back(layout: Layout, journal: Journal) -> None:
    """Restore what :func:`set_aside` has dumped, if it was replaced; the components are back already.

    :raises OpsError: when it fails; the journal still says so.
    """
    if not journal.facts.get("external"):
        _external.discard(layout)
        return
    if not _external.restore(layout):
        journal.update(external=False)
        raise StateError("the external state", "a dump of what was there before", "none",
                         "It is as the restore left it: restore a safety backup")
    journal.update(external=False)


def tried(layout: Layout, restored: str, environment: dict[str, t.Any]) -> list[str]:
    """Give the dump of an archive that was extracted to the command for drills; notes, when there is none.

    :param restored: the folder with the components.
    :param environment: further variables of the drill.
    :raises OpsError: when the command fails.
    """
    place = os.path.join(restored, _external.COMPONENT)
    if not os.path.lexists(os.path.join(place, _external.FILE)):
        return []
    if not _external.load(layout).get("drill"):
        return [f"the dump of the external state was compared and not tried: {_external.SETTING} has no command drill"]
    _external.restore(layout, "drill", place, environment)
    return []
