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
import time
import typing as t

from .._core.errors import OpsError, ServiceError
from .._observe import health, probe
from .._service import draining, readiness
from .._service.draining import Drain
from .._service.node_service import Service
from .._service.ongoing_work import Work
from .._service.slots import SlottedService
from .._target.record_types import Check
from .._target.releases import ReleaseStore
from .deploy_types import Served

#: Seconds within which an instance that is gone back from has to answer a check, and that it gets for its work when it does not.
ANSWERS, ILL = 2.0, 0.5


def switch(
    store: ReleaseStore,
    service: SlottedService,
    release_id: str,
    checks: list[Check],
    timeout: float,
    drain: Drain | None = None,
) -> Served:
    """Make a release serve; nobody finds the service stopped.

    :param drain: for exclusive state; by default as the service's definition says.
    :returns: ``downtime`` (0), ``ready_after`` and ``held``: for how long new requests waited, in seconds; and what was ``cut``.
    :raises OpsError: when it did not become ready; the instance of before serves then.
    """
    service.bring_up_to_date()
    live = service.serving()
    facts = live.status()
    if facts["status"] == "running" and facts["release"] == release_id:
        with contextlib.suppress(ServiceError):
            service.proxy.release()  # those whom a switch that failed or was killed has left waiting
        store.point(release_id)
        return {"downtime": 0.0, "held": 0.0, "ready_after": readiness.ready(live, service.direct(checks, live.port), release_id, timeout)}
    if service.spec["state"] == "shared":
        idle = service.idle()
        ready = idle.status()["release"] == release_id or facts["pid"]
        return {"downtime": 0.0 if facts["pid"] else None, **_beside(store, service, idle if ready else live, release_id, checks, timeout)}
    if facts["status"] not in ("running", "restarting"):
        service.idle().stop()  # a switch that was killed may have started it, and two must never run
        return {"downtime": None, **_beside(store, service, live, release_id, checks, timeout)}
    return {"downtime": 0.0, **_exclusive(store, service, release_id, checks, timeout, drain or draining.of_definition(service))}


def restart(store: ReleaseStore, service: SlottedService, release_id: str, checks: list[Check], timeout: float, drain_as: Drain) -> Served:
    """Let the live release serve from a new process, the other instance; nobody finds the service stopped.

    :param drain_as: for the instance that ends; of shared state, for what still runs of an earlier release.
    :returns: ``ready_after`` and ``held`` as of :func:`switch`.
    :raises OpsError: when it did not become ready; the instance of before serves then, or was started again.
    """
    service.bring_up_to_date()
    idle = service.idle()
    if service.spec["state"] == "exclusive":
        return _exclusive(store, service, release_id, checks, timeout, drain_as)
    if idle.status()["status"] != "stopped":
        draining.rest(service, idle, patience(service, idle, checks, drain_as))
        idle.stop()
    return _beside(store, service, idle, release_id, checks, timeout)


def _beside(store: ReleaseStore, service: SlottedService, idle: Service, release_id: str, checks: list[Check], timeout: float) -> Served:
    """Start an instance that does not serve, and let it serve."""
    facts = idle.status()
    if facts["status"] != "running" or facts["release"] != release_id:
        if facts["status"] != "stopped":
            draining.rest(service, idle, draining.of_definition(service))
            idle.stop()
        idle = _started(store, service, idle.port, release_id)
    try:
        ready_after = readiness.ready(idle, service.direct(checks, idle.port), release_id, timeout)
    except OpsError:
        idle.stop()
        raise
    service.proxy.point(idle.port)
    store.point(release_id)
    service.proxy.release()  # those whom a switch that was killed has left waiting
    return {"held": 0.0, "ready_after": ready_after}


def _started(store: ReleaseStore, service: SlottedService, port: int, release_id: str) -> Service:
    """An instance, started on a release."""
    store.use_reserve()
    return service.launch(port, release_id)


def _exclusive(
    store: ReleaseStore, service: SlottedService, release_id: str, checks: list[Check], timeout: float, drain_as: Drain
) -> Served:
    live, idle, before = service.serving(), service.idle(), store.live()
    idle.stop()
    drain_as = patience(service, live, checks, drain_as)
    with draining.held(service, live, 2 * timeout + service.spec["stop_timeout"], drain_as) as cut:
        began = time.monotonic()
        live.stop()
        try:
            idle = _started(store, service, idle.port, release_id)
            ready_after = readiness.ready(idle, service.direct(checks, idle.port), release_id, timeout)
        except (OpsError, OSError) as error:
            idle.stop()
            live = service.instance(live.port)  # by its own name, also when it was the service of before
            live.start()
            try:
                readiness.ready(live, service.direct(checks, live.port), before, timeout)
            except OpsError as other:
                told = refusal(release_id, error)
                told.then(f"Release {before} was started again and is not well either: {other}")
                raise told from error
            raise
        service.proxy.point(idle.port)
        store.point(release_id)
    return {"held": round(time.monotonic() - began, 2), "ready_after": ready_after, "cut": cut.facts()}


def refusal(release_id: str, error: OpsError | OSError) -> OpsError:
    """What kept a release from being put into service, in this collection's words."""
    return error if isinstance(error, OpsError) else ServiceError(f"release {release_id}", "to be put into service", str(error))


def patience(service: Service, instance: Service, checks: list[Check], drain: Drain) -> Drain:
    """How long the work of an instance is really waited for: hardly, when it is ill and need not be."""
    return Drain(min(ILL, drain.timeout), True) if drain.unless_ill and is_ill(service, instance, checks) else drain


def is_ill(service: Service, instance: Service, checks: list[Check]) -> bool:
    """Whether an instance fails a check at this moment, or does not answer it soon."""
    own: list[Check] = [
        {**check, "timeout": min(check["timeout"], ANSWERS), "attempts": 1} for check in service.direct(checks, instance.port)
    ]
    return health.outcome(health.sample_all([probe.fill(check, instance.status()["release"]) for check in own])) == "failed"


def let_go(store: ReleaseStore, service: Service | None) -> None:
    """Requests that a switch has held go on, when it was killed, or the proxy did what it was told after that had failed."""
    if isinstance(service, SlottedService) and service.proxy.holds():
        with store.switching():
            service.proxy.release()


class Retired(t.NamedTuple):
    """An instance that was stopped."""

    #: The release that it ran, and the work that was cut.
    release: str | None
    cut: Work


def retire(service: Service | None, seconds: float | None = None, force: bool | None = None) -> Retired | None:
    """Stop the instance that does not serve, once it has finished; ``None`` when there is none.

    :param seconds: how long to wait for that, and *force* whether to cut what has not ended by then; as the definition says by default.
    :raises StateError: when it does not finish in time; it goes on.
    """
    if not isinstance(service, SlottedService):
        return None
    idle = service.idle()
    facts = idle.status()
    if facts["status"] == "stopped":
        return None
    rules = draining.of_definition(service)
    cut = draining.rest(
        service, idle, rules._replace(timeout=rules.timeout if seconds is None else seconds, force=rules.force if force is None else force)
    )
    idle.stop()
    return Retired(facts["release"], cut)
