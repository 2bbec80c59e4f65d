# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of M(mobius.ops.log_report), for mypy: at run time each of them is a dictionary."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._logs.report_types import (
    Answered,
    Client,
    ErrorGroup,
    Explained,
    Period,
    Rates,
    RouteFigures,
    SlowRequest,
    SourceFigures,
    Uploads,
)


class ReadFile(t.TypedDict):
    """A file that was read, and what is wrong with it; empty when nothing is."""

    path: str
    bytes: int
    trouble: str


class Passed(t.TypedDict):
    """A file that was not read, and why."""

    path: str
    why: str


class LogReport(t.TypedDict, total=False):
    """The result: one that failed has no sources. ``report_trouble`` is the controller's, and says why there is no page."""

    message: str
    host: str
    period: Period
    lines: int
    sources: list[SourceFigures]
    errors: list[ErrorGroup]
    error_groups: int
    new_errors: list[str]
    failures: list[Answered]
    routes: list[RouteFigures]
    slowest: list[SlowRequest]
    rates: Rates
    writes: list[Answered]
    clients: list[Client]
    uploads: Uploads
    sampled: bool
    read: list[ReadFile]
    passed: list[Passed]
    explained: dict[str, Explained]
    report: str
    report_trouble: str
