# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which level of an escalation chain is due, and whom it reaches. Pure functions; the caller gives the time.

A level that reaches nobody, because nobody is on call or has a channel, does not wait: the next level takes its time.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from . import schedule
from .contacts import Directory, Level


@dataclasses.dataclass(frozen=True)
class Page:
    """A level that is due: its number from 0, since when, and the channels that it reaches; none when it is skipped."""

    level: int
    due: datetime.datetime
    channels: tuple[str, ...]


def chain(people: Directory, severity: t.Any) -> tuple[Level, ...]:
    """The levels of a severity. Without a chain of its own it has that of the next worse severity, else of the next milder one.

    What is no severity counts as 1.
    """
    number = severity if severity in (1, 2, 3, 4) and not isinstance(severity, bool) else 1
    order = [*range(number, 0, -1), *range(number + 1, 5)]
    return next((people.chains[each] for each in order if each in people.chains), ())


def reaches(people: Directory, level: Level, now: datetime.datetime) -> tuple[str, ...]:
    """Ids of the channels that a level reaches at a moment, each once."""
    found: list[str] = []
    for name in level.notify:
        if name in people.schedules:
            name = schedule.person(people.schedules[name], now) or ""
        if name in people.people:
            found += people.people[name].channels
        elif name in people.channels:
            found.append(name)
    return tuple(dict.fromkeys(found))


def due(
    people: Directory, levels: tuple[Level, ...], opened: datetime.datetime, decided: t.Collection[int], now: datetime.datetime
) -> list[Page]:
    """The levels to page now, oldest first; those that reach nobody are among them, without channels, once a later one took their turn.

    :param decided: numbers of levels that were paged or skipped before.
    """
    pages: list[Page] = []
    skipped: list[Page] = []
    for number, level in enumerate(levels):
        if number in decided:
            skipped = []
            continue
        own = opened + datetime.timedelta(minutes=level.after)
        since = min([own, *(page.due for page in skipped[:1])])
        if since > now:
            break
        channels = reaches(people, level, now)
        if channels:
            pages += [*skipped, Page(number, since, channels)]
            skipped = []
        else:
            skipped.append(Page(number, since, ()))
    return pages


def forced(
    people: Directory,
    levels: tuple[Level, ...],
    wanted: t.Mapping[int, datetime.datetime],
    decided: t.Collection[int],
    now: datetime.datetime,
) -> list[Page]:
    """The levels that somebody has escalated to by hand and that were not paged yet.

    :param wanted: number of a level, from 1 -> since when.
    """
    return [
        Page(number - 1, since, reaches(people, levels[number - 1], now))
        for number, since in sorted(wanted.items())
        if 0 < number <= len(levels) and number - 1 not in decided
    ]
