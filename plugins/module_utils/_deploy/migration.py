# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Migrations of the data that a release brings: a command that runs once before the switch, and one that undoes it.

The record of the release keeps both and what became of them, so whoever goes back (a deploy, a rollback, a watch without a
controller) knows what to undo. ``migrated.state`` is ``running``, ``done``, ``undoing`` or ``undone``. ``migrated.others`` are
hosts that serve the release already: until it was verified here too, going back from it undoes nothing under them.
"""

from __future__ import annotations

from .._core import clock, commands, dotenv
from .._core.errors import InputError, OpsError, StateError
from .._service import node_service, supervisor
from .._target import history, restore_journal, switch_journal
from .._target.record_types import Migrated, Release
from .._target.releases import ReleaseStore


class NotUndone(StateError):
    """The release of before serves, and a migration of the other one could not be undone."""


def check(kind: str, up: list[str], down: list[str]) -> None:
    """:raises InputError: when the commands do not fit the kind of migration."""
    if kind == "none" and (up or down):
        raise InputError("mobius_migration", "reversible or forward_only, for there is a command", "none", "Name the kind")
    if kind == "reversible" and bool(up) != bool(down):
        lacks = "mobius_migration_down" if up else "mobius_migration_up"
        raise InputError(lacks, "a command, for the migration is reversible and has the other one", "none", "Give both, or neither")
    if kind == "forward_only" and down:
        raise InputError(
            "mobius_migration_down",
            "no command, for the migration is forward_only",
            " ".join(down),
            "Leave it out, or set mobius_migration to reversible",
        )


def _of(record: Release | None) -> Migrated:
    return (record.get("migrated") if record else None) or {}


def is_done(record: Release) -> bool:
    """Whether a release's migration has run to its end."""
    return _of(record).get("state") == "done"


def _will_run(record: Release | None, others: list[str]) -> bool:
    """The data of *others*, who serve the release, is migrated, unless that was undone from here."""
    return _of(record).get("state") != "done" and bool(_of(record) or not others)


def up(
    store: ReleaseStore, service: node_service.Service, release_id: str, plan: Migrated, others: list[str], check_mode: bool = False
) -> bool:
    """Migrate, unless that was done; whether it ran, or would run. One that was cut short runs again.

    :param plan: ``up, down`` (commands), ``timeout`` (s).
    :param others: hosts that serve the release already.
    :raises StateError: when a restore of the database was interrupted: nobody knows yet which data stays; or when going back from
        another release was, whose migration may still have to be undone.
    :raises OpsError: when the command fails; the record says ``running`` then, so that it is undone.
    """
    restore_journal.refuse_unsettled(store.layout, "database")
    switch_journal.refuse_unfinished(store.layout, release_id)
    if not _will_run(store.get(release_id) if check_mode else store.require(release_id), others):
        return False
    if check_mode:
        return True
    _note(store, release_id, {**plan, "state": "running"})
    _run(store, service, release_id, plan["up"], plan["timeout"], "migration")
    _note(store, release_id, {**plan, "state": "done"})
    history.record(store.layout, "migrated", release=release_id)
    return True


def must_undo(record: Release) -> bool:
    """Whether something of a release's migration may be in the data that can be taken out."""
    return _can_be_undone(_of(record)) and not _of(record).get("others")


def _can_be_undone(migrated: Migrated) -> bool:
    return bool(migrated.get("down")) and migrated["state"] != "undone"


def may_be_undone(store: ReleaseStore) -> bool:
    """Whether a rollback from any release may have to undo a migration, now or once no other host serves that release."""
    try:
        return any(_can_be_undone(_of(record)) for record in store.all())
    except OpsError:  # a damaged record says nothing
        return True


def share(store: ReleaseStore, release_id: str, others: list[str], check_mode: bool = False) -> bool:
    """Note which hosts serve a release already, when a migration of it ran here; whether that is news."""
    record = store.get(release_id)
    migrated = _of(record)
    if not record or not migrated or migrated.get("others", []) == others:
        return False
    if not check_mode:
        store.save({**record, "migrated": {**migrated, "others": others}})
    return True


def not_in(store: ReleaseStore, made: str | None) -> list[str]:
    """Releases that count as migrated, and whose migration is not in the data of an archive.

    :param made: when the archive was begun; ``None`` when that tells nothing, for it comes from another environment.
    """
    ran = [record for record in store.all() if _of(record).get("state") in ("running", "done")]
    # Within one second nobody knows. To migrate once too often is allowed, once too little is not.
    return [record["id"] for record in ran if made is None or _of(record)["when"] >= made]


def forget(store: ReleaseStore, made: str | None, why: str) -> list[str]:
    """Take back the word of the records that :func:`not_in` finds, after the database was restored; which ones."""
    found = not_in(store, made)
    for release_id in found:
        _note(store, release_id, {**_of(store.require(release_id)), "state": "undone"})
        history.record(store.layout, "migration_undone", why, release=release_id)
    return found


def down(store: ReleaseStore, service: node_service.Service | None, release_id: str) -> bool:
    """Undo a release's migration, when one ran here; whether the command ran.

    :raises OpsError: when it fails. The record says ``undoing``, and the next one who goes back tries again.
    """
    record = store.require(release_id)
    if not must_undo(record) or service is None:
        return False
    plan = _of(record)
    _note(store, release_id, {**plan, "state": "undoing"})
    _run(store, service, release_id, plan["down"], plan["timeout"], "undoing the migration")
    _note(store, release_id, {**plan, "state": "undone"})
    history.record(store.layout, "migration_undone", release=release_id)
    return True


def down_after(store: ReleaseStore, service: node_service.Service | None, release_id: str, serving: str) -> None:
    """Undo it after another release took over. :raises NotUndone: when that fails; it says what serves."""
    try:
        down(store, service, release_id)
    except OpsError as error:
        raise NotUndone(
            f"release {release_id}",
            f"its migration to be undone; release {serving} serves again",
            str(error),
            "Run its mobius_migration_down by hand",
        ) from error


def _note(store: ReleaseStore, release_id: str, migrated: Migrated) -> None:
    record = store.require(release_id)
    others = _of(record).get("others")
    noted: Migrated = {**migrated, "when": clock.iso()}
    store.save({**record, "migrated": {"others": others, **noted} if others else noted})


def _run(store: ReleaseStore, service: node_service.Service, release_id: str, command: list[str], timeout: float, what: str) -> None:
    """In the release's folder, as the service's user and with its environment; its output is told without secrets."""
    what = f"{what} of release {release_id}"
    env = {**commands.QUIET, **supervisor.environment(service.spec)}
    done = commands.capture(
        command, store.layout.release(release_id), what, env, timeout=timeout, **supervisor.account(service.spec.get("user"))
    )
    if done.returncode:
        raise commands.failure(done, what, hide=dotenv.Redactor(service.spec["env_file"]).text)
