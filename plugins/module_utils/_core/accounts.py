# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's rights: who has them, what they reach, and how this process gives up its own for good."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import resource
import secrets
import signal
import typing as t

from . import namespaces
from .errors import InputError

_CLONE_NEWNET = 0x40000000
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
#: Numbers that systemd gives to services for a while, and nobody else to anyone.
_UNUSED = range(61184, 65520)
#: Bytes of memory beside what the process has already, files that it may hold open, and a limit that is none.
MEMORY, _FILES = 256 * 1024**2, 256


class Account(t.NamedTuple):
    """A user with all groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @property
    def drops(self) -> bool:
        """Whether this process is root and gives rights up to become it."""
        return os.geteuid() == 0 and self.uid != 0

    def reaches(self, folder: str) -> bool:
        """Whether its programs get into a folder, by the modes of all folders on the way."""
        if not self.drops:
            return True
        path = os.path.realpath(folder)
        while True:
            try:
                status = os.stat(path)
            except OSError:
                return False
            bit = 0o100 if status.st_uid == self.uid else 0o010 if status.st_gid in self.groups else 0o001
            if not status.st_mode & bit:
                return False
            if path == "/":
                return True
            path = os.path.dirname(path)


def own() -> Account:
    """The one that this process has."""
    return Account(os.geteuid(), os.getegid(), tuple(os.getgroups()))


def owner_of(folder: str) -> Account:
    """The one whose folder it is; this process's own where there is none, or where it is not root."""
    if os.geteuid():
        return own()
    try:
        status = os.lstat(folder)
    except OSError:
        return own()
    if not status.st_uid:
        return own()
    try:
        entry = pwd.getpwuid(status.st_uid)
    except KeyError:
        return Account(status.st_uid, status.st_gid, (status.st_gid,))
    return Account(entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid)))


def stranger() -> Account:
    """One that nothing runs as, for what comes from outside, where this process is root; else its own."""
    if os.geteuid():
        return own()
    while True:
        number = secrets.choice(_UNUSED)
        try:
            pwd.getpwuid(number)
        except KeyError:
            return Account(number, number, (number,))


@functools.cache
def name_of(uid: int) -> str:
    """The name of a user; empty when it has none."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return ""


def named(user: str | None) -> Account:
    """The one of that name, where this process is root; else its own. :raises InputError: when there is none."""
    if os.geteuid() or not user:
        return own()
    found = entry(user)
    return Account(found.pw_uid, found.pw_gid, tuple(os.getgrouplist(user, found.pw_gid)))


def entry(user: str) -> pwd.struct_passwd:
    """What the system knows of a user. :raises InputError: when there is none of that name."""
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise InputError(f"user {user}", "a user of the target", "none", "Create it first (mobius.ops.setup does)") from error


def confine(account: Account) -> None:
    """Give up, in a process that was forked for it: other rights, the network, further programs, and much memory."""
    with contextlib.suppress(OSError):  # not every container allows it
        namespaces.call("unshare", _CLONE_NEWNET)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _FILES)
    _limit(resource.RLIMIT_AS, _held() + MEMORY)
    if account.drops:
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    if account.uid:
        _limit(resource.RLIMIT_NPROC, 0)  # it counts all processes of the user: any limit is reached already
    namespaces.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    namespaces.call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)  # it holds a copy of root's memory
    os.umask(0o077)
    os.environ.clear()
    os.chdir("/")


def limit_work(seconds: float, written: int) -> None:
    """Limit what this process does next: it ends when it computes or takes longer, and no file gets larger."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime + seconds) + 2, hard=False)
    _limit(resource.RLIMIT_FSIZE, written, hard=False)
    signal.setitimer(signal.ITIMER_REAL, seconds + 5)  # its parent ends it sooner, if it still can


def _limit(what: int, most: int, hard: bool = True) -> None:
    _soft, top = resource.getrlimit(what)
    if top != resource.RLIM_INFINITY:
        most = min(most, top)
    resource.setrlimit(what, (most, most if hard else top))


def _held() -> int:
    """Bytes of address space that this process has now."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[0]) * resource.getpagesize()
