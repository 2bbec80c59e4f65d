# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How old a file is, by one of its times. Python 3.9 has no call for the time of birth, so the kernel is asked (statx(2))."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

CLOCKS = ("mtime", "ctime", "atime", "btime")
_AT_SYMLINK_NOFOLLOW, _BTIME = 0x100, 0x800
#: struct statx: its size, and where the mask and the time of birth (seconds, nanoseconds) are.
_SIZE, _MASK_AT, _BTIME_AT = 256, 0, 80


def nanoseconds(clock: str, status: os.stat_result, name: str, folder: int) -> int | None:
    """The time of a file by a clock, in nanoseconds since 1970; none where its file system keeps no time of birth.

    :param name: its name in *folder*, a descriptor; looked at for the time of birth only.
    """
    if clock == "btime":
        return _born(name, folder)
    return int(getattr(status, f"st_{clock}_ns"))


def _born(name: str, folder: int) -> int | None:
    buffer = ctypes.create_string_buffer(_SIZE)
    try:
        statx = ctypes.CDLL(None, use_errno=True).statx
    except AttributeError:  # a C library of before 2018
        return None
    if statx(folder, os.fsencode(name), _AT_SYMLINK_NOFOLLOW, _BTIME, buffer):
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EINVAL):
            return None
        raise OSError(number, os.strerror(number), name)
    (mask,) = struct.unpack_from("=I", buffer, _MASK_AT)
    seconds, part = struct.unpack_from("=qI", buffer, _BTIME_AT)
    return seconds * 10**9 + part if mask & _BTIME else None
