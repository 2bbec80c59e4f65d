# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switch a target to another release, and back when that does not work: one operation for deploys and rollbacks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from .._core.errors import IntegrityError, OpsError, StateError
from .._target import history, restore_journal, switch_journal
from .._target.record_types import Release
from .._target.releases import ReleaseStore
from .._target.switch_journal import Journal
from . import migration, rollback
from .deploy_types import Activated, Finished, WentBack
from .switch import Way, refusal


class Superseded(StateError):
    """Another release is live by now."""


def activate(way: Way, release_id: str, backup: str | None = None) -> Activated:
    """Put a prepared release into service; when it does not become ready, the previous one serves again.

    A switch that was interrupted is finished first; the activation of the same release goes on.

    :raises ServiceError: when it did not become ready; its message says what serves now.
    """
    store = way.store
    with store.switching():
        store.require(release_id)
        way.require_startable()
        journal, resumed, finished = _begun(way, release_id)
        previous, record = journal.source, store.require(release_id)
        if not (resumed and record["status"] == "active" and journal.noted("active", release_id)):
            if record["activated"] and release_id != previous:
                store.save({**record, "sequence": store.new_record()["sequence"]})
            told: dict[str, t.Any] = {"committed": record["committed"]} if record.get("committed") else {}
            store.mark(release_id, "active", previous=previous, backup=backup, **told)
        try:
            gated = way.gate(release_id)
            facts = way.serve(release_id)
        except (OpsError, OSError) as error:
            serving, after = _go_back(dataclasses.replace(way, drain=None), journal, record, str(error))
            if store.require(release_id)["status"] != "failed":
                store.mark(release_id, "failed", str(error), previous=previous, serving=serving)
            journal.end()
            refused = refusal(release_id, error)
            refused.then(after)
            refused.facts["serving"] = serving
            raise refused from error.__cause__
        journal.end()
        return {**facts, **way.seen(gated), **finished, "previous": previous, "release": store.get(release_id)}


def _begun(way: Way, release_id: str) -> tuple[Journal, bool, Finished]:
    """The journal of an activation, whether that was interrupted before, and ``finished`` when another switch had to be finished first."""
    store = way.store
    found, live = switch_journal.peek(store.layout), store.live()
    if found and found.kind == "activation" and found.target == release_id and live in (found.source, release_id):
        return found, True, {}
    finished = rollback.settle_first(way, found)
    journal = Journal.new(store.layout, "activation", store.live(), release_id, "", way.name).write()
    if finished:
        return journal, False, {"finished": finished[0]}
    return journal, False, {}


def _go_back(way: Way, journal: Journal, failed: Release, why: str) -> tuple[bool, str]:
    """After a failed activation; whether a good release serves now, and a sentence on it."""
    store, previous = way.store, journal.source
    if failed["migration"] == "forward_only":
        return False, "Its migration is forward-only, so nothing was rolled back: a person decides."
    if previous is None or previous == failed["id"]:
        if way.service:
            way.service.stop()
        if previous is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(store.layout.current)
        return False, "No other release was live, so nothing serves now."
    stayed = way.stays(previous)
    back = Journal.new(store.layout, "going_back", failed["id"], previous, why, journal.service)
    with contextlib.suppress(OSError):  # a full disk is no reason not to go back
        back.write()
    try:
        rollback.carry_out(way, back)
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


def roll_back(way: Way, why: str, release_id: str | None = None, bad: str | None = None) -> WentBack:
    """Go back to an earlier release, code only. A live release that does not answer its checks is not waited for.

    A rollback that was interrupted is finished, and that is all when it leads to the same release.

    :param release_id: where to; by default as in :func:`choose_target`.
    :param bad: the release that a watch judged; another one that went live meanwhile is left alone.
    :returns: facts of the switch, ``previous``, ``target``, and ``finished``, a sentence, when an interrupted switch was finished.
    :raises Superseded: when *bad* is no longer live.
    :raises ServiceError: when the target is unhealthy too: a person decides, for there is nowhere better to go. The target stays live;
        where two instances stand behind a proxy, the release of before serves on.
    """
    store = way.store
    with store.switching():
        way.require_startable()
        restore_journal.refuse_unfinished_release(store.layout)
        done = _finished(way, release_id, bad)
        if done.get("target"):
            return {**done, **way.seen()}
        previous = store.live()
        if bad and previous != bad:
            raise Superseded(f"release {bad}", "to be the live release", previous or "none", "Nothing was rolled back")
        target = choose_target(store, release_id or (store.require_target()["id"] if bad else None))  # a damaged journal stops no watch
        store.use_reserve()
        journal = Journal.new(store.layout, "watch" if bad else "rollback", previous, target["id"], why, way.name)
        with contextlib.suppress(OSError):  # a full disk is no reason to keep a bad release
            journal.write()
        facts = rollback.carry_out(way, journal)
        return {**facts, **done, **way.seen(), "previous": previous, "target": store.get(target["id"]) or target}


def _finished(way: Way, release_id: str | None, bad: str | None) -> WentBack:
    """What became of an interrupted switch: with a ``target`` it was this rollback."""
    store = way.store
    try:
        journal = Journal.find(store.layout)
    except IntegrityError:
        if not release_id and not bad:
            raise
        return {}  # it is replaced
    live = store.live()
    if bad and live and live != bad and not journal and _went(store, bad, live):  # killed after its journal had ended
        facts = way.serve(live)
        return {**facts, "previous": bad, "target": store.require(live)}
    if journal and release_id in (None, journal.leads_to(live)):
        done = rollback.settle(way, journal) or {}
        return done if bad in (None, done.get("previous")) else {}
    told = rollback.settle_first(way, journal)
    if told:
        return {"finished": told[0]}
    return {}


def _went(store: ReleaseStore, bad: str, live: str | None) -> bool:
    """Whether a rollback of a release to the live one has come to its end."""
    last = None
    for event in history.of_kinds(store.layout, ("rolled_back", "active")):
        last = event if event.get("release") == bad else last
    return bool(live and last and last["what"] == "rolled_back" and last.get("target") == live)


def settle(way: Way, release_id: str | None = None) -> list[str]:
    """Finish a switch that was interrupted, before a command that needs to know what is live; sentences on what was done.

    :param release_id: the release that the command puts into service; the interrupted activation of that one is left to it.
    """
    with way.store.switching():
        journal = switch_journal.peek(way.store.layout)
        if journal and journal.kind == "activation" and journal.target == release_id:
            return []
        if journal:
            way.require_startable()
        return rollback.settle_first(way, journal)
