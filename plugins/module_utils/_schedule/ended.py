# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a job is given, and what it returns."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a job of a host is to do."""

    env: str
    service: str
    #: Options by the module that they are of.
    options: t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What people have to hear of: one incident for each cause."""

    #: The same for the same trouble, such as ``disk_critical:/srv``.
    cause: str
    severity: int
    title: str
    summary: str
    evidence: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended."""

    #: One word, as the playbook of the job has it.
    outcome: str
    message: str
    #: ``None`` of a run that did nothing, for a good reason.
    good: bool | None = True
    troubles: tuple[Trouble, ...] = ()
    #: Causes that are gone.
    over: tuple[str, ...] = ()
    evidence: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
