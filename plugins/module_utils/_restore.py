# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts a backup back: everything is staged beside the live folders, then all folders change places, or none does."""
from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import tempfile
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import (
    _archive_stage,
    _backup_create,
    _backups,
    _clock,
    _files,
    _history,
)
from ansible_collections.mobius.ops.plugins.module_utils._archive_reader import Archive
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import COMPONENTS, Layout, expand_components

_STAGE = ".restore-"
_REPLACED = ".replaced-"
_JOURNAL = "swap.json"


@dataclasses.dataclass
class Request:
    """What to restore, and what is allowed."""

    archive: str
    env: str
    components: list[str]
    allow_env: str | None = None
    allow_unverified: bool = False
    safety_backup: bool = True


@dataclasses.dataclass
class Checked:
    """An archive that may be restored here."""

    archive: Archive
    digest: str
    status: str
    components: list[str]

    @property
    def entries(self) -> list[dict[str, t.Any]]:
        """What the chosen components hold."""
        return [entry for entry in self.archive.entries if entry["path"].split("/")[0] in self.components]


@contextlib.contextmanager
def checked(request: Request) -> t.Iterator[Checked]:
    """The archive after every check that there is; nothing was written so far. :raises OpsError: when one fails."""
    with Archive(request.archive) as archive:
        digest, status = _backups.check_sidecar(archive, request.allow_unverified)
        _guard_env(archive, request)
        components = _choose(archive, request.components)
        archive.verify()
        yield Checked(archive, digest, status, components)


def restore(layout: Layout, request: Request) -> tuple[dict[str, t.Any], dict[str, dict[str, int]]]:
    """Restore. On any error everything is as it was before.

    :returns: the result, and what :func:`present` told before.
    """
    started = time.monotonic()
    layout.require()
    with locked(layout, fcntl.LOCK_EX), checked(request) as source:
        undone = recover(layout)
        before = present(layout, source.components)
        entries = source.entries
        needed = sum(entry["size"] + 4096 for entry in entries)
        _files.require_space(layout.shared, needed, "the restored files beside the present ones")
        stage = tempfile.mkdtemp(prefix=f"{_STAGE}{_clock.stamp()}-", dir=layout.shared)
        try:
            _archive_stage.extract(source.archive, entries, stage)
            safety = _safety_backup(layout, request, source)
            _swap(layout, stage, source.components)
        finally:
            _sweep_stage(layout, os.path.basename(stage))
    result = {
        "archive": request.archive, "env": source.archive.manifest["env"], "restored": source.components,
        "release": source.archive.manifest.get("release"), "status": source.status, "undone": undone,
        "safety_backup": safety.get("archive"), "safety_problems": safety.get("problems", []),
        "elapsed": round(time.monotonic() - started, 3),
    }
    _history.record(layout, "restored", archive=request.archive, sha256=source.digest, components=source.components,
                    env=request.env, source_env=result["env"], safety_backup=result["safety_backup"],
                    release=result["release"], elapsed=result["elapsed"])
    return result, before


@contextlib.contextmanager
def locked(layout: Layout, kind: int = fcntl.LOCK_SH) -> t.Iterator[None]:
    """Hold the shared folders: backups may run side by side, a restore runs alone."""
    try:
        descriptor = os.open(layout.shared, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StateError(f"root {layout.root}", "a folder shared", "none",
                         "Run the playbook mobius.ops.setup first") from None
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"root {layout.root}", "no other work on its shared folders",
                             "a backup or a restore that runs", "Wait until it has ended") from None
        yield
    finally:
        os.close(descriptor)


def refuse_interrupted(layout: Layout) -> None:
    """:raises StateError: when a restore was killed in the middle of its swap: the folders are of two times."""
    for token in _tokens(layout):
        if _unfinished(layout, token):
            raise StateError(f"root {layout.root}", "the shared folders of one time", "a restore that was interrupted",
                             "Run mobius.ops.backup_restore again: it first puts back what was there")


def recover(layout: Layout) -> list[str]:
    """Undo restores that were killed, and remove what they left. The components that were put back."""
    undone: list[str] = []
    for token in _tokens(layout):
        journal = _unfinished(layout, token)
        if journal:
            _undo(layout, token, journal)
            undone += journal["components"]
            _history.record(layout, "restore_undone", "an earlier restore was interrupted",
                            components=journal["components"])
        _sweep_stage(layout, token)
    return undone


