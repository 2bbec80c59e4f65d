# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore has done so far, on disk, so that the next run can bring one that was killed to a known end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t

from .._core import clock, fs, locks
from .._core.errors import IntegrityError, StateError
from . import records
from .journal_types import RestoreFacts
from .layout import COMPONENTS, WORK, Layout, is_work

#: ``staging``: nothing was touched but the service. ``swapping``: the folders are of two times. ``trial``: all are new,
#: and the service was not yet found well. ``saving``: it was; what was replaced is not yet in a backup.
PHASES = ("staging", "swapping", "trial", "saving")


@contextlib.contextmanager
def locked(layout: Layout, kind: int = fcntl.LOCK_SH) -> t.Iterator[None]:
    """Hold the shared folders: backups may run side by side, a restore runs alone."""
    try:
        descriptor = os.open(layout.shared, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StateError(f"root {layout.root}", "a folder shared", "none", "Run the playbook mobius.ops.setup first") from None
    try:
        if not locks.taken(descriptor, kind):
            raise StateError(
                f"root {layout.root}", "no other work on its shared folders", "a backup or a restore that runs", "Wait until it has ended"
            )
        yield
    finally:
        os.close(descriptor)


class Journal:
    """What a restore has done so far: ``state/restore.<phase>.json``.

    The phase is a part of the name, so that going to the next one is one rename, and that systemd can see by a name
    that a service must not be started. What it says is kept twice (``state/restore.copy.json``): without it nobody can tell whose the
    folders are that a killed restore left, and which of them were there before.
    """

    def __init__(self, layout: Layout, phase: str, facts: RestoreFacts, damage: str = "") -> None:
        self._layout = layout
        self.phase = phase
        self.facts = facts
        #: What was damaged, and what that means, in words; empty when nothing was.
        self.damage = damage

    @classmethod
    def begin(cls, layout: Layout, **facts: t.Any) -> Journal:
        """A new one, in the phase ``staging``."""
        made = cls(layout, PHASES[0], t.cast(RestoreFacts, {}))
        made.update(**facts)
        return made

    @classmethod
    def find(cls, layout: Layout) -> Journal | None:
        """The one on disk: its restore was killed, because no other process holds the lock.

        :raises IntegrityError: when it is damaged, its copy too, and what was there before lies in a work folder.
        """
        for phase in PHASES:
            kind = records.JOURNAL if phase == "staging" else records.SWAPPING
            try:
                facts = records.read(journal_path(layout, phase), kind)
            except IntegrityError as error:
                return cls._mended(layout, phase, kind, error)
            if facts is not None:
                return cls(layout, phase, facts)
        return None

    @classmethod
    def _mended(cls, layout: Layout, phase: str, kind: records.Kind, error: IntegrityError) -> Journal:
        """A damaged one by its copy, or as one of a restore that changed nothing."""
        facts = records.Findings().without(lambda: records.read(_copy_path(layout), kind), None)
        if facts:
            return cls(layout, phase, facts, f"{error.subject} was damaged ({error.found}); its copy was used.")
        left = [
            os.path.join(base, name)
            for base in (layout.shared, *map(layout.component, COMPONENTS))
            if os.path.isdir(base)
            for name in os.listdir(base)
            if name.startswith(WORK) and is_work(name, os.lstat(os.path.join(base, name)))
        ]
        if phase != "staging" and left:
            todo = (
                f"Stop the service, look into {left[0]}/old for what was replaced, put it back into {layout.shared}, and move this "
                "file away"
            )
            raise IntegrityError(error.subject, error.expected, error.found, todo) from error
        lost: RestoreFacts = {
            "archive": "",
            "env": "",
            "components": [],
            "service": None,
            "wanted": False,
            "previous": None,
            "target": None,
            "swaps": [],
        }
        return cls(
            layout,
            phase,
            lost,
            f"{error.subject} was damaged ({error.found}) and removed: no folder had changed places. "
            "Look at mobius.ops.status whether the service runs.",
        )

    def update(self, **facts: t.Any) -> None:
        """Add facts."""
        self.facts.update(t.cast(RestoreFacts, facts))
        fs.write_json(_copy_path(self._layout), self.facts, 0o600)
        fs.write_json(journal_path(self._layout, self.phase), self.facts, 0o600)

    def enter(self, phase: str) -> None:
        """Go to another phase."""
        if phase != self.phase:
            os.rename(journal_path(self._layout, self.phase), journal_path(self._layout, phase))
            fs.fsync_dir(self._layout.state)
            self.phase = phase

    def reread(self) -> None:
        """Take the phase from the disk: an interruption may have come right after a rename."""
        self.phase = next((phase for phase in PHASES if os.path.exists(journal_path(self._layout, phase))), self.phase)

    def end(self) -> None:
        """Nothing is left to do or to undo."""
        for path in (journal_path(self._layout, self.phase), _copy_path(self._layout)):
            _remove(path)
        fs.fsync_dir(self._layout.state)
        self.phase = ""


def journal_path(layout: Layout, phase: str) -> str:
    """The journal's file in a phase."""
    return os.path.join(layout.state, f"restore.{phase}.json")


def _copy_path(layout: Layout) -> str:
    return os.path.join(layout.state, "restore.copy.json")


def _remove(path: str) -> None:
    """Remove a file, or move away what lies in its place."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            os.rename(path, f"{path}.damaged-{clock.stamp()}")
        else:
            os.unlink(path)


def refuse_unsettled(layout: Layout, component: str) -> None:
    """:raises StateError: when a restore of a component was interrupted: the next run may put back what was there before."""
    journal = Journal.find(layout)
    if journal and journal.phase != "staging" and component in (journal.facts["components"] or [component]):  # none: it is damaged
        raise StateError(
            f"root {layout.root}",
            f"a {component} that stays",
            "a restore that was interrupted",
            "Run the playbook mobius.ops.restore: it first brings that one to its end",
        )


def refuse_interrupted(layout: Layout) -> None:
    """:raises StateError: when a restore was killed in the middle of its swap: the folders are of two times."""
    if os.path.exists(journal_path(layout, "swapping")):
        raise StateError(
            f"root {layout.root}",
            "the shared folders of one time",
            "a restore that was interrupted",
            "Run the playbook mobius.ops.restore: it first puts back what was there",
        )


def refuse_unfinished_release(layout: Layout) -> None:
    """:raises StateError: when a restore that goes to another release was killed after its swap: its records are not written yet."""
    journal = Journal.find(layout)
    if journal and journal.phase != "staging" and journal.facts.get("target"):
        raise StateError(
            f"root {layout.root}",
            "no restore that was interrupted",
            f"one that goes to release {journal.facts['target']}",
            "Run the playbook mobius.ops.restore: it first brings that to its end",
        )
