# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder that a drill works in: made for it, noted on disk before it is there, and gone afterwards, whatever happened."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import stat
import typing as t

from ..._core import accounts, clock, foreign, fs, locks, walk
from ..._core.accounts import Account
from ..._core.errors import StateError
from ..._target import records, shared_folders
from ..._target.layout import COMPONENTS, Layout
from . import instance

_NAME = re.compile(r"\.drill-\d{8}_\d{6}-[0-9a-f]{8}")
#: Bytes of a ``.env`` file that are taken.
_ENV_LIMIT = 1024**2
_SIGNALS = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _note(layout: Layout) -> str:
    return layout.path("state", "drill.json")


@contextlib.contextmanager
def alone(layout: Layout) -> t.Iterator[None]:
    """:raises StateError: when another drill runs on this root."""
    with open(layout.path("state", "drill.lock"), "a", encoding="ascii") as lock:
        if not locks.taken(lock):
            raise StateError(f"root {layout.root}", "no other drill", "one that runs", "Wait until it has ended")
        yield


@contextlib.contextmanager
def limited(timeout: float) -> t.Iterator[t.Callable[[], None]]:
    """While the block runs, a time limit and the signals that end a process become errors, so that nothing is left over.

    It gives a function after whose call nothing interrupts the block any more.
    """

    def interrupt(number: int, _frame: t.Any) -> t.NoReturn:
        if number == signal.SIGALRM:
            raise StateError(
                "the drill",
                f"to end within {timeout:g} s",
                "that it takes longer",
                "Give it more time (mobius_drill_timeout), or find out what is slow",
            )
        raise StateError("the drill", "to come to its end", f"that it was stopped by {signal.Signals(number).name}", "Run it again")

    def quiet() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        yield quiet
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def sweep(layout: Layout) -> list[str]:
    """Remove what a killed drill left: its processes and its folder. What was done, in words."""
    note = records.read(_note(layout), records.DRILL)
    if not note:
        return []
    scratch, told = note["scratch"], []
    if _NAME.fullmatch(os.path.basename(scratch)):
        ended = instance.end_remains(scratch)
        told += [f"ended process {pid} of an earlier drill" for pid in ended]
        if os.path.lexists(scratch):
            walk.remove(scratch)
            told.append(f"removed {scratch} of an earlier drill")
    os.unlink(_note(layout))
    return told


def make(layout: Layout, parent: str, needed: int) -> Layout:
    """A fresh folder that only this user can look into.

    :param needed: bytes that will be written to it.
    :raises StateError: when they are not free.
    """
    fs.require_space(parent, needed, "the drill's copy of data and code")
    scratch = os.path.join(os.path.realpath(parent), f".drill-{clock.stamp()}-{secrets.token_hex(4)}")
    fs.write_json(_note(layout), {"scratch": scratch}, 0o600)
    os.mkdir(scratch, 0o700)
    return Layout(scratch)


def remove(layout: Layout, scratch: Layout) -> None:
    """:raises StateError: when something of a drill is left on the disk, or still runs."""
    instance.end_strays(scratch.root)
    left = instance.processes_of(scratch.root)
    walk.remove(scratch.root)
    if left or os.path.lexists(scratch.root):
        raise StateError(
            f"scratch folder {scratch.root}",
            "to be gone, with all that ran in it",
            f"processes {left}" if left else "that files are left",
            "Remove it by hand",
        )
    os.unlink(_note(layout))


def let_in(scratch: Layout, account: Account) -> None:
    """Let a user pass through the scratch folder, which stays root's: what is in it is not to be trusted from then on."""
    if account.drops:
        os.chown(scratch.root, -1, account.gid)
        os.chmod(scratch.root, 0o710)


def furnish(live: Layout, scratch: Layout, restored: str, user: str | None) -> list[str]:
    """Put restored components where an application expects them, and let the service user in. What was lacking, in words."""
    account = accounts.named(user)
    lacking, shared = [], shared_folders.made(live)

    def folder(path: str, mode: int) -> None:
        os.mkdir(path)
        os.chmod(path, mode)
        if account.drops:
            os.chown(path, account.uid, account.gid)

    os.mkdir(scratch.shared, 0o755)
    os.chmod(scratch.shared, 0o755)
    for component in COMPONENTS:
        source = os.path.join(restored, component)
        if os.path.isdir(source):
            os.rename(source, scratch.component(component))
        else:
            folder(scratch.component(component), 0o750)
            lacking.append(f"the archive has no component {component}: the application started with an empty one")
        shared_folders.complete(scratch.component(component), shared, component)
    if _copy_env(live, scratch):
        lacking.append("the archive has no .env: the application started with the one of this host")
    folder(scratch.path("tmp"), 0o700)
    let_in(scratch, account)
    return lacking


def _copy_env(live: Layout, scratch: Layout) -> bool:
    """Give the copy this host's ``.env`` when it has none, through no link of either; whether it was done."""
    folder, name = os.path.split(live.env_file)
    try:
        with foreign.folder(folder) as source:
            descriptor = foreign.plain(name, at=source)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as stream, foreign.folder(os.path.dirname(scratch.env_file)) as target:
        status = os.fstat(descriptor)
        try:
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
        except FileExistsError:
            return False
        with os.fdopen(made, "wb") as copy:
            copy.write(stream.read(_ENV_LIMIT))
            if os.geteuid() == 0:
                os.fchown(made, status.st_uid, status.st_gid)
            os.fchmod(made, stat.S_IMODE(status.st_mode) & 0o777)
    return True
