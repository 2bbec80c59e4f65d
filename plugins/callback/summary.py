# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What came of a run, in files for pipelines."""

from __future__ import annotations

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: What came of a run, as JSON and JUnit files for pipelines
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Writes a JSON object with the outcome, its sentence, hosts, release, seconds and facts of a playbook of this collection, and a JUnit
    report of its gates and steps. Both are written when the run begins, as a failure, and again when it ends. So they are there however
    a run ends.
  - The files are named by the extra variables C(mobius_summary_file) and C(mobius_junit_file), or by the environment. Without either,
    nothing is written.
options:
  summary_file:
    description: Path of the JSON file on the controller.
    type: path
    env:
      - name: MOBIUS_SUMMARY_FILE
  junit_file:
    description: Path of the JUnit file on the controller.
    type: path
    env:
      - name: MOBIUS_JUNIT_FILE
requirements:
  - callbacks_enabled = mobius.ops.summary in ansible.cfg, or ANSIBLE_CALLBACKS_ENABLED=mobius.ops.summary
"""

import datetime
import json
import os
import time
import typing as t

from ansible.plugins.callback import CallbackBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.mobius.ops.plugins.plugin_utils import run_summary, step_lines, task_result
from ansible_collections.mobius.ops.plugins.plugin_utils.task_events import parts, step_of


class CallbackModule(CallbackBase):
    """Follows a run, and writes what came of it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mobius.ops.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *words: t.Any, **options: t.Any) -> None:
        super().__init__(*words, **options)
        self._summary = self._junit = ""
        self._steps, self._clock = step_lines.Steps(time.monotonic), time.monotonic()
        self._failures: dict[tuple[str, str], tuple[str, str]] = {}
        self._first, self._ended = "", False

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        """Learn the files' names, and write that the run has failed so far."""
        extra = load_extra_vars(playbook._loader)
        self._summary = str(extra.get("mobius_summary_file") or self.get_option("summary_file") or "")
        self._junit = str(extra.get("mobius_junit_file") or self.get_option("junit_file") or "")
        name = os.path.splitext(os.path.basename(playbook._file_name))[0].removeprefix("mobius.ops.")
        self._run = run_summary.Run(name, datetime.datetime.now(datetime.timezone.utc))
        self._write()

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        """A task begins: maybe another step."""
        for _line in self._steps.begin(step_of(task)):
            pass

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Count it, and keep the rows of a gate."""
        task, host, facts = parts(result)
        self._gates(task, host, facts)
        if step_of(task) == step_lines.OUTCOME:
            self._ended = self._ended or task.action.endswith("debug")
        else:
            self._steps.count(host, "changed" if facts.get("changed") else "ok")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Keep why, unless it is the outcome."""
        task, host, facts = parts(result)
        self._gates(task, host, facts)
        if step_of(task) == step_lines.OUTCOME:
            self._ended = True
        elif not ignore_errors:
            self._failed(host, "failed", f"{task.get_name().rpartition(' : ')[2]}: {task_result.cause(facts)}")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """The same for a host that does not answer."""
        _task, host, facts = parts(result)
        self._failed(host, "error", f"{host} was not reached: {task_result.cause(facts)}")

    def _gates(self, task: t.Any, host: str, facts: t.Mapping[str, object]) -> None:
        rows = run_summary.gates(task.resolved_action or task.action, host, facts)
        again = {(row.group, row.name) for row in rows}  # a deploy makes its checks before the build and after it
        self._run.gates = [row for row in self._run.gates if (row.group, row.name) not in again] + rows

    def _failed(self, host: str, status: str, why: str) -> None:
        self._first = self._first or why
        self._steps.count(host, "failed")
        self._failures.setdefault((self._steps.now, host), (status, why))

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """The end: write what came of it."""
        for _line in self._steps.end():
            pass
        bad = {
            host: "unreachable" if summary["unreachable"] else "failed" if summary["failures"] else "ok"
            for host in sorted(stats.processed)
            for summary in [stats.summarize(host)]
        }
        if len(bad) > 1 and bad.get("localhost") == "ok":  # the controller's own tasks
            del bad["localhost"]
        run, left = self._run, dict(stats.custom.get("_run", {}))
        run.hosts, run.facts, run.seconds = bad, left, time.monotonic() - self._clock
        run.outcome = str(left.get("mobius_outcome") or run.outcome)
        run.good = bool(left.get("mobius_outcome")) and self._ended and all(state == "ok" for state in bad.values())
        run.message = str(left.get("mobius_message") or "") if self._ended or not self._first else self._first
        run.steps = [self._case(step, host) for step in self._steps.done for host in step.verdicts]
        self._write()

    def _case(self, step: step_lines.Step, host: str) -> run_summary.Case:
        status, why = self._failures.get((step.name, host), ("passed", ""))
        return run_summary.Case(f"{step.name.rstrip('…')} [{host}]", status, why, step.took)

    def _write(self) -> None:
        for path, made in ((self._summary, self._as_json), (self._junit, self._run.junit)):
            if path:
                try:
                    run_summary.write(path, made())
                except OSError as error:
                    self._display.warning(f"{path} was not written: {error.strerror}.")

    def _as_json(self) -> bytes:
        return (json.dumps(self._run.summary(), indent=2, ensure_ascii=False, default=str) + "\n").encode()
