# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Data that one release leaves behind, and that every later one must still show.

A release can answer every check and yet show none of what users stored before: MOBIUS keeps the absolute paths of images, and
lists only those below its folder. So a picture is stored once by the ways that users have, and looked for after every switch.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..._core import clock, fs
from ..._target import history, records
from ..._target.layout import Layout
from . import run, suite
from .smoke_types import Canary, Step, Test
from .suite import Settings, State

#: Components whose older state may not have it.
STORED = ("database", "uploads", "generated")


class Plan(t.NamedTuple):
    """The two suites, in full form (``_gates.smoke.suite``): one that leaves it, and one that looks for it."""

    leave: list[Step]
    look: list[Step]


def plan(leave: list[Step], look: list[Step], settings: Settings) -> Plan:
    """:raises InputError: for a mistake in a step; nothing was sent then."""
    left = suite.plan(leave, settings)
    return Plan(left, suite.plan(look, settings, before=left))


def _path(layout: Layout) -> str:
    return layout.path("state", "canary.json")


def read(layout: Layout) -> Canary | None:
    """What is known of the one that was left: ``created``, ``release``, ``values``, ``uploaded``; ``None`` when there is none."""
    record: Canary | None = records.read(_path(layout), records.CANARY)
    return record


def leave(layout: Layout, steps: Plan, settings: Settings) -> list[Test]:
    """Store the data, and note what it is known by when all of that went well; the tests."""
    state = State.at_first(settings)
    tests, _made = run.perform(steps.leave, settings, state)
    if all(test["status"] == "passed" for test in tests):
        fs.write_json(
            _path(layout), {"created": clock.iso(), "release": settings.release, "values": state.values, "uploaded": state.uploaded}, 0o600
        )
        history.record(layout, "canary", "left to be looked for after every switch", release=settings.release)
    return tests


def look(record: Canary, steps: Plan, settings: Settings) -> list[Test]:
    """Look for the data that was left; the tests."""
    state = State(values={**record["values"], "release": settings.release}, uploaded=dict(record["uploaded"]))
    return run.perform(steps.look, settings, state)[0]


def forget(layout: Layout) -> None:
    """Nothing is looked for any more, until something is left anew."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(layout))


def after_restore(layout: Layout, components: t.Collection[str], made: str | None) -> None:
    """Data of before the canary does not have it.

    :param made: when the restored archive was made (ISO 8601), where that is known.
    """
    record = read(layout)
    if record and set(components) & set(STORED) and (made is None or made <= record["created"]):
        forget(layout)
