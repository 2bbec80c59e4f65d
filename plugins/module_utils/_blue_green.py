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

from ansible_collections.mobius.ops.plugins.module_utils import _health, _probe, _processes, _readiness
from ansible_collections.mobius.ops.plugins.module_utils._errors import OpsError, ServiceError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._service import Service
from ansible_collections.mobius.ops.plugins.module_utils._slots import SlottedService

#: A request that runs for so many seconds is a long one, whose end is awaited before others are held.
LONG = 2
#: Seconds that held requests wait for the short ones before them.
SHORT = 1.5
#: A process that has run for so many seconds is a render.
BRIEF = 0.5
#: Seconds within which an instance that is gone back from has to answer a check, and that it gets for its work when it does not.
ANSWERS, ILL = 2.0, 0.5
_LOOK = 0.02


class Drain(t.NamedTuple):
    """How long the work of an instance that ends is waited for."""

    #: Seconds.
    timeout: float
    #: Whether it is cut then; else nothing is switched.
    force: bool
    #: Whether an instance that does not answer its checks is waited for a moment only: its work will not end.
    unless_ill: bool = False
    #: Seconds for which there must be no work before it counts as done: between two renders that were asked for nothing runs for a moment.
    quiet: float = 0.0


def switch(store: ReleaseStore, service: SlottedService, release_id: str, checks: list[dict[str, t.Any]],
           timeout: float, drain: Drain | None = None) -> dict[str, t.Any]:
    """Make a release serve; nobody finds the service stopped.

    :param drain: for exclusive state; by default as the service's definition says.
    :returns: ``downtime`` (0), ``ready_after`` and ``held``: for how long new requests waited, in seconds.
    :raises OpsError: when it did not become ready; the instance of before serves then.
    """
    live = service.serving()
    facts = live.status()
    if facts["status"] == "running" and facts["release"] == release_id:
        with contextlib.suppress(ServiceError):
            service.proxy.release()  # those whom a switch that failed or was killed has left waiting
        store.point(release_id)
        return {"downtime": 0.0, "held": 0.0, "ready_after": _readiness.ready(live, service.direct(checks, live.port), release_id, timeout)}
    if service.spec["state"] == "shared":
        idle = service.idle()
        ready = idle.status()["release"] == release_id or facts["pid"]
        return {"downtime": 0.0 if facts["pid"] else None, **_beside(store, service, idle if ready else live, release_id, checks, timeout)}
    if facts["status"] not in ("running", "restarting"):
        service.idle().stop()  # a switch that was killed may have started it, and two must never run
        return {"downtime": None, **_beside(store, service, live, release_id, checks, timeout)}
    return {"downtime": 0.0, **_exclusive(store, service, release_id, checks, timeout, drain or of_definition(service))}


def of_definition(service: SlottedService) -> Drain:
    """What the service was set up with."""
    return Drain(service.spec["drain_timeout"], service.spec["drain_force"], quiet=service.spec.get("drain_quiet", 0.0))


def _beside(store: ReleaseStore, service: SlottedService, idle: Service, release_id: str, checks: list[dict[str, t.Any]],
            timeout: float) -> dict[str, t.Any]:
    """Start an instance that does not serve, and let it serve."""
    facts = idle.status()
    if facts["status"] != "running" or facts["release"] != release_id:
        if facts["status"] != "stopped":
            drain(service, idle)
            idle.stop()
        idle = _started(store, service, idle.port, release_id)
    try:
        ready_after = _readiness.ready(idle, service.direct(checks, idle.port), release_id, timeout)
    except OpsError:
        idle.stop()
        raise
    service.proxy.point(idle.port)
    store.point(release_id)
    service.proxy.release()  # those whom a switch that was killed has left waiting
    return {"held": 0.0, "ready_after": ready_after}


def restart(store: ReleaseStore, service: SlottedService, release_id: str, checks: list[dict[str, t.Any]], timeout: float,
            drain_as: Drain) -> dict[str, t.Any]:
    """Let the live release serve from a new process, the other instance; nobody finds the service stopped.

    :param drain_as: for the instance that ends; of shared state, for what still runs of an earlier release.
    :returns: ``ready_after`` and ``held`` as of :func:`switch`.
    :raises OpsError: when it did not become ready; the instance of before serves then, or was started again.
    """
    idle = service.idle()
    if service.spec["state"] == "exclusive":
        return _exclusive(store, service, release_id, checks, timeout, drain_as)
    if idle.status()["status"] != "stopped":
        if not drain_as.force and not _is_ill(service, idle, checks):
            drain(service, idle, drain_as.timeout)
        idle.stop()
    return _beside(store, service, idle, release_id, checks, timeout)


def serves_ill(service: SlottedService, checks: list[dict[str, t.Any]]) -> bool:
    """Whether the instance that serves fails a check at this moment, or does not answer it soon."""
    return _is_ill(service, service.serving(), checks)


def _started(store: ReleaseStore, service: SlottedService, port: int, release_id: str) -> Service:
    """An instance, started on a release."""
    store.use_reserve()
    return service.launch(port, release_id)


