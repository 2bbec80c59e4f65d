# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The output of the playbooks: a line a step, and the outcome last."""

from __future__ import annotations

DOCUMENTATION = r"""
name: steps
type: stdout
short_description: One timed line a step, and the outcome last
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Shows each step of a playbook of this collection as one line with its hosts and its time, messages as they are, failures at once,
    a table of hosts and steps for a fleet, and as the last line what came of it. Live lines of builds, backups and watches appear too.
  - The step of a task is what the variable C(mobius_step) of the task, its block or its include says, or else its file in the collection.
    A step whose name ends in C(…) is announced when it begins. Tasks of other collections are steps of their own.
  - What Ansible's default callback would print goes into a file. With C(-v) it is shown instead, and differences are shown with C(--diff).
extends_documentation_fragment:
  - ansible.builtin.default_callback
  - ansible.builtin.result_format_callback
options:
  log_folder:
    description: Folder of the files with everything that a run has printed. The newest 50 are kept, readable for their owner only.
    type: path
    default: ~/.ansible/mobius-ops
    env:
      - name: MOBIUS_LOG_FOLDER
    ini:
      - section: callback_mobius_steps
        key: log_folder
requirements:
  - stdout_callback = mobius.ops.steps in ansible.cfg
"""

import contextlib
import datetime
import os
import tempfile
import time
import typing as t

from ansible import constants as C
from ansible import context
from ansible.plugins.callback.default import CallbackModule as Default

from ansible_collections.mobius.ops.plugins.plugin_utils import step_lines, task_result
from ansible_collections.mobius.ops.plugins.plugin_utils.task_events import parts, step_of

KEPT = 50
#: Actions that do nothing on a host.
_QUIET = frozenset(
    f"{prefix}{name}" for prefix in ("", "ansible.builtin.") for name in ("include_tasks", "include_role", "set_fact", "set_stats")
)


class Recorder:
    """A display that writes into a file, and to the screen as well when it is asked to; all else is the screen's."""

    def __init__(self, screen: t.Any, stream: t.TextIO | None) -> None:
        self._screen, self._stream = screen, stream

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._screen, name)

    def display(self, msg: str, *args: t.Any, **words: t.Any) -> None:
        """Keep a message."""
        if self._stream:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"{msg}\n")
        if self._screen.verbosity:
            self._screen.display(msg, *args, **words)

    def _error(self, error: t.Any, stderr: bool = False) -> None:
        """Keep what newer cores tell of a failed task besides its result, with its traceback."""
        event = getattr(error, "event", None)
        told = [getattr(event, "msg", str(error)), getattr(event, "formatted_traceback", None)]
        self.display("[ERROR]: " + "\n".join(str(text) for text in told if text))

    def banner(self, msg: str, *_args: t.Any, **_words: t.Any) -> None:
        """Keep a heading."""
        self.display(f"\n{msg} {'*' * max(3, 79 - len(msg))}")


class CallbackModule(Default):
    """The default callback writes into the file; this one shows steps."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "mobius.ops.steps"

    def __init__(self) -> None:
        super().__init__()
        self._screen = self._display  # type: ignore[has-type]
        self._log = ""
        self._steps = step_lines.Steps(time.monotonic)
        self._said: dict[str, list[str]] = {}
        self._failure, self._ended = "", False
        self._begun = time.monotonic()

    def _show(self, text: str, color: str | None = None) -> None:
        if not self._screen.verbosity:
            self._screen.display(text, color=color)

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        """Open the file."""
        name = os.path.splitext(os.path.basename(playbook._file_name))[0]
        self._display = Recorder(self._screen, self._opened(name))
        super().v2_playbook_on_start(playbook)
        check = " (check mode: nothing is changed)" if context.CLIARGS.get("check") else ""
        self._show(f"{name}{check}", C.COLOR_HIGHLIGHT)

    def _opened(self, name: str) -> t.TextIO | None:
        folder = os.path.expanduser(self.get_option("log_folder"))
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            old = sorted(entry for entry in os.listdir(folder) if entry.endswith(".log"))
            for entry in old[: max(0, len(old) - KEPT + 1)]:
                os.unlink(os.path.join(folder, entry))
            stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            descriptor, self._log = tempfile.mkstemp(".log", f"{stamp}-{name}-", folder)
            return os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", buffering=1)
        except OSError as error:
            self._screen.warning(f"The output of this run is not kept: {folder}: {error.strerror}.")
            return None

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        """A task begins: maybe another step."""
        super().v2_playbook_on_task_start(task, is_conditional)
        self._tell()
        self._lines(self._steps.begin(step_of(task)))

    def _lines(self, lines: t.Iterable[step_lines.Line]) -> None:
        for line in lines:
            self._show(line.text, {"failed": C.COLOR_ERROR, "changed": C.COLOR_CHANGED, "ok": C.COLOR_OK}.get(line.kind, C.COLOR_VERBOSE))

    def _tell(self) -> None:
        """Show what a task said, once for all hosts that it said it on."""
        everybody = [*self._steps.hosts, *(host for hosts in self._said.values() for host in hosts)]
        for text, hosts in self._said.items():
            self._show(step_lines.message(text, hosts, everybody))
        self._said = {}

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Count it, and keep what it says."""
        task, host, facts = parts(result)
        super().v2_runner_on_ok(result)
        if task.action in _QUIET:
            return
        if task.action in ("debug", "ansible.builtin.debug"):
            if step_of(task) == step_lines.OUTCOME:
                self._ended = True
            else:
                for text in step_lines.said(facts):
                    self._said.setdefault(text, []).append(host)
            return
        self._steps.count(host, "changed" if facts.get("changed") else "ok")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Show it at once, unless it is the outcome."""
        task, host, facts = parts(result)
        super().v2_runner_on_failed(result, ignore_errors)
        if step_of(task) == step_lines.OUTCOME:
            self._ended = True
        elif not ignore_errors:
            self._failed(task, host, task_result.cause(facts))

    def _failed(self, task: t.Any, host: str, why: str) -> None:
        self._failure = self._failure or why
        self._steps.count(host, "failed")
        self._show(f"  ✗ {task.get_name().rpartition(' : ')[2]} [{host}]: {why}", C.COLOR_ERROR)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """The same for a host that does not answer."""
        task, host, facts = parts(result)
        super().v2_runner_on_unreachable(result)
        self._failed(task, host, f"not reached: {task_result.cause(facts)}")

    def v2_on_file_diff(self, result: t.Any) -> None:
        """Differences are asked for, so they are shown."""
        kept, self._display = self._display, Recorder(self._screen, None) if self._screen.verbosity else self._screen
        try:
            super().v2_on_file_diff(result)
        finally:
            self._display = kept

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """The last step, the table of a fleet, the file, the outcome."""
        super().v2_playbook_on_stats(stats)
        self._tell()
        self._lines(self._steps.end())
        for line in self._steps.table():
            self._show(line)
        took = step_lines.seconds(time.monotonic() - self._begun)
        self._show(f"{took}; everything that was printed: {self._log}" if self._log else took, C.COLOR_VERBOSE)
        left = stats.custom.get("_run", {})
        bad = any(stats.summarize(host)["failures"] or stats.summarize(host)["unreachable"] for host in stats.processed)
        if left.get("mobius_outcome"):  # a run that failed before it could say its outcome ends with its first failure
            why = left.get("mobius_message", "") if self._ended or not self._failure else self._failure
            self._show(f"{left['mobius_outcome'].upper()}: {why}".strip(), C.COLOR_ERROR if bad else C.COLOR_OK)
