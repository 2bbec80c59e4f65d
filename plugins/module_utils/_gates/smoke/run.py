# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run of a smoke suite: step after step, every attempt kept."""

from __future__ import annotations

import contextlib
import shutil
import time
import typing as t

from ..._core import wording
from ..._core.errors import OpsError
from ..._observe import probe
from . import steps as smoke_steps
from . import suite
from .smoke_types import Step, Test
from .suite import Settings, State


def perform(steps: list[Step], settings: Settings, state: State | None = None) -> tuple[list[Test], list[str]]:
    """Run planned steps; their tests, and the addresses of what they made.

    :param state: what is known before the first step; the release by default.
    """
    state = state or State.at_first(settings)
    with contextlib.ExitStack() as stack:
        speaks = any(step["kind"] in ("url", "video") for step in steps)
        http = stack.enter_context(probe.session()) if speaks else None
        return [_test(step, state, settings, http) for step in steps], state.made


def _test(step: Step, state: State, settings: Settings, http: t.Any) -> Test:
    """A step to its end: its ``status``, why, and all its attempts."""
    began = time.monotonic()
    test: Test = {
        "name": step["name"],
        "kind": step["kind"],
        "status": "skipped",
        "reason": suite.why_not(step, state, settings),
        "found": "",
        "flaky": False,
        "attempts": [],
    }
    if not test["reason"] and step["kind"] == "video" and not shutil.which(smoke_steps.FFPROBE):
        test["reason"] = f"there is no {smoke_steps.FFPROBE} to look at it; install ffmpeg"
    if not test["reason"]:
        _attempt(test, step, state, settings, http)
    return {**test, "seconds": round(time.monotonic() - began, 3)}


def _attempt(test: Test, step: Step, state: State, settings: Settings, http: t.Any) -> None:
    """Try a step until it passes, is to be skipped, or was tried often enough."""
    while True:
        try:
            one = smoke_steps.KINDS[step["kind"]](step, state, settings, http)
        except OpsError as error:
            one = smoke_steps.sample(step["name"], "error", "step", str(error))
        except ValueError as error:  # an address or a file name that was filled with what an earlier answer gave
            one = smoke_steps.sample(step["name"], "failed", "request", probe.quoted(f"it cannot be sent: {error}", list(settings.secrets)))
        skip, found = one.pop("skip", ""), one.pop("found", "")
        test["attempts"].append(one)
        if one["outcome"] == "ok" or skip or len(test["attempts"]) >= step["attempts"]:
            break
        time.sleep(step["pause"])
    status = "passed" if one["outcome"] == "ok" else "skipped" if skip else "failed"
    reason, found = wording.one_line(skip or one["error"]), wording.one_line(found)
    test["status"], test["reason"], test["found"] = status, reason, found
    test["flaky"] = status == "passed" and len(test["attempts"]) > 1


def counts(tests: list[Test]) -> dict[str, int]:
    """How many tests ended how; a flaky one has passed."""
    return {
        **{status: sum(test["status"] == status for test in tests) for status in ("passed", "failed", "skipped")},
        "flaky": sum(test["flaky"] for test in tests),
    }


def sentence(tests: list[Test]) -> str:
    """What came of a run, in one sentence without its full stop."""
    found = counts(tests)
    parts = [f"{found['passed']} of {len(tests)} tests passed"]
    for status in ("failed", "skipped"):
        told = [f"{test['name']} ({test['reason']})" for test in tests if test["status"] == status]
        parts += [f"{len(told)} {status}: {'; '.join(told)}"] if told else []
    flaky = [test["name"] for test in tests if test["flaky"]]
    return ", ".join(parts + ([f"{len(flaky)} only when tried again: {', '.join(flaky)}"] if flaky else []))
