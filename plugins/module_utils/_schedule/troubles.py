# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Incidents of what a host finds by itself: one for each cause, whose people are paged at once."""

from __future__ import annotations

import contextlib
import typing as t

from .._core.errors import OpsError
from .._incidents import opening
from .._target import incidents
from .._target.layout import Layout
from .._target.releases import ReleaseStore
from .ended import Trouble, Wanted

#: The causes of incidents of jobs that did not do their work; the playbooks of the same jobs use them too.
CAUSES = {"backup": "backup", "verify": "verify backups"}


def open_once(layout: Layout, wanted: Wanted, trouble: Trouble) -> tuple[str, bool]:
    """The id of the open incident of a cause, and whether people have not heard of it yet."""
    there = incidents.open_of_cause(layout, wanted.env, trouble.cause)
    if there:
        return str(there["id"]), False
    release = None
    with contextlib.suppress(OpsError):
        release = ReleaseStore(layout).live()
    return str(
        opening.open_incident(
            layout,
            {
                "title": trouble.title,
                "severity": trouble.severity,
                "env": wanted.env,
                "release": release,
                "summary": trouble.summary,
                "cause": trouble.cause,
                "evidence": dict(trouble.evidence),
            },
        )["id"]
    ), True


def over(layout: Layout, wanted: Wanted, gone: str, why: str) -> list[str]:
    """Resolve the open incident of a cause that is measured to be gone, unless a person has taken it; its id, or nothing."""
    return incidents.settle(layout, wanted.env, gone, why, worst=1)


def cause(job: str) -> str:
    """The cause of incidents of a job that did not do its work."""
    return CAUSES.get(job, job)


def of_failure(job: str, title: str, severity: int, message: str, evidence: t.Mapping[str, t.Any]) -> Trouble:
    """The trouble of a job that did not do its work."""
    return Trouble(cause(job), severity, f"The scheduled {title}", message, evidence)
