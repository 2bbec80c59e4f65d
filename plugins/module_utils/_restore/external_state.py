# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""External state in a restore and a drill.

While the service is stopped, what is there is dumped into the component that is put aside, so that it comes back with it. The journal's
``external`` says that the command which replaces it has begun.
"""

from __future__ import annotations

import os
import typing as t

from .._backup import external_state
from .._core.errors import InputError, OpsError, StateError
from .._target.layout import Layout
from .._target.restore_journal import Journal
from .checks import Checked


def require(layout: Layout, archive: str, source: Checked) -> tuple[bool, list[str]]:
    """Whether a restore has a dump to restore, and warnings.

    :raises InputError: when there is one, and no command.
    """
    there, commands = any(entry["path"] == external_state.MEMBER for entry in source.entries), external_state.load(layout)
    if there and not commands.get("restore"):
        raise InputError(
            f"archive {archive}",
            f"the command restore in {external_state.SETTING}, for it has a dump",
            "none",
            "Set it and run mobius.ops.setup, or restore other components than database",
        )
    lacks = bool(commands.get("dump")) and external_state.COMPONENT in source.components and not there
    return there, [f"{archive} has no dump of the external state, which stays as it is."] if lacks else []


def set_aside(layout: Layout) -> list[str]:
    """Dump what is there, at rest; warnings. It may be damaged, which can be why it is replaced."""
    try:
        external_state.dump(layout)
    except (OpsError, OSError) as error:
        external_state.discard(layout)
        return [f"The external state could not be dumped before it was replaced, so it cannot be put back: {error}"]
    return []


def replace(layout: Layout, journal: Journal) -> None:
    """Restore the dump of the archive. :raises OpsError: when it fails."""
    journal.update(external=True)
    external_state.restore(layout)


def put_back(layout: Layout, journal: Journal) -> None:
    """Restore what :func:`set_aside` has dumped, if it was replaced; the components are back already.

    :raises OpsError: when it fails; the journal still says so.
    """
    if not journal.facts.get("external"):
        external_state.discard(layout)
        return
    if not external_state.restore(layout):
        journal.update(external=False)
        raise StateError(
            "the external state", "a dump of what was there before", "none", "It is as the restore left it: restore a safety backup"
        )
    journal.update(external=False)


def tried(layout: Layout, restored: str, environment: t.Mapping[str, object]) -> list[str]:
    """Give the dump of an archive that was extracted to the command for drills; notes, when there is none.

    :param restored: the folder with the components.
    :param environment: further variables of the drill.
    :raises OpsError: when the command fails.
    """
    place = os.path.join(restored, external_state.COMPONENT)
    if not os.path.lexists(os.path.join(place, external_state.FILE)):
        return []
    if not external_state.load(layout).get("drill"):
        return [f"the dump of the external state was compared and not tried: {external_state.SETTING} has no command drill"]
    external_state.restore(layout, "drill", place, environment)
    return []
