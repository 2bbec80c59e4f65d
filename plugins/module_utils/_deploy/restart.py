# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restart a service on its live release, behind a proxy without a lost request."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._core.errors import OpsError
from .._service import draining, readiness
from .._service.draining import Drain
from .._service.node_service import Service
from .._service.ongoing_work import Work
from .._service.slots import SlottedService
from .._target.record_types import Check
from .._target.releases import ReleaseStore
from . import blue_green, rehearsal
from .deploy_types import Served

#: Seconds for which a deploy or a rollback that switches is waited for. A restart is the emergency brake too.
PATIENCE = 2.0
#: Seconds that the old process of shared state is given for what it has begun.
FINISH = 10.0


def restart(store: ReleaseStore, service: Service, checks: list[Check], timeout: float, drain: Drain | None = None) -> Served:
    """Start the live release in a new process and wait until it is ready.

    Where a proxy stands in front of a running instance, the requests go on. Where there is none, nothing runs, or another switch
    is in its midst, the service is stopped and started.

    :param timeout: seconds until it must be ready.
    :param drain: how long the work of the old process is waited for; by the service's definition when it is ``None``.
    :returns: seconds: ``ready_after``, ``downtime`` (``None`` when it did not run before), ``held`` (requests waited in the proxy); and the
        work that was ``cut``.
    :raises OpsError: when work does not end in time and may not be cut, or it does not become ready; the sentence says what serves.
    """
    live, rules = store.live(), (drain or draining.of_definition(service))._replace(unless_ill=True)
    if isinstance(service, SlottedService) and live and service.serving().status()["pid"] and service.proxy.answers():
        with _alone(store) as alone:
            if alone:
                return _lossless(store, service, live, checks, timeout, rules)
    ran, cut = service.status()["pid"], Work()
    if ran and not isinstance(service, SlottedService):
        cut = draining.rest(service, service, blue_green.patience(service, service, checks, rules))
    began = time.monotonic()
    service.restart()
    ready_after = readiness.ready(service, checks, live, timeout) if checks else None
    downtime = round(time.monotonic() - began, 2) if ran else None
    return {"ready_after": ready_after, "held": 0.0, "downtime": downtime, "cut": cut.facts()}


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


def _lossless(store: ReleaseStore, service: SlottedService, live: str, checks: list[Check], timeout: float, drain: Drain) -> Served:
    before = service.serving().status()["pid"]
    ill = blue_green.is_ill(service, service.serving(), checks)
    try:
        if service.spec["state"] == "exclusive" and not ill and service.restart_needed():
            rehearsal.on_copy(store.layout, service, live, checks, timeout)  # settings of which no process is known that starts with them
        facts = blue_green.restart(store, service, live, checks, timeout, drain)
        if service.spec["state"] == "shared":
            with contextlib.suppress(OpsError):  # it has long work: the next deploy or restart waits for it and stops it
                retired = blue_green.retire(service, FINISH, ill or drain.force)
                facts["cut"] = (retired.cut if retired else Work()).facts()
    except (OpsError, OSError) as error:
        told = blue_green.refusal(live, error)
        told.then(_after(service, live, before))
        raise told from error.__cause__
    return {"downtime": 0.0, **facts}


def _after(service: SlottedService, live: str, before: int | None) -> str:
    """What serves after a restart that failed."""
    instance = service.serving()
    pid = instance.status()["pid"]
    if pid == before:
        return "Nothing was stopped: the old process serves on."
    return f"Release {live} was started again on port {instance.port} and serves." if pid else ""
