# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs weekly, monthly and quarterly: what the playbook maintenance does, by the same code."""

from __future__ import annotations

import functools
import typing as t

from .._maintenance import run as maintenance_run
from .._maintenance.request import Request
from .._target.layout import Layout
from .ended import Ended, Wanted


def request(cadence: str, wanted: Wanted) -> Request:
    """What a cadence is asked for. :raises InputError: when it cannot be done."""
    return Request.read({**wanted.options["maintenance"], "cadence": cadence, "env": wanted.env, "service": wanted.service})


def take(cadence: str, layout: Layout, wanted: Wanted) -> Ended:
    """Take every step of a cadence. A step that fails has opened its own incident, so the job as such has done its work."""
    report = maintenance_run.run(layout, request(cadence, wanted))
    attention = any(step.status != maintenance_run.DONE for step in report.steps)
    outcome = "steps_failed" if not report.well else "attention_needed" if attention else "all_done"
    return Ended(outcome, " ".join([report.message, *report.warnings]), evidence={"page": report.page} if report.page else {})


def job(cadence: str) -> t.Callable[[Layout, Wanted], Ended]:
    """The job of a cadence."""
    return functools.partial(take, cadence)
