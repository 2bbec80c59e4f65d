# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch a target to another release, and back when that does not work: one operation for deploys and rollbacks."""
from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _env_file, _health, _probe, _processes, _restore_journal
from ansible_collections.mobius.ops.plugins.module_utils._errors import OpsError, ServiceError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._service import Service

#: A service that ended this often while it was waited for will not become ready.
CRASHES = 3


class Superseded(StateError):
    """Another release is live by now."""


def ready(service: Service, checks: list[dict[str, t.Any]], release_id: str | None, timeout: float) -> float:
    """Wait until the service runs, and every check is well; seconds that it took.

    :param checks: normalized checks; ``{release}`` in them is the release that has to answer. Without any, the port
        has to answer.
    :raises ServiceError: with what was found and the last lines that the service printed.
    """
    began = time.monotonic()
    filled = [_probe.fill(check, release_id) for check in checks]

    def give_up() -> str:
        facts = service.status()
        if facts["status"] in ("failed", "stopped", "killed") or facts["restarts"] >= CRASHES:
            last = facts["last_exit"]
            return f"the service {facts['status']}, ended {facts['restarts'] or 1} times" + (f" (last: {last['how']})" if last else "")
        return ""

    if filled:
        well, _samples, reason = _health.wait_for(filled, timeout, give_up=give_up)
    else:
        well, reason = _port_answers(service, timeout, give_up)
    facts = service.status()
    if well and not facts["pid"]:
        well, reason = False, "its process does not run: another program answers the checks"
    elif well and release_id and facts["release"] not in (release_id, None):
        well, reason = False, f"release {facts['release']} answers instead"
    if not well:
        error = ServiceError(f"release {release_id or 'of service ' + service.name} on port {service.port}",
                             "every readiness check to pass", reason, f"Its last lines are in this result and in {service.console}")
        error.facts = {"evidence": _env_file.Redactor(service.spec["env_file"]).value(service.evidence())}
        raise error
    return round(time.monotonic() - began, 2)


def _port_answers(service: Service, timeout: float, give_up: t.Callable[[], str]) -> tuple[bool, str]:
    deadline = time.monotonic() + timeout
    while not _processes.port_answers(service.port, service.spec["host"]):
        reason = give_up() or ("" if time.monotonic() < deadline else f"port {service.port} does not answer within {timeout:g} s")
        if reason:
            return False, reason
        time.sleep(0.1)
    return True, ""


def _require_startable(store: ReleaseStore, service: Service) -> None:
    """:raises StateError: when another program has the port, or a restore was interrupted: nothing is stopped then."""
    service.require_port()
    _restore_journal.refuse_interrupted(store.layout)


def switch(store: ReleaseStore, service: Service | None, release_id: str, checks: list[dict[str, t.Any]],
           timeout: float) -> dict[str, t.Any]:
    """Stop the service, point ``current`` at a release, start it, wait until it is ready.

    :returns: ``downtime`` and ``ready_after`` in seconds (``None`` without a service).
    """
    if service is None:
        store.use_reserve()
        store.point(release_id)
        return {"downtime": None, "ready_after": None}
    began = time.monotonic()
    service.stop()
    store.use_reserve()
    store.point(release_id)
    service.start()
    ready_after = ready(service, checks, release_id, timeout)
    return {"downtime": round(time.monotonic() - began, 2), "ready_after": ready_after}


def activate(store: ReleaseStore, service: Service | None, release_id: str, checks: list[dict[str, t.Any]],
             timeout: float, backup: str | None = None) -> dict[str, t.Any]:
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
            facts = switch(store, service, release_id, checks, timeout)
        except (OpsError, OSError) as error:
            serving, after = _go_back(store, service, previous, record, checks, timeout)
            store.mark(release_id, "failed", str(error), previous=previous, serving=serving)
            told = error if isinstance(error, OpsError) else ServiceError(f"release {release_id}", "to be put into service", str(error))
            told.args = (f"{told} {after}",)
            told.facts = {**getattr(told, "facts", {}), "serving": serving}
            raise told from error.__cause__
        return {**facts, "previous": previous, "release": store.get(release_id)}


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
    try:
        switch(store, service, previous, checks, timeout)
    except (OpsError, OSError) as error:
        return False, f"Going back to {previous} failed too: {error}"
    return True, f"Release {previous} serves again."


def choose_target(store: ReleaseStore, release_id: str | None) -> dict[str, t.Any]:
    """The release that a rollback goes to, checked to be there and whole.

    :raises OpsError: when it is unknown, was never good, or lacks its entry point.
    """
    record = store.require(release_id) if release_id else store.require_target()
    if record["status"] == "failed" or not record["activated"]:
        raise StateError(f"release {record['id']}", "a release that has served", f"one of status {record['status']}",
                         "Choose a verified one from the list of mobius.ops.status")
    folder = store.layout.release(record["id"])
    if not os.path.isfile(os.path.join(folder, "package.json")):
        raise StateError(f"release {record['id']}", f"its application in {folder}", "no package.json there", "Choose another release")
    return record


def roll_back(store: ReleaseStore, service: Service | None, checks: list[dict[str, t.Any]], timeout: float, why: str,
              release_id: str | None = None, bad: str | None = None) -> dict[str, t.Any]:
    """Go back to an earlier release, code only.

    :param release_id: where to; the newest verified release older than the live one by default.
    :param bad: the release that was judged; another one that went live meanwhile is left alone.
    :raises Superseded: when *bad* is no longer live.
    :raises ServiceError: when the target is unhealthy too. It stays live, for there is nowhere better to go:
        a person decides.
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
            facts = switch(store, service, target["id"], checks, timeout)
        finally:
            if store.live() == target["id"]:
                if previous and previous != target["id"]:
                    store.mark(previous, "rolled_back", why, target=target["id"], **facts)
                if target["status"] != "verified":
                    store.mark(target["id"], "active", why)
        return {**facts, "previous": previous, "target": store.get(target["id"])}


def serves(layout: Layout, service: Service | None, release_id: str) -> bool:
    """Whether a release is live *and* it is what the running service runs."""
    if ReleaseStore(layout).live() != release_id:
        return False
    if service is None:
        return True
    facts = service.status()
    return facts["status"] == "running" and facts["release"] in (release_id, None)
