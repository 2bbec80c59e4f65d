# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch a target to another release, and back when that does not work: one operation for deploys and rollbacks."""
from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import (
    _blue_green,
    _drain,
    _gate,
    _migration,
    _readiness,
    _restore_journal,
    _write_attempts,
)
from ansible_collections.mobius.ops.plugins.module_utils._drain import Drain
from ansible_collections.mobius.ops.plugins.module_utils._errors import OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._service import Service
from ansible_collections.mobius.ops.plugins.module_utils._slots import SlottedService
from ansible_collections.mobius.ops.plugins.module_utils._work import Work


class Superseded(StateError):
    """Another release is live by now."""


def _require_startable(store: ReleaseStore, service: Service) -> None:
    """:raises StateError: when another program has the port, or a restore was interrupted: nothing is stopped then."""
    service.require_port()
    _restore_journal.refuse_interrupted(store.layout)


def switch(store: ReleaseStore, service: Service | None, release_id: str, checks: list[dict[str, t.Any]],
           timeout: float, drain: Drain | None = None) -> dict[str, t.Any]:
    """Stop the service, point ``current`` at a release, start it, wait until it is ready.

    Where the service has two instances behind a proxy, nobody finds it stopped (``_blue_green``).

    :param drain: how long work that runs is waited for; by default as the service's definition says.
    :returns: ``downtime`` and ``ready_after`` in seconds (``None`` without a service), and the work that was ``cut``.
    :raises StateError: when work does not end in time and may not be cut; nothing has changed then.
    """
    if isinstance(service, SlottedService):
        return _blue_green.switch(store, service, release_id, checks, timeout, drain)
    if service is None:
        store.use_reserve()
        store.point(release_id)
        return {"downtime": None, "ready_after": None}
    facts = service.status()
    rules = _blue_green.patience(service, service, checks, drain or _drain.of_definition(service))
    cut = _drain.rest(service, service, rules) if facts["pid"] else Work()
    began = time.monotonic()
    service.stop()
    store.use_reserve()
    store.point(release_id)
    service.start()
    ready_after = _readiness.ready(service, checks, release_id, timeout)
    return {"downtime": round(time.monotonic() - began, 2), "ready_after": ready_after, "cut": cut.facts()}


def activate(store: ReleaseStore, service: Service | None, release_id: str, checks: list[dict[str, t.Any]],
             timeout: float, backup: str | None = None, drain: Drain | None = None) -> dict[str, t.Any]:
    """Put a prepared release into service; when it does not become ready, the previous one serves again.

    :raises ServiceError: when it did not become ready; its message says what serves now.
    """
    with store.switching():
        previous = store.live()
        record = store.require(release_id)
        if service:
            _require_startable(store, service)
        if record["activated"] and release_id != previous:
            store.save({**record, "sequence": store.new_record()["sequence"]})
        store.mark(release_id, "active", previous=previous, backup=backup, **_told(record, "committed"))
        try:
            gated = _gated(store, service, release_id, checks, timeout)
            facts = switch(store, service, release_id, checks, timeout, drain)
        except (OpsError, OSError) as error:
            serving, after = _go_back(store, service, previous, record, checks, timeout)
            store.mark(release_id, "failed", str(error), previous=previous, serving=serving)
            told = _blue_green.refusal(release_id, error)
            told.args = (f"{told} {after}",)
            told.facts = {**getattr(told, "facts", {}), "serving": serving}
            raise told from error.__cause__
        return {**facts, **_seen(service, gated), "previous": previous, "release": store.get(release_id)}


def _seen(service: Service | None, gated: list[dict[str, t.Any]] | None = None) -> dict[str, t.Any]:
    """Where the log of what serves is, and what it tells of writing elsewhere."""
    return {"log": service.log, "write_attempts": _write_attempts.joined(gated, _write_attempts.of(service))} if service else {}


def _gated(store: ReleaseStore, service: Service | None, release_id: str, checks: list[dict[str, t.Any]],
           timeout: float) -> list[dict[str, t.Any]]:
    """A release whose state only one instance may have is tried on a copy, as long as the old one serves."""
    if isinstance(service, SlottedService) and service.spec["state"] == "exclusive" and store.live() not in (None, release_id):
        return _gate.on_copy(store.layout, service, release_id, checks, timeout)
    return []


def _told(record: dict[str, t.Any], name: str) -> dict[str, t.Any]:
    """A fact of a record, when it has one."""
    return {name: record[name]} if record.get(name) else {}


