# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of the tests says of itself: a table of its stages, why tests were left out, and short failures whose whole text is kept.

A pytest plugin; ``tests/conftest.py`` loads it.
"""

from __future__ import annotations

import collections
import os
import re
import shutil
import typing as t
from pathlib import Path

import pytest

FAILED = Path(__file__).resolve().parent.parent.parent / ".build" / "failed"
#: Lines of a failure that are shown of its beginning and of its end, when it has more.
HEAD, TAIL = 30, 30


def stage_of(nodeid: str) -> str:
    """The folder below ``tests``, such as ``unit``."""
    parts = nodeid.split("::")[0].split("/")
    return parts[1] if parts[0] == "tests" and len(parts) > 2 else parts[0]


def shorten(lines: list[str], path: Path) -> list[str]:
    """The beginning and the end of a long text that is in a file."""
    if len(lines) <= HEAD + TAIL:
        return lines
    return [*lines[:HEAD], f"... {len(lines) - HEAD - TAIL} lines more, see {os.path.relpath(path)} ...", *lines[-TAIL:]]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget the failures of earlier runs."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(FAILED, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the failure of a test in a file, and shorten what is shown of it."""
    report = yield
    if report.failed and report.longrepr is not None:
        name = re.sub(r"[^\w.-]+", "_", item.nodeid.removeprefix("tests/"))[:150]
        path = FAILED / f"{name}.{report.when}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{report.longrepr}\n")
        for traceback, _crash, _text in getattr(report.longrepr, "chain", []):
            for entry in traceback.reprentries:
                entry.lines = shorten(entry.lines, path)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of stages, and the reasons of what was skipped."""
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    seconds: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[tuple[str, str]] = collections.Counter()
    for outcome in ("passed", "failed", "error", "skipped", "xfailed", "xpassed"):
        for report in terminalreporter.stats.get(outcome, []):
            if not isinstance(report, pytest.TestReport):
                continue
            stage = stage_of(report.nodeid)
            table[stage][outcome] += 1
            if outcome == "skipped":
                reasons[stage, report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)] += 1
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[stage_of(report.nodeid)] += report.duration
    if table:
        terminalreporter.section("stages")
        terminalreporter.write_line(f"{'stage':<14}{'passed':>8}{'failed':>8}{'skipped':>9}{'test seconds':>14}")
        for stage in sorted(table):
            found = table[stage]
            terminalreporter.write_line(
                f"{stage:<14}{found['passed']:>8}{found['failed'] + found['error']:>8}{found['skipped']:>9}{seconds[stage]:>14.0f}"
            )
        for (stage, reason), count in sorted(reasons.items()):
            terminalreporter.write_line(f"skipped in {stage}, {count}: {reason.removeprefix('Skipped: ')}")
        if FAILED.is_dir():
            terminalreporter.write_line(f"failures in full: {os.path.relpath(FAILED)}")
