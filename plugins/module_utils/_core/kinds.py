# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JSON objects that this room reads, as mypy sees them. At run time each of them is a dictionary."""

from __future__ import annotations

import typing as t


class Exit(t.TypedDict):
    """How a service's process ended last: the time is unknown where only the manager remembers that it failed."""

    when: str | None
    how: str | None


class UnitStatus(t.TypedDict):
    """How a unit of systemd is; ``uptime`` in seconds."""

    status: str
    pid: int | None
    restarts: int
    uptime: float
    started: str | None
    last_exit: Exit | None


class Slot(t.TypedDict):
    """One of two instances."""

    status: str
    release: str | None
    serves: bool


class _ServiceStatus(t.TypedDict):
    status: str
    pid: int | None
    restarts: int
    last_exit: Exit | None
    release: str | None


class ServiceStatus(_ServiceStatus, total=False):
    """How a service is (``Service.status``); ``uptime`` in seconds, ``slots`` of two instances by their ports."""

    port: int
    manager: str
    console: str
    started: str | None
    uptime: float
    slots: dict[str, Slot]


class _Attributes(t.TypedDict):
    type: str
    mode: str
    uid: int
    gid: int
    mtime_ns: int


class Attributes(_Attributes, total=False):
    """What a file, folder or link is like, without its content; ``mode`` in octal digits."""

    owner: str
    group: str
    xattrs: dict[str, str]


class _Entry(Attributes):
    path: str
    size: int


class Entry(_Entry, total=False):
    """A file, folder or link as a backup's manifest has it; ``size`` and ``data`` in bytes, ``mode`` in octal digits."""

    sha256: str
    packed_sha256: str
    target: str
    sqlite: bool
    journal_mode: str
    hardlink: int
    data: int
    ctime_ns: int
    inode: int
    as_is: bool
    changed: bool
