# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where file systems are mounted, as the kernel tells it; a bind mount shows nowhere else."""

from __future__ import annotations

import os
import re

_TABLE = "/proc/self/mountinfo"
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def points() -> set[str]:
    """The absolute paths of all mount points."""
    with open(_TABLE, "rb") as stream:
        fields = [line.split(b" ") for line in stream]
    return {os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match.group(1), 8)]), field[4])) for field in fields}


def inside(path: str) -> tuple[bool, list[str]]:
    """Whether something is mounted at *path*, and what is mounted below it."""
    real = os.path.realpath(path)
    found = points()
    return real in found, sorted(point for point in found if point.startswith(real + os.sep))


def point_of(path: str, known: set[str] | None = None) -> str:
    """The mount point that a path is below: a rename works only within one.

    :param known: all mount points, where they were asked for already.
    """
    found, real = points() if known is None else known, os.path.realpath(path)
    while real not in found and real != os.path.dirname(real):
        real = os.path.dirname(real)
    return real
