# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a deploy may be: weekly windows, and days on which nothing is deployed. All in UTC."""

from __future__ import annotations

import dataclasses
import datetime
import re

from ..._core.errors import InputError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY, _WEEK = 24 * 60, 7 * 24 * 60
_WINDOW = re.compile(r"(?:([a-z]{3})[a-z]*(?:\s*-\s*([a-z]{3})[a-z]*)?\s+)?(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.IGNORECASE)
_FREEZE = re.compile(r"(\d{4}-\d\d-\d\d)(?:(/)(\d{4}-\d\d-\d\d)?)?(?:\s+(.*))?")


@dataclasses.dataclass(frozen=True)
class Window:
    """A stretch of the week, in minutes since Monday 00:00 UTC; it may reach over the end of the week."""

    begin: int
    length: int

    def left(self, minute: float) -> float:
        """Minutes from a minute of the week to the window's end; 0 outside of it."""
        into = (minute - self.begin) % _WEEK
        return self.length - into if into < self.length else 0

    def until(self, minute: float) -> float:
        """Minutes from a minute of the week to the window's next beginning."""
        return (self.begin - minute) % _WEEK


def parse(text: str) -> list[Window]:
    """The windows, one a day, of ``Mon-Thu 09:00-16:00``, ``Sat 22:00-02:00`` or ``09:00-16:00`` (every day).

    :raises InputError: when the text has another form.
    """
    match = _WINDOW.fullmatch(text.strip())
    names = [(name or "").title() for name in match.groups()[:2]] if match else []
    times = [(int(match.group(at)), int(match.group(at + 1))) for at in (3, 5)] if match else []
    if not match or any(name and name not in DAYS for name in names) or not all(map(_is_time, times)):
        raise InputError(
            f"mobius_deploy_windows '{text}'", "days and hours in UTC, such as 'Mon-Thu 09:00-16:00'", "something else", "Correct it"
        )
    first, last = (DAYS.index(names[0]), DAYS.index(names[1] or names[0])) if names[0] else (0, 6)
    begin, end = (hour * 60 + minute for hour, minute in times)
    length = end - begin if end > begin else end - begin + _DAY
    return [Window(((first + number) % 7) * _DAY + begin, length) for number in range((last - first) % 7 + 1)]


def _is_time(clock: tuple[int, int]) -> bool:
    return (clock[0] < 24 and clock[1] < 60) or clock == (24, 0)


def minute_of_week(moment: datetime.datetime) -> float:
    """Minutes since Monday 00:00 UTC."""
    utc = moment.astimezone(datetime.timezone.utc)
    return utc.weekday() * _DAY + utc.hour * 60 + utc.minute + utc.second / 60


def in_words(minute: float) -> str:
    """``Mon 09:00 UTC`` of a minute of the week."""
    whole = int(minute) % _WEEK
    return f"{DAYS[whole // _DAY]} {whole % _DAY // 60:02}:{whole % 60:02} UTC"


def judge(texts: list[str], moment: datetime.datetime, needed: float) -> tuple[bool, str, str]:
    """Whether a deploy that takes *needed* seconds with its watch fits; what was found; what to do.

    Windows that touch count as one: what one leaves is looked for at its end.
    """
    windows = [window for text in texts for window in parse(text)]
    now, left = minute_of_week(moment), 0.0
    while left < _WEEK:
        more = max(window.left(now + left) for window in windows)
        if not more:
            break
        left += more
    found = in_words(now)
    begins = in_words(now + min(window.until(now) for window in windows))
    if left >= _WEEK:
        return True, f"{found}, always open", ""
    if not left:
        return False, f"{found}, outside of every window", f"wait until {begins}"
    if left * 60 < needed:
        ends = f"the window ends at {in_words(now + left)}, the watch would at {in_words(now + needed / 60)}"
        return False, f"{found}; {ends}", f"wait until {begins}, or give a shorter mobius_watch_duration"
    return True, f"{found}, the window ends at {in_words(now + left)}", ""


def frozen(texts: list[str], moment: datetime.datetime) -> str:
    """The freeze that a moment lies in, as it was written; empty when none.

    :param texts: ``2026-12-20/2027-01-03 Christmas``, ``2026-12-24`` or ``2026-12-20/`` (until it is taken out); first and last
        day included.
    :raises InputError: when one has another form.
    """
    today = moment.astimezone(datetime.timezone.utc).date()
    for text in texts:
        first, last = _days(text)
        if first <= today and (last is None or today <= last):
            return text
    return ""


def _days(text: str) -> tuple[datetime.date, datetime.date | None]:
    match = _FREEZE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError(text)
        first = datetime.date.fromisoformat(match.group(1))
        last = datetime.date.fromisoformat(match.group(3)) if match.group(3) else None if match.group(2) else first
        if last and last < first:
            raise ValueError(text)
    except ValueError:
        raise InputError(
            f"mobius_deploy_freeze '{text}'",
            "a day, or the first and last day, such as '2026-12-20/2027-01-03 Christmas'",
            "something else",
            "Correct it",
        ) from None
    return first, last
