# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that pages on a simulated clock, through receivers that note in a file what they got."""

from __future__ import annotations

import collections
import datetime
import json
import os
import threading
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._people import plan, service
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_log, incident_record, incidents
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

NOON = datetime.datetime(2026, 11, 3, 12, tzinfo=datetime.timezone.utc)
CHANNELS = ("phone", "mail", "room")
#: Four levels, each through three channels.
MINUTES = (0, 15, 30, 60)
SETTINGS: dict[str, t.Any] = {
    "contacts": {"channels": {name: {} for name in (*CHANNELS, "spare")}, "people": {"anna": {"channels": list(CHANNELS)}}},
    "oncall": {"sre": {"people": ["anna"], "start": "2026-11-02"}},
    "escalation": {"1": [{"after": minutes, "notify": ["sre"]} for minutes in MINUTES]},
    "env": "production",
    "host": "web1",
    "link": "",
    "urls_file": "",
}


class Paged:
    """The host, its clock, and what the receivers got."""

    def __init__(self, folder: str, urls: dict[str, str] | None = None, **settings: t.Any) -> None:
        self.layout = Layout(os.path.join(folder, "host"))
        for path in self.layout.folders():
            os.makedirs(path, exist_ok=True)
        self.now = NOON
        self.down: set[str] = set()
        self.received = os.path.join(folder, "received")
        self.mutex = threading.Lock()
        self.urls = urls or {name: f"json://user:pass-of-{name}@{name}" for name in [*CHANNELS, "spare"]}
        self.configure(**settings)

    def configure(self, **settings: t.Any) -> None:
        """Write the settings, as if that had been done an hour before noon."""
        plan.configure(self.layout, {**SETTINGS, **settings}, self.urls, False)
        path = plan.record_path(self.layout)
        with open(path, encoding="utf-8") as stream:
            told = json.load(stream)
        fs.write_json(path, {**told, "since": clock.iso(NOON - datetime.timedelta(hours=1))}, 0o600)

    def open(self, number: int = 1, minutes: float = 0, **facts: t.Any) -> str:
        """Open an incident so many minutes after noon; its id."""
        name = f"INC-20261103-{number}"
        opened = NOON + datetime.timedelta(minutes=minutes)
        fs.write_json(
            self.layout.path("incidents", name + ".json"),
            {
                "id": name,
                "title": f"Renders fail {number}",
                "severity": 1,
                "status": "open",
                "env": "production",
                "release": "v1",
                "summary": "went back to v0",
                "opened": clock.iso(opened),
                "evidence": {"backup": "a.zip"},
                **facts,
            },
        )
        return name

    def opened(self, number: int) -> str:
        """Open an incident now, as what goes wrong does: a log of events; its id. The clock of this process is to be the simulated one."""
        return str(
            incidents.open_incident(
                self.layout,
                {
                    "title": f"Renders fail {number}",
                    "severity": 1,
                    "env": "production",
                    "release": "v1",
                    "summary": "went back to v0",
                    "fleet": f"2026-11-03 {number}",
                },
            )["id"]
        )

    def noted(self, name: str) -> list[tuple[float, int, tuple[str, ...]]]:
        """Minute, level and channels of each page that the record of an incident knows, in their order."""
        return [
            ((clock.parse(event["when"]) - NOON).total_seconds() / 60, event["level"], tuple(event["channels"]))
            for event in incident_record.read(self.layout, name)["events"]
            if event["what"] == incident_log.PAGED
        ]

    def at(self, minutes: float) -> Paged:
        """Set the clock to so many minutes after noon."""
        self.now = NOON + datetime.timedelta(minutes=minutes)
        return self

    def send(self, url: str, title: str, body: str, key: str) -> str:
        """A receiver, which notes a message and answers."""
        channel = url.rpartition("@")[2]
        if channel in self.down:
            return "the receiver did not take it"
        line = json.dumps({"channel": channel, "key": key, "title": title, "body": body, "at": (self.now - NOON).total_seconds() / 60})
        descriptor = os.open(self.received, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, line.encode() + b"\n")
        os.close(descriptor)
        return self.answer()

    def answer(self) -> str:
        """The moment at which a receiver has answered; tests kill a run here."""
        return ""

    def run(self, minutes: float | None = None, **options: t.Any) -> dict[str, t.Any]:
        """A run of the escalation."""
        if minutes is not None:
            self.at(minutes)
        return service.escalated(self.layout, now=lambda: self.now, **{"send": self.send, "limit": 300.0, **options})[1]

    def messages(self) -> list[dict[str, t.Any]]:
        """What the receivers got, in order."""
        if not os.path.exists(self.received):
            return []
        with open(self.received, encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    def got(self) -> list[tuple[float, str, str]]:
        """Minute, incident with level, and channel of each message, in order of these."""
        return sorted((each["at"], level(each), each["channel"]) for each in self.messages())

    def repeated(self) -> list[str]:
        """Keys that a receiver got more than once."""
        counts = collections.Counter((each["channel"], each["key"]) for each in self.messages())
        return sorted(key for (_channel, key), count in counts.items() if count > 1)


def level(each: dict[str, t.Any]) -> str:
    """What a message says of its incident and level."""
    return next(line for line in each["body"].splitlines() if ", level " in line)
