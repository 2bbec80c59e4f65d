# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole run: decide, send, and say what came of it."""

from __future__ import annotations

import datetime
import typing as t

from .._core import clock, wording
from .._core.errors import InputError
from .._target import records
from .._target.layout import Layout
from . import delivery, paging, plan, sender
from .outbox import WAITING, Message, Outbox
from .paging import Decided

#: Lines of the table, and names in a sentence.
_ROWS, _NAMED = 30, 5


class Paged(t.TypedDict):
    """What came of a run: the messages that were sent or wait, and the page of the outbox."""

    delivered: bool
    message: str
    page: str
    sent: list[str]
    waiting: list[str]


def escalated(
    layout: Layout,
    post: tuple[list[str], str, str] | None = None,
    send: sender.Send | None = None,
    now: delivery.Now = clock.now,
    limit: float | None = None,
) -> tuple[bool, Paged, dict[str, object]]:
    """Page every level that is due, and send what waits.

    :param post: schedules, people and channels, title and text of a message to send too.
    :param limit: seconds for sending.
    :raises StateError: when messages wait and cannot be sent at all; they stay in the outbox.
    """
    known, findings = plan.load(layout), records.Findings()
    if post and not post[1].strip():
        raise InputError("title: the message has none", todo="Give one")
    posted = paging.post(layout, known, *post, now()) if post else None
    decided = paging.decide(layout, known, now(), findings)
    box = Outbox(layout)
    waiting = [each for each in box.readable(findings) if each.status == WAITING]
    if not waiting:
        return bool(decided.paged), _result(layout, findings, decided, delivery.Tally()), {}
    if send is None:
        sender.require()
    tally = delivery.Delivery(layout, known, plan.urls(known), send or sender.send, now).run(waiting, limit or delivery.LIMIT)
    changed = bool(posted or decided.paged or tally.sent or tally.failed or tally.cancelled)
    return changed, _result(layout, findings, decided, tally), {}


def listed(layout: Layout) -> Paged:
    """What is in the outbox; nothing is written or sent."""
    return _result(layout, records.Findings(), Decided((), ()), delivery.Tally())


def _name(each: Message) -> str:
    return f"{each.incident} level {each.level + 1} {each.channel}"


def _result(layout: Layout, findings: records.Findings, decided: Decided, tally: delivery.Tally) -> Paged:
    messages = Outbox(layout).readable(findings)
    late = [each for each in messages if each.status == WAITING and each.attempts]
    sent = sorted(f"{incident} level {level} {channel}" for incident, level, channel in tally.sent)
    said = [
        f"{len(sent)} {'message was' if len(sent) == 1 else 'messages were'} sent: {wording.listed(sent, _NAMED)}."
        if sent
        else "No message was due."
    ]
    if tally.cancelled:
        said.append(f"{len(tally.cancelled)} not needed any more.")
    if late:
        reasons = [f"{_name(each)} ({each.error}, tried {each.attempts} times)" for each in late]
        said.append(f"Not delivered yet: {wording.listed(reasons, _NAMED)}. They are tried again by the next runs.")
    if decided.unreached:
        said.append(f"{wording.listed(list(decided.unreached), _NAMED)} reaches nobody. Add a level that always reaches a channel.")
    said += findings.told[:_NAMED]
    return {
        "delivered": not (late or decided.unreached or findings.told),
        "message": " ".join(said),
        "page": _page(messages),
        "sent": sent,
        "waiting": [_name(each) for each in late],
    }


def _page(messages: list[Message]) -> str:
    head = ["incident", "level", "channel", "status", "due", "sent", "tries", "remark"]
    newest = sorted(messages, key=lambda each: (each.status == WAITING, each.created, each.incident, each.level), reverse=True)[:_ROWS]
    rows = [
        [
            each.incident,
            str(each.level + 1),
            each.channel,
            each.status,
            clock.iso(each.due),
            _time(each.sent),
            str(each.attempts),
            "; ".join(filter(None, [each.error, f"for {each.fallback_of}" if each.fallback_of else ""])),
        ]
        for each in newest
    ]
    return "\n".join(["Outbox", *wording.table(head, rows)])


def _time(moment: datetime.datetime | None) -> str:
    return clock.iso(moment) if moment else "-"
