# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The process that watches a release on its target, and rolls it back by itself.

It runs detached from Ansible (``_service.detach``): when the controller or its connection dies, it goes on. Its state is on
disk after every round.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
import typing as t

from .._core import clock, processes, stats
from .._core.errors import IntegrityError, OpsError
from .._deploy import activation
from .._observe import health, probe, thresholds
from .._observe.samples import Round
from .._service import registry as service_registry
from .._target.layout import Layout
from .._target.releases import ReleaseStore
from . import application_log, decision, ending, host_check, latency_baseline, rollback
from . import rounds as watch_rounds
from . import state as watch_state
from .folders import WatchFolder
from .record import Record
from .watch_types import Process, WatchState, WatchSummary

#: Rounds that the state keeps for the spark line and the incident.
RECENT = 30
#: Between two rounds each check is asked once in so many seconds. A fault is not to wait for the next round.
PULSE = 10.0
LEVELS = {"ok": "INFO", "partial": "WARN", "slow": "WARN"}


class Stopped(Exception):
    """The watch was told to end."""


class Watcher:
    """One watch, from its first round to its verdict. Begun anew after its host was started anew, it goes on where it was."""

    def __init__(self, folder: WatchFolder) -> None:
        self.folder = folder
        self.spec = folder.spec()
        self.layout = Layout(self.spec["root"])
        self.store = ReleaseStore(self.layout)
        self.service = service_registry.load(self.layout, self.spec["service"]) if self.spec["service"] else None
        given: t.Mapping[str, t.Any] = self.spec
        rules = decision.Rules(**{name: given[name] for name in decision.Rules._fields if name in given})
        times = latency_baseline.read(self.layout)
        self.decision = decision.Decision(rules, times)
        self.times = stats.Histogram()
        #: What is wrong with the state that it should have gone on from.
        self.damage = ""
        self.restarts_before = self._service_facts()["restarts"]
        self.state = self._resumed(times) or watch_state.begun(self.spec, self.store.live(), self.summary(), self.decision, times)
        self.record = Record(folder, self.spec, self.state)
        self.end = time.monotonic() + self.state["left"]
        self.host = host_check.HostLook(self.record, self.service)

    def _resumed(self, times: watch_state.Times) -> WatchState | None:
        """The state of this watch when it has begun already. What was counted goes on, what was in a row does not."""
        try:
            saved = self.folder.to_resume()
        except IntegrityError as error:
            self.damage = f"{error.subject}: {error.found}"
            return None
        if not saved:
            return None
        self.decision.resume(saved["samples"], saved["decision"], saved["trigger"])
        self.times = stats.Histogram(saved["times"])
        return watch_state.resumed(saved, self.spec, times)

    def _service_facts(self) -> Process:
        return self.service.status() if self.service else {"restarts": 0, "pid": None}

    def run(self) -> None:
        """Watch until the end of the window, a rollback, or a stop."""
        if not self.spec["unit"]:  # systemd starts it again, and a host that shuts down does not end it; here it would just be gone
            said = "its process was told to end (SIGTERM)"
            signal.signal(signal.SIGTERM, lambda *_: self.folder.end(said))
        try:
            self.begin()
            verdict = self.roll_back() if self.state["rolling_back"] or self.state["decided"] else self.rounds()
        except (Stopped, activation.Superseded) as reason:
            verdict = "inconclusive"
            self.decision.trigger = str(reason)
        except Exception as error:  # a watch that ends silently would be worse than any message
            with contextlib.suppress(OSError):
                traceback.print_exc()
            verdict = "inconclusive"
            self.decision.trigger = f"the watch itself failed: {error}"
            self.record.incident(3, "The watch ended early", self.decision.trigger, self.service, cause="watch")
        self.finish(verdict)

    def begin(self) -> None:
        """Say what is watched, or that it goes on; wait until the first round is due."""
        if self.state["resumed"]:
            self.record.mark(
                "resumed",
                "WARN",
                f"watch {self.folder.id} goes on after it was interrupted: {self.state['left']:.0f} s left, what was in a row counts anew",
            )
            self.record.save()
            if self.state["rolling_back"] or self.state["decided"]:
                if self.service:
                    with contextlib.suppress(OpsError):
                        self.service.await_front()  # after a reboot it starts at the same time
                return
            self._await_service()
            self.end = time.monotonic() + self.state["left"]
            return
        self.record.mark(
            "begins",
            "INFO",
            f"watch {self.folder.id} of release {self.state['release']} begins: "
            f"{self.spec['duration']:g} s, a check every {self.spec['interval']:g} s, rollback "
            + (f"after {self.spec['failure_threshold']} consecutive failures" if self.spec["auto_rollback"] else "off"),
        )
        self.record.save()
        if self.damage:
            self.record.log("WARN", f"the watch was interrupted and its state is damaged, so it begins anew ({self.damage})")
        with self.record.best_effort():
            rollback.finish_before(self.record, self.store, self.service)
        self.record.save(release=self.store.live())
        with self.record.best_effort():
            self.store.make_reserve()
            self.record.rotate(self.spec.get("keep", 0))
        if self.damage:
            self._await_service()
        self.pause(self.spec["initial_delay"])
        self.end = time.monotonic() + self.spec["duration"]

    def _await_service(self) -> None:
        """After a reboot the service comes up at the same time: what is seen meanwhile says nothing about the release."""
        checks = [probe.fill(check, self.state["release"]) for check in self.spec["checks"]]
        health.wait_for(checks, self.spec["ready_timeout"], give_up=self.folder.told_to_end)

    def rounds(self) -> str:
        """Round after round; the verdict."""
        told = self.decision.alarmed and bool(self.state["incident"])
        while time.monotonic() < self.end or self.owes():
            at = time.monotonic()
            action = self.round()
            if action == decision.ROLL_BACK and self.spec["auto_rollback"]:
                return self.roll_back()
            if action == decision.RECOVERED:
                told = False
                self.record.mark("recovered", "INFO", f"{self.decision.good_in_a_row} good checks in a row: the alarm is over")
            elif action != decision.CONTINUE and not told:
                told = True
                self.record.mark("alarm", "ERROR", self.decision.trigger)
                self.record.incident(2, "The watch raised an alarm", self.decision.trigger, self.service)
            wait = self.spec["retry_interval"] if self.decision.suspicious() else self.spec["interval"]
            self.rest((at + wait if self.owes() else min(at + wait, self.end)) - time.monotonic())
        return self.decision.verdict()

    def rest(self, seconds: float) -> None:
        """Wait for the next round, which begins at once when a check fails meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > PULSE:
            self.pause(PULSE)
            if not watch_rounds.well(self.spec["checks"], self.state["release"], self.record.redactor.secrets):
                return
        self.pause(left)

    def owes(self) -> bool:
        """Whether the window has room for as many rounds as a rollback takes, and fewer were made, since the host is busy."""
        rounds = self.spec["failure_threshold"]
        return self.state["rounds"] < rounds and self.spec["duration"] > (rounds - 1) * self.spec["interval"]

    def roll_back(self) -> str:
        """Go back, or finish that; the verdict."""
        if not self.state["rolling_back"] and not self.state["decided"]:
            self.decision.trigger += application_log.exception(self.record, self.service)
        return rollback.roll_back(self.record, self.store, self.service, self.decision.trigger)

    def round(self) -> str:
        """Run every check, write down what was found, and say what to do."""
        live = self.store.live()
        if live != self.state["release"]:
            raise Stopped(f"release {live} is live now, not {self.state['release']}")
        found, facts = self.measure(live)
        outcome, fault = found["outcome"], found["fault"]
        restarts, memory_mb = max(0, facts["restarts"] - self.restarts_before), processes.memory(facts["pid"]) / 1e6
        action = self.decision.feed(outcome, restarts, fault, found["checks"], memory_mb)
        for figures in found["checks"].values():
            for value in figures.pop("ms"):
                self.times.add(value)
        number, left = self.state["rounds"] + 1, max(0.0, self.end - time.monotonic())
        checks = [{"check": name, **figures} for name, figures in found["checks"].items()]
        self.record.metrics(
            "round",
            round=number,
            outcome=outcome,
            release=live,
            restarts=restarts,
            fault=fault,
            evidence=found["evidence"],
            memory_mb=round(memory_mb, 1),
            checks=checks,
        )
        recent = [*self.state["recent"], {"when": clock.iso(), "outcome": outcome, "ms": watch_rounds.slowest(found)[0], "fault": fault}]
        self.record.save(
            rounds=number,
            recent=recent[-RECENT:],
            left=round(left),
            samples=self.summary(),
            restarts=restarts,
            trigger=self.decision.trigger,
            times=self.times.to_json(),
            decision=self.decision.saved(),
        )
        in_a_row = f"{self.decision.failed_in_a_row} of {self.spec['failure_threshold']}"
        self.record.log(LEVELS.get(outcome, "ERROR"), watch_rounds.told(number, found, restarts, left, in_a_row))
        return action

    def summary(self) -> WatchSummary:
        """Counts by outcome, availability with its status, and percentiles of the whole watch."""
        found = self.decision.summary()
        status = thresholds.grade("uptime_pct", found["availability_pct"], thresholds.merge(self.spec.get("thresholds")))
        p50, p95, p99 = (self.times.percentile(percent) for percent in (50, 95, 99))
        return {**found, "uptime_status": status, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}

    def measure(self, live: str | None) -> tuple[Round, Process]:
        """What one round says (``_watch.rounds.of``), and the facts of the service.

        What goes wrong on this side is an ``error`` of the round, and not the end of the watch.
        """
        try:
            checks = probe.of_release(self.spec["checks"], live, self.record.redactor.secrets)
            found = watch_rounds.of(watch_rounds.take(checks, self.spec.get("requests", 1)))
            facts = self._service_facts()
            self.host.take(facts)
            application_log.look(self.record, self.service)
        except Exception as error:
            return watch_rounds.unmeasured(error), {"restarts": self.restarts_before, "pid": None}
        return found, facts

    def pause(self, seconds: float) -> None:
        """Wait. :raises Stopped: as soon as the watch is told to end."""
        deadline = time.monotonic() + seconds
        while True:
            told = self.folder.told_to_end()
            if told:
                raise Stopped(told)
            if time.monotonic() >= deadline:
                return
            time.sleep(min(max(0.0, deadline - time.monotonic()), 0.25))

    def finish(self, verdict: str) -> None:
        """The verdict into state, release record, log and history."""
        release, latency = self.state["release"], self.decision.latency()
        if self.store.live() == release:
            application_log.look(self.record, self.service)
            self.record.new_errors()
        if any(words != "judged" for words in latency.values()):
            told = "; ".join(f"{name} {words}" for name, words in latency.items())
            self.record.log("WARN", f"latency against the release before: {told}")
        if verdict == "healthy" and release:
            with self.record.best_effort():
                ending.verify(self.record, self.store, release)
        self.record.paged()
        trigger = self.decision.trigger
        said = f"watch {self.folder.id} ends: {verdict}" + (f" ({trigger})" if trigger else "")
        self.record.mark("ends", "INFO" if verdict == "healthy" else "WARN", said)
        with self.record.best_effort():
            self.record.note(verdict, self.decision.trigger, self.summary())
        with self.record.best_effort():
            self.folder.forget_unit()
        self.record.save(status="finished", verdict=verdict, trigger=trigger, rolling_back="", left=0, latency=latency)
        if verdict in ("healthy", "degraded", "rolled_back"):
            with self.record.best_effort():
                ending.retire(self.record, self.store, self.service, verdict == "rolled_back")


def main() -> None:
    """``python -m …watcher FOLDER``"""
    path = sys.argv[1]
    folder = WatchFolder(Layout(os.path.dirname(os.path.dirname(os.path.dirname(path)))), os.path.basename(path))
    saved = None
    with contextlib.suppress(IntegrityError):  # the watch tells of it
        saved = folder.saved()
    if saved and saved["status"] == "finished":  # its host was started anew in the moment of its end
        folder.forget_unit()
    else:
        Watcher(folder).run()


if __name__ == "__main__":
    main()
