# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts a backup back: everything is staged beside the live folders, then all folders change places, or none does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from .._backup import create as backup_create
from .._backup import purposes as backup_purposes
from .._backup import signature
from .._backup.archive import extract as archive_extract
from .._backup.archive.extract import Lost
from .._backup.backup_types import Made
from .._core import fs, sparse
from .._core.errors import OpsError, StateError
from .._core.kinds import Entry
from .._deploy import migration
from .._service import ongoing_work
from .._target import history, restore_journal, shared_folders
from .._target.layout import Layout
from .._target.progress import Meter
from . import external_state, folder_swap, recovery
from .checks import Checked, Request, checked, present, refuse_env_link, summary
from .live_service import Serving
from .restore_types import Outcome, Restored


def restore(
    layout: Layout, request: Request, serving: Serving | None = None, meter: Meter | None = None
) -> tuple[Restored, dict[str, dict[str, int]]]:
    """Restore. On any error everything is as it was before, the service included, but for one at the very end.

    :raises StateError: also when a migration could not be undone; code and data went back all the same, and its facts are the result.
    :returns: the result, and what :func:`present` told before.
    """
    started = time.monotonic()
    layout.require()
    serving, meter = serving or Serving(layout), meter or Meter()
    with restore_journal.locked(layout, fcntl.LOCK_EX):
        settled = recovery.settle(layout, serving, meter)
        try:
            with checked(request, meter, extracted=True) as source:
                before = present(layout, source.components)
                work = _Work(layout, request, source, serving, meter)
                work.run()
        except OpsError as error:
            warnings = list(dict.fromkeys([*settled["warnings"], *error.facts.get("warnings", [])]))
            error.facts = {**settled, **error.facts, "warnings": warnings}
            raise
    result: Restored = {**source.facts(), **settled, **work.result(), "elapsed": round(time.monotonic() - started, 3)}
    result["unmigrated"] = list(dict.fromkeys(result["unmigrated"] + settled["unmigrated"]))
    result["kept"] = list(dict.fromkeys(result["kept"] + settled["kept"]))
    result["warnings"] = list(dict.fromkeys(result["warnings"] + settled["warnings"]))
    with contextlib.suppress(OSError):  # the restore stands, on a full disk too
        history.record(
            layout,
            "restored",
            request.why,
            archive=request.archive,
            sha256=source.digest,
            components=source.components,
            env=request.env,
            source_env=result["env"],
            safety_backup=result["safety_backup"],
            release=result["release"],
            downtime=result["downtime"],
            elapsed=result["elapsed"],
        )
    if work.problem:
        work.problem.facts = dict(result)
        raise work.problem
    return result, before


def planned(
    layout: Layout, request: Request, serving: Serving | None = None, meter: Meter | None = None
) -> tuple[Restored, dict[str, dict[str, int]]]:
    """What :func:`restore` would do; nothing is written. :raises OpsError: when it would be refused."""
    started = time.monotonic()
    layout.require()
    serving = serving or Serving(layout)
    with checked(request, meter) as source:
        work = _Work(layout, request, source, serving, Meter())
        work.require()
        after = summary(source.entries, source.components)
    return {**source.facts(), **recovery.waiting(layout), **work.result(), "elapsed": round(time.monotonic() - started, 3)}, after


