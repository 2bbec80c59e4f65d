# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch a service of two instances to another release so that no request is lost.

*Shared* state: the new instance is made ready beside the old one, then the proxy switches; the old one finishes what it
has and stays up, so going back is one switch.

*Exclusive* state: two instances must never run at once, for each keeps the state in memory and would overwrite the other's
work. A moment is awaited in which no long request and no render runs; new requests wait in the proxy while the old
instance ends and the new one starts, and then go on. What waited too long for that moment is let go, and nothing has changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from .._core.errors import OpsError, ServiceError
from .._service import draining, readiness
from .._service.node_service import Service
from .._service.ongoing_work import Work
from .._service.slots import SlottedService
from .._service.write_attempts import Finding
from .._target.releases import ReleaseStore
from . import rehearsal
from .deploy_types import Served
from .switch import Retired, Running, is_ill, patience, refusal

#: Seconds for which a deploy or a rollback that switches is waited for. A restart is the emergency brake too.
PATIENCE = 2.0
#: Seconds that the old process of shared state is given for what it has begun.
FINISH = 10.0


@dataclasses.dataclass(frozen=True)
class TwoInstances(Running):
    """Let one instance take over from the other. The service is never down."""

    service: SlottedService

    @property
    def _exclusive(self) -> bool:
        return self.service.spec["state"] == "exclusive"

    def switch(self, release_id: str) -> Served:
        """Start the other instance, and let it serve.

        :returns: ``downtime`` (0), ``ready_after`` and ``held``: for how long new requests waited, in seconds; and what was ``cut``.
        :raises OpsError: when it did not become ready; the instance of before serves then.
        """
        service = self.service
        service.bring_up_to_date()
        live = service.serving()
        facts = live.status()
        if facts["status"] == "running" and facts["release"] == release_id:
            with contextlib.suppress(ServiceError):
                service.proxy.release()  # those whom a switch that failed or was killed has left waiting
            self.store.point(release_id)
            return {"downtime": 0.0, "held": 0.0, "ready_after": self._ready(live, release_id)}
        if not self._exclusive:
            idle = service.idle()
            ready = idle.status()["release"] == release_id or facts["pid"]
            return {"downtime": 0.0 if facts["pid"] else None, **self._beside(idle if ready else live, release_id)}
        if facts["status"] not in ("running", "restarting"):
            service.idle().stop()  # a switch that was killed may have started it, and two must never run
            return {"downtime": None, **self._beside(live, release_id)}
        return {"downtime": 0.0, **self._one_after_the_other(release_id)}

    def serve(self, release_id: str) -> Served:
        """A switch to what serves already changes nothing."""
        return self.switch(release_id)

    def gate(self, release_id: str) -> list[Finding]:
        """Where only one instance may have the state, a release is tried on a copy of it, as long as the old one serves."""
        if self._exclusive and self.store.live() not in (None, release_id):
            return rehearsal.on_copy(self.store.layout, self.service, release_id, self.checks, self.timeout)
        return []

    def let_go(self) -> None:
        """The proxy holds them."""
        if self.service.proxy.holds():
            with self.store.switching():
                self.service.proxy.release()

    def retire(self, seconds: float | None = None, force: bool | None = None) -> Retired | None:
        """It may still work for clients of the release of before."""
        idle = self.service.idle()
        facts = idle.status()
        if facts["status"] == "stopped":
            return None
        rules = draining.of_definition(self.service)
        wanted = rules._replace(timeout=rules.timeout if seconds is None else seconds, force=rules.force if force is None else force)
        cut = draining.rest(self.service, idle, wanted)
        idle.stop()
        return Retired(facts["release"], cut)

    def lossless(self, live: str) -> Served | None:
        """Where the instance runs and the proxy answers, unless another process is in the midst of a switch."""
        if self.service.serving().status()["pid"] and self.service.proxy.answers():
            with _alone(self.store) as alone:
                if alone:
                    return self._lossless(live)
        return None

    def _lossless(self, live: str) -> Served:
        before = self.service.serving().status()["pid"]
        ill = is_ill(self.service, self.service.serving(), self.checks)
        try:
            if self._exclusive and not ill and self.service.restart_needed():
                # settings of which no process is known that starts with them
                rehearsal.on_copy(self.store.layout, self.service, live, self.checks, self.timeout)
            facts = self._restart(live)
            if not self._exclusive:
                with contextlib.suppress(OpsError):  # it has long work: the next deploy or restart waits for it and stops it
                    retired = self.retire(FINISH, ill or self.rules.force)
                    facts["cut"] = (retired.cut if retired else Work()).facts()
        except (OpsError, OSError) as error:
            told = refusal(live, error)
            told.then(_after(self.service, live, before))
            raise told from error.__cause__
        return {"downtime": 0.0, **facts}

    def _restart(self, live: str) -> Served:
        """Start the live release anew in the other instance, and let that take over. The service is never down.

        :returns: ``ready_after`` and ``held`` as of :meth:`switch`.
        :raises OpsError: when it did not become ready; the instance of before serves then, or was started again.
        """
        self.service.bring_up_to_date()
        idle = self.service.idle()
        if self._exclusive:
            return self._one_after_the_other(live)
        if idle.status()["status"] != "stopped":  # what still runs of an earlier release
            draining.rest(self.service, idle, patience(self.service, idle, self.checks, self.rules))
            idle.stop()
        return self._beside(idle, live)

    def _beside(self, idle: Service, release_id: str) -> Served:
        """Start an instance that does not serve, and let it serve."""
        facts = idle.status()
        if facts["status"] != "running" or facts["release"] != release_id:
            if facts["status"] != "stopped":
                draining.rest(self.service, idle, draining.of_definition(self.service))
                idle.stop()
            idle = self._started(idle.port, release_id)
        try:
            ready_after = self._ready(idle, release_id)
        except OpsError:
            idle.stop()
            raise
        self.service.proxy.point(idle.port)
        self.store.point(release_id)
        self.service.proxy.release()  # those whom a switch that was killed has left waiting
        return {"held": 0.0, "ready_after": ready_after}

    def _one_after_the_other(self, release_id: str) -> Served:
        service, before = self.service, self.store.live()
        live, idle = service.serving(), service.idle()
        idle.stop()
        rules = patience(service, live, self.checks, self.rules)
        with draining.held(service, live, 2 * self.timeout + service.spec["stop_timeout"], rules) as cut:
            began = time.monotonic()
            live.stop()
            try:
                idle = self._started(idle.port, release_id)
                ready_after = self._ready(idle, release_id)
            except (OpsError, OSError) as error:
                idle.stop()
                live = service.instance(live.port)  # by its own name, also when it was the service of before
                live.start()
                try:
                    self._ready(live, before)
                except OpsError as other:
                    told = refusal(release_id, error)
                    told.then(f"Release {before} was started again and is not well either: {other}")
                    raise told from error
                raise
            service.proxy.point(idle.port)
            self.store.point(release_id)
        return {"held": round(time.monotonic() - began, 2), "ready_after": ready_after, "cut": cut.facts()}

    def _started(self, port: int, release_id: str) -> Service:
        """An instance, started on a release."""
        self.store.use_reserve()
        return self.service.launch(port, release_id)

    def _ready(self, instance: Service, release_id: str | None) -> float | None:
        """Wait until an instance passes the checks; seconds. :raises OpsError: when it does not."""
        return readiness.ready(instance, self.service.direct(self.checks, instance.port), release_id, self.timeout)


@contextlib.contextmanager
def _alone(store: ReleaseStore) -> t.Iterator[bool]:
    """Whether no other process switches; none does while the block runs."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(store.switching(PATIENCE))
        except BlockingIOError:
            yield False
        else:
            yield True


def _after(service: SlottedService, live: str, before: int | None) -> str:
    """What serves after a restart that failed."""
    instance = service.serving()
    pid = instance.status()["pid"]
    if pid == before:
        return "Nothing was stopped: the old process serves on."
    return f"Release {live} was started again on port {instance.port} and serves." if pid else ""
