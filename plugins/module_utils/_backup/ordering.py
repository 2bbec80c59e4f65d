# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of several archives is newer, also when a clock was wrong as one of them was made."""

from __future__ import annotations

import datetime
import os
import re
import typing as t

from .._core import clock
from .._target import history
from .._target.layout import Layout

#: The name of an archive: env, stamp, and whether it is a safety backup.
NAME = re.compile(r"dhash_([A-Za-z0-9][A-Za-z0-9._-]{0,63})_(\d{8}_\d{6})(_safety)?\.zip")
#: By how much the clocks of hosts that share a backup folder may differ.
SKEW = datetime.timedelta(minutes=5)
#: What the message of a result says of archives that are dated in the future.
ADVICE = "Check the host's clock; such an archive counts for no age and no retention rule, and is never removed: delete it by hand"


class Named(t.Protocol):
    """An archive with its name and the time in it."""

    @property
    def archive(self) -> str:
        """Its path."""

    @property
    def stamp(self) -> str:
        """The time in its name."""


Found = t.TypeVar("Found", bound=Named)


def is_ahead(stamp: str) -> bool:
    """Whether a stamp lies in the future: the clock was wrong when the archive was named, or is wrong now."""
    return clock.from_stamp(stamp) > clock.now() + SKEW


def newest_first(archives: t.Iterable[Found], layout: Layout | None = None) -> list[Found]:
    """Sort archives by when they were published, the newest first.

    The stamp in the name counts, unless the history of the root knows that the archive was published after one with a later stamp, or the
    stamp lies in the future. An archive from the future that the history does not know is older than all others.
    """
    published = _published(layout) if layout else {}

    def key(backup: Found) -> tuple[str, int, str, str]:
        name = os.path.basename(backup.archive)
        moment, number = published.get(name, ("" if is_ahead(backup.stamp) else backup.stamp, 0))
        return moment, number, backup.stamp, name

    return sorted(archives, key=key, reverse=True)


def _published(layout: Layout) -> dict[str, tuple[str, int]]:
    """File name -> the latest stamp up to its publication that is not in the future, and its number in the history."""
    found: dict[str, tuple[str, int]] = {}
    latest = ""
    for number, event in enumerate(history.of_kinds(layout, ("backup",)), 1):
        name = os.path.basename(str(event.get("archive") or ""))
        stamp = _stamp_of(name)
        if stamp:
            latest = latest if is_ahead(stamp) else max(latest, stamp)
            found[name] = latest, number
    return found


def _stamp_of(name: str) -> str:
    """The stamp in the name of an archive; empty when there is none."""
    match = NAME.fullmatch(name)
    try:
        clock.from_stamp(match.group(2) if match else "")
    except ValueError:
        return ""
    return match.group(2) if match else ""
