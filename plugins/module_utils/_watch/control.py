# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches on a target: starting one, following it, ending it. It is run by ``_watch.watcher``, detached."""

from __future__ import annotations

import contextlib
import os
import time
import types
import typing as t

from .._core import foreign, processes, systemd
from .._core.errors import InputError, ServiceError, StateError
from .._deploy import migration
from .._service import detach
from .._service import registry as service_registry
from .._target.layout import Layout
from .._target.record_types import Release, WatchSpec
from .._target.releases import ReleaseStore
from . import folders
from .folders import WatchFolder
from .watch_types import Followed

VERDICTS = ("healthy", "degraded", "rolled_back", "frozen", "inconclusive")
#: Seconds.
STOP_TIMEOUT = 30.0
#: Bytes of the log that one answer has at most.
CHUNK = 64 * 1024


def unguarded(layout: Layout, record: Release | None) -> bool:
    """Whether a release that serves was never found good, and no watch will tell."""
    folder = folders.latest(layout)
    running = folder is not None and folder.state()["status"] in folders.GOING
    return record is not None and record["status"] == "active" and not running


def check_times(spec: WatchSpec) -> None:
    """:raises InputError: when a duration or limit of a watch makes no sense."""
    given: t.Mapping[str, t.Any] = spec
    for name in (
        "duration",
        "interval",
        "retry_interval",
        "failure_threshold",
        "error_threshold",
        "restart_limit",
        "requests",
        "recovery_threshold",
        "window_rounds",
    ):
        if given.get(name, 1) <= 0:
            raise InputError(f"watch option {name}", "a number above 0", str(given[name]), "Correct it")
    for name in ("error_rate_pct", "latency_pct", "latency_floor_ms", "window_failures", "memory_mb", "metrics_interval"):
        if given.get(name, 0) < 0:
            raise InputError(f"watch option {name}", "0 or a number above it", str(given[name]), "Correct it")
    if spec.get("error_rate_pct", 0) >= 100:
        raise InputError("watch option error_rate_pct", "a percentage below 100", str(spec["error_rate_pct"]), "Correct it")
    if spec.get("window_failures", 0) > spec.get("window_rounds", 10):
        raise InputError(
            "watch option window_failures",
            f"at most window_rounds ({spec['window_rounds']})",
            str(spec["window_failures"]),
            "Correct one of them",
        )


def start(layout: Layout, spec: WatchSpec, program: types.ModuleType) -> WatchFolder:
    """Start a watch, detached; one that runs is ended first, and says so in the history.

    :param program: the util ``_watch.watcher``, which imports this one.

    :raises StateError: when the one that runs guards the release longer, or better.
    :raises ServiceError: when it does not begin.
    """
    check_times(spec)
    _require_no_weaker(layout, spec)
    stop(layout, "superseded by a new watch")
    folder = folders.create(layout, spec)
    log = os.path.join(folder.path, "watcher.log")
    _sweep_units(layout, spec)
    if spec["unit"] and spec["service"]:
        confined = service_registry.load(layout, spec["service"]).spec["manager"] == "systemd"
        detach.launch_unit(layout, program, folder.path, log, spec["unit"], confined, migration.may_be_undone(ReleaseStore(layout)))
    else:
        detach.launch(layout, program, folder.path, log)
    deadline = time.monotonic() + folders.LAUNCH_TIMEOUT
    while time.monotonic() < deadline:
        if folder.saved():
            return folder
        time.sleep(0.05)
    _abandon(folder)
    raise ServiceError(
        f"watch {folder.id}",
        f"to begin within {folders.LAUNCH_TIMEOUT:.0f} s",
        " ".join(foreign.tail(log, 3)) or "nothing from it",
        f"Look into {folder.path}",
    )


def _require_no_weaker(layout: Layout, spec: WatchSpec) -> None:
    """A short look by an operator must not disarm the watch of a deploy, and call its release verified."""
    folder = folders.latest(layout)
    state = folder.state() if folder else {"status": "none"}
    if folder is None or state["status"] != "running":
        return
    before, left = folder.spec(), state["left"]
    if before["auto_rollback"] and (not spec["auto_rollback"] or spec["duration"] < left):
        found = f"one of {spec['duration']:g} s{'' if spec['auto_rollback'] else ' without rollback'}"
        raise StateError(
            f"watch {folder.id}, which guards release {state['release']} for another {left:.0f} s",
            "a new watch that rolls back and is as long",
            found,
            "Look at the one that runs with mobius.ops.monitor -e mobius_monitor_attach=true, or end it first with "
            "-e mobius_monitor_stop=true",
        )


def _abandon(folder: WatchFolder) -> None:
    """Let a watch that did not begin in time not begin later, when nobody knows of it."""
    folder.end("it did not begin in time")
    unit = folder.spec()["unit"]
    if unit:
        folder.forget_unit()
        systemd.systemctl("stop", unit, check=False)


def _sweep_units(layout: Layout, spec: WatchSpec) -> None:
    """Remove units of watches that are lost: nobody else does."""
    for name in folders.ids(layout):
        folder = WatchFolder(layout, name)
        if name != spec["id"] and folder.state()["status"] == "lost":
            folder.forget_unit()


def stop(layout: Layout, why: str) -> str | None:
    """End the watch that runs, if one does; its id. It writes down why.

    A watch that is rolling back at this moment is waited for.
    """
    folder = folders.latest(layout)
    if folder is None:
        return None
    state = folder.state()
    if state["status"] not in folders.GOING:
        return None
    folder.end(why)
    deadline = time.monotonic() + STOP_TIMEOUT
    while folder.state()["status"] in folders.GOING and (time.monotonic() < deadline or folder.state().get("rolling_back")):
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        state = folder.state()
        if state["status"] == "running":
            processes.end_group(state["pid"], state["ticks"], 1.0)
    return folder.id


def follow(layout: Layout, watch_id: str | None, offset: int, patience: float) -> Followed:
    """Wait until a watch says something new or ends, *patience* seconds at most.

    :param watch_id: the latest one by default.
    :param offset: bytes of the log that are known already.
    :raises StateError: when there is no watch to follow.
    """
    folder = WatchFolder(layout, watch_id) if watch_id else folders.latest(layout)
    spec = folder.spec() if folder and os.path.basename(folder.path) == folder.id else None
    if folder is None or not spec:
        raise StateError("watch " + (watch_id or "of " + layout.root), "one to follow", "none", "Start one with mobius.ops.monitor")
    deadline = time.monotonic() + patience
    while True:
        state = folder.state()
        lines, end, more = _new_lines(spec["log_file"], offset)
        if lines or state["status"] in ("finished", "lost") or time.monotonic() >= deadline:
            return {
                "id": folder.id,
                "state": state,
                "lines": lines,
                "offset": end,
                "more": more,
                "log_file": spec["log_file"],
                "metrics_file": spec["metrics_file"],
            }
        time.sleep(0.1)


def _new_lines(path: str, offset: int) -> tuple[list[str], int, bool]:
    """Whole lines after an offset, the offset behind them, and whether that were not all."""
    try:
        with open(path, "rb") as stream:
            stream.seek(offset)
            text = stream.read(CHUNK)
    except FileNotFoundError:
        return [], offset, False
    whole = text[: text.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").splitlines(), offset + len(whole), len(text) == CHUNK
