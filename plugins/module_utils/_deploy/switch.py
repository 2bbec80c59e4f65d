# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a service is switched from one release to another, and back: what every switch needs, and the way of a single process.

Each kind of service has its way: none (:class:`Way`), one process (:class:`OneProcess`), two instances behind a proxy
(``_deploy.blue_green``). ``_deploy.ways`` chooses.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._core.errors import OpsError, ServiceError
from .._observe import health, probe
from .._service import draining, readiness, write_attempts
from .._service.draining import Drain
from .._service.node_service import Service
from .._service.ongoing_work import Work
from .._service.write_attempts import Finding
from .._target import restore_journal
from .._target.record_types import Check
from .._target.releases import ReleaseStore
from .deploy_types import Seen, Served

#: Seconds within which an instance that is gone back from has to answer a check, and that it gets for its work when it does not.
ANSWERS, ILL = 2.0, 0.5


class Retired(t.NamedTuple):
    """An instance that was stopped."""

    #: The release that it ran, and the work that was cut.
    release: str | None
    cut: Work


@dataclasses.dataclass(frozen=True)
class Way:
    """How a host is switched between releases. This is the way of one without a service: only ``current`` is pointed.

    :param checks: what a release that was started has to pass, within *timeout* seconds.
    :param drain: how long work that runs is waited for; by default as the service's definition says.
    """

    store: ReleaseStore
    service: Service | None
    checks: list[Check]
    timeout: float
    drain: Drain | None = None

    @property
    def name(self) -> str | None:
        """The service's name."""
        return self.service.name if self.service else None

    def require_startable(self) -> None:
        """:raises StateError: when it could not be started, or a restore was interrupted: nothing is stopped then."""

    def serves(self, release_id: str) -> bool:
        """Whether a release is live *and* it is what the running service runs."""
        return self.store.live() == release_id

    def switch(self, release_id: str) -> Served:
        """Make a release live, start it and wait until it is ready.

        :returns: ``downtime`` and ``ready_after`` in seconds (``None`` without a service), and the work that was ``cut``.
        :raises StateError: when work does not end in time and may not be cut; nothing has changed then.
        """
        self.store.use_reserve()
        self.store.point(release_id)
        return {"downtime": None, "ready_after": None}

    def ready(self, release_id: str | None) -> float | None:
        """Wait until a release that was started passes the checks; seconds, ``None`` without a service.

        :raises OpsError: when it does not.
        """
        return None

    def serve(self, release_id: str) -> Served:
        """:meth:`switch`, but for a release that serves already, as after a switch that was killed: that one only has to be ready."""
        return {"downtime": None, "ready_after": self.ready(release_id)} if self.serves(release_id) else self.switch(release_id)

    def gate(self, release_id: str) -> list[Finding]:
        """Try a release while the one of before serves, where that is possible only on a copy; where it tried to write elsewhere."""
        return []

    def seen(self, gated: list[Finding] | None = None) -> Seen:
        """Where the log of what serves is, and what it tells of writing elsewhere."""
        return {}

    def leaving(self) -> Way:
        """The same for a release that is gone back from: what is ill is hardly waited for."""
        return self

    def stays(self, release_id: str) -> bool:
        """Whether a release still serves after a failed switch to another one, because its work did not end in time."""
        return False

    def let_go(self) -> None:
        """Requests that a switch has held go on, when it was killed, or the proxy did what it was told after that had failed."""

    def retire(self, seconds: float | None = None, force: bool | None = None) -> Retired | None:
        """Stop the instance that does not serve, once it has finished; ``None`` when there is none.

        :param seconds: how long to wait for that, and *force* whether to cut what has not ended by then; as the definition says by default.
        :raises StateError: when it does not finish in time; it goes on.
        """
        return None


@dataclasses.dataclass(frozen=True)
class Running(Way):
    """What the ways of all services have in common."""

    service: Service

    @property
    def rules(self) -> Drain:
        """How long its work is waited for."""
        return self.drain or draining.of_definition(self.service)

    def require_startable(self) -> None:
        """Look before anything is stopped."""
        self.service.require_port()
        self.service.require_environment()
        restore_journal.refuse_interrupted(self.store.layout)

    def serves(self, release_id: str) -> bool:
        """Ask the service as well."""
        if not super().serves(release_id):
            return False
        facts = self.service.status()
        return facts["status"] == "running" and facts["release"] in (release_id, None)

    def ready(self, release_id: str | None) -> float | None:
        """Ask the service."""
        return readiness.ready(self.service, self.checks, release_id, self.timeout)

    def seen(self, gated: list[Finding] | None = None) -> Seen:
        """Read its log."""
        return {"log": self.service.log, "write_attempts": write_attempts.joined(gated, write_attempts.of(self.service))}

    def leaving(self) -> Running:
        """Ask whether it is ill first."""
        return dataclasses.replace(self, drain=self.rules._replace(unless_ill=True))

    def lossless(self, live: str) -> Served | None:
        """Restart the live release without a lost request; ``None`` where that is not possible.

        :raises OpsError: when it does not become ready; the sentence says what serves.
        """
        return None

    def rest(self) -> Work:
        """Wait for the work of what a restart stops; what was cut. Two instances are stopped only in an emergency, without a wait.

        :raises StateError: when it does not end and may not be cut.
        """
        return Work()


@dataclasses.dataclass(frozen=True)
class OneProcess(Running):
    """Stop it, point ``current`` at the other release, start it."""

    def switch(self, release_id: str) -> Served:
        """The service is down meanwhile."""
        cut = self.rest() if self.service.status()["pid"] else Work()
        began = time.monotonic()
        self.service.stop()
        self.store.use_reserve()
        self.store.point(release_id)
        self.service.start()
        ready_after = self.ready(release_id)
        return {"downtime": round(time.monotonic() - began, 2), "ready_after": ready_after, "cut": cut.facts()}

    def stays(self, release_id: str) -> bool:
        """It does when its work was waited for in vain."""
        return self.serves(release_id)

    def rest(self) -> Work:
        """Wait, unless it is ill and need not be waited for."""
        return draining.rest(self.service, self.service, patience(self.service, self.service, self.checks, self.rules))


def refusal(release_id: str, error: OpsError | OSError) -> OpsError:
    """What kept a release from being put into service, in this collection's words."""
    return error if isinstance(error, OpsError) else ServiceError(f"release {release_id}", "to be put into service", str(error))


def patience(service: Service, instance: Service, checks: list[Check], drain: Drain) -> Drain:
    """How long the work of an instance is really waited for: hardly, when it is ill and need not be."""
    return Drain(min(ILL, drain.timeout), True) if drain.unless_ill and is_ill(service, instance, checks) else drain


def is_ill(service: Service, instance: Service, checks: list[Check]) -> bool:
    """Whether an instance fails a check at this moment, or does not answer it soon."""
    own: list[Check] = [
        {**check, "timeout": min(check["timeout"], ANSWERS), "attempts": 1} for check in service.direct(checks, instance.port)
    ]
    return health.outcome(health.sample_all([probe.fill(check, instance.status()["release"]) for check in own])) == "failed"