class _Work:
    """One restore of an archive that passed every check."""

    def __init__(self, layout: Layout, request: Request, source: Checked, serving: Serving, meter: Meter) -> None:
        self._layout, self._request, self._source = layout, request, source
        self._serving, self._meter = serving, meter
        self._swaps = folder_swap.plan(layout, source.components)
        self._lost: dict[str, Lost] = {}
        self._safety: Made | None = None
        self._unmigrated = migration.not_in(serving.store, self._made()) if "database" in source.components else []
        #: Why a migration could not be undone, after all else was done.
        self.problem: StateError | None = None
        self._kept: list[str] = []
        self._warnings: list[str] = []
        self._external = False

    def run(self) -> None:
        """All of it."""
        self.require()
        journal = restore_journal.Journal.begin(
            self._layout,
            archive=self._request.archive,
            env=self._request.env,
            components=self._source.components,
            sign_key=self._request.sign_key,
            made=self._made(),
            **self._serving.facts(),
        )
        stack = contextlib.ExitStack()
        try:
            folder_swap.prepare(self._swaps, stack)
            self._stage()
            since = time.time_ns()
            self._safety = self._safety_backup()
            folder_swap.require_movable(self._swaps)
            with self._serving.held(f"superseded by a restore of {os.path.basename(self._request.archive)}", settle=True) as settled:
                self._warnings += settled
                self._serving.look()
                journal.update(safety=self._safety or {}, since=since, **folder_swap.facts(self._swaps), **self._serving.facts())
                self._change(journal)
            saved = recovery.save_replaced(self._layout, journal, self._meter, self._swaps)
            self._safety, self._kept = saved.safety, saved.kept
            lost = ongoing_work.lost(self._serving.cut.facts())
            self._warnings += saved.warnings + self._serving.told(self._unmigrated) + ([lost] if lost else [])
        finally:
            stack.close()
            if self._is_back(journal):  # any later one is for the next run, which finds the journal
                journal.end()
                kept, stuck = folder_swap.sweep(self._layout)
                self._kept += kept
                self._warnings += stuck

    def _made(self) -> str | None:
        """When the archive was made, by the clock that the records go by; none of another environment's."""
        manifest = self._source.archive.manifest
        return manifest.get("created") if manifest["env"] == self._request.env else None

    def result(self) -> Outcome:
        """What the result of the module says of it."""
        serving, warnings = self._serving, list(self._warnings)
        for note in self._lost.values():
            warnings.append(
                f"{note['files']} files could not be given their attribute {note['name']} "
                f"({note['reason']}), the first of them {note['first']}."
            )
        return {
            "safety_backup": self._safety["archive"] if self._safety else None,
            "safety_problems": self._safety["problems"] if self._safety else [],
            "attributes_lost": list(self._lost.values()),
            "unmigrated": list(self._unmigrated),
            "downtime": serving.downtime,
            "cut": serving.cut.facts(),
            "cut_text": ongoing_work.lost(serving.cut.facts()),
            "watch": serving.watch,
            "previous": serving.previous,
            "serving": bool(serving.service and serving.wanted),
            "kept": self._kept,
            "warnings": warnings,
        }

    def _parts(self) -> list[tuple[list[folder_swap.Swap], list[Entry]]]:
        """What goes to each file system."""
        parts = []
        for work in dict.fromkeys(swap.work for swap in self._swaps):
            swaps = [swap for swap in self._swaps if swap.work == work]
            names = {swap.component for swap in swaps}
            parts.append((swaps, [entry for entry in self._source.entries if entry["path"].split("/")[0] in names]))
        return parts

    def require(self) -> None:
        """:raises OpsError: when something can be told now that would stop it later."""
        refuse_env_link(self._layout, self._source)
        if self._request.safety_backup and self._request.sign_key:
            signature.require_key(self._request.sign_key)
        self._external, self._warnings = external_state.require(self._layout, self._request.archive, self._source)
        self._serving.look()
        for swaps, entries in self._parts():
            needed = sum(sparse.needed(entry) + 4096 for entry in entries)
            fs.require_space(os.path.dirname(swaps[0].work), needed, "the restored files beside the present ones")

    def _stage(self) -> None:
        files = [entry for entry in self._source.entries if entry["type"] == "file"]
        self._meter.phase("extract", sum(entry["size"] for entry in files), len(files))
        for swaps, entries in self._parts():
            self._lost.update(
                archive_extract.extract(
                    self._source.archive, entries, os.path.join(swaps[0].place, "new"), self._meter, self._source.unread
                )
            )
        shared = shared_folders.made(self._layout)
        for swap in self._swaps:  # an archive of before may lack folders that the application needs
            shared_folders.complete(swap.staged, shared, swap.component)

    def _safety_backup(self) -> Made | None:
        """What is there now. It may be damaged, which can be why it is replaced: so it is taken as it is."""
        if not self._request.safety_backup:
            return None
        return backup_create.create(
            self._layout,
            backup_create.Request(
                env=self._request.env,
                components=self._source.components,
                dest=self._layout.backups,
                allow_changed=True,
                sign_key=self._request.sign_key,
                purpose=backup_purposes.SAFETY,
                why=backup_purposes.BEFORE + os.path.basename(self._request.archive),
            ),
            recovery.SafetyMeter(self._meter),
        )

    def _change(self, journal: restore_journal.Journal) -> None:
        """The part in which the service is down."""
        serving = self._serving
        self._meter.phase("swap", 0, len(self._swaps))
        try:
            serving.stop()
            self._warnings += external_state.set_aside(self._layout) if self._external else []
            folder_swap.exchange(journal, self._swaps, {entry["path"]: entry for entry in self._source.entries if "/" not in entry["path"]})
            if self._external:
                external_state.replace(self._layout, journal)
            if serving.wanted:
                journal.enter("trial")
            serving.start()
        except BaseException as error:
            self._go_back(journal, error)
        journal.enter("saving")
        self._unmigrated, self.problem = serving.mark(self._request.why, journal.facts)

    def _go_back(self, journal: restore_journal.Journal, error: BaseException) -> t.NoReturn:
        """Put back what was there, the service too. :raises OpsError: the error, with what serves now."""
        serving, serves, self._unmigrated = self._serving, False, []
        told = error if isinstance(error, OpsError) else StateError("the folders of the components", "to change places", str(error))
        journal.reread()
        try:
            serving.stop()
            if journal.phase != "staging":
                folder_swap.undo(journal, self._swaps)
            if self._external:
                external_state.put_back(self._layout, journal)
            serving.start(back=True)
        except (OpsError, OSError) as second:
            after = (
                "What was there before is back, and is not well either"
                if self._is_back(journal)
                else "Putting back what was there failed too, the next run tries it again"
            )
            after += f": {second}"
        else:
            serves = serving.wanted
            after = "What was there before serves again." if serves else "Everything is as it was."
        told.then(after)
        told.facts = {**told.facts, **self.result(), "serving": serves, "put_back": self._is_back(journal)}
        with contextlib.suppress(OSError):
            history.record(
                self._layout,
                "restore_failed",
                str(told),
                archive=self._request.archive,
                env=self._request.env,
                components=self._source.components,
                safety_backup=self._safety["archive"] if self._safety else None,
                downtime=serving.downtime,
            )
        raise told from error

    @staticmethod
    def _is_back(journal: restore_journal.Journal) -> bool:
        """Whether what was there before is there again, the external state too."""
        return journal.phase == "staging" and not journal.facts.get("external")
