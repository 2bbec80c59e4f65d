# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(ffmpeg_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.filter.status_page import table
from ansible_collections.mobius.ops.plugins.module_utils._core import wording
from ansible_collections.mobius.ops.plugins.module_utils._core.wording import human_size
from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: ffmpeg_page
short_description: Lay out the ffmpeg jobs of a host as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes a table for people of what M(mobius.ops.ffmpeg_job) returned, and says in one word and one sentence what came of it.
positional: _input, program
options:
  _input:
    description: The result of M(mobius.ops.ffmpeg_job), also of one that failed.
    type: dict
    required: true
  program:
    description: The result of M(mobius.ops.ffmpeg_info), also of one that failed or was skipped.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what renders
  ansible.builtin.debug:
    msg: "{{ (ffmpeg_jobs | mobius.ops.ffmpeg_page(ffmpeg_program)).page }}"
"""

RETURN = r"""
_value:
  description:
    - C(page), the text; C(outcome), one word; C(good), whether it is a good one; C(message), a sentence or two; C(names), the names of the
      jobs by what each was found to be, or how it ended.
  type: dict
"""

#: How the playbook may end.
OUTCOMES = ("rendering", "idle", "impaired_now", "drained", "ended", "unhealthy_now", "not_ended")
HEAD = ["job", "verdict", "runs", "CPU", "speed", "writes", "output", "instance", "process"]
_OUTPUT = 44


class File(t.TypedDict):
    """A file that a job writes; ``size`` in bytes."""

    path: str
    size: int


class Job(t.TypedDict):
    """A job that runs; ``age`` in seconds, ``written_per_s`` in bytes, ``speed`` in seconds of output a second."""

    name: str
    pid: int
    verdict: str
    age: float
    cpu_pct: float
    speed: float | None
    written_per_s: int | None
    outputs: list[File]
    port: int
    release: str | None


class Result(t.TypedDict):
    """A file of a job that was ended, and why it cannot be played; empty when it can."""

    path: str
    kept: bool
    error: str


class Ended(t.TypedDict):
    """A job that was ended, in so many ``seconds``."""

    name: str
    pid: int
    how: str
    seconds: float
    results: list[Result]


class Jobs(t.TypedDict, total=False):
    """The result of M(mobius.ops.ffmpeg_job)."""

    jobs: list[Job]
    ended: list[Ended]
    message: str


class Program(t.TypedDict, total=False):
    """The result of M(mobius.ops.ffmpeg_info)."""

    well: bool
    message: str
    version: str
    path: str
    skipped: bool


def row(job: Job) -> list[t.Any]:
    """A line of the table."""
    output = max(job["outputs"], key=lambda one: one["size"], default=None)
    written = None if job["written_per_s"] is None or not job["verdict"] else human_size(job["written_per_s"]) + "/s"
    made = f"{shortened(output['path'])} ({human_size(output['size'])})" if output else None
    return [
        job["name"],
        job["verdict"] or None,
        wording.duration(job["age"]),
        f"{job['cpu_pct']:.0f} %" if job["verdict"] else None,
        None if job["speed"] is None or not job["verdict"] else f"{job['speed']:g}x",
        written,
        made,
        f"{job['port']} {job['release'] or ''}".strip(),
        job["pid"],
    ]


def shortened(path: str) -> str:
    """A path by its end, which tells more."""
    return path if len(path) <= _OUTPUT else "…" + path[-_OUTPUT + 1 :]


def worth(result: Result) -> str:
    """What a file of a job that was ended is worth."""
    said = f"cannot be played ({result['error'].rstrip('.')})" if result["error"] else "can be played"
    return said if result["kept"] else f"{said}; the application has removed it"


def ended_lines(ended: list[Ended]) -> list[str]:
    """What became of jobs that were ended, and of their files."""
    words = {"stopped": "stopped", "killed": "killed", "gone": "had ended before", "runs": "goes on"}
    lines = []
    for job in ended:
        after = f" after {job['seconds']:g} s" if job["seconds"] else ""
        lines.append(f"  {job['name']} ({job['pid']}) {words[job['how']]}{after}")
        lines += [f"    {shortened(one['path'])}: {worth(one)}" for one in job["results"]]
    return lines


def by_verdict(jobs: list[Job], ended: list[Ended]) -> dict[str, list[str]]:
    """The names of jobs by what each was found to be, or how it ended."""
    found: dict[str, list[str]] = {}
    for name, word in [(job["name"], job["how"]) for job in ended] or [(job["name"], job["verdict"] or "found") for job in jobs]:
        found.setdefault(word, []).append(name)
    return found


def verdict(jobs: Jobs, program: Program, names: dict[str, list[str]]) -> tuple[str, bool, str]:
    """Outcome, whether it is good, and what to say."""
    if "message" not in jobs:
        return "not_ended", False, task_result.cause(jobs, "The jobs could not be looked at.")
    looked = bool(program) and not program.get("skipped")
    if looked and not program.get("well"):
        lacks = program.get("message") or task_result.cause(program, "FFmpeg could not be looked at.")
        return "unhealthy_now", False, f"{lacks} {jobs['message']}"
    if "ended" in jobs:
        return "ended", True, jobs["message"]
    if "stuck" in names or "stopped" in names:
        return "impaired_now", True, f"{jobs['message']} End it with -e mobius_ffmpeg_state=killed and mobius_ffmpeg_only."
    if not looked:
        return "drained", True, jobs["message"]
    return ("rendering" if jobs["jobs"] else "idle"), True, f"{jobs['message']} {program.get('message') or ''}".strip()


def ffmpeg_page(jobs: Jobs, program: Program | None = None) -> dict[str, object]:
    """The page, and what comes of it."""
    found, ended = jobs.get("jobs") or [], jobs.get("ended") or []
    names = by_verdict(found, ended)
    outcome, good, message = verdict(jobs, program or {}, names)
    about = program or {}
    lines = [f"FFmpeg: {about['version']} ({about['path']})"] if about.get("version") else []
    lines += ["Jobs", *table(HEAD, [row(job) for job in found])]
    lines += ["Ended", *ended_lines(ended)] if ended else []
    return {"page": "\n".join(lines), "outcome": outcome, "good": good, "message": message, "names": names}


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"ffmpeg_page": ffmpeg_page}
