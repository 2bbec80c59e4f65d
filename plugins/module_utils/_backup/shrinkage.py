# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Components that lost most of what the backup before held of them, as when a disk is not mounted."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._core import wording
from .._core.errors import OpsError
from . import purposes
from .archive.manifest import Manifest
from .archive.reader import Archive
from .backup_types import Shrunk

#: A component shrank when it holds less than this part of the files or of the bytes that it held.
LEAST = 0.1
#: Of fewer bytes than these nothing follows.
FEW_BYTES = 10_000
#: Logs are rotated away: of them only the number of files counts.
_ROTATED = ("logs",)
#: So many archives are looked at.
_LOOK_BACK = 10


class Held(t.NamedTuple):
    """What an archive holds of a component."""

    archive: str
    files: int
    size: int


def held(archive: str, manifest: Manifest, component: str) -> Held:
    """What a manifest says that its archive holds of a component."""
    sizes = [entry["size"] for entry in manifest["entries"] if entry["type"] != "dir" and entry["path"].startswith(component + "/")]
    return Held(archive, len(sizes), sum(sizes))


def before(archives: t.Iterable[t.Any], components: list[str], manifests: t.Mapping[str, Manifest] | None = None) -> dict[str, Held]:
    """What the last archives held of components, before they shrank; without an entry for a component that no archive holds.

    :param archives: backups, newest first. Safety backups do not count.
    :param manifests: path of an archive -> its manifest, of those that were read already.
    """
    manifests = manifests or {}
    found: dict[str, Held] = {}
    for backup in list(archives)[:_LOOK_BACK]:
        manifest = manifests.get(backup.archive) or _manifest(backup.archive)
        if manifest is None or backup.safety or manifest.get("purpose") == purposes.SAFETY:
            continue
        for component in components:
            if component in found or component not in {*manifest["components"], *manifest.get("shrunk", {})}:
                continue
            earlier = os.path.join(os.path.dirname(backup.archive), manifest.get("shrunk", {}).get(component, ""))
            full = _manifest(earlier) if component in manifest.get("shrunk", {}) else None
            found[component] = held(earlier, full, component) if full else held(backup.archive, manifest, component)
        if len(found) == len(components):
            break
    return found


def _manifest(path: str) -> Manifest | None:
    with contextlib.suppress(OpsError, OSError), Archive(path) as archive:
        return archive.manifest
    return None


def compare(earlier: dict[str, Held], files: t.Iterable[tuple[str, int]]) -> list[Shrunk]:
    """The components that shrank, each with what it held and holds.

    :param earlier: what :func:`before` told.
    :param files: component and size of each file and link that is backed up now.
    """
    now: dict[str, list[int]] = {component: [] for component in earlier}
    for component, size in files:
        now.get(component, []).append(size)
    return [
        {
            "component": component,
            "before": was.archive,
            "files_before": was.files,
            "files": len(now[component]),
            "bytes_before": was.size,
            "bytes": sum(now[component]),
        }
        for component, was in earlier.items()
        if _shrank(component, was, now[component])
    ]


def _shrank(component: str, was: Held, sizes: list[int]) -> bool:
    fewer = len(sizes) < was.files * LEAST
    return fewer or (component not in _ROTATED and was.size >= FEW_BYTES and sum(sizes) < was.size * LEAST)


def sentence(found: Shrunk) -> str:
    """A component that shrank, for the operator."""
    was, now = wording.human_size(found["bytes_before"]), wording.human_size(found["bytes"])
    return (
        f"component {found['component']}: it shrank from {found['files_before']} files ({was}) in "
        f"{os.path.basename(found['before'])} to {found['files']} ({now}). {todo(found['component'])}"
    )


def todo(component: str) -> str:
    """What to do about it."""
    return (
        f"Look whether the folder of {component} is mounted; when this is right, make one backup with allow_shrunk "
        "(mobius_backup_allow_shrunk=true)"
    )
