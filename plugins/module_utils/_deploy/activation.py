# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch a target to another release, and back when that does not work: one operation for deploys and rollbacks."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._core.errors import IntegrityError, OpsError, StateError
from .._service.draining import Drain
from .._service.node_service import Service
from .._service.slots import SlottedService
from .._service.write_attempts import Finding
from .._target import history, restore_journal, switch_journal
from .._target.record_types import Check, Release
from .._target.releases import ReleaseStore
from .._target.switch_journal import Journal
from . import blue_green, migration, rehearsal, rollback, switch
from .deploy_types import Activated, Finished, WentBack


class Superseded(StateError):
    """Another release is live by now."""


def activate(
    store: ReleaseStore,
    service: Service | None,
    release_id: str,
    checks: list[Check],
    timeout: float,
    backup: str | None = None,
    drain: Drain | None = None,
) -> Activated:
    """Put a prepared release into service; when it does not become ready, the previous one serves again.

    A switch that was interrupted is finished first; the activation of the same release goes on.

    :raises ServiceError: when it did not become ready; its message says what serves now.
    """
    with store.switching():
        store.require(release_id)
        if service:
            switch.require_startable(store, service)
        journal, resumed, finished = _begun(store, service, release_id, checks, timeout, drain)
        previous, record = journal.source, store.require(release_id)
        if not (resumed and record["status"] == "active" and journal.noted("active", release_id)):
            if record["activated"] and release_id != previous:
                store.save({**record, "sequence": store.new_record()["sequence"]})
            told: dict[str, t.Any] = {"committed": record["committed"]} if record.get("committed") else {}
            store.mark(release_id, "active", previous=previous, backup=backup, **told)
        try:
            gated = _gated(store, service, release_id, checks, timeout)
            facts = switch.serve(store, service, release_id, checks, timeout, drain)
        except (OpsError, OSError) as error:
            serving, after = _go_back(store, service, journal, record, str(error), checks, timeout)
            if store.require(release_id)["status"] != "failed":
                store.mark(release_id, "failed", str(error), previous=previous, serving=serving)
            journal.end()
            refused = blue_green.refusal(release_id, error)
            refused.then(after)
            refused.facts["serving"] = serving
            raise refused from error.__cause__
        journal.end()
        return {**facts, **switch.seen(service, gated), **finished, "previous": previous, "release": store.get(release_id)}


def _begun(
    store: ReleaseStore, service: Service | None, release_id: str, checks: list[Check], timeout: float, drain: Drain | None
) -> tuple[Journal, bool, Finished]:
    """The journal of an activation, whether that was interrupted before, and ``finished`` when another switch had to be finished first."""
    found, live = switch_journal.peek(store.layout), store.live()
    if found and found.kind == "activation" and found.target == release_id and live in (found.source, release_id):
        return found, True, {}
    finished = rollback.settle_first(store, service, found, checks, timeout, drain)
    journal = Journal.new(store.layout, "activation", store.live(), release_id, "", service.name if service else None).write()
    if finished:
        return journal, False, {"finished": finished[0]}
    return journal, False, {}


def _gated(store: ReleaseStore, service: Service | None, release_id: str, checks: list[Check], timeout: float) -> list[Finding]:
    """A release whose state only one instance may have is tried on a copy, as long as the old one serves."""
    if isinstance(service, SlottedService) and service.spec["state"] == "exclusive" and store.live() not in (None, release_id):
        return rehearsal.on_copy(store.layout, service, release_id, checks, timeout)
    return []


def _go_back(
    store: ReleaseStore,
    service: Service | None,
    journal: Journal,
    failed: Release,
    why: str,
    checks: list[Check],
    timeout: float,
) -> tuple[bool, str]:
    """After a failed activation; whether a good release serves now, and a sentence on it."""
    previous = journal.source
    if failed["migration"] == "forward_only":
        return False, "Its migration is forward-only, so nothing was rolled back: a person decides."
    if previous is None or previous == failed["id"]:
        if service:
            service.stop()
        if previous is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(store.layout.current)
        return False, "No other release was live, so nothing serves now."
    # it was not stopped, for its work did not end
    stayed = service and not isinstance(service, SlottedService) and switch.serves(store.layout, service, previous)
    back = Journal.new(store.layout, "going_back", failed["id"], previous, why, journal.service)
    with contextlib.suppress(OSError):  # a full disk is no reason not to go back
        back.write()
    try:
        rollback.carry_out(store, service, back, checks, timeout)
    except migration.NotUndone as error:
        return True, f"Release {previous} serves again. {error}"
    except (OpsError, OSError) as error:
        return False, f"Going back to {previous} failed too: {error}"
    return True, f"Release {previous} serves {'on' if stayed else 'again'}."


