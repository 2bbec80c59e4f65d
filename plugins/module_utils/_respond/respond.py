# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From an alert to its end: confirm it on the host, act within the policy, and hand over to a person when that does not help.

All of it holds the deploy lock, so nothing is done in the midst of a deploy, and two alerts never act at the same time. What is begun is
on disk before it is done: a run that is killed counts too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os

from .._core import clock
from .._core.errors import OpsError, StateError
from .._deploy import activation, ways
from .._deploy import restart as deploy_restart
from .._diagnose import diagnose, remedies
from .._diagnose.diagnose import Diagnosis
from .._diagnose.rules import Cause
from .._observe import probe
from .._service.draining import Drain
from .._service.node_service import Service
from .._target import deploy_lock, history, incidents
from .._target.layout import Layout
from .._target.releases import ReleaseStore
from .._watch import folders as watch_folders
from . import policy
from .journal import Journal, Response
from .policy import Policy

#: Seconds for which the lock is held at most when this process is killed.
EXPIRY = 900.0
#: Seconds of the first look.
SHORT = 0.3
#: Seconds that work in the background gets before a rollback cuts it.
DRAIN = 30.0


@dataclasses.dataclass(frozen=True)
class Asked:
    """An alert, and what may be done about it."""

    env: str
    alert: str
    #: What the alert says, for the incident.
    text: str
    #: Severity of the incident when a person has to act: 1 to 4.
    severity: int
    policy: Policy
    #: Whether this host may leave the release that others serve.
    may_roll_back: bool
    #: Seconds since a release went live, within which it may be the reason.
    rollback_within: float
    window: float
    check_mode: bool
    #: What all hosts of a run share; empty for one host.
    fleet: str = ""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of an alert."""

    outcome: str
    message: str
    cause: str = ""
    actions: tuple[str, ...] = ()
    incident: str = ""
    #: Whether the incident was opened now, so that people are to be called.
    opened: bool = False


class _Responder:
    """One response on one host."""

    def __init__(self, layout: Layout, service: Service, asked: Asked, allowed: remedies.Allowed) -> None:
        self.layout, self.service, self.asked, self._given = layout, service, asked, allowed
        self.store, self.journal = ReleaseStore(layout), Journal(layout)
        self.done: list[str] = []

    @property
    def allowed(self) -> remedies.Allowed:
        """With checks that ask for the release that is live now, which a rollback changes."""
        return dataclasses.replace(self._given, checks=[probe.fill(check, self.store.live()) for check in self._given.checks])

    def answer(self) -> Answer:
        """Look, decide, act."""
        found = self._look()
        if found.well:
            return Answer("not_confirmed", f"{self.service.name} is well: nothing was done about {self.asked.alert}.")
        if found.evidence.status == "restarting" and not diagnose.settled(self.layout, self.service, self.allowed, self.asked.window):
            return Answer("not_confirmed", f"{self.service.name} ended and came back by itself: nothing was done about {self.asked.alert}.")
        if found.evidence.status == "stopped":
            return Answer(
                "left_alone",
                f"{self.service.name} was stopped by an operator: nothing was done about {self.asked.alert}. "
                "Start it with ansible-playbook mobius.ops.restart.",
                "not_running",
            )
        cause = found.causes[0].name if found.causes else policy.UNKNOWN
        why = policy.refusal(self.journal.since(policy.WINDOW), cause, self.asked.policy, clock.now())
        if why and why.kind != "limit":
            return Answer(why.kind, f"{_seen(found)} Nothing was done about {self.asked.alert}: {why.text}.", cause, incident=why.incident)
        guarded = self._guarded()
        steps = () if why else policy.ladder(found.causes, self.asked.policy.actions, not guarded and self._can_roll_back())
        if guarded and not steps and not why and policy.ladder(found.causes, self.asked.policy.actions, True):
            return Answer("deferred", f"{_seen(found)} Nothing was done about {self.asked.alert}: {guarded}.", cause)
        if self.asked.check_mode:
            plan = ", ".join(steps) or "nothing, a person is called"
            return Answer("planned", f"{_seen(found)} About {self.asked.alert} would be tried: {plan}.", cause, steps)
        return self._act(found, cause, steps, why.text if why else "")

    def _look(self) -> Diagnosis:
        """Diagnose: a short look first, because a process that hangs keeps its checks waiting."""
        short = diagnose.Request(self.asked.env, min(self.asked.window, SHORT), False, False)
        found = diagnose.diagnose(self.layout, self.service, short, dataclasses.replace(self._given, checks=[]))
        if found.causes and found.causes[0].name in policy.AT_ONCE:
            return found
        request = diagnose.Request(self.asked.env, self.asked.window, False, False)
        return diagnose.diagnose(self.layout, self.service, request, self.allowed)

    def _guarded(self) -> str:
        """That a watch rolls back by itself; empty when none does."""
        folder = watch_folders.latest(self.layout)
        if folder is None or folder.state()["status"] not in watch_folders.GOING or not folder.spec()["auto_rollback"]:
            return ""
        return f"the watch {folder.id} guards the release and rolls it back by itself"

    def _can_roll_back(self) -> bool:
        live = self.store.get(self.store.live() or "") if self.store.live() else None
        if not live or not live["activated"] or live["migration"] == "forward_only" or not self.asked.may_roll_back:
            return False
        age = (clock.now() - clock.parse(live["activated"])).total_seconds()
        return age < self.asked.rollback_within and self.store.target() is not None

    def _act(self, found: Diagnosis, cause: str, steps: tuple[str, ...], why: str) -> Answer:
        response = Response(clock.iso(), self.asked.alert, cause, (), "begun")
        before = self.store.live()
        left: tuple[Cause, ...] = found.causes or (_unwell(found),)
        for step in steps:
            response = self.journal.write(dataclasses.replace(response, actions=(*response.actions, step)))
            try:
                self.done.append(self._do(step, found))
            except (OpsError, OSError) as error:
                self.done.append(f"{step} failed: {error}")
            left = diagnose.settled(self.layout, self.service, self.allowed, self.asked.window)
            if not left:
                break
        outcome = "handed_over" if left else "rolled_back" if self.store.live() != before else "mended"
        return self._end(found, response, outcome, left, why)

    def _do(self, step: str, found: Diagnosis) -> str:
        if step == policy.ROLLBACK:
            way = ways.of(self.store, self.service, self._given.checks, self._given.timeout, Drain(DRAIN, True))
            facts = activation.roll_back(way, f"alert {self.asked.alert}")
            return f"Release {facts['previous']} was rolled back to {facts['target']['id']}."
        if step == policy.MEND:
            return remedies.apply(self.layout, self.service, found.causes[0], found.evidence, self.allowed)
        deploy_restart.restart(ways.of(self.store, self.service, self.allowed.checks, self.allowed.timeout))
        return f"{self.service.name} was restarted."

    def _end(self, found: Diagnosis, response: Response, outcome: str, left: tuple[Cause, ...], why: str) -> Answer:
        """Open the incident, and write down how it ended. The response comes last: without it the next alert opens another incident."""
        did = " ".join(self.done) or ("Nothing was done." if not why else f"{why}.")
        told = f"{_seen(found)} {did} " + (f"Left: {left[0].text} {left[0].todo}." if left else "The service is well.")
        record = incidents.open_incident(
            self.layout,
            {
                "title": f"{self.asked.alert}: {found.causes[0].text if found.causes else _unwell(found).text}",
                "severity": self.asked.severity if left else 3 if outcome == "mended" else 2,
                "env": self.asked.env,
                "release": self.store.live(),
                "summary": told,
                "cause": f"alert {response.cause}",
                "fleet": self.asked.fleet,
                "evidence": {
                    "alert": f"{self.asked.alert} {self.asked.text}".strip(),
                    "actions": self.done,
                    "causes": [each.text for each in found.causes],
                    "before": found.evidence.facts(),
                    "left": [each.text for each in left],
                },
            },
        )
        with contextlib.suppress(OSError):
            history.record(
                self.layout,
                "responded",
                told,
                alert=self.asked.alert,
                cause=response.cause,
                actions=list(response.actions),
                outcome=outcome,
                incident=record["id"],
            )
        self.journal.write(dataclasses.replace(response, outcome=outcome, incident=record["id"]))
        return Answer(outcome, told, response.cause, response.actions, record["id"], True)


def respond(layout: Layout, service: Service, asked: Asked, allowed: remedies.Allowed) -> Answer:
    """Answer an alert.

    :param allowed: its checks may still have ``{release}`` in them.
    :raises OpsError: when the host cannot be looked at.
    """
    responder = _Responder(layout, service, asked, allowed)
    if asked.check_mode:
        return responder.answer()
    lock = deploy_lock.DeployLock(layout)
    try:
        held = lock.hold(_wish(lock, asked))
    except StateError as error:
        if "lock" not in error.facts or not error.facts["lock"] or "fault" in error.facts["lock"]:
            raise
        holder = lock.holder(error.facts["lock"])
        return Answer("deferred", f"Nothing was done about {asked.alert}, because {holder}. A deploy guards itself.")
    try:
        return responder.answer()
    finally:
        with contextlib.suppress(OpsError, OSError):
            lock.free(held["lock"]["token"])


def _wish(lock: deploy_lock.DeployLock, asked: Asked) -> deploy_lock.Wish:
    """What this process asks the lock for. A lock of a response that was killed on this host is taken over at once."""
    held: deploy_lock.Shown = lock.look() or {}
    gone = held["token"] if held.get("process") and deploy_lock.is_gone(held["process"]) else None
    return {
        "owner": history.who(),
        "reason": f"response to {asked.alert}",
        "env": asked.env,
        "host": deploy_lock.here(),
        "expiry": EXPIRY,
        "process": deploy_lock.process_name(os.getpid()),
        "gone": gone,
    }


def _seen(found: Diagnosis) -> str:
    return found.causes[0].text if found.causes else _unwell(found).text


def _unwell(found: Diagnosis) -> Cause:
    seen = found.evidence
    return Cause(
        policy.UNKNOWN,
        "possible",
        f"{seen.failed} of {seen.checks} checks fail: {seen.fault}.",
        (seen.fault,),
        "Look at it with ansible-playbook mobius.ops.status",
    )
