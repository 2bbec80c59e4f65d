# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which worker runs which test: those of a file that is marked with ``xdist_group`` together, all others one by one, the long ones first.

A pytest plugin; ``tests/conftest.py`` loads it. pytest-xdist's own ``--dist loadgroup`` finds no group with pytest 9.2.
"""

from __future__ import annotations

import functools
import typing as t
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent.parent
#: Folders of tests, those with the longest tests first.
STAGES = ("integration", "traffic", "attack", "faults", "fuzz", "unit")


@functools.cache
def stays_together(path: str) -> bool:
    """Whether the tests of a file share what is costly to make."""
    return "xdist_group(" in (ROOT / path).read_text(encoding="utf-8")


class Scheduling(LoadScopeScheduling):
    """Gives whole files, or single tests, to workers that are free."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if stays_together(path) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> Scheduling:
    """Give xdist the order in which tests are handed out."""
    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the stages with long tests first; within a stage the order stays random."""

    def place(item: pytest.Item) -> int:
        return next((number for number, stage in enumerate(STAGES) if item.nodeid.startswith(f"tests/{stage}/")), len(STAGES))

    items.sort(key=place)
