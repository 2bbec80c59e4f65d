# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The intent of a switch between releases, on disk before anything changes, so that a later command can finish one that was killed.

``state/switch.json`` exists from before the first change until after the last one. It needs no phases: each step of
going back can be repeated, so whoever finishes repeats all of them (``_deploy.rollback``).
"""

from __future__ import annotations

import contextlib
import os

from .._core import clock, fs, locks, wording
from .._core.errors import InputError, IntegrityError, StateError
from . import history, records
from .journal_types import SwitchFacts
from .layout import Layout, check_name

#: Kind of switch -> how a message names it. A rollback by hand, one by the watch, the one after a failed activation, an activation.
KINDS = {
    "rollback": "the rollback of {from} to {to}",
    "watch": "the watch's rollback of {from} to {to}",
    "going_back": "going back from {from} to {to} after a failed deploy",
    "activation": "the activation of {to}",
}
ROLLBACK = "ansible-playbook mobius.ops.rollback"


class Journal:
    """One switch that has begun and not ended.

    Of its facts, ``from`` is null when no release was live, ``service`` when only the link changes; ``history`` is its size in bytes.
    """

    def __init__(self, layout: Layout, facts: SwitchFacts) -> None:
        self._layout = layout
        self.facts = facts
        self.kind: str = facts["kind"]
        self.source: str | None = facts["from"]
        self.target: str = facts["to"]
        self.why: str = facts["why"]
        self.since: str = facts["since"]
        self.service: str | None = facts["service"]

    @classmethod
    def new(cls, layout: Layout, kind: str, source: str | None, target: str, why: str, service: str | None) -> Journal:
        """One that is not on disk yet."""
        return cls(
            layout,
            {
                "kind": kind,
                "from": source,
                "to": target,
                "why": why,
                "by": history.who(),
                "since": clock.iso(),
                "service": service,
                "history": history.size(layout),
            },
        )

    def write(self) -> Journal:
        """Put it on disk; one of before is replaced in the same step."""
        fs.write_json(path(self._layout), self.facts, 0o600)
        return self

    @classmethod
    def find(cls, layout: Layout) -> Journal | None:
        """The one on disk. :raises IntegrityError: when it is damaged, or something else lies there."""
        try:
            facts = records.read(path(layout), records.SWITCH)
            if facts is None:
                return None
            for name in filter(lambda name: name is not None, (facts["from"], facts["to"])):
                check_name(name, "release id")
            if facts["kind"] in KINDS and facts["history"] >= 0:
                return cls(layout, facts)
            found = f"kind {facts['kind'][:40]!r}, history {facts['history']}"
        except (InputError, OSError) as error:
            found = error.found if isinstance(error, InputError) else str(error.strerror)
        raise IntegrityError(path(layout), records.SWITCH.what, found, records.SWITCH.todo)

    def leads_to(self, live: str | None) -> str | None:
        """The release that serves when this was finished by a command for no other release; ``None`` when it is the live one already.

        An activation that was killed before its release went live is taken back.
        """
        if self.kind == "activation":
            return self.source if live != self.target else None
        return self.target

    def words(self) -> str:
        """The switch, as the object of a sentence."""
        return KINDS[self.kind].format(**self.facts)

    def noted(self, what: str, release: str) -> bool:
        """Whether the history has an event of this switch already."""
        return any(event.get("release") == release for event in history.of_kinds(self._layout, (what,), self.facts["history"]))

    def end(self) -> None:
        """Nothing is left to do."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path(self._layout))
            fs.fsync_dir(self._layout.state)


def path(layout: Layout) -> str:
    """The journal's file."""
    return layout.path("state", "switch.json")


def peek(layout: Layout) -> Journal | None:
    """The journal on disk, ``None`` also when it is damaged: for what only looks, and for what replaces it."""
    try:
        return Journal.find(layout)
    except IntegrityError:
        return None


def unfinished(layout: Layout) -> dict[str, object] | None:
    """What a status shows of a switch that was interrupted: its fields, ``running`` and ``message``; ``None`` without one.

    A damaged journal has only ``fault`` and ``message``. One whose process works on has an empty message.
    """
    try:
        journal = Journal.find(layout)
    except IntegrityError as error:
        return {"fault": str(error), "message": str(error)}
    if journal is None:
        return None
    if locks.is_locked(layout.path("state", "switch.lock")):
        return {**journal.facts, "running": True, "message": ""}
    words, why = journal.words(), f": {wording.one_line(journal.why)}" if journal.why else ""
    told = f"{words[:1].upper()}{words[1:]} was interrupted (begun {journal.since} by {wording.one_line(journal.facts['by'])}{why})."
    todo = "Run the same deploy again, or go back with" if journal.kind == "activation" else "Finish it with"
    return {**journal.facts, "running": False, "message": f"{told} {todo}: {ROLLBACK}."}


def refuse_unfinished(layout: Layout, release_id: str) -> None:
    """:raises StateError: when a switch to or from another release was interrupted: it may still have to undo a migration."""
    journal = peek(layout)
    if journal and not (journal.kind == "activation" and journal.target == release_id):
        raise StateError(
            f"root {layout.root}", "no switch between releases that was interrupted", journal.words(), f"Finish it with {ROLLBACK}"
        )
