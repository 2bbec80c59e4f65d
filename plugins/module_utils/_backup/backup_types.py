# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What results say of backups, for mypy: at run time each of them is a dictionary. Sizes are in bytes."""

from __future__ import annotations

import typing as t


class NamedBackup(t.TypedDict):
    """A backup by its name and its manifest, before it is judged."""

    archive: str
    env: str
    created: str
    size: int | None
    components: list[str]
    release: str | None
    problems: int
    shrunk: dict[str, str]
    future: bool


class BackupFacts(NamedBackup):
    """Facts and status of a backup (``_backup.catalog.describe``)."""

    purpose: str
    why: str
    status: str
    reason: str


class Verdict(t.TypedDict):
    """Whether one could go back to the backups that were read (``_backup.catalog.verdict``); ``age`` in seconds."""

    well: bool
    message: str
    newest_verified: str | None
    age: float | None


class _Listing(t.TypedDict):
    backups: list[BackupFacts]
    findings: list[str]


class Listing(_Listing, total=False):
    """The backups of a folder, and the fields of a verdict when they were read; ``age`` in seconds."""

    well: bool
    message: str
    newest_verified: str | None
    age: float | None


class Shrunk(t.TypedDict):
    """A component that holds much less than it did (``_backup.shrinkage.compare``)."""

    component: str
    before: str
    files_before: int
    files: int
    bytes_before: int
    bytes: int


class Contents(t.TypedDict):
    """What a new backup holds, or in check mode would hold."""

    archive: str
    signature: str | None
    size: int
    entries: int
    reused: int
    components: list[str]
    empty: list[str]
    purpose: str
    problems: list[dict[str, str]]
    left_out: list[dict[str, str]]


class _Made(Contents):
    sha256: str | None
    status: str
    missing: str
    full: str | None
    release: str | None
    shrunk: list[Shrunk]
    warnings: list[str]


class Made(_Made, total=False):
    """The result of a backup (``_backup.create.create``) and of its check mode; ``elapsed`` in seconds, known at the end."""

    elapsed: float
