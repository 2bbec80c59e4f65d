# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much room each part of a root takes, how full its file systems are, and how full they were on earlier days."""

from __future__ import annotations

import glob
import os
import time
import typing as t

from .._core import clock, walk
from .._core.errors import OpsError
from .._observe import host_metrics
from .._target.layout import COMPONENTS, Layout
from .._watch import timeseries
from .findings import Context
from .state import Used

#: Watches of which figures are read, the newest.
WATCHES = 200


class Disk(t.NamedTuple):
    """A file system now; bytes."""

    mount: str
    used: int
    free: int

    @property
    def size(self) -> int:
        """What users can have, as df tells it."""
        return self.used + self.free


def disks(context: Context) -> list[Disk]:
    """The file systems of a root, each once. One that does not answer is left out: the step about disks says so."""
    found: dict[int, Disk] = {}
    for path in [*host_metrics.places(context.layout), context.backups]:
        try:
            room = host_metrics.room(path)
        except (OSError, OpsError):
            continue
        found.setdefault(room.device, Disk(room.mount, room.used, room.free))
    return list(found.values())


def samples(context: Context) -> list[Used]:
    """Today's samples of all file systems."""
    today = clock.iso()[:10]
    return [Used(today, disk.mount, disk.used, disk.size) for disk in disks(context)]


def of_watches(layout: Layout, disk: Disk) -> dict[str, float]:
    """Day -> bytes that were used, by the figures that watches took; the last one of a day counts."""
    found: dict[str, float] = {}
    for path in watches(layout):
        for kept in timeseries.read(path)["host"]:
            if kept["metric"] == "disk_pct" and kept["subject"] == disk.mount:
                found.update({point["when"][:10]: point["value"] / 100 * disk.size for point in kept["points"]})
    return found


def watches(layout: Layout, days: float = 400) -> list[str]:
    """Files with figures of watches that were written to within so many days, oldest first."""
    since = time.time() - days * 86400
    found = [(os.lstat(path).st_mtime, path) for path in glob.glob(os.path.join(glob.escape(layout.monitor_logs), "metrics-*.jsonl"))]
    return [path for when, path in sorted(found)[-WATCHES:] if when >= since]


def parts(context: Context) -> dict[str, int]:
    """Bytes of each part of a root, the largest first; what is mounted elsewhere counts too."""
    layout = context.layout
    places = {
        **{name: layout.component(name) for name in COMPONENTS},
        "backups": context.backups,
        "releases": layout.releases,
        "dependencies": layout.deps,
        "quarantine": layout.quarantine,
        "monitor_logs": layout.monitor_logs,
    }
    found: dict[str, int] = {}
    for name, place in places.items():
        real = os.path.realpath(place)
        context.meter.phase(name)
        found[name] = walk.size(real) if os.path.isdir(real) else 0
    return dict(sorted(found.items(), key=lambda item: -item[1]))
