# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What results say of restores, for mypy: at run time each of them is a dictionary."""

from __future__ import annotations

import typing as t

from .._backup.archive.extract import Lost


class ServingFacts(t.TypedDict):
    """The service around a restore, as the journal keeps it: two releases, and whether it is to run afterwards."""

    service: str | None
    wanted: bool
    previous: str | None
    target: str | None


class ArchiveFacts(t.TypedDict):
    """The archive of a restore, and the components that are taken from it."""

    archive: str | None
    env: str
    created: str | None
    release: str | None
    status: str
    restored: list[str]


class _Left(t.TypedDict):
    unmigrated: list[str]
    kept: list[str]
    warnings: list[str]


class Settled(_Left):
    """The end of a restore that was interrupted: components that were put back, or that stay."""

    undone: list[str]
    confirmed: list[str]


class Outcome(_Left):
    """What a restore did beside putting files back; ``downtime`` in seconds."""

    safety_backup: str | None
    safety_problems: list[dict[str, str]]
    attributes_lost: list[Lost]
    downtime: float | None
    cut: dict[str, object]
    cut_text: str
    watch: str | None
    previous: str | None
    serving: bool


class Recovered(Settled, Outcome):
    """The result of a run that had only an interrupted restore to end; ``elapsed`` in seconds."""

    archive: str | None
    restored: list[str]
    elapsed: float


class Restored(Recovered):
    """The result of a restore."""

    env: str
    created: str | None
    release: str | None
    status: str
