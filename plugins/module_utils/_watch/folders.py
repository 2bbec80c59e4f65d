# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folders of watches, ``state/watch/<id>/``: what is watched (``spec.json``), how it goes (``state.json``), the order to end."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time

from .._core import clock, foreign, fs, processes, systemd, walk
from .._target import records
from .._target.layout import Layout
from .._target.record_types import WatchSpec
from .watch_types import WatchState

#: The statuses of a watch that has not ended.
GOING = ("starting", "running")
#: Seconds. A host that just took a deploy may be busy: starting Python took 20 s at a load of 18 a core.
LAUNCH_TIMEOUT = 60.0
#: Seconds within which systemd has a watch going again, at the latest.
COMES_BACK_WITHIN = 60.0
#: What the name of a watch's folder begins with until its definition is in it.
_DRAFT = ".new-"


class WatchFolder:
    """One watch's files."""

    def __init__(self, layout: Layout, watch_id: str) -> None:
        self.layout = layout
        self.id = watch_id
        self.path = layout.path("state", "watch", watch_id)

    def spec(self) -> WatchSpec:
        """What is watched, and how."""
        spec: WatchSpec = records.read(os.path.join(self.path, "spec.json"), records.WATCH)
        return spec

    def state(self) -> WatchState:
        """How it goes; ``status`` is ``starting``, ``running``, ``finished``, or ``lost`` when its process was killed."""
        state = self.saved() or self._not_begun()
        if state["status"] == "running" and not processes.is_alive(state["pid"], state["ticks"]) and not self._comes_back():
            return {**state, "status": "lost", "verdict": "inconclusive", "trigger": "the watching process was killed"}
        return state

    def saved(self) -> WatchState | None:
        """The state as it is on disk, or ``None`` before the watch has begun."""
        state: WatchState | None = records.read(os.path.join(self.path, "state.json"), records.WATCHED)
        return state

    def to_resume(self) -> WatchState | None:
        """The state from which the watch goes on, or ``None`` before it has begun. :raises IntegrityError: when it cannot."""
        state: WatchState | None = records.read(os.path.join(self.path, "state.json"), records.RESUMED)
        return state

    def _comes_back(self) -> bool:
        """Whether systemd starts the watching process again, as after a reboot: its state is not old yet."""
        spec = self.spec()
        unit = spec.get("unit")
        if not unit or not systemd.read_unit(unit):
            return False
        with contextlib.suppress(FileNotFoundError):
            booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
            seen = max(booted, os.path.getmtime(os.path.join(self.path, "state.json")))
            return time.time() - seen < spec["interval"] + COMES_BACK_WITHIN
        return False

    def end(self, why: str) -> None:
        """Tell the watching process to end."""
        fs.write_text(self._stop, why)

    def told_to_end(self) -> str:
        """Why the watching process is to end; nothing when it is not."""
        return (" ".join(foreign.tail(self._stop, 1)) or "stopped") if os.path.exists(self._stop) else ""

    @property
    def _stop(self) -> str:
        return os.path.join(self.path, "stop")

    def forget_unit(self) -> None:
        """Remove the unit that would start this watch again."""
        spec = self.spec()
        unit = spec.get("unit") if spec else None
        if unit:
            systemd.remove_unit(unit)

    def _not_begun(self) -> WatchState:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - os.path.getmtime(self.path) < 2 * LAUNCH_TIMEOUT:
                return {"status": "starting"}
        return {"status": "lost", "verdict": "inconclusive", "trigger": "the watching process never began"}

    def save_state(self, state: WatchState) -> None:
        """Put the state on disk."""
        fs.write_json(os.path.join(self.path, "state.json"), state)


def ids(layout: Layout) -> list[str]:
    """All watches of a host, the oldest first. A folder without a definition is none: earlier versions, when killed, left such ones."""
    place = layout.path("state", "watch")
    with contextlib.suppress(FileNotFoundError):
        names = sorted(name for name in os.listdir(place) if not name.startswith(_DRAFT))
        return [name for name in names if os.path.isfile(os.path.join(place, name, "spec.json"))]
    return []


def latest(layout: Layout) -> WatchFolder | None:
    """The watch that was started last, or ``None``."""
    known = ids(layout)
    return WatchFolder(layout, known[-1]) if known else None


def create(layout: Layout, spec: WatchSpec) -> WatchFolder:
    """A new watch's folder, which has its definition from the first moment; nothing runs yet."""
    place = layout.path("state", "watch")
    os.makedirs(place, exist_ok=True)
    for name in os.listdir(place):
        if name.startswith(_DRAFT):  # left by a start that was killed
            walk.remove(os.path.join(place, name))
    while True:
        folder, draft = WatchFolder(layout, clock.stamp()), tempfile.mkdtemp(prefix=_DRAFT, dir=place)
        _define(folder, spec, draft)
        try:
            os.rename(draft, folder.path)
            return folder
        except OSError as error:  # there is one of this second, or another process removed the draft
            walk.remove(draft)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT):
                raise
            time.sleep(0.2)


def _define(folder: WatchFolder, spec: WatchSpec, draft: str) -> None:
    """Complete the definition of a watch, and write it into a folder that will be the watch's."""
    layout, name = folder.layout, f"{spec['env']}-{folder.id}"
    spec.update(
        {
            "id": folder.id,
            "root": layout.root,
            "unit": f"{spec['service']}-watch-{folder.id}.service" if _may_have_unit(spec) else "",
            "log_file": layout.path("monitor_logs", f"monitor-{name}.log"),
            "metrics_file": layout.path("monitor_logs", f"metrics-{name}.jsonl"),
        }
    )
    fs.write_json(os.path.join(draft, "spec.json"), spec, mode=0o600)


def _may_have_unit(spec: WatchSpec) -> bool:
    """Whether systemd can keep the watch running: through the end of its process, and through a reboot."""
    return bool(spec["service"]) and os.getuid() == 0 and systemd.is_init()
