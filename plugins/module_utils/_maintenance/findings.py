# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a step of maintenance found: one sentence, its evidence, figures, and causes that people have to hear of."""

from __future__ import annotations

import dataclasses
import typing as t

from .._target.layout import Layout
from .._target.progress import Meter
from .forecast import DiskFacts
from .request import Request
from .state import Past

DONE, ATTENTION, FAILED, PLANNED = "done", "attention", "failed", "planned"
#: Lines of evidence and subjects of a cause that are kept.
MOST = 40


@dataclasses.dataclass(frozen=True)
class Cause:
    """Something that is wrong: of the same name there is one open incident at most."""

    name: str
    #: Of the incident that it opens, 1 to 4; 0 when it opens none.
    severity: int
    text: str
    #: What it is about, each in the same words in each run.
    subjects: tuple[str, ...] = ()
    #: Incident that it opened, or that is open already.
    incident: str = ""
    #: Whether the last run did not find it, or not of all subjects.
    new: bool = True


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of a step."""

    status: str
    text: str
    evidence: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    #: Name -> number. The end of the name is the unit: ``_bytes``, ``_ms``, ``_s``, ``_pct``, ``_days``; nothing for a count.
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    #: What the next run compares with, to tell what is new.
    seen: tuple[str, ...] = ()
    #: For the page.
    details: dict[str, list[DiskFacts]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Context:
    """What every step gets."""

    layout: Layout
    request: Request
    past: Past
    meter: Meter = dataclasses.field(default_factory=Meter)

    @property
    def backups(self) -> str:
        """The folder of backups."""
        return self.request.backup_dir or self.layout.backups

    def before(self, step: str) -> frozenset[str]:
        """What the last run of a step has seen."""
        return frozenset(self.past.seen(step))


def judged(sentences: t.Sequence[str], causes: t.Sequence[Cause], well: str, **facts: t.Any) -> Found:
    """``done`` with the sentence *well* when nothing was found, else ``attention`` with what was."""
    told = [cause.text for cause in causes] + list(sentences)
    evidence = tuple(facts.pop("evidence", ()))
    if len(evidence) > MOST:
        evidence = (*evidence[:MOST], f"and {len(evidence) - MOST} more")
    return Found(ATTENTION if told else DONE, " ".join(told) or well, evidence, tuple(causes), **facts)


def many(names: t.Sized, one: str, verbs: str = "is are", more: str = "") -> str:
    """``1 port is`` or ``2 ports are``.

    :param verbs: of one, and of several.
    :param more: the word for several, where it is not the other with an s.
    """
    number, (singular, plural) = len(names), verbs.split()
    return f"{number} {one} {singular}" if number == 1 else f"{number:,} {more or one + 's'} {plural}"


def listed(names: t.Sequence[str], most: int = 3) -> str:
    """``a, b, c and 4 more``."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
