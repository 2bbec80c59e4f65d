# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make another release serve: the steps that activations and rollbacks share."""

from __future__ import annotations

import time

from .._service import draining, readiness, write_attempts
from .._service.draining import Drain
from .._service.node_service import Service
from .._service.ongoing_work import Work
from .._service.slots import SlottedService
from .._service.write_attempts import Finding
from .._target import restore_journal
from .._target.layout import Layout
from .._target.record_types import Check
from .._target.releases import ReleaseStore
from . import blue_green
from .deploy_types import Seen, Served


def require_startable(store: ReleaseStore, service: Service) -> None:
    """:raises StateError: when it could not be started, or a restore was interrupted: nothing is stopped then."""
    service.require_port()
    service.require_environment()
    restore_journal.refuse_interrupted(store.layout)


def switch(
    store: ReleaseStore,
    service: Service | None,
    release_id: str,
    checks: list[Check],
    timeout: float,
    drain: Drain | None = None,
) -> Served:
    """Stop the service, point ``current`` at a release, start it, wait until it is ready.

    Where the service has two instances behind a proxy, nobody finds it stopped (``_deploy.blue_green``).

    :param drain: how long work that runs is waited for; by default as the service's definition says.
    :returns: ``downtime`` and ``ready_after`` in seconds (``None`` without a service), and the work that was ``cut``.
    :raises StateError: when work does not end in time and may not be cut; nothing has changed then.
    """
    if isinstance(service, SlottedService):
        return blue_green.switch(store, service, release_id, checks, timeout, drain)
    if service is None:
        store.use_reserve()
        store.point(release_id)
        return {"downtime": None, "ready_after": None}
    facts = service.status()
    rules = blue_green.patience(service, service, checks, drain or draining.of_definition(service))
    cut = draining.rest(service, service, rules) if facts["pid"] else Work()
    began = time.monotonic()
    service.stop()
    store.use_reserve()
    store.point(release_id)
    service.start()
    ready_after = readiness.ready(service, checks, release_id, timeout)
    return {"downtime": round(time.monotonic() - began, 2), "ready_after": ready_after, "cut": cut.facts()}


def serve(
    store: ReleaseStore,
    service: Service | None,
    release_id: str,
    checks: list[Check],
    timeout: float,
    drain: Drain | None = None,
) -> Served:
    """:func:`switch`, but for a release that serves already, as after a switch that was killed: that one only has to be ready."""
    if isinstance(service, SlottedService) or not serves(store.layout, service, release_id):
        return switch(store, service, release_id, checks, timeout, drain)
    return {"downtime": None, "ready_after": readiness.ready(service, checks, release_id, timeout) if service else None}


def seen(service: Service | None, gated: list[Finding] | None = None) -> Seen:
    """Where the log of what serves is, and what it tells of writing elsewhere."""
    if service is None:
        return {}
    return {"log": service.log, "write_attempts": write_attempts.joined(gated, write_attempts.of(service))}


def leaving(service: Service | None, drain: Drain | None) -> Drain | None:
    """How long the work of a release that is gone back from is waited for."""
    return (drain or draining.of_definition(service))._replace(unless_ill=True) if service else None


def serves(layout: Layout, service: Service | None, release_id: str) -> bool:
    """Whether a release is live *and* it is what the running service runs."""
    if ReleaseStore(layout).live() != release_id:
        return False
    if service is None:
        return True
    facts = service.status()
    return facts["status"] == "running" and facts["release"] in (release_id, None)
