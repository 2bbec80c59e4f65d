# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The end of a restore: what it replaced is saved; and one that was killed is undone, or brought to its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from .._backup import catalog as backup_catalog
from .._backup import create as backup_create
from .._backup import external_state
from .._backup import purposes as backup_purposes
from .._backup.backup_types import Made
from .._core import walk
from .._core.errors import OpsError
from .._service.ongoing_work import Work
from .._target import history, restore_journal
from .._target.layout import Layout
from .._target.progress import Meter
from .._target.restore_journal import Journal
from . import external_state as restore_external_state
from . import folder_swap
from .live_service import Serving
from .restore_types import Recovered, Settled

#: How far a file's time of change may be behind the clock (nanoseconds): two of the kernel's slowest ticks.
_TICK = 20_000_000


class Saved(t.NamedTuple):
    """The end of a swap."""

    #: The backup that holds all that was replaced.
    safety: Made | None
    #: Folders that stay.
    kept: list[str]
    warnings: list[str]


class SafetyMeter(Meter):
    """Tells the phases of a safety backup as such to the meter of the restore."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def phase(self, name: str, total_bytes: int = 0, total_files: int = 0) -> None:
        self._meter.phase(f"safety backup: {name}", total_bytes, total_files)

    def add(self, size: int = 0, files: int = 0) -> None:
        self._meter.add(size, files)


class _Replaced(Layout):
    """A root whose components are the folders that a restore has put aside."""

    def __init__(self, layout: Layout, places: dict[str, str]) -> None:
        super().__init__(layout.root)
        self._places = places

    def component(self, name: str) -> str:
        return self._places[name]


def save_replaced(layout: Layout, journal: Journal, meter: Meter, swaps: list[folder_swap.Swap] | None = None) -> Saved:
    """Bring a swap to its end: what was written between the safety backup and the stop goes into one of its own.

    It is taken of the folders that were put aside, while the service runs on the restored ones. When it cannot be
    made, they stay.

    :param swaps: of this journal, with work folders that are held open.
    """
    keep, warnings = [], []
    safety = t.cast(t.Optional[Made], journal.facts["safety"] or None)
    try:
        taken = _as_of_the_stop(layout, journal, meter, swaps) if safety else None
    except Exception as error:  # pylint: disable=broad-exception-caught  # else the journal stays, and blocks every later restore
        keep = [swap.work for swap in folder_swap.swaps_of(journal)]
        reason = str(error) or type(error).__name__
        warnings.append(f"What was written since the safety backup was begun could not be added to it ({reason}).")
    else:
        if taken and safety and not taken["problems"]:
            _remove_backup(safety["archive"])
        safety = taken or safety
    journal.end()
    kept, stuck = folder_swap.sweep(layout, keep)
    warnings += stuck
    if kept:
        warnings.append(f"What was replaced is kept in {', '.join(kept)}. Remove it when you do not need it.")
    return Saved(safety, kept, warnings)


def _as_of_the_stop(layout: Layout, journal: Journal, meter: Meter, swaps: list[folder_swap.Swap] | None) -> Made | None:
    """A backup of what was replaced; none when nothing was written to it since the last one."""
    with contextlib.ExitStack() as stack:
        swaps = swaps or folder_swap.held(journal, stack)
        places = {swap.component: swap.replaced for swap in swaps if swap.existed}
        if not places or _at_rest(swaps, journal.facts["since"]):
            return None
        return backup_create.create(
            _Replaced(layout, places),
            backup_create.Request(
                env=journal.facts["env"],
                components=list(places),
                dest=layout.backups,
                allow_changed=True,
                sign_key=journal.facts.get("sign_key"),
                dump=False,
                purpose=backup_purposes.SAFETY,
                why=f"{backup_purposes.REPLACED}{os.path.basename(journal.facts['archive'])} replaced, as of the stop",
            ),
            SafetyMeter(meter),
        )


def settle(layout: Layout, serving: Serving, meter: Meter) -> Settled:
    """Bring a restore that was killed to a known end, by its journal.

    In the midst of the swap: what was there before comes back. After it, and before the service was found well: it
    stays when the service is well by now; else what was there before comes back, and what was restored is kept aside.
    After that: it stays.

    :returns: components that were put back (``undone``) or that stay (``confirmed``), ``unmigrated``, ``kept``, ``warnings``.
    """
    journal = Journal.find(layout)
    result: Settled = {"undone": [], "confirmed": [], "unmigrated": [], "kept": [], "warnings": []}
    if journal and journal.damage:
        result["warnings"].append(journal.damage)
        if not journal.facts["components"]:
            journal.enter("staging")
    if journal:
        serving = serving.adopt(journal.facts)
        if journal.phase != "staging" or serving.wanted or journal.facts.get("external"):
            with serving.held("superseded by the end of a restore that was interrupted"):
                _decide(layout, serving, journal, result)
    if journal and journal.phase == "saving":
        return _confirm(layout, journal, result, meter)
    keep = [swap.work for swap in folder_swap.swaps_of(journal)] if journal and journal.facts.get("keep") else []
    if journal:
        journal.end()
    result["kept"], stuck = folder_swap.sweep(layout, keep)
    result["warnings"] += stuck
    return result


def _decide(layout: Layout, serving: Serving, journal: Journal, result: Settled) -> None:
    if journal.phase == "trial" and serving.is_well():
        journal.enter("saving")
    if journal.phase in ("swapping", "trial"):
        result["undone"] = _put_back(layout, serving, journal)
    if journal.phase == "staging":
        if external_state.COMPONENT in journal.facts["components"]:
            restore_external_state.put_back(layout, journal)
        result["warnings"] += _start_again(serving)
    if journal.phase == "saving":
        result["unmigrated"], problem = serving.mark("a restore that was interrupted", journal.facts)
        result["warnings"] += serving.told(result["unmigrated"]) + ([str(problem)] if problem else [])


def _confirm(layout: Layout, journal: Journal, result: Settled, meter: Meter) -> Settled:
    facts = journal.facts
    saved = save_replaced(layout, journal, meter)
    history.record(
        layout,
        "restored",
        "an earlier restore was interrupted at its end",
        archive=facts["archive"],
        components=facts["components"],
        env=facts["env"],
        safety_backup=saved.safety.get("archive") if saved.safety else None,
    )
    return {**result, "confirmed": facts["components"], "kept": saved.kept, "warnings": result["warnings"] + saved.warnings}


def _put_back(layout: Layout, serving: Serving, journal: Journal) -> list[str]:
    tried = journal.phase == "trial"
    serving.wanted = serving.wanted or serving.runs()
    serving.stop()
    with contextlib.ExitStack() as stack:
        folder_swap.undo(journal, folder_swap.held(journal, stack), keep=tried)
    components: list[str] = journal.facts["components"]
    history.record(
        layout,
        "restore_undone",
        "an earlier restore was interrupted" + (" and its data not found well" if tried else ""),
        components=components,
    )
    return components


def _start_again(serving: Serving) -> list[str]:
    try:
        serving.start(back=True)
    except (OpsError, OSError) as error:
        return [f"The service was started again after a restore that was interrupted, and is not well: {error}"]
    return []


def _at_rest(swaps: list[folder_swap.Swap], since: int) -> bool:
    """Whether nothing in the replaced folders was changed since a moment. A change cannot hide: ctime is the kernel's own."""
    return not any(swap.existed and (swap.mounted or _changed(swap.replaced, since - _TICK)) for swap in swaps)


