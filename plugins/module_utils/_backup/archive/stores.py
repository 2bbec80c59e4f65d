# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes groups of files that are right only together: SQLite databases, and stores of several files that nothing here can read.

A SQLite database at rest is taken byte by byte, as every other file: what was uploaded comes back as the file that it was, and no
SQL of it runs. One in use is copied by SQLite.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import typing as t

from ..._core import sqlite
from ..._core.errors import IntegrityError
from . import database_copies, file_reader, groups
from .file_reader import Unreadable
from .groups import Group, States
from .plan import Source

if t.TYPE_CHECKING:
    from .writer import Writer

#: Files of a group that may have come since the listing.
_MOST_NEW = 10


class Stores:
    """Takes groups for a writer.

    :param databases: copies and checks databases.
    """

    def __init__(self, writer: Writer, databases: database_copies.PerOwner) -> None:
        self._writer, self._databases = writer, databases

    def take(self, group: Group) -> None:
        """Take a group as one state of it, or note a problem."""
        with self._writer.shared(group.members):
            if not group.main.sqlite:
                self._together(group)
                return
            try:
                if not self._at_rest(group):
                    self._in_use(group)
            except IntegrityError as error:
                self._damaged(group, error.found)

    def _together(self, group: Group, doubtful: bool = False) -> None:
        """The files as they are, in several tries where any of them changes."""
        for left in range(file_reader.RETRIES + 1)[::-1]:
            back, before = self._writer.mark(), group.settled()[0]
            begun, noted = len(self._writer.entries), len(self._writer.problems)
            members, known = _present(group, before)
            whole = self._each(members, before, doubtful, patient=not left)
            changed = not (known and groups.same(before, group.look()))
            if (whole and not changed) or not left:
                break
            back()
            time.sleep(file_reader.PAUSE)
        if changed:
            for entry in self._writer.entries[begun:]:
                if entry["type"] == "file":
                    entry["changed"] = True
                    entry.pop("inode", None)  # so that the next backup reads it again
        if changed and len(self._writer.problems) == noted:
            several = "kept in several files (" + ", ".join(map(os.path.basename, before)) + ")"
            what = f"a {group.kind.name} database" if group.kind else several
            self._writer.problem(
                group.main,
                f"it is {what}, and parts of it changed between the first reading and the last. "
                "Stop its writer meanwhile, or dump it (mobius_external_state)",
            )

    def _each(self, members: list[Source], before: States, doubtful: bool, patient: bool) -> bool:
        """Take members one after another, without a wait for one that changes unless *patient*; whether all were taken as one state."""
        for source in members:
            if source.type == "file":
                source.status = before.get(source.relative, source.status)
            if not self._writer.take(source, tries=file_reader.RETRIES + 1 if patient else 1, doubtful=doubtful) and not patient:
                return False
        return True

    def _at_rest(self, group: Group) -> bool:
        """A database that nobody uses, as the file that it is; whether that is so.

        :raises IntegrityError: when one of the application is damaged.
        """
        back, (before, rests) = self._writer.mark(), group.settled()
        main, path = group.main, group.main.path
        if main.relative not in before or not rests or any(sqlite.is_own(path + suffix, suffix) for suffix in ("-wal", "-journal")):
            return False
        main.status = before[main.relative]
        beside = [each for each in group.members[1:] if not sqlite.is_own(each.path, _suffix(group, each))]
        try:
            with file_reader.Folders() as folders, folders.opened(main) as live:
                if sqlite.is_written(live):
                    return False
                if main.component == "database":
                    self._checked(main, live)
                else:
                    self._as_file(main)
                self._each(beside, before, doubtful=False, patient=False)
                if groups.same(before, group.look()) and not sqlite.is_written(live):
                    return True
        except Unreadable:
            pass
        except IntegrityError:
            back()
            if groups.same(before, group.look()):
                raise
        main.sqlite = True
        back()
        return False

    def _as_file(self, main: Source) -> None:
        """Outside of the application's own databases it is a file as any other: no SQL of it runs."""
        main.sqlite = False
        self._writer.take(main, tries=1)

    def _checked(self, main: Source, live: int) -> None:
        content = self._writer.copied_before(main)
        if not content:
            with self._databases.of(main.base).at_rest(file_reader.blocks(live, main.status.st_size), main.path) as copy:
                content = self._writer.stored(main, copy.descriptor)
            content.status = main.status
            self._remark(main, copy)
        self._writer.enter(main, content)["as_is"] = True

    def _in_use(self, group: Group) -> None:
        """One moment of a database, by SQLite's backup. :raises IntegrityError: when SQLite cannot read it, or finds it damaged."""
        main, own = group.main, group.main.component == "database"
        with contextlib.ExitStack() as stack:
            try:
                with file_reader.Folders() as folders, folders.opened(main) as live:
                    before = os.fstat(live)
                copy = stack.enter_context(self._databases.of(main.base).copied(main.base, main.relative, before.st_size, own))
            except (OSError, Unreadable) as error:
                self._writer.problem(main, "it cannot be read: " + _why(error))
                return
            content = self._writer.stored(main, copy.descriptor)
        content.status, content.rested = before, False
        self._remark(main, copy)
        entry = self._writer.enter(main, content)
        if copy.wal:
            entry["journal_mode"] = "wal"
        for each in group.members[1:]:
            if not sqlite.is_leftover(each.path, _suffix(group, each)):
                self._writer.take(each)

    def _remark(self, main: Source, copy: database_copies.Copy) -> None:
        for remark in copy.remarks:
            self._writer.warn(main, remark)

    def _damaged(self, group: Group, reason: str) -> None:
        """In a folder of uploads anybody may leave a broken file with SQLite's header: it is kept as the file it is."""
        doubtful = group.main.component == "database" or any(sqlite.is_own(each.path, _suffix(group, each)) for each in group.members[1:])
        if doubtful:
            self._writer.problem(group.main, reason)
        group.main.sqlite = False
        self._together(group, doubtful)


def _suffix(group: Group, companion: Source) -> str:
    return companion.relative[len(group.main.relative) :]


def _present(group: Group, states: States) -> tuple[list[Source], bool]:
    """The members that are there, with files that have come since the listing; and whether that is all of them."""
    listed = {source.relative for source in group.members}
    new = sorted(name for name in states if name not in listed)
    some = new if len(new) <= _MOST_NEW and not (group.kind and not group.kind.members) else []  # their folders may be new, too
    there = [source for source in group.members if _is_expected(source, group, states)]
    made = [dataclasses.replace(group.main, relative=name, status=states[name], xattrs={}, hardlink=0) for name in some]
    return there + made, len(some) == len(new)


def _is_expected(source: Source, group: Group, states: States) -> bool:
    """Whether a member is to be read: files beside a store come and go, and so do those of a folder; the store itself does not."""
    missed = not states or (source is group.main and not group.kind)
    return missed or source.type != "file" or source.relative in states or source.relative.endswith("-shm")


def _why(error: BaseException) -> str:
    cause = error.__cause__ or error
    return "it is gone" if isinstance(cause, FileNotFoundError) else getattr(cause, "strerror", "") or str(error)
