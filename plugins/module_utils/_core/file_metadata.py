# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a file or folder has beside its content: owner, mode, times, extended attributes."""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import grp
import os
import pwd
import stat
import struct

from . import foreign
from .kinds import Attributes

#: Extended attributes that a backup keeps: those of users, and POSIX access control lists.
XATTR_PREFIX, XATTR_LISTS = "user.", ("system.posix_acl_access", "system.posix_acl_default")
#: Read, write and execute bits and the sticky bit; of folders also set-gid, which only says who owns what is made in them.
#: Set-uid and set-gid of files do not come back.
_MODE_BITS = {"file": 0o1777, "dir": 0o3777}
#: Every file system holds times before this one, in 2038, in nanoseconds.
_EVERY_TIME = 2**31 * 10**9
_ACL, _DEFAULT_ACL = XATTR_LISTS
#: An ACL as the kernel stores it: a version, then entries of tag, permissions and id.
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_GROUP, _ACL_MASK = 0x04, 0x10


def facts(folder: str) -> Attributes:
    """What a folder is like, as :func:`dress` takes it."""
    with foreign.folder(folder) as descriptor:
        status = os.fstat(descriptor)
        found = {name: base64.b64encode(os.getxattr(descriptor, name)).decode() for name in _attributes(descriptor)}
    return {
        "type": "dir",
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime_ns": status.st_mtime_ns,
        "xattrs": found,
    }


def dress(entry: Attributes, descriptor: int, fresh: bool = False) -> dict[str, str]:
    """Give an open file or folder the owner (as root), mode, extended attributes and time of an entry of a manifest.

    :param fresh: it was just made, so it has no attributes that would have to go.
    :returns: the attributes that it could not be given, each with the reason.
    """
    _own(entry, descriptor)
    wanted = entry.get("xattrs", {})
    for name in [] if fresh else _attributes(descriptor):
        if name not in wanted:
            os.removexattr(descriptor, name)
    # Who may not write to a file may not give it an attribute, and a change of the mode changes an access list.
    lists = [name for name in wanted if name in XATTR_LISTS]
    lost = _tag(wanted, descriptor, [name for name in wanted if name not in lists])
    os.fchmod(descriptor, int(entry["mode"], 8) & _MODE_BITS[entry["type"]])
    lost.update(_tag(wanted, descriptor, lists))
    if _ACL in lost:
        os.fchmod(descriptor, _without_acl(entry, base64.b64decode(wanted[_ACL])))
    os.utime(descriptor, ns=(entry["mtime_ns"],) * 2)
    if not 0 <= entry["mtime_ns"] < _EVERY_TIME and os.fstat(descriptor).st_mtime_ns != entry["mtime_ns"]:
        lost["mtime"] = "the file system holds no such time"
    return lost


def _tag(wanted: dict[str, str], descriptor: int, names: list[str]) -> dict[str, str]:
    """Set extended attributes; those that the file system cannot hold, each with the reason."""
    lost = {}
    for name in names:
        try:
            os.setxattr(descriptor, name, base64.b64decode(wanted[name]))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL, errno.ERANGE, errno.E2BIG):
                raise
            lost[name] = str(error.strerror)
    return lost


def own_link(entry: Attributes, name: str, parent: int) -> None:
    """Give a symbolic link its owner (as root) and time."""
    if os.geteuid() == 0:
        os.chown(name, *_ids(entry), dir_fd=parent, follow_symlinks=False)
    os.utime(name, ns=(entry["mtime_ns"],) * 2, dir_fd=parent, follow_symlinks=False)


def without_defaults(folder: int) -> None:
    """Let a folder pass on no ACL to what is made in it."""
    with contextlib.suppress(OSError):
        os.removexattr(folder, _DEFAULT_ACL)


def _attributes(descriptor: int) -> list[str]:
    with contextlib.suppress(OSError):  # a file system without them
        prefix, lists = XATTR_PREFIX, XATTR_LISTS
        return [name for name in os.listxattr(descriptor) if name.startswith(prefix) or name in lists]
    return []


def _without_acl(entry: Attributes, value: bytes) -> int:
    """A mode that gives nobody more than an ACL did that cannot be kept: the group bits are no longer its mask."""
    mode = int(entry["mode"], 8) & _MODE_BITS[entry["type"]]
    found = {tag: bits for tag, bits, _id in _ACL_ENTRY.iter_unpack(value[4 : len(value) - (len(value) - 4) % _ACL_ENTRY.size])}
    return mode & ~0o070 | (found.get(_ACL_GROUP, 0) & found.get(_ACL_MASK, 7) & 7) << 3


def _own(entry: Attributes, descriptor: int) -> None:
    uid, gid = _ids(entry)
    if os.geteuid() == 0:
        os.fchown(descriptor, uid, gid)
    elif gid in _groups() and os.fstat(descriptor).st_gid != gid:
        os.fchown(descriptor, -1, gid)


@functools.cache
def _groups() -> frozenset[int]:
    return frozenset(os.getgroups())


def _ids(entry: Attributes) -> tuple[int, int]:
    return _uid(entry.get("owner", ""), entry["uid"]), _gid(entry.get("group", ""), entry["gid"])


@functools.cache
def _uid(name: str, number: int) -> int:
    """A user may have another number on this host: the name counts, the number only where the name is unknown."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):  # unknown here, or no name at all: an archive may say anything
        return number


@functools.cache
def _gid(name: str, number: int) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):  # unknown here, or no name at all: an archive may say anything
        return number
