# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of modules whose work may be long: they work in the background of the target, and are shown live.

One call of the module begins the work, and has its result when it is quick. Otherwise further calls look how it goes on, see
the util ``_ansible.background``.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import shlex
import time
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mobius.ops.plugins.module_utils._core import causes, wording
from ansible_collections.mobius.ops.plugins.module_utils._target.record_types import Phase
from ansible_collections.mobius.ops.plugins.plugin_utils.progress_lines import SELDOM, Lines, pause

display = Display()
#: Seconds between two tries to ask a target that does not answer, and after which it is given up.
RETRY = 5
LOST_AFTER = 300
#: Options that the module has for this plugin only.
INTERNAL = ("progress_file", "progress_wait")


class Work(t.TypedDict, total=False):
    """Work in the background of a target: the path of its record, its phases, and whether it has ended."""

    record: str
    phases: list[Phase]
    ended: bool


class Answer(t.TypedDict, total=False):
    """What of the module's answer is read here."""

    failed: bool
    changed: bool
    msg: str
    module_stderr: str
    invocation: dict[str, object] | None
    background: Work


class BackgroundAction(ActionBase):
    """Run the module that has the action's name."""

    _requires_connection = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: t.Mapping[str, object] | None = None) -> Answer:
        """Begin, show, return the result of the module."""
        super().run(tmp, task_vars)
        self._vars = task_vars or {}
        args = dict(self._task.args)
        if self._task.async_val or args.get("progress", "all") != "all":
            without = {name: value for name, value in args.items() if name not in INTERNAL}
            return self._module(without, wrap_async=bool(self._task.async_val and not self._connection.has_native_async))
        folder = self.get_shell_option("async_dir", default="~/.ansible_async")
        args.setdefault("progress_file", f"{folder}/mobius.ops-{secrets.token_hex(8)}.json")
        return self._plain(self._follow(args, self._begin(args)))

    def _begin(self, args: dict[str, object]) -> Answer:
        """The first answer. A connection that breaks before it is made once more, to look whether the work has begun."""
        try:
            return self._module(args)
        except AnsibleConnectionFailure:
            try:
                answer = self._module({**args, "progress_wait": 0})
            except AnsibleConnectionFailure:
                answer = {}
            if answer.get("background", {}).get("record"):
                return answer
            raise

    def _follow(self, args: dict[str, object], answer: Answer) -> Answer:
        """Show the work until it ends; its result."""
        lines, begin = Lines(), time.monotonic()
        while _goes_on(answer):
            work = answer["background"]
            self._show(lines.of(work["phases"]))
            answer = self._ask({**args, "progress_file": work["record"], "progress_wait": pause(time.monotonic() - begin)})
        about = answer.pop("background", None)
        if about:
            self._show(lines.end(about["phases"], bool(answer.get("failed"))))
            self._remove(about.get("record"))
        return answer

    def _ask(self, args: dict[str, object]) -> Answer:
        """How far the work is, or its result. When the target cannot be asked, that says nothing about the work."""
        since, told = time.monotonic(), -math.inf
        while True:
            try:
                answer = self._module(args)
            except AnsibleConnectionFailure as error:
                answer = {"msg": str(error)}
            if answer.get("background"):
                return answer
            reason = wording.clean(causes.cause(str(answer.get("module_stderr") or answer.get("msg") or "no reason given")))
            if time.monotonic() - since > LOST_AFTER:
                return {"failed": True, "changed": True, "msg": self._lost(str(args["progress_file"]), reason)}
            if time.monotonic() - told > SELDOM:
                told = time.monotonic()  # no display.warning: newer cores keep it until the task has ended
                display.display(
                    f"{self._label()}: the target cannot be asked ({reason}); the work goes on there, it is asked again", color=C.COLOR_WARN
                )
            time.sleep(RETRY)

    def _lost(self, record: str, reason: str) -> str:
        return (
            f"{self._label()}: expected an answer within {LOST_AFTER} s, found none ({reason}). The work goes on on the target: its "
            f"record is {record}, its result {record}.out. Wait for its end before you run this again."
        )

    def _module(self, args: t.Mapping[str, object], **options: t.Any) -> Answer:
        _package, namespace, collection, *_plugins, name = type(self).__module__.split(".")
        return self._execute_module(module_name=f"{namespace}.{collection}.{name}", module_args=dict(args), task_vars=self._vars, **options)

    def _remove(self, record: str | None) -> None:
        """Remove what lies on the target; what cannot be removed now is removed by other work in a week."""
        if record:
            paths = " ".join(shlex.quote(record + suffix) for suffix in ("", ".out", ".err", ".tmp"))
            with contextlib.suppress(AnsibleConnectionFailure):
                self._low_level_execute_command(f"rm -f {paths}")

    def _plain(self, answer: Answer) -> Answer:
        """The result as the module gives it that was called in the plain way."""
        given = (answer.get("invocation") or {}).get("module_args")
        if isinstance(given, dict):
            given.update({name: None for name in INTERNAL if name in given})
        return answer

    def _label(self) -> str:
        return f"[{self._vars.get('inventory_hostname', '?')}] {type(self).__module__.rpartition('.')[2]}"

    def _show(self, lines: list[str]) -> None:
        for line in lines:
            display.display(f"{self._label()}: {wording.clean(line)}")


def _goes_on(answer: Answer) -> bool:
    return bool(answer.get("background")) and not answer["background"].get("ended")
