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
import queue
import threading
import time
import typing as t

from .._core import clock, dotenv, locks
from .._core.errors import IntegrityError
from .._target import records
from .._target.layout import Layout
from . import outbox, text
from .outbox import CANCELLED, WAITING, Message, Outbox
from .plan import Plan
from .sender import Send

#: Seconds that all channels have in a run, so that it ends before the timer's next one, 30 s later: a channel that hangs would keep that
#: from paging others.
LIMIT = 24.0
#: How often a channel can be the fallback of others in a run.
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
        #: Channel -> messages that come after it; none once the channel has delivered one in this run.
        self.rest: dict[str, list[Message]] = {}
        self.mutex = threading.Lock()

    def run(self, messages: t.Iterable[Message], limit: float = LIMIT) -> Tally:
        """Send what is due; at most *limit* seconds, whatever the channels do."""
        deadline = time.monotonic() + limit
        waiting: dict[str, list[Message]] = {}
        for each in messages:
            if each.status == WAITING:
                waiting.setdefault(each.channel, []).append(each)
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        running, begun = set(waiting), dict.fromkeys(waiting, 0)
        for name, found in waiting.items():
            self._start(name, found, ended)
        while running:
            try:
                running.discard(ended.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
            for name in [name for name in dict.fromkeys(self.tally.stood_in) if name not in running and begun.get(name, 0) < _ROUNDS]:
                found = self._instead(name)
                if found:  # at once, whatever other channels still do
                    begun[name] = begun.get(name, 0) + 1
                    running.add(name)
                    self._start(name, found, ended)
        for name in running:
            self._hangs(name)
        return self.tally

    def _start(self, name: str, messages: list[Message], ended: queue.SimpleQueue[str]) -> None:
        def work() -> None:
            try:
                self._channel(name, messages)
            finally:
                ended.put(name)

        threading.Thread(target=work, daemon=True).start()

    def _instead(self, channel: str) -> list[Message]:
        """Messages that a channel got because another one failed, and that were not tried yet."""
        found = self.box.readable(records.Findings(), channel)
        return [one for one in found if one.status == WAITING and not one.attempts and one.fallback_of]

    def _hangs(self, channel: str) -> None:
        """Note that a channel did not answer in time. If it does answer later, its thread notes that."""
        with self.mutex:
            each = self.current.pop(channel, None)
            if each:
                self._failed(each, "no answer in time")

    def _channel(self, name: str, messages: list[Message]) -> None:
        with contextlib.suppress(BlockingIOError), locks.locked(self.box.lock(name), 0):  # another run sends through it
            ordered = sorted(messages, key=lambda one: (one.attempts, one.due, one.incident, one.level))
            for at, each in enumerate(ordered, 1):
                if name not in (channel for _incident, _level, channel in self.tally.sent):
                    self.rest[name] = ordered[at:]
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
                self.rest.pop(each.channel, None)
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
        """Note a failure. After a second one in a row the channel counts as down: its fallback gets all that the channel should send."""
        after, rest = outbox.failed(each, error, self.now()), self.rest.get(each.channel, [])
        channel = self.plan.people.channels.get(each.channel)
        down = after.attempts >= outbox.FALLBACK_AFTER or each.channel not in self.urls or any(one.attempts for one in rest)
        if channel and channel.fallback and down:
            for one in (each, *rest):
                self._stand_in(one, channel.fallback)
        self.box.save(after)
        self.tally.failed.append((each.incident, each.level + 1, each.channel, error))

    def _stand_in(self, listed: Message, fallback: str) -> None:
        with contextlib.suppress(IntegrityError):
            each = self.box.read((listed.incident, listed.level, listed.channel))
            if each and each.status == WAITING:
                self.tally.stood_in += [fallback] * self.box.add(
                    dataclasses.replace(
                        outbox.message(each.incident, each.level, fallback, each.due, self.now(), fallback_of=each.channel),
                        title=each.title,
                        body=each.body,
                    )
                )
