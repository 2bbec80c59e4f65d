# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host whose jobs run in this process, with a receiver that people are paged through."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._people import plan
from ansible_collections.mobius.ops.plugins.module_utils._schedule import job, record, sampling
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents

PEOPLE = {
    "contacts": {"channels": {"room": {}}},
    "oncall": {},
    "escalation": {str(severity): [{"after": 0, "notify": ["room"]}] for severity in (1, 2)},
    "env": "production",
    "host": "web1",
    "link": "",
    "urls_file": "",
}


class Scheduled:
    """The host, and what its receiver got."""

    def __init__(self, host, web):
        self.host, self.layout, self.told = host, host.layout, []
        host.service()
        web.answers["/room"] = lambda handler, body: (self.told.append(json.loads(body)["title"]), handler.send(200))
        plan.configure(self.layout, PEOPLE, {"room": f"json://127.0.0.1:{web.port}/room"}, False)
        self.options = {
            "backup": arguments.checked("backup", arguments.BACKUP, {}),
            "prune": arguments.checked("prune", arguments.PRUNE, {"keep_last": 3}),
            "verify": arguments.checked("verify", arguments.VERIFY, {"verify": "checksum"}),
            "metrics": {
                "checks": host.raw_checks,
                "headers": {},
                "secret_headers": {},
                "thresholds": {},
                "mounts": [],
                "every": 300.0,
                "keep_days": 90,
            },
        }
        self.save()

    def save(self, **metrics):
        """Put the schedule on disk."""
        self.options["metrics"].update(metrics)
        jobs = {name: record.Planned("daily", 86400.0, clock.iso(), self.options) for name in ("backup", "verify", "escalate", "metrics")}
        record.save(self.layout, record.Schedule("production", "mobius", "none", jobs))

    def maintain(self, cadence, **asked):
        """Schedule maintenance of a cadence too, and run it; its record."""
        planned = record.Planned("Mon 06:00", 604800.0, clock.iso(), {"maintenance": asked})
        known = record.load(self.layout)
        record.save(self.layout, record.Schedule("production", "mobius", "none", {**known.jobs, cadence: planned}))
        return self.run(cadence)

    def run(self, name):
        """Run a job; its record."""
        status = job.run(self.layout, name)
        last = record.last(self.layout, name)
        assert last.status == status
        return last

    def incidents(self):
        """Every incident, oldest first, as cause and status."""
        found = []
        for path in sorted(self.host.layout.path("incidents", name) for name in os.listdir(self.layout.incidents)):
            if path.endswith(".json"):
                with open(path, encoding="utf-8") as stream:
                    found.append(json.load(stream))
        return [(one["cause"], one["status"]) for one in found]


@pytest.fixture
def scheduled(host, web, monkeypatch):
    monkeypatch.setattr(sampling, "PAUSE", 0.01)
    monkeypatch.setattr(sampling, "GRACE", 0.0)
    monkeypatch.setattr(job, "PAUSE", 0.01)
    assert incidents.open_of_cause(host.layout, "production", "backup") is None
    return Scheduled(host, web)
