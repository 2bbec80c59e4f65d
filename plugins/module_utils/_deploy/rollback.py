# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Going back to an earlier release, by its journal: by hand, by the watch, after a failed activation, and to finish one that was killed.

Every step finds out whether it was done, so all of them are repeated after a kill. The order is: journal, switch, records
and history, migration, end of the journal.
"""

from __future__ import annotations

import typing as t

from .._core.errors import OpsError, StateError
from .._service import registry as service_registry
from .._target import history
from .._target.releases import ReleaseStore
from .._target.switch_journal import Journal
from . import migration, ways
from .deploy_types import Served, WentBack
from .switch import Way


def carry_out(way: Way, journal: Journal) -> Served:
    """Make the journal's target serve, enter that into the records, undo the migration of the release that was gone back from.

    :returns: the facts of the switch.
    :raises NotUndone: when the migration could not be undone. The journal stays, so the same command tries it again.
    :raises OpsError: when the target did not become ready. The journal has ended: its release stays live, or never became it.
    """
    store, facts = way.store, Served(downtime=None)
    failure: OpsError | OSError | None = None
    try:
        facts = way.leaving().serve(journal.target)
    except (OpsError, OSError) as error:
        failure = error
    went = store.live() == journal.target
    if went:
        _note(store, journal, facts, failure is None)
        try:
            _undo(way, journal)
        except migration.NotUndone as error:
            if failure is None:
                raise
            failure.args = (f"{failure} {error}",)
    if went or not isinstance(failure, OSError):  # after an error of the disk the service may be stopped: there is something to finish
        journal.end()
    if failure:
        raise failure
    return facts


def _note(store: ReleaseStore, journal: Journal, facts: Served, serving: bool) -> None:
    """Enter what happened into the records of both releases and the history, each once."""
    source, target = journal.source, journal.target
    if source and source != target:
        if journal.kind == "going_back":
            _mark(store, journal, source, "failed", previous=target, serving=serving)
        else:
            _mark(store, journal, source, "rolled_back", target=target, **facts)
    record = store.get(target)
    if journal.kind != "going_back" and not (record and record["status"] == "verified"):
        _mark(store, journal, target, "active")


def _mark(store: ReleaseStore, journal: Journal, release_id: str, status: str, **facts: t.Any) -> None:
    record = store.get(release_id)
    if record and not (record["status"] == status and journal.noted(status, release_id)):
        store.mark(release_id, status, journal.why, **facts)


def _undo(way: Way, journal: Journal) -> None:
    if journal.source and journal.source != journal.target and way.store.get(journal.source):
        migration.down_after(way.store, way.service, journal.source, journal.target)


def settle(way: Way, journal: Journal) -> WentBack | None:
    """Finish a switch that was killed; the caller has the lock of switches.

    Going back is carried out. An activation whose release did not go live is taken back; of one that did, nothing is left to do.

    :returns: ``finished`` (a sentence), ``previous`` (the id), ``target`` (the record) and facts of the switch; ``None`` when nothing
        was to be finished.
    :raises OpsError: as :func:`carry_out`.
    """
    store = way.store
    live, leads = store.live(), journal.leads_to(store.live())
    if leads is None:
        if journal.source is None and live is None:
            _mark(store, journal, journal.target, "failed", previous=None, serving=False)
        journal.end()
        return None
    if live not in (journal.source, journal.target) or not store.is_whole(leads):
        found = f"release {live} live" if store.is_whole(leads) else f"release {leads} gone"
        _drop(store, journal, found)
        return None
    told = f"finished {journal.words()} that was interrupted"
    if journal.kind == "activation":
        told = f"took back {journal.words()} that was interrupted: release {leads} serves"
        journal = Journal.new(store.layout, "going_back", journal.target, leads, "its activation was interrupted", journal.service).write()
    facts = carry_out(way if way.service else _of_journal(way, journal), journal)
    return {**facts, "finished": told, "previous": journal.source, "target": store.require(leads)}


def settle_first(way: Way, journal: Journal | None) -> list[str]:
    """The same for a command that has a release of its own to put into service: it goes on when this cannot be finished.

    :returns: sentences on what was done, none without a journal.
    """
    if journal is None:
        return []
    try:
        done = settle(way, journal)
    except OpsError as error:
        _drop(way.store, journal, str(error))
        return [f"{journal.words()} was interrupted and could not be finished: {error}"]
    return [done["finished"]] if done else []


def _drop(store: ReleaseStore, journal: Journal, found: str) -> None:
    history.record(
        store.layout,
        "switch_dropped",
        f"{journal.words()} was interrupted, and cannot be finished: {found}",
        release=journal.source,
        target=journal.target,
    )
    journal.end()


def _of_journal(way: Way, journal: Journal) -> Way:
    """The way of the service that the interrupted switch was of: without it, its migration would not be undone."""
    try:
        service = service_registry.load(way.store.layout, journal.service) if journal.service else None
    except StateError:  # it is no longer defined
        return way
    return ways.of(way.store, service, way.checks, way.timeout, way.drain)
