# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs that a host can do by itself. Another one is one more line in :data:`JOBS`."""

from __future__ import annotations

import dataclasses
import typing as t

from .._target.layout import Layout
from . import backups, paging, sampling, upkeep
from .ended import Ended, Wanted

_ACCOUNTS = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID"


@dataclasses.dataclass(frozen=True)
class Job:
    """One job."""

    name: str
    #: In words, as in "backup of /opt/mobius".
    what: str
    run: t.Callable[[Layout, Wanted], Ended]
    #: Options that it takes, by the module that they are of; none of another name.
    takes: tuple[str, ...]
    #: Seconds that it may take.
    limit: float
    #: Seconds by which it begins later, by chance, so that not all hosts begin at once.
    delay: float
    #: What it may do as root.
    capabilities: str = ""
    #: Whether it works on much data: it makes way for others, and does nothing while a deploy holds the host.
    heavy: bool = False
    #: Seconds that it waits for a deploy to end.
    patience: float = 0
    #: Severity of the incident that a failure opens; none is opened without one.
    severity: int | None = None
    #: Whether it looks after the service and after the other jobs.
    watches: bool = False
    #: Whether it starts the application and asks apt and npm, so that no sandbox fits it.
    free: bool = False


#: Names of the jobs that take the steps of a cadence.
CADENCES = ("weekly", "monthly", "quarterly")

JOBS = {
    job.name: job
    for job in (
        Job("backup", "backup", backups.back_up, ("backup", "prune"), 6 * 3600, 900, _ACCOUNTS, True, 5400, 2),
        Job("verify", "verification of backups", backups.verify, ("verify",), 6 * 3600, 1800, _ACCOUNTS, True, 5400, 2),
        Job("escalate", "paging", paging.page, (), 50, 1),
        *(
            Job(
                cadence,
                f"{cadence} maintenance",
                upkeep.job(cadence),
                ("maintenance",),
                12 * 3600,
                1800,
                heavy=True,
                patience=5400,
                severity=3,
                free=True,
            )
            for cadence in CADENCES
        ),
        Job("metrics", "look at host and service", sampling.look, ("metrics",), 50, 1, "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE", watches=True),
    )
}