def _guard_env(archive: Archive, request: Request) -> None:
    theirs = archive.manifest["env"]
    if theirs != request.env and request.allow_env != theirs:
        raise InputError(f"archive {request.archive}", f"a backup of env {request.env}", f"one of env {theirs}",
                         f"To restore {theirs} onto {request.env} on purpose, set allow_env to {theirs}")


def _choose(archive: Archive, names: list[str]) -> list[str]:
    chosen, there = expand_components(names), archive.manifest["components"]
    if "all" in names:
        chosen = [name for name in chosen if name in there]
    missing = [name for name in chosen if name not in there]
    if missing or not chosen:
        raise InputError(f"archive {archive.path}", "components " + ", ".join(chosen or names),
                         ", ".join(there) or "none at all", "Choose among those, or another archive")
    return chosen


def _safety_backup(layout: Layout, request: Request, source: Checked) -> dict[str, t.Any]:
    """What is there now. It may be damaged, which can be why it is replaced: so it is taken as it is."""
    if not request.safety_backup:
        return {}
    return _backup_create.create(layout, _backup_create.Request(
        env=request.env, components=source.components, dest=layout.backups, allow_changed=True,
        why=f"before the restore of {os.path.basename(request.archive)}"))


def _tokens(layout: Layout) -> list[str]:
    return sorted(name for name in os.listdir(layout.shared) if name.startswith(_STAGE))


def _replaced(layout: Layout, token: str, component: str) -> str:
    return os.path.join(layout.shared, f"{_REPLACED}{token[len(_STAGE):]}-{component}")


def _unfinished(layout: Layout, token: str) -> dict[str, t.Any] | None:
    journal = _files.read_json(os.path.join(layout.shared, token, _JOURNAL))
    return journal if journal and not journal["done"] else None


def _swap(layout: Layout, stage: str, components: list[str]) -> None:
    token = os.path.basename(stage)
    journal = {"components": components, "done": False,
               "existed": [name for name in components if os.path.lexists(layout.component(name))]}
    _files.write_json(os.path.join(stage, _JOURNAL), journal)
    try:
        for component in components:
            target = layout.component(component)
            if component in journal["existed"]:
                os.rename(target, _replaced(layout, token, component))
            os.rename(os.path.join(stage, component), target)
        _files.fsync_dir(layout.shared)
        _files.write_json(os.path.join(stage, _JOURNAL), {**journal, "done": True})
    except BaseException:
        _undo(layout, token, journal)
        raise


def _undo(layout: Layout, token: str, journal: dict[str, t.Any]) -> None:
    """Put back what was there, from any state that a swap can have been in."""
    for component in reversed(journal["components"]):
        target, old = layout.component(component), _replaced(layout, token, component)
        staged = os.path.join(layout.shared, token, component)
        if os.path.lexists(target) and (os.path.lexists(old) or component not in journal["existed"]):
            # Where the staged folder is still there, somebody else made the target since: that is kept aside.
            aside = os.path.join(layout.shared, f".found-{token[len(_STAGE):]}-{component}")
            os.rename(target, aside if os.path.lexists(staged) else staged)
        if os.path.lexists(old):
            os.rename(old, target)
    _files.fsync_dir(layout.shared)
    journal_path = os.path.join(layout.shared, token, _JOURNAL)
    _files.write_json(journal_path, {**journal, "done": True})


def _sweep_stage(layout: Layout, token: str) -> None:
    """Remove a stage and what it replaced: only after its swap is done or undone."""
    if _unfinished(layout, token):
        return
    for component in COMPONENTS:
        _archive_stage.remove(_replaced(layout, token, component))
    _archive_stage.remove(os.path.join(layout.shared, token))


def summary(entries: t.Iterable[dict[str, t.Any]], components: list[str]) -> dict[str, dict[str, int]]:
    """Files and bytes of each component in an archive."""
    found = {name: {"files": 0, "bytes": 0} for name in components}
    for entry in entries:
        if entry["type"] != "dir":
            count = found[entry["path"].split("/")[0]]
            count["files"] += 1
            count["bytes"] += entry["size"]
    return found


def present(layout: Layout, components: list[str]) -> dict[str, dict[str, int]]:
    """Files and bytes of each component as it is now; a component that is not there is left out.

    It only informs: what this user may not look at does not count, and is no error.
    """
    found = {}
    for component in components:
        base = layout.component(component)
        if os.path.isdir(base):
            count = found[component] = {"files": 0, "bytes": 0}
            for folder, _dirs, names in os.walk(base):
                for name in names:
                    with contextlib.suppress(OSError):
                        count["bytes"] += os.lstat(os.path.join(folder, name)).st_size
                        count["files"] += 1
    return found