def choose_target(store: ReleaseStore, release_id: str | None) -> Release:
    """The release that a rollback goes to, checked to be there and whole.

    Without a name, that of a rollback that was interrupted, or else the newest verified release older than the live one.

    :raises OpsError: when it is unknown, was never good, or lacks its application or its dependencies.
    """
    if release_id is None:
        Journal.find(store.layout)
    record = store.require(release_id) if release_id else store.require_target()
    if record["status"] == "failed" or not record["activated"]:
        raise StateError(
            f"release {record['id']}",
            "a release that has served",
            f"one of status {record['status']}",
            "Choose a verified one from the list of mobius.ops.status",
        )
    folder = store.layout.release(record["id"])
    if not os.path.isfile(os.path.join(folder, "package.json")):
        raise StateError(f"release {record['id']}", f"its application in {folder}", "no package.json there", "Choose another release")
    modules = os.path.join(folder, "node_modules")
    if os.path.islink(modules) and not os.path.isdir(modules):
        raise StateError(
            f"release {record['id']}", f"its dependencies at {os.path.realpath(modules)}", "nothing there", "Choose another release"
        )
    wrong = store.misfit(record["id"])
    if wrong:
        raise StateError(
            f"release {record['id']}",
            "dependencies that this host's Node can load",
            wrong,
            "Choose another release, install that Node again, or deploy this version again under another name",
        )
    return record


def roll_back(
    store: ReleaseStore,
    service: Service | None,
    checks: list[Check],
    timeout: float,
    why: str,
    release_id: str | None = None,
    bad: str | None = None,
    drain: Drain | None = None,
) -> WentBack:
    """Go back to an earlier release, code only. A live release that does not answer its checks is not waited for.

    A rollback that was interrupted is finished, and that is all when it leads to the same release.

    :param release_id: where to; by default as in :func:`choose_target`.
    :param bad: the release that a watch judged; another one that went live meanwhile is left alone.
    :returns: facts of the switch, ``previous``, ``target``, and ``finished``, a sentence, when an interrupted switch was finished.
    :raises Superseded: when *bad* is no longer live.
    :raises ServiceError: when the target is unhealthy too: a person decides, for there is nowhere better to go. The target stays live;
        where two instances stand behind a proxy, the release of before serves on.
    """
    with store.switching():
        if service:
            switch.require_startable(store, service)
        restore_journal.refuse_unfinished_release(store.layout)
        done = _finished(store, service, checks, timeout, release_id, bad, drain)
        if done.get("target"):
            return {**done, **switch.seen(service)}
        previous = store.live()
        if bad and previous != bad:
            raise Superseded(f"release {bad}", "to be the live release", previous or "none", "Nothing was rolled back")
        target = choose_target(store, release_id or (store.require_target()["id"] if bad else None))  # a damaged journal stops no watch
        store.use_reserve()
        journal = Journal.new(store.layout, "watch" if bad else "rollback", previous, target["id"], why, service.name if service else None)
        with contextlib.suppress(OSError):  # a full disk is no reason to keep a bad release
            journal.write()
        facts = rollback.carry_out(store, service, journal, checks, timeout, drain)
        return {**facts, **done, **switch.seen(service), "previous": previous, "target": store.get(target["id"]) or target}


def _finished(
    store: ReleaseStore,
    service: Service | None,
    checks: list[Check],
    timeout: float,
    release_id: str | None,
    bad: str | None,
    drain: Drain | None,
) -> WentBack:
    """What became of an interrupted switch: with a ``target`` it was this rollback."""
    try:
        journal = Journal.find(store.layout)
    except IntegrityError:
        if not release_id and not bad:
            raise
        return {}  # it is replaced
    live = store.live()
    if bad and live and live != bad and not journal and _went(store, bad, live):  # killed after its journal had ended
        facts = switch.serve(store, service, live, checks, timeout, drain)
        return {**facts, "previous": bad, "target": store.require(live)}
    if journal and release_id in (None, journal.leads_to(live)):
        done = rollback.settle(store, service, journal, checks, timeout, drain) or {}
        return done if bad in (None, done.get("previous")) else {}
    told = rollback.settle_first(store, service, journal, checks, timeout, drain)
    if told:
        return {"finished": told[0]}
    return {}


def _went(store: ReleaseStore, bad: str, live: str | None) -> bool:
    """Whether a rollback of a release to the live one has come to its end."""
    last = None
    for event in history.of_kinds(store.layout, ("rolled_back", "active")):
        last = event if event.get("release") == bad else last
    return bool(live and last and last["what"] == "rolled_back" and last.get("target") == live)


def settle(
    store: ReleaseStore,
    service: Service | None,
    checks: list[Check],
    timeout: float,
    release_id: str | None = None,
    drain: Drain | None = None,
) -> list[str]:
    """Finish a switch that was interrupted, before a command that needs to know what is live; sentences on what was done.

    :param release_id: the release that the command puts into service; the interrupted activation of that one is left to it.
    """
    with store.switching():
        journal = switch_journal.peek(store.layout)
        if journal and journal.kind == "activation" and journal.target == release_id:
            return []
        if journal and service:
            switch.require_startable(store, service)
        return rollback.settle_first(store, service, journal, checks, timeout, drain)
