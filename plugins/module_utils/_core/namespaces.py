# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mount namespaces of Linux, for a process that is about to become another program (unshare(2), mount(2))."""

from __future__ import annotations

import ctypes
import os
import typing as t

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
#: Flags of a mount that a remount has to repeat, as ``statvfs`` tells them: nosuid, nodev, noexec, noatime, nodiratime, relatime.
_KEPT = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: t.Any) -> None:
    """Call a function of the C library. :raises OSError: when it fails, with what it was about as its file name."""
    plain = [
        os.fsencode(value) if isinstance(value, str) else ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments
    ]
    if getattr(_libc, name)(*plain):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(arguments[1] if name == "mount" else name))


def mount(source: str | None, target: str, flags: int) -> None:
    """:raises OSError: when the kernel refuses."""
    call("mount", source, target, None, flags, None)


def enter() -> None:
    """A mount namespace of this process's own, from which no mount gets out; for other users than root within a user namespace.

    :raises OSError: when this system does not allow it.
    """
    uid, gid = os.getuid(), os.getgid()
    if uid:
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
                stream.write(text)
    else:
        call("unshare", CLONE_NEWNS)
    mount(None, "/", MS_REC | MS_PRIVATE)


def make_read_only(point: str) -> None:
    """:raises OSError: when what is mounted there cannot be made read-only for this process."""
    told = os.statvfs(point).f_flag
    flags = sum(flag for bit, flag in _KEPT.items() if told & bit)
    mount(None, point, MS_BIND | MS_REMOUNT | MS_RDONLY | flags)
