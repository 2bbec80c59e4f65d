# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send what waits in the outbox: each channel in a thread of its own, so that one that hangs or is down delays no other.

Only the run that holds a channel's lock sends through it and changes its messages. After the first failure a channel is left until the next
run; new messages go before those that failed.
"""
from __future__ import annotations

import contextlib
import dataclasses
import datetime
import threading
import time
import typing as t

from .._core import clock, dotenv, locks
from .._core.errors import IntegrityError
from .._target.layout import Layout
from . import outbox, text
from .outbox import CANCELLED, WAITING, Message, Outbox
from .plan import Plan
from .sender import Send

#: Seconds that all channels have in a run, so that it ends before the next minute's.
LIMIT = 40.0
#: A message whose channel has failed goes to the fallback in the same run, over so many channels.
_ROUNDS = 4
Now = t.Callable[[], datetime.datetime]


@dataclasses.dataclass
class Tally:
    """What became of messages in a run: ``(incident, level from 1, channel)``, with the error of those that failed."""

    sent: list[tuple[str, int, str]] = dataclasses.field(default_factory=list)
    failed: list[tuple[str, int, str, str]] = dataclasses.field(default_factory=list)
    cancelled: list[tuple[str, int, str]] = dataclasses.field(default_factory=list)
    #: Channels that got a message because another one failed.
    stood_in: list[str] = dataclasses.field(default_factory=list)


class Delivery:
    """One run over the outbox."""

    def __init__(self, layout: Layout, plan: Plan, urls: dict[str, str], send: Send, now: Now = clock.now) -> None:
        self.layout, self.plan, self.urls, self.send, self.now = layout, plan, urls, send, now
        self.box = Outbox(layout)
        self.redactor = dotenv.Redactor(layout.env_file)
        self.tally = Tally()
        #: Channel -> the message that is being sent.
        self.current: dict[str, Message] = {}
        self.mutex = threading.Lock()

    def run(self, messages: t.Iterable[Message], limit: float = LIMIT) -> Tally:
        """Send what is due; at most *limit* seconds, whatever the channels do."""
        deadline = time.monotonic() + limit
        waiting: dict[str, list[Message]] = {}
        for each in messages:
            if each.status == WAITING:
                waiting.setdefault(each.channel, []).append(each)
        for _round in range(_ROUNDS):
            self._round(waiting, deadline)
            waiting = {}
            for name in list(dict.fromkeys(self.tally.stood_in)):
                found = [one for one in map(self.box.read, [each for each in self.box.names() if each[2] == name]) if one]
                waiting[name] = [one for one in found if one.status == WAITING and not one.attempts and one.fallback_of]
            if not any(waiting.values()) or time.monotonic() > deadline:
                break
        return self.tally

    def _round(self, waiting: dict[str, list[Message]], deadline: float) -> None:
        threads = {name: threading.Thread(target=self._channel, args=(name, messages), daemon=True)
                   for name, messages in waiting.items() if messages}
        for thread in threads.values():
            thread.start()
        for name, thread in threads.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._hangs(name)

    def _hangs(self, channel: str) -> None:
        """Note that a channel did not answer in time. If it does answer later, its thread notes that."""
        with self.mutex:
            each = self.current.pop(channel, None)
            if each:
                self._failed(each, "no answer in time")

    def _channel(self, name: str, messages: list[Message]) -> None:
        with contextlib.suppress(BlockingIOError), locks.locked(self.box.lock(name), 0):  # another run sends through it
            for each in sorted(messages, key=lambda one: (one.attempts, one.due, one.incident, one.level)):
                with contextlib.suppress(IntegrityError):  # the run has named it
                    if not self._one(each):
                        return

    def _one(self, listed: Message) -> bool:
        """Send one message, if it still waits and is due; whether to go on with the channel."""
        each, now = self.box.read((listed.incident, listed.level, listed.channel)), self.now()
        if each is None or each.status != WAITING:
            return True
        about = None if each.title else text.of_message(self.layout, each.incident)
        if not each.title and (about is None or not about.wants(each.level)):
            self.box.save(dataclasses.replace(each, status=CANCELLED))
            self.tally.cancelled.append((each.incident, each.level + 1, each.channel))
            return True
        if each.next and each.next > now:
            return True
        with self.mutex:
            self.current[each.channel] = each
        error = self._send(each, about, now)
        with self.mutex:
            noted = self.current.pop(each.channel, None) is None
            if error and not noted:
                self._failed(each, error)
            elif not error:
                self.box.save(outbox.delivered(each, self.now()))
                self.tally.sent.append((each.incident, each.level + 1, each.channel))
        return not error

    def _send(self, each: Message, about: text.Incident | None, now: datetime.datetime) -> str:
        if each.channel not in self.urls:
            return "the channel has no URL"
        try:
            title, body = text.render(self.layout, self.plan, each, about, now, self.redactor)
            return self.send(self.urls[each.channel], title, body, each.key)
        except Exception as error:  # otherwise the thread would end, and the message would wait without a reason
            return f"it failed with {type(error).__name__}"

    def _failed(self, each: Message, error: str) -> None:
        after = outbox.failed(each, error, self.now())
        channel = self.plan.people.channels.get(each.channel)
        if channel and channel.fallback and (after.attempts >= outbox.FALLBACK_AFTER or each.channel not in self.urls):
            self.tally.stood_in += [channel.fallback] * self.box.add(dataclasses.replace(
                outbox.message(each.incident, each.level, channel.fallback, each.due, self.now(), fallback_of=each.channel),
                title=each.title, body=each.body))
        self.box.save(after)
        self.tally.failed.append((each.incident, each.level + 1, each.channel, error))
