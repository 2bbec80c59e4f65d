# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The process that watches a release on its target, and rolls it back by itself.

It runs detached from Ansible (``_detach``): when the controller or its connection dies, it goes on. Its state is on
disk after every round.
"""
from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import (
    _activation,
    _blue_green,
    _clock,
    _env_file,
    _files,
    _health,
    _history,
    _incidents,
    _probe,
    _processes,
    _service,
    _verdict,
)
from ansible_collections.mobius.ops.plugins.module_utils._errors import OpsError, ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._watch import WatchFolder

#: Samples that the state keeps for the spark line and the incident.
RECENT = 30


class Stopped(Exception):
    """The watch was told to end."""


class Watcher:
    """One watch, from its first round to its verdict."""

    def __init__(self, folder: WatchFolder) -> None:
        self.folder = folder
        self.spec = folder.spec()
        self.layout = Layout(self.spec["root"])
        self.store = ReleaseStore(self.layout)
        self.service = _service.load(self.layout, self.spec["service"]) if self.spec["service"] else None
        self.redactor = _env_file.Redactor(self.layout.env_file)
        self.decision = _verdict.Decision(self.spec["failure_threshold"], self.spec["error_threshold"], self.spec["restart_limit"])
        self.restarts_before = self._restarts_total()
        live = self.store.live()
        self.record: dict[str, t.Any] = (self.store.get(live) if live else None) or {}
        self.began = time.monotonic()
        self.state: dict[str, t.Any] = {
            "status": "running", "pid": os.getpid(), "ticks": _processes.start_ticks(os.getpid()), "started": _clock.iso(),
            "release": live, "verdict": None, "trigger": "", "rounds": 0, "recent": [], "incident": None,
            "rollback": None, "left": self.spec["duration"], "samples": self.decision.summary(), "rolling_back": False,
        }

    def _restarts_total(self) -> int:
        return self.service.status()["restarts"] if self.service else 0

    def log(self, level: str, text: str) -> None:
        """One line of the log that operators follow."""
        with self.best_effort():
            _files.append_line(self.spec["log_file"], self.redactor.text(f"{_clock.iso()} {level} {text}"))

    @contextlib.contextmanager
    def best_effort(self) -> t.Iterator[None]:
        """What cannot be written down, on a full disk, must not end the watch: it decides from memory."""
        try:
            yield
        except (OSError, OpsError) as error:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"{_clock.iso()} not written: {error}\n")

    def save(self, **facts: t.Any) -> None:
        """Add facts to the state and put it on disk."""
        self.state.update(facts)
        with self.best_effort():
            self.folder.save_state({**self.state, "trigger": self.redactor.text(self.state["trigger"]),
                                    "recent": self.redactor.value(self.state["recent"])})

    def run(self) -> None:
        """Watch until the end of the window, a rollback, or a stop."""
        self.log("INFO", f"watch {self.folder.id} of release {self.state['release']} begins: {self.spec['duration']:g} s, "
                         f"a check every {self.spec['interval']:g} s, rollback "
                         + (f"after {self.spec['failure_threshold']} consecutive failures" if self.spec["auto_rollback"] else "off"))
        self.save()
        with self.best_effort():
            self.store.make_reserve()
        try:
            self.pause(self.spec["initial_delay"])
            self.began = time.monotonic()
            verdict = self.rounds()
        except Stopped as reason:
            verdict = "inconclusive"
            self.decision.trigger = str(reason)
        except Exception as error:  # a watch that ends silently would be worse than any message
            with contextlib.suppress(OSError):
                traceback.print_exc()
            verdict = "inconclusive"
            self.decision.trigger = f"the watch itself failed: {error}"
            self.incident(3, "The watch ended early", self.decision.trigger)
        self.finish(verdict)

    def rounds(self) -> str:
        """Round after round; the verdict."""
        alarmed = False
        while time.monotonic() - self.began < self.spec["duration"]:
            at = time.monotonic()
            action = self.round()
            if action == _verdict.ROLL_BACK and self.spec["auto_rollback"]:
                return self.roll_back()
            if action != _verdict.CONTINUE and not alarmed:
                alarmed = True
                self.incident(2, "The watch raised an alarm", self.decision.trigger)
            wait = self.spec["retry_interval"] if self.decision.suspicious() else self.spec["interval"]
            self.pause(min(at + wait, self.began + self.spec["duration"]) - time.monotonic())
        return "degraded" if alarmed and self.decision.verdict() == "healthy" else self.decision.verdict()

    def round(self) -> str:
        """Run every check once, write it down, and say what to do."""
        live = self.store.live()
        if live != self.state["release"]:
            raise Stopped(f"release {live} is live now, not {self.state['release']}")
        samples, outcome, fault, restarts = self.measure(live)
        action = self.decision.feed(outcome, restarts, fault)
        number = self.state["rounds"] + 1
        for sample in samples:
            line = {"when": _clock.iso(), "round": number, "restarts": restarts, **sample}
            with self.best_effort():
                _files.append_line(self.spec["metrics_file"], json.dumps(self.redactor.value(line), sort_keys=True))
        slowest = max((sample["ms"] for sample in samples), default=0.0)
        left = max(0.0, self.spec["duration"] - (time.monotonic() - self.began))
        recent = (self.state["recent"] + [{"when": _clock.iso(), "outcome": outcome, "ms": slowest, "fault": fault}])[-RECENT:]
        self.save(rounds=number, recent=recent, left=round(left), samples=self.decision.summary(), restarts=restarts,
                  trigger=self.decision.trigger)
        self.log("INFO" if outcome == "ok" else "WARN" if outcome == "slow" else "ERROR",
                 f"round {number} {outcome} response time {slowest:.0f} ms, restarts {restarts}, {left:.0f} s left"
                 + (f", failure {self.decision.failed_in_a_row} of {self.spec['failure_threshold']}" if outcome == "failed" else "")
                 + (f": {fault}" if fault else ""))
        return action

    def measure(self, live: str | None) -> tuple[list[dict[str, t.Any]], str, str, int]:
        """One round's samples, its outcome, what is wrong, and the restarts so far.

        What goes wrong on this side is an ``error`` of the round, and not the end of the watch.
        """
        try:
            samples = _health.sample_all([_probe.fill(check, live) for check in self.spec["checks"]])
            restarts = max(0, self._restarts_total() - self.restarts_before)
        except Exception as error:
            return [], "error", f"the watch could not measure: {error}", 0
        return samples, _health.outcome(samples), _health.first_fault(samples), restarts

    def pause(self, seconds: float) -> None:
        """Wait. :raises Stopped: as soon as the watch is told to end."""
        deadline = time.monotonic() + seconds
        path = os.path.join(self.folder.path, "stop")
        while True:
            if os.path.exists(path):
                raise Stopped(" ".join(_files.tail(path, 1)) or "stopped")
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.25))

    def roll_back(self) -> str:
        """Go back to the rollback target; the verdict that this makes."""
        release, trigger = self.state["release"], self.decision.trigger
        if self.record.get("migration") == "forward_only":
            self.incident(1, f"Release {release} is bad and cannot be rolled back by itself",
                          f"{trigger}. Its migration is forward-only: a person decides.")
            return "frozen"
        self.log("ERROR", f"rolling back release {release}: {trigger}")
        self.save(rolling_back=True)
        began = time.monotonic()
        try:
            facts = _activation.roll_back(self.store, self.service, self.spec["checks"], self.spec["ready_timeout"], trigger,
                                          bad=release)
        except _activation.Superseded as error:
            raise Stopped(str(error)) from error
        except (OpsError, OSError) as error:
            unhealthy = isinstance(error, ServiceError)
            self.incident(1, f"Rollback of release {release} failed", f"{trigger}. {error}", getattr(error, "facts", {}))
            self.log("ERROR", f"rollback {'ended on an unhealthy release' if unhealthy else 'was not possible'}: {error}")
            return "frozen"
        elapsed = round(time.monotonic() - began, 1)
        target = facts["target"]["id"]
        self.log("WARN", f"rolled back to release {target} in {elapsed:g} s; it is healthy")
        self.incident(2, f"Release {release} was rolled back to {target}", f"{trigger}. Release {target} serves again after {elapsed:g} s.")
        self.save(rollback={"from": release, "to": target, "elapsed": elapsed, "downtime": facts["downtime"]})
        return "rolled_back"

    def incident(self, severity: int, title: str, summary: str, more: dict[str, t.Any] | None = None) -> None:
        """Open an incident with the evidence at hand."""
        evidence: dict[str, t.Any] = {
            "trigger": self.decision.trigger, "samples": self.state["recent"], "log_file": self.spec["log_file"],
            "metrics_file": self.spec["metrics_file"], "backup": self.record.get("backup"),
            "application_log": _files.tail(os.path.join(self.layout.component("logs"), "app.log"), 20),
            "console": self.service.evidence() if self.service else [], **(more or {}),
        }
        with self.best_effort():
            record = _incidents.open_incident(self.layout, {
                "title": title, "severity": severity, "env": self.spec["env"], "release": self.state["release"], "summary": summary,
                "evidence": evidence})
            self.log("WARN", f"incident {record['id']} (severity {severity}) is open: {title}")
            self.save(incident=record["id"])

    def finish(self, verdict: str) -> None:
        """The verdict into state, release record, log and history."""
        release = self.state["release"]
        with self.best_effort():
            record = self.store.get(release) if release else None
            if verdict == "healthy" and record and record["status"] == "active" and self.store.live() == release:
                self.store.mark(release, "verified", f"watch {self.folder.id}")
        self.log("INFO" if verdict == "healthy" else "WARN", f"watch {self.folder.id} ends: {verdict}"
                 + (f" ({self.decision.trigger})" if self.decision.trigger else ""))
        with self.best_effort():
            _history.record(self.layout, "watch", self.redactor.text(self.decision.trigger), verdict=verdict, release=release,
                            elapsed=round(time.monotonic() - self.began, 1), samples=self.decision.summary(),
                            log_file=self.spec["log_file"], incident=self.state["incident"])
        self.save(status="finished", verdict=verdict, trigger=self.decision.trigger, rolling_back=False, left=0)
        if verdict in ("healthy", "degraded", "rolled_back"):
            with self.best_effort():
                retired = _blue_green.retire(self.service)
                if retired:
                    self.log("INFO", f"the instance of release {retired}, which no longer serves, was stopped")


def main() -> None:
    """``python -m …_watcher FOLDER``"""
    path = sys.argv[1]
    root = os.path.dirname(os.path.dirname(os.path.dirname(path)))
    Watcher(WatchFolder(Layout(root), os.path.basename(path))).run()


if __name__ == "__main__":
    main()
