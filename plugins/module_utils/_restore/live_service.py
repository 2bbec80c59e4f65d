# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service around a change of its data: kept from others, stopped just before, started after, found well or not."""

from __future__ import annotations

import contextlib
import signal
import time
import typing as t

from .._core import dotenv, interrupt
from .._core.errors import OpsError, StateError
from .._deploy import activation, migration, rollback, ways
from .._gates.smoke import canaries
from .._service import ongoing_work, readiness
from .._service import registry as service_registry
from .._service.ongoing_work import Work
from .._target import switch_journal
from .._target.journal_types import RestoreFacts
from .._target.layout import Layout
from .._target.record_types import Check
from .._target.releases import ReleaseStore
from .._watch import control as watch_control
from .._watch import folders as watch_folders
from .restore_types import ServingFacts


class Serving:
    """A service, how to tell that it is well, and the release that is to run; or no service at all.

    :param checks: normalized checks; without any, the port has to answer.
    :param timeout: seconds within which it has to become ready.
    :param release_id: the release to put live in the same step; it must have served before.
    """

    def __init__(
        self,
        layout: Layout,
        service: str | None = None,
        checks: t.Sequence[Check] = (),
        timeout: float = 60.0,
        release_id: str | None = None,
    ) -> None:
        self.layout = layout
        self.store = ReleaseStore(layout)
        self.service = service_registry.load(layout, service) if service else None
        self.checks = list(checks)
        self.timeout = timeout
        self.target = activation.choose_target(self.store, release_id) if release_id else None
        self.previous = self.store.live()
        #: Whether it is to run afterwards: it did before, and nobody had stopped it on purpose.
        self.wanted = False
        #: The watch that was ended, and the seconds from the stop until it was ready.
        self.watch: str | None = None
        #: What it worked on when it was stopped.
        self.cut = Work()
        self.downtime: float | None = None
        self._began: float | None = None
        self._redactor = dotenv.Redactor(layout.env_file)

    def facts(self) -> ServingFacts:
        """What the journal keeps, so that another run can :meth:`adopt` it."""
        return {
            "service": self.service.name if self.service else None,
            "wanted": self.wanted,
            "previous": self.previous,
            "target": self.target["id"] if self.target else None,
        }

    def adopt(self, facts: RestoreFacts) -> Serving:
        """The service of an interrupted run, with the checks of this one."""
        name = facts["service"] or (self.service.name if self.service else None)
        made = Serving(self.layout, name, self.checks, self.timeout)
        made.previous = facts["previous"]
        made.target = self.store.get(facts["target"]) if facts["target"] else None
        made.wanted = facts["wanted"]
        return made

    @contextlib.contextmanager
    def held(self, why: str, settle: bool = False) -> t.Iterator[list[str]]:
        """While the block runs no watch rolls back, no release is switched, and a lost connection ends nothing.

        :param settle: whether to finish a switch that was interrupted before; the block gets sentences on that.
        """
        if not self.service:
            with undisturbed():
                yield []
            return
        # Before the lock: a watch that is rolling back holds it, and is waited for.
        self.watch = watch_control.stop(self.layout, why) or self.watch
        with self.store.switching(), undisturbed():
            running = watch_folders.latest(self.layout)
            if running and running.state()["status"] in watch_folders.GOING:
                raise StateError(
                    f"root {self.layout.root}",
                    "no watch",
                    f"watch {running.id}, which has just begun",
                    "Wait until the deploy that runs has ended",
                )
            journal = switch_journal.peek(self.layout) if settle else None
            yield rollback.settle_first(ways.of(self.store, self.service, self.checks, self.timeout), journal)

    def look(self) -> None:
        """Note whether it is to run afterwards. :raises StateError: when another program has its port."""
        if self.service:
            self.previous = self.store.live()
            self.target = activation.choose_target(self.store, self.target["id"]) if self.target else None
            self.service.require_port()
            self.wanted = bool(self.target) or self.runs()

    def runs(self) -> bool:
        """Whether it runs or is to run: only one that was stopped on purpose, or never started, is not."""
        return self.service is not None and self.service.status()["status"] != "stopped"

    def stop(self) -> None:
        """Stop it; the downtime begins, and what it works on is cut."""
        if self.service:
            if self.wanted and self._began is None:
                self.cut = ongoing_work.of(self.service, self.service.serving())
                self._began = time.monotonic()
            self.service.stop()

    def start(self, back: bool = False) -> None:
        """Start it, when it is to run, and wait until it is well.

        :param back: on the release that was live before.
        :raises OpsError: when it does not become well.
        """
        if not self.service:
            return
        if self.target and self.previous:
            here, there = (self.target["id"], self.previous) if back else (self.previous, self.target["id"])
            if self.store.live() == here:
                self.store.point(there)
        if not self.wanted:
            return
        try:
            self.service.start()
            readiness.ready(self.service, self.checks, self.store.live(), self.timeout)
        except OpsError as error:
            error.facts = self._redactor.value(error.facts)  # values of the .env that was there before
            raise
        finally:
            if self._began is not None:
                self.downtime = round(time.monotonic() - self._began, 2)

    def is_well(self) -> bool:
        """Whether it runs and is well, or becomes so in time; nothing is started."""
        try:
            if not self.service or not self.service.status()["pid"]:
                return False
            readiness.ready(self.service, self.checks, self.store.live(), self.timeout)
        except OpsError:
            return False
        return True

    def mark(self, why: str, restored: RestoreFacts) -> tuple[list[str], StateError | None]:
        """Enter into the records of releases that another one serves, on which data. It can be done again after a kill.

        :param restored: of the journal: the ``components`` that stay, and when their archive was ``made``.
        :returns: releases whose migration is not in the data any more, and why one that was gone back from could not be undone.
        """
        canaries.after_restore(self.layout, restored["components"], restored.get("made"))
        unmigrated = []
        if "database" in restored["components"]:
            unmigrated = migration.forget(self.store, restored.get("made"), f"the restored data is from before it: {restored['archive']}")
        if not self.target or self.target["id"] == self.previous or self.store.live() != self.target["id"]:
            return unmigrated, None
        record = self.store.get(self.previous) if self.previous else None
        if record and record["status"] != "rolled_back":
            self.store.mark(record["id"], "rolled_back", why, target=self.target["id"], downtime=self.downtime)
        if self.target["status"] != "verified":
            self.store.mark(self.target["id"], "active", why)
        try:
            if record:
                migration.down_after(self.store, self.service, record["id"], self.target["id"])
        except StateError as error:
            return unmigrated, error
        return unmigrated, None

    def told(self, unmigrated: list[str]) -> list[str]:
        """A warning, when the live release is one whose migration is not in the data."""
        live = self.store.live()
        return (
            [f"Release {live} is live and its migration is not in the restored data: deploy it again, which migrates."]
            if live in unmigrated
            else []
        )


@contextlib.contextmanager
def undisturbed() -> t.Iterator[None]:
    """The end of the session (SIGHUP) is ignored; SIGTERM is an error, once, after which all is put back."""

    def end(_number: int, _frame: t.Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise StateError("the restore", "to come to its end", "that it was told to stop (SIGTERM)", "Run it again")

    with interrupt.handling({signal.SIGHUP: signal.SIG_IGN, signal.SIGTERM: end}):
        yield
