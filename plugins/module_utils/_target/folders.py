# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folders below a root: whose each is, and making them so."""

from __future__ import annotations

import os
import pwd
import typing as t

from .._core import foreign
from .._core.errors import InputError, StateError
from .layout import Layout

PRIVATE = ("backups", "state")
QUOTING = ("incidents", "monitor_logs")  # they quote what the application printed
WRITABLE = ("uploads", "database", "generated", "logs")


class Wanted(t.TypedDict, total=False):
    """Whose a folder is, by numbers, and its mode; by the name of an owner who is not there yet."""

    uid: int
    gid: int
    mode: int
    owner: str | None


def plan(layout: Layout, owner: str | None, new_host: bool = False) -> dict[str, Wanted]:
    """Path -> the owner's user id, group id and mode that it should have.

    :param new_host: whether this only tells what would be done where nothing is yet; the owner may be missing, too.
    """
    me = pwd.getpwuid(os.getuid())
    try:
        service = pwd.getpwnam(owner) if owner else me
    except KeyError as error:
        if new_host:
            return {path: {"owner": owner} for path in layout.folders()}
        raise InputError(f"owner {owner}", "a user of the target", "none", "Create it first (mobius.ops.setup does)") from error
    if service.pw_uid != me.pw_uid and me.pw_uid != 0:
        raise InputError(f"owner {owner}", f"root or {owner} to run this", me.pw_name, "Set mobius_become to true")
    private = [layout.path(name) for name in PRIVATE]
    writable = [layout.component(name) for name in WRITABLE]
    closed = [*writable, layout.component("config"), *(layout.path(name) for name in QUOTING)]
    wanted: dict[str, Wanted] = {}
    for path in layout.folders():
        account = service if path in writable else me
        mode = 0o700 if path in private else 0o750 if path in closed else 0o755
        wanted[path] = {"uid": account.pw_uid, "gid": service.pw_gid, "mode": mode}
    return wanted


def found(paths: t.Iterable[str]) -> dict[str, Wanted]:
    """What is there now, in the same form."""
    facts: dict[str, Wanted] = {}
    for path in paths:
        if os.path.isdir(path):
            status = os.stat(path)
            facts[path] = {"uid": status.st_uid, "gid": status.st_gid, "mode": status.st_mode & 0o7777}
        elif os.path.lexists(path):
            raise InputError(path, "a folder or nothing", "something else", "Move it away or give another mobius_root")
    return facts


def apply(wanted: dict[str, Wanted]) -> None:
    """Make every folder as it should be, parents first: once a parent is, nobody else can put something in a folder's place.

    :raises StateError: for a link that another user has put there.
    """
    for path, facts in wanted.items():
        os.makedirs(path, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | _links(path))
        try:
            foreign.settle(descriptor, facts["uid"], facts["gid"], facts["mode"])
        except OSError as error:
            raise StateError(
                path,
                "a folder whose owner and mode can be set",
                error.strerror or str(error),
                "Run setup as the user that it belongs to, or as root",
            ) from error
        finally:
            os.close(descriptor)


def _links(path: str) -> int:
    """Whether a link in the place of a folder is followed: one of this user's own, or of root's, leads to another disk."""
    try:
        owner = os.lstat(path).st_uid
        if os.path.islink(path) and owner not in (0, os.geteuid()):
            raise StateError(path, "a folder, or a link of root's", f"a link of user {owner}", "Remove it")
        return 0 if os.path.islink(path) else os.O_NOFOLLOW
    except FileNotFoundError:
        return os.O_NOFOLLOW
