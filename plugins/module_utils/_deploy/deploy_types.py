# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What deploys and rollbacks tell, for mypy: at run time each of them is a dictionary. Times are in seconds, sizes in bytes."""

from __future__ import annotations

import typing as t

from .._service.write_attempts import Finding
from .._target.record_types import Release


class Served(t.TypedDict, total=False):
    """The times of a switch to a release; ``None`` where a time is unknown."""

    downtime: float | None
    ready_after: float | None
    held: float
    cut: dict[str, object]


class Seen(t.TypedDict, total=False):
    """Where the log of what serves is, and what it tells of writing elsewhere."""

    log: str
    write_attempts: list[Finding]


class Finished(t.TypedDict, total=False):
    """A sentence on a switch that had been interrupted and was finished."""

    finished: str


class Activated(Served, Seen, Finished, total=False):
    """The result of an activation; ``previous`` is the id of the release that served before."""

    previous: str | None
    release: Release | None


class WentBack(Served, Seen, Finished, total=False):
    """The result of a rollback from the release ``previous`` to the release ``target``."""

    previous: str | None
    target: Release


class Contained(t.TypedDict, total=False):
    """What a manifest says of a file or a link."""

    type: str
    sha256: str
    size: int
    mode: str
    target: str


class Manifest(t.TypedDict, total=False):
    """The manifest of an artifact."""

    schema: int
    name: str
    created: str
    version: str
    source: str
    digest: str
    committed: str | None
    files: dict[str, Contained]
    build_settings: dict[str, object]


class _Artifact(t.TypedDict):
    path: str | None
    sha256: str | None
    size: int | None
    release_id: str
    version: str
    source: str
    digest: str
    committed: str | None
    built: bool


class Artifact(_Artifact, total=False):
    """An artifact; without a path it still has to be built."""

    hidden: list[str]


class About(t.TypedDict):
    """What a source says of its artifact."""

    version: str
    source: str
    digest: str
    committed: str | None


class Packed(t.TypedDict):
    """The archive of a release's dependencies; without a path it still has to be packed."""

    key: str
    runtime: str
    path: str | None
    sha256: str | None
    size: int | None
    built: bool


class _PackedManifest(t.TypedDict):
    schema: int
    key: str
    bytes: int


class PackedManifest(_PackedManifest, total=False):
    """The manifest of packed dependencies; ``bytes`` unpacked."""

    runtime: str
    native: str
    addon: str
