# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps of a smoke suite and what came of them, for mypy: at run time each of them is a dictionary. Times are in seconds, but ``ms``."""

from __future__ import annotations

import typing as t

from ..._service.write_attempts import Finding
from ..._target.record_types import Check


class Upload(t.TypedDict):
    """A file that a step uploads as a form; without a text it is a picture."""

    field: str
    filename: str
    type: str
    text: str | None
    form: dict[str, object]


class Step(t.TypedDict, total=False):
    """A step in its full form (``_gates.smoke.suite.plan``); which fields it has follows from its kind."""

    name: str
    kind: str
    safe: bool
    attempts: int
    pause: float
    cleanup: bool
    needs: list[str]
    #: Name in braces -> the step that captures it.
    sources: dict[str, str]
    url: str
    video: str
    file: str
    program: str
    disk: str
    check: Check
    method: str
    key_header: str
    secret_headers: dict[str, str]
    body: object
    upload: Upload | None
    capture: dict[str, str]
    repeat_until: str
    give_up_when: str
    interval: float
    limit: float
    skip_unless: str
    same_as: str
    made: list[str]
    codecs: list[str]
    min_seconds: float | None
    max_seconds: float | None
    min_bytes: int
    max_bytes: int
    min_version: str
    version_argument: str
    min_free_mb: float | None
    max_used_pct: float | None


class _Attempt(t.TypedDict):
    check: str
    outcome: str
    kind: str
    status: int | None
    ms: float | None
    error: str
    evidence: str


class Attempt(_Attempt, total=False):
    """One attempt of a step: a probe's sample, or the same of a step that is no request; what it found, and why the step is skipped."""

    certificate_days: float | None
    attempts: int
    earlier: list[str]
    found: str
    skip: str


class _Test(t.TypedDict):
    name: str
    kind: str
    status: str
    reason: str
    found: str
    flaky: bool
    attempts: list[Attempt]


class Test(_Test, total=False):
    """A step to its end."""

    seconds: float


class _SmokeReport(t.TypedDict):
    passed: bool
    counts: dict[str, int]
    tests: list[Test]
    summary: str
    started: str
    began: float
    elapsed: float
    base_url: str
    release: str
    env: str
    removed: list[str]
    left: dict[str, str]


class SmokeReport(_SmokeReport, total=False):
    """A run of a suite; ``began`` in seconds since 1970, ``left`` has why an address that was made stays."""

    write_attempts: list[Finding]


class Video(t.TypedDict, total=False):
    """What is in a video; nothing when it cannot be played."""

    codecs: list[str]
    seconds: float


class _Canary(t.TypedDict):
    created: str
    values: dict[str, object]
    uploaded: dict[str, str]


class Canary(_Canary, total=False):
    """What is known of the data that was left to be looked for."""

    release: str | None
