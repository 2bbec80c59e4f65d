# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A step as the page and the summary show it, with its trend since the last run."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core import wording
from .findings import Cause, Found
from .forecast import DiskFacts
from .state import Past, Points

#: Figures of which the trend is said in words.
_MOST = 3
#: Ends of names -> how a figure is written.
_UNITS = {"_bytes": "", "_ms": " ms", "_pct": " %", "_days": " days", "_s": " s"}


@dataclasses.dataclass(frozen=True)
class Told:
    """A step that was taken."""

    name: str
    title: str
    status: str
    text: str
    evidence: tuple[str, ...] = ()
    #: In words; empty in the first run.
    trend: str = ""
    causes: tuple[Cause, ...] = ()
    #: Name -> pairs of a time and a number, oldest first, the last one of this run.
    figures: dict[str, Points] = dataclasses.field(default_factory=dict)
    details: dict[str, list[DiskFacts]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def read(cls, value: t.Mapping[str, t.Any]) -> Told:
        """Of what ``dataclasses.asdict`` made of one."""
        causes = tuple(Cause(**{**cause, "subjects": tuple(cause["subjects"])}) for cause in value["causes"])
        return cls(**{**value, "evidence": tuple(value["evidence"]), "causes": causes})


def told(name: str, title: str, found: Found, past: Past, now: Past, seconds: float) -> Told:
    """A step with its trend."""
    points = {key: now.steps[name].figures[key] for key in found.figures}
    trend = words(name, found, past)
    return Told(name, title, found.status, found.text, found.evidence, trend, found.causes, points, found.details, seconds)


def words(name: str, found: Found, past: Past) -> str:
    """How the figures have changed since the last run of a step."""
    before = past.steps.get(name)
    if before is None:
        return ""
    changes = [(key, before.figures[key][-1][1], value) for key, value in found.figures.items() if before.figures.get(key)]
    moved = sorted((one for one in changes if one[1] != one[2]), key=lambda one: -abs(one[2] - one[1]) / (abs(one[1]) or 1))
    said = [f"{label(key)} {quantity(key, was)} -> {quantity(key, value)}" for key, was, value in moved[:_MOST]]
    status = [] if before.status == found.status else [f"it was {before.status}"]
    if not changes and not status:
        return ""
    return f"Since {before.when[:10]}: {'; '.join([*status, *said]) or 'unchanged'}."


def quantity(name: str, value: float) -> str:
    """A figure as people read it."""
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), None)
    if unit == "":
        return wording.human_size(value)
    return f"{value:,.0f}{unit or ''}" if value == int(value) or abs(value) >= 100 else f"{value:.1f}{unit or ''}"


def label(name: str) -> str:
    """The name of a figure without its unit."""
    end = next((end for end in _UNITS if name.endswith(end)), "")
    return name[: len(name) - len(end)].replace("_", " ")