def _go_back(store: ReleaseStore, service: Service | None, previous: str | None, failed: dict[str, t.Any],
             checks: list[dict[str, t.Any]], timeout: float) -> tuple[bool, str]:
    """After a failed activation; whether a good release serves now, and a sentence on it."""
    if failed["migration"] == "forward_only":
        return False, "Its migration is forward-only, so nothing was rolled back: a person decides."
    if previous is None or previous == failed["id"]:
        if service:
            service.stop()
        if previous is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(store.layout.current)
        return False, "No other release was live, so nothing serves now."
    if service and not isinstance(service, SlottedService) and serves(store.layout, service, previous):
        return True, f"Release {previous} serves on."  # it was not stopped, for its work did not end
    try:
        switch(store, service, previous, checks, timeout, _leaving(service, None))
    except (OpsError, OSError) as error:
        return False, f"Going back to {previous} failed too: {error}"
    try:
        _migration.down_after(store, service, failed["id"], previous)
    except OpsError as error:
        return True, f"Release {previous} serves again. {error}"
    return True, f"Release {previous} serves again."


def _leaving(service: Service | None, drain: Drain | None) -> Drain | None:
    """How long the work of a release that is gone back from is waited for."""
    return (drain or _drain.of_definition(service))._replace(unless_ill=True) if service else None


def choose_target(store: ReleaseStore, release_id: str | None) -> dict[str, t.Any]:
    """The release that a rollback goes to, checked to be there and whole.

    :raises OpsError: when it is unknown, was never good, or lacks its application or its dependencies.
    """
    record = store.require(release_id) if release_id else store.require_target()
    if record["status"] == "failed" or not record["activated"]:
        raise StateError(f"release {record['id']}", "a release that has served", f"one of status {record['status']}",
                         "Choose a verified one from the list of mobius.ops.status")
    folder = store.layout.release(record["id"])
    if not os.path.isfile(os.path.join(folder, "package.json")):
        raise StateError(f"release {record['id']}", f"its application in {folder}", "no package.json there", "Choose another release")
    modules = os.path.join(folder, "node_modules")
    if os.path.islink(modules) and not os.path.isdir(modules):
        raise StateError(f"release {record['id']}", f"its dependencies at {os.path.realpath(modules)}", "nothing there",
                         "Choose another release")
    return record


def roll_back(store: ReleaseStore, service: Service | None, checks: list[dict[str, t.Any]], timeout: float, why: str,
              release_id: str | None = None, bad: str | None = None, drain: Drain | None = None) -> dict[str, t.Any]:
    """Go back to an earlier release, code only. A live release that does not answer its checks is not waited for.

    :param release_id: where to; the newest verified release older than the live one by default.
    :param bad: the release that was judged; another one that went live meanwhile is left alone.
    :raises Superseded: when *bad* is no longer live.
    :raises ServiceError: when the target is unhealthy too: a person decides, for there is nowhere better to go. The target stays live;
        where two instances stand behind a proxy, the release of before serves on.
    """
    with store.switching():
        previous = store.live()
        if bad and previous != bad:
            raise Superseded(f"release {bad}", "to be the live release", previous or "none", "Nothing was rolled back")
        target = choose_target(store, release_id)
        if service:
            _require_startable(store, service)
        facts: dict[str, t.Any] = {}
        try:
            facts = switch(store, service, target["id"], checks, timeout, _leaving(service, drain))
        finally:
            if store.live() == target["id"]:
                if previous and previous != target["id"]:
                    store.mark(previous, "rolled_back", why, target=target["id"], **facts)
                if target["status"] != "verified":
                    store.mark(target["id"], "active", why)
        if previous and previous != target["id"]:
            _migration.down_after(store, service, previous, target["id"])
        return {**facts, **_seen(service), "previous": previous, "target": store.get(target["id"])}


def finish_roll_back(store: ReleaseStore, service: Service | None, checks: list[dict[str, t.Any]], timeout: float, why: str,
                     bad: str, target_id: str) -> dict[str, t.Any]:
    """What is left to do of a rollback that was interrupted after ``current`` was changed.

    :param bad: the release that was gone back from, to *target_id*, the live one.
    :raises Superseded: when another release is live.
    :raises ServiceError: when the target is unhealthy.
    """
    with store.switching():
        if store.live() != target_id:
            raise Superseded(f"release {target_id}", "to be the live release", store.live() or "none", "Nothing was done")
        target = choose_target(store, target_id)
        facts: dict[str, t.Any] = {"downtime": None}
        if isinstance(service, SlottedService) or not serves(store.layout, service, target_id):
            facts = switch(store, service, target_id, checks, timeout, _leaving(service, None))
        elif service:
            _readiness.ready(service, checks, target_id, timeout)
        if store.require(bad)["status"] != "rolled_back":
            store.mark(bad, "rolled_back", why, target=target_id, **facts)
        _migration.down_after(store, service, bad, target_id)
        return {**facts, "previous": bad, "target": target}


def serves(layout: Layout, service: Service | None, release_id: str) -> bool:
    """Whether a release is live *and* it is what the running service runs."""
    if ReleaseStore(layout).live() != release_id:
        return False
    if service is None:
        return True
    facts = service.status()
    return facts["status"] == "running" and facts["release"] in (release_id, None)
