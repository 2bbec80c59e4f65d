# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Times as the collection writes them: ISO 8601 in UTC, and the compact stamp of file names."""

from __future__ import annotations

import datetime

STAMP_FORMAT = "%Y%m%d_%H%M%S"
_ISO_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def now() -> datetime.datetime:
    """The current time, aware, in UTC, without microseconds."""
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def iso(moment: datetime.datetime | None = None) -> str:
    """``2026-11-23T16:00:00Z`` of a moment (the current one by default)."""
    return (moment or now()).astimezone(datetime.timezone.utc).strftime(_ISO_FORMAT)


def from_epoch(seconds: float) -> str:
    """ISO 8601 in UTC of seconds since 1970."""
    return iso(datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc))


def parse(text: str) -> datetime.datetime:
    """The moment that :func:`iso` wrote. :raises ValueError: when the text has another form."""
    return datetime.datetime.strptime(text, _ISO_FORMAT).replace(tzinfo=datetime.timezone.utc)


def stamp(moment: datetime.datetime | None = None) -> str:
    """``20261123_160000`` in UTC: the part of a file name that sorts by time."""
    return (moment or now()).astimezone(datetime.timezone.utc).strftime(STAMP_FORMAT)


def from_stamp(text: str) -> datetime.datetime:
    """The moment that :func:`stamp` wrote. :raises ValueError: when the text has another form."""
    return datetime.datetime.strptime(text, STAMP_FORMAT).replace(tzinfo=datetime.timezone.utc)
