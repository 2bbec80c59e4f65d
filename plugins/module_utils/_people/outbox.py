# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Messages on disk, from before they are sent until long after: ``state/outbox``.

``<incident>.json`` holds which levels were paged, and through which channels: that decision is made once, by one rename.
``<incident>.<level>.<channel>.json`` is one message, made from the decision before it is sent. Whatever is killed when: the decision stands
or does not, and a message that is missing is made again, so none is lost. A message is sent twice only when the process ends between
the receiver's answer and the rename that records it; its key is the same then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import os
import random
import re
import time
import typing as t

from .._core import clock, fs
from .._core.errors import IntegrityError
from .._target import records
from .._target.layout import Layout
from .escalation import Page

#: Seconds until a message that failed is tried again: the first pause, doubled each time, and the longest.
FIRST, CAP = 30, 900
#: Failed tries after which the fallback channel gets the message too.
FALLBACK_AFTER = 2
#: Seconds after which a message without an incident is given up.
GIVE_UP = 24 * 3600
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)\.(\d+)\.([a-z0-9][a-z0-9_-]*)\.json")
WAITING, SENT, CANCELLED, FAILED = "waiting", "sent", "cancelled", "failed"


@dataclasses.dataclass(frozen=True)
class Message:
    """One message: an incident, a level and a channel."""

    incident: str
    level: int
    channel: str
    #: The same for every try, so that a receiver can drop a repetition.
    key: str
    #: When it should have been sent.
    due: datetime.datetime
    created: datetime.datetime
    status: str = WAITING
    attempts: int = 0
    #: Not to be tried before.
    next: datetime.datetime | None = None
    sent: datetime.datetime | None = None
    error: str = ""
    #: The channel that this one stands in for.
    fallback_of: str = ""
    #: Its own text, for a message without an incident.
    title: str = ""
    body: str = ""

    def record(self) -> dict[str, object]:
        """The message as its file has it."""
        times = {
            name: clock.iso(value) if value else None
            for name, value in (("due", self.due), ("created", self.created), ("next", self.next or self.due), ("sent", self.sent))
        }
        return {**dataclasses.asdict(self), **times}


def message(incident: str, level: int, channel: str, due: datetime.datetime, now: datetime.datetime, **more: t.Any) -> Message:
    """A new message with its idempotency key."""
    words = "\0".join([incident, str(level), channel, clock.iso(due)])
    return Message(incident, level, channel, hashlib.sha256(words.encode()).hexdigest()[:32], due, now, **more)


class Outbox:
    """The messages of a host."""

    def __init__(self, layout: Layout) -> None:
        self.folder = layout.path("state", "outbox")

    def make(self) -> None:
        """Have the folder, which only root reads."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.folder, 0o700)
            fs.fsync_dir(os.path.dirname(self.folder))

    def lock(self, channel: str = "") -> str:
        """The lock of decisions, or of a channel."""
        return os.path.join(self.folder, f".{channel}.lock")

    def path(self, each: Message) -> str:
        """The file of a message."""
        return os.path.join(self.folder, f"{each.incident}.{each.level}.{each.channel}.json")

    def decisions(self, incident: str) -> dict[int, Page]:
        """The levels of an incident that were paged or skipped."""
        told = records.read(self._decided(incident), records.PAGED) or {"levels": {}}
        return {
            int(level): Page(int(level), clock.parse(one["due"]), tuple(one["channels"]))
            for level, one in told["levels"].items()
            if level.isdigit()
        }

    def decide(self, incident: str, pages: t.Iterable[Page]) -> None:
        """Note the levels of an incident that are paged or skipped, all of them at once."""
        levels = {str(page.level): {"due": clock.iso(page.due), "channels": list(page.channels)} for page in pages}
        fs.write_json(self._decided(incident), {"levels": levels}, 0o600)

    def _decided(self, incident: str) -> str:
        return os.path.join(self.folder, f"{incident}.json")

    def add(self, each: Message) -> bool:
        """Write a new message, unless there is one of the same incident, level and channel; whether it is new."""
        try:
            fs.create_json(self.path(each), each.record(), 0o600)
        except FileExistsError:
            return False
        return True

    def save(self, each: Message) -> None:
        """Replace a message's file."""
        fs.write_json(self.path(each), each.record(), 0o600)

    def names(self) -> list[tuple[str, int, str]]:
        """Incident, level and channel of every message."""
        try:
            found = map(_NAME.fullmatch, sorted(os.listdir(self.folder)))
        except FileNotFoundError:
            return []
        return [(match.group(1), int(match.group(2)), match.group(3)) for match in found if match]

    def read(self, name: tuple[str, int, str]) -> Message | None:
        """A message; ``None`` when it is gone. :raises IntegrityError: when its file is damaged."""
        incident, level, channel = name
        path = os.path.join(self.folder, f"{incident}.{level}.{channel}.json")
        told = records.read(path, records.MESSAGE)
        if told is None:
            return None
        if (told["incident"], told["level"], told["channel"]) != name:
            raise IntegrityError(path, records.MESSAGE.what, "another message", records.MESSAGE.todo)
        error, fallback_of, title, body = (told.get(key) or "" for key in ("error", "fallback_of", "title", "body"))
        return Message(
            *name,
            told["key"],
            clock.parse(told["due"]),
            clock.parse(told["created"]),
            told["status"],
            told["attempts"],
            clock.parse(told["next"]),
            clock.parse(told["sent"]) if told.get("sent") else None,
            error,
            fallback_of,
            title,
            body,
        )

    def readable(self, findings: records.Findings, channel: str = "") -> list[Message]:
        """Every message that is not damaged, of a channel or of all."""
        names = [name for name in self.names() if channel in ("", name[2])]
        found = (findings.without(lambda name=name: self.read(name), None) for name in names)  # type: ignore[misc]
        return [each for each in found if each]

    def forget(self, names: t.Iterable[tuple[str, int, str]]) -> None:
        """Remove messages, and the decisions about their incidents before that."""
        for incident, level, channel in names:
            for path in (self._decided(incident), os.path.join(self.folder, f"{incident}.{level}.{channel}.json")):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def sweep(self) -> None:
        """Remove what writers left that were killed more than an hour ago."""
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            with contextlib.suppress(FileNotFoundError):
                if name.endswith(".tmp") and os.lstat(path).st_mtime < time.time() - 3600:
                    os.unlink(path)


def failed(each: Message, error: str, now: datetime.datetime, chance: t.Callable[[], float] = random.random) -> Message:
    """The message after a try that failed: the pause doubles up to :data:`CAP` and is up to a fifth shorter or longer by chance."""
    pause = min(CAP, FIRST * 2 ** min(each.attempts, 16)) * (0.8 + 0.4 * chance())
    gone = not each.title or (now - each.created).total_seconds() < GIVE_UP
    return dataclasses.replace(
        each, attempts=each.attempts + 1, next=now + datetime.timedelta(seconds=pause), error=error, status=WAITING if gone else FAILED
    )


def delivered(each: Message, now: datetime.datetime) -> Message:
    """The message after its receiver has taken it."""
    return dataclasses.replace(each, attempts=each.attempts + 1, status=SENT, sent=now, error="")