def _exclusive(store: ReleaseStore, service: SlottedService, release_id: str, checks: list[dict[str, t.Any]],
               timeout: float, drain_as: Drain) -> dict[str, t.Any]:
    live, idle, before = service.serving(), service.idle(), store.live()
    idle.stop()
    if drain_as.unless_ill and _is_ill(service, live, checks):
        drain_as = Drain(min(ILL, drain_as.timeout), True)
    with _held(service, live, 2 * timeout + service.spec["stop_timeout"], drain_as):
        began = time.monotonic()
        live.stop()
        try:
            idle = _started(store, service, idle.port, release_id)
            ready_after = _readiness.ready(idle, service.direct(checks, idle.port), release_id, timeout)
        except (OpsError, OSError) as error:
            idle.stop()
            live = service.instance(live.port)  # by its own name, also when it was the service of before
            live.start()
            try:
                _readiness.ready(live, service.direct(checks, live.port), before, timeout)
            except OpsError as other:
                told = refusal(release_id, error)
                told.args = (f"{told} Release {before} was started again and is not well either: {other}",)
                raise told from error
            raise
        service.proxy.point(idle.port)
        store.point(release_id)
    return {"held": round(time.monotonic() - began, 2), "ready_after": ready_after}


def refusal(release_id: str, error: OpsError | OSError) -> OpsError:
    """What kept a release from being put into service, in this collection's words."""
    return error if isinstance(error, OpsError) else ServiceError(f"release {release_id}", "to be put into service", str(error))


def _is_ill(service: SlottedService, instance: Service, checks: list[dict[str, t.Any]]) -> bool:
    """Whether an instance fails a check at this moment, or does not answer it soon."""
    own = [{**check, "timeout": min(check["timeout"], ANSWERS), "attempts": 1} for check in service.direct(checks, instance.port)]
    return _health.outcome(_health.sample_all([_probe.fill(check, instance.status()["release"]) for check in own])) == "failed"


def let_go(store: ReleaseStore, service: Service | None) -> None:
    """Requests that a switch has held go on, when it was killed, or the proxy did what it was told after that had failed."""
    if isinstance(service, SlottedService) and service.proxy.holds():
        with store.switching():
            service.proxy.release()


@contextlib.contextmanager
def _held(service: SlottedService, instance: Service, longest: float, drain_as: Drain) -> t.Iterator[None]:
    """While the block runs new requests wait, and none is at the instance.

    :raises StateError: when the instance never comes to rest; nothing waits then.
    """
    deadline = time.monotonic() + drain_as.timeout
    while True:
        _await_rest(service, instance, LONG, deadline, drain_as, drain_as.quiet)
        _hold(service, longest + SHORT)
        try:
            _await_rest(service, instance, 0, time.monotonic() + min(SHORT, drain_as.timeout), drain_as)
            break
        except StateError:
            if drain_as.force and time.monotonic() > deadline:
                break
            service.proxy.release()
    try:
        yield
    finally:
        service.proxy.release()


def _hold(service: SlottedService, seconds: float) -> None:
    try:
        service.proxy.hold(seconds)
    except ServiceError:
        with contextlib.suppress(ServiceError):
            service.proxy.release()  # one that is frozen does both when it goes on
        raise


def work_of(service: SlottedService, instance: Service, age: int) -> tuple[int, int]:
    """How many requests of this age at least, and how many renders, an instance works on.

    One that does not run works on none: requests that are counted for it wait in the proxy, for whoever serves next.
    """
    pid = instance.status()["pid"]
    if not pid:
        return 0, 0
    requests = [each for each in service.proxy.requests(instance.port) if each >= age]
    brief = BRIEF if age else 0.0  # a program that a short request starts is none of those that are waited for before others are held
    renders = [each for each in _processes.started_by(pid, service.spec["job_programs"]) if _processes.age(each) >= brief]
    return len(requests), len(renders)


def _await_rest(service: SlottedService, instance: Service, age: int, deadline: float, drain_as: Drain, quiet: float = 0.0) -> None:
    since = None
    while True:
        requests, renders = work_of(service, instance, age)
        since = None if requests or renders else since or time.monotonic()
        if since and time.monotonic() - since >= quiet:
            return
        if not since and time.monotonic() > deadline:
            if drain_as.force and age:
                return
            raise StateError(f"instance {instance.name}", f"to come to rest within {drain_as.timeout:g} s",
                             f"{requests} long requests and {renders} renders",
                             "Try again later, raise mobius_drain_timeout, or set mobius_drain_force to cut them")
        time.sleep(_LOOK)


def retire(service: Service | None, patience: float | None = None, force: bool = False) -> str | None:
    """Stop the instance that does not serve, once it has finished; the release that it ran.

    :param patience: seconds to wait for that; the service's own drain timeout by default.
    :param force: cut what has not ended by then.
    :raises StateError: when it does not finish in time; it goes on.
    """
    if not isinstance(service, SlottedService):
        return None
    idle = service.idle()
    facts = idle.status()
    if facts["status"] == "stopped":
        return None
    try:
        drain(service, idle, patience)
    except StateError:
        if not force:
            raise
    idle.stop()
    return facts["release"]


def drain(service: SlottedService, instance: Service, patience: float | None = None) -> None:
    """Wait until an instance that gets no new requests has finished. :raises StateError: when it does not in time."""
    rules = of_definition(service)
    if not rules.force:
        _await_rest(service, instance, 0, time.monotonic() + (rules.timeout if patience is None else patience), rules, rules.quiet)