def _changed(top: str, since: int) -> bool:
    if os.lstat(top).st_mtime_ns >= since:  # its ctime is that of the swap
        return True
    return any(status.st_ctime_ns >= since for folder in walk.walk(top) for _name, status in folder.entries)


def _remove_backup(archive: str) -> None:
    with contextlib.suppress(OSError):
        backup_catalog.remove(archive)


def recover(layout: Layout, serving: Serving | None = None, plan: bool = False, meter: Meter | None = None) -> Recovered:
    """Bring a restore that was killed to a known end, and nothing else.

    :param plan: only tell which one it is.
    """
    started = time.monotonic()
    serving = serving or Serving(layout)
    with restore_journal.locked(layout, fcntl.LOCK_EX):
        settled = waiting(layout) if plan else settle(layout, serving, meter or Meter())
    return {
        "archive": None,
        "restored": [],
        "safety_backup": None,
        "safety_problems": [],
        "attributes_lost": [],
        "downtime": None,
        "watch": None,
        "cut": Work().facts(),
        "cut_text": "",
        **settled,
        "previous": serving.previous,
        "serving": bool(serving.service) and serving.is_well(),
        "elapsed": round(time.monotonic() - started, 3),
    }


def waiting(layout: Layout) -> Settled:
    """What :func:`settle` would have to put back, as far as that can be told before."""
    journal = Journal.find(layout)
    undone = journal.facts["components"] if journal and journal.phase in ("swapping", "trial") else []
    return {"undone": undone, "confirmed": [], "unmigrated": [], "kept": [], "warnings": []}
