# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a drill finds, for mypy: at run time each of them is a dictionary. Times are in seconds, sizes in bytes."""

from __future__ import annotations

import typing as t

from ..._observe.samples import Sample


class Difference(t.TypedDict):
    """A path of the archive that is not on the disk as its manifest has it."""

    path: str
    what: str


class Compared(t.TypedDict):
    """How much was compared."""

    files: int
    links: int
    folders: int
    bytes: int


class Tables(t.TypedDict):
    """The tables of a database, and the rows of each; unknown where they cannot be counted."""

    tables: int
    rows: int
    counts: dict[str, int | None]


class Database(Tables):
    """A database that was opened."""

    path: str


class _Step(t.TypedDict):
    name: str
    status: str


class Step(_Step, total=False):
    """A step of a drill; a step that was not reached took no time."""

    elapsed: float | None


class _Application(t.TypedDict):
    release: str | None


class Application(_Application, total=False):
    """The application on the restored data; it is ``ready_after`` so many seconds, or never."""

    port: int
    isolation: str
    checks: list[Sample]
    ready_after: float


class _DrillFacts(Compared):
    env: str
    host: str
    who: str
    started: str
    archive: str | None
    verdict: str
    step: str
    reason: str
    notes: list[str]
    differences: list[Difference]
    evidence: list[str]
    databases: list[Database]
    application: Application | None
    steps: list[Step]


class DrillFacts(_DrillFacts, total=False):
    """The result of a drill, and what its report shows. The second part is known once the archive was read, or at the end."""

    created: str | None
    release: str | None
    components: list[str]
    size: int
    sha256: str
    status: str
    swept: list[str]
    elapsed: float
    recovery_time: float | None
    ended: str
    report: str
    report_json: str
