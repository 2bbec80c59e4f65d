# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Local times of on-call schedules: time zones, weekdays, and texts of settings as moments in UTC."""

from __future__ import annotations

import datetime
import typing as t
import zoneinfo

from .._core.errors import InputError

UTC = datetime.timezone.utc
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def wrong(where: str, problem: str, todo: str) -> InputError:
    """The error ``<where>: <problem>. <what to do>.``"""
    return InputError(f"{where}: {problem}", todo=todo)


def zone(name: t.Any, where: str) -> zoneinfo.ZoneInfo:
    """The time zone of an IANA name such as ``Europe/Berlin``.

    :raises InputError: for an unknown name, or when the machine has no time zone database.
    """
    try:
        return zoneinfo.ZoneInfo(str(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        if not zoneinfo.available_timezones():
            raise wrong(where, "this machine has no time zone database", "Install the package tzdata") from error
        raise wrong(where, f"{name!r} is not a time zone", "Give an IANA name such as Europe/Berlin") from error


def weekday(value: t.Any, where: str) -> int:
    """The number of a weekday, Monday is 0, from its English name or the first three letters."""
    given = str(value).strip().lower()
    found = [at for at, name in enumerate(WEEKDAYS) if given in (name, name[:3])]
    if not found:
        raise wrong(where, f"{value!r} is not a weekday", "Give one such as monday")
    return found[0]


def time_of_day(value: t.Any, where: str) -> datetime.time:
    """A time such as ``09:00``. YAML reads an unquoted ``10:00`` as 600, which is taken as minutes since midnight.

    :raises InputError: for anything else.
    """
    text = str(value).strip()
    try:
        if text.isdigit():
            return datetime.time(*divmod(int(text), 60))
        return datetime.datetime.strptime(text, "%H:%M").time()
    except ValueError as error:
        raise wrong(where, f"{value!r} is not a time of day", "Give one such as '09:00'") from error


def day(value: t.Any, where: str) -> datetime.date:
    """A date such as ``2026-11-02``."""
    try:
        return datetime.date.fromisoformat(str(value).strip())
    except ValueError as error:
        raise wrong(where, f"{value!r} is not a date", "Give one such as 2026-11-02") from error


def moment(value: t.Any, tz: datetime.tzinfo, where: str) -> datetime.datetime:
    """A date, or a date with a time, as a moment in UTC. Without an offset it is local time in *tz*."""
    text = str(value).strip()
    try:
        found = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
    except ValueError as error:
        raise wrong(where, f"{value!r} is not a time", "Give one such as '2026-12-24 18:00'") from error
    return in_utc(found if found.tzinfo else found.replace(tzinfo=tz))


def in_utc(local: datetime.datetime) -> datetime.datetime:
    """A local time in UTC.

    A time that occurs twice, when clocks go back, is the first of the two. One that does not occur, when clocks go forward, counts as if
    they had not: 02:30 is the moment at which the clock shows 03:30.
    """
    return local.astimezone(UTC)
