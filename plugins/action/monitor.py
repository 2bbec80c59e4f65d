# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of a watch: it starts the watch on the target, then shows it live until its verdict.

Nothing depends on it: the watch runs on the target, and goes on when this ends.
"""

from __future__ import annotations

import hashlib
import pathlib
import time
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mobius.ops.plugins.module_utils._core import wording

display = Display()
#: Seconds that one call on the target waits for news.
PATIENCE = 10
#: With up to this many hosts, every round is shown. With more, only what is not well: nobody reads hundreds of lines.
FEW = 3
#: Seconds between two tries to ask a watch that does not answer.
RETRY = 5
#: Said once a run, before the first line of a watch: an interrupted controller has no say any more.
DETACH = (
    "Ctrl-C detaches; the watch goes on by itself. See it again: mobius.ops.monitor -e mobius_monitor_attach=true. "
    "End it: mobius.ops.monitor -e mobius_monitor_stop=true."
)
BARS = "▁▂▃▄▅▆▇█"
#: Of the log's levels; what is as it should be has none.
COLORS = {" ERROR ": C.COLOR_ERROR, " WARN ": C.COLOR_WARN, " ends: healthy": C.COLOR_OK}
MEASURED = ("ok", "slow", "partial")


class Round(t.TypedDict):
    """A round in the state of a watch; ``ms`` is the p50 of its slowest check."""

    outcome: str
    ms: float


class Watch(t.TypedDict):
    """The state of a watch."""

    id: str
    recent: list[Round] | None


class Answer(t.TypedDict, total=False):
    """What the module answered; ``offset`` in bytes of the watch's log."""

    failed: bool
    unreachable: bool
    msg: str
    changed: bool
    watch: Watch
    verdict: str | None
    trigger: str | None
    lines: list[str]
    offset: int
    more: bool
    lost: bool


def spark(recent: list[Round], width: int = 20) -> str:
    """The last latencies as bars; ``×`` for a round that failed or could not be measured."""
    shown = recent[-width:]
    highest = max((sample["ms"] for sample in shown if sample["outcome"] in MEASURED), default=0) or 1
    return "".join(
        BARS[min(len(BARS) - 1, int(sample["ms"] / highest * (len(BARS) - 1)))] if sample["outcome"] in MEASURED else "×"
        for sample in shown
    )


class ActionModule(ActionBase):
    """Run the module ``monitor``, again and again when it is to be watched."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: t.Mapping[str, t.Any] | None = None) -> Answer:
        """Start or attach, show, return the verdict."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        state = args.get("state", "watched")
        if state not in ("watched", "followed") or self._task.check_mode:
            return self._module(args, task_vars)
        begun = self._module(args, task_vars) if state == "watched" else None
        result = begun if begun and begun.get("failed") else self._follow(begun, args, task_vars or {})
        if args.get("together") and (result.get("verdict") == "rolled_back" or result.get("lost")):
            self._mark(args["together"]).touch()
        return {**result, "changed": state == "watched"}

    def _mark(self, word: str) -> pathlib.Path:
        """A file that all hosts of this run share on the controller. The one of ``together`` is there when the watch of a host went back
        or was lost."""
        return pathlib.Path(C.DEFAULT_LOCAL_TMP, "mobius-watch-" + hashlib.sha256(word.encode()).hexdigest()[:16])

    def _follow(self, begun: Answer | None, args: t.Mapping[str, t.Any], task_vars: t.Mapping[str, t.Any]) -> Answer:
        """Show the watch until its verdict. When it cannot be asked any more, that says nothing about the release."""
        host, since, result = task_vars["inventory_hostname"], time.monotonic(), begun or {}
        progress = args.get("progress", "auto")
        if progress == "auto":
            progress = "all" if len(task_vars.get("ansible_play_hosts_all", [])) <= FEW else "changes"
        if progress != "none" and not self._mark("told").exists():
            self._mark("told").touch()
            display.display(DETACH)
        while True:
            self._show(host, result, progress)
            if result.get("verdict") and not result.get("more"):
                return result
            if not result.get("verdict") and args.get("together") and self._mark(args["together"]).exists():
                return {**result, "verdict": "elsewhere", "trigger": "the watch of another host went back or was lost"}
            ask: dict[str, object] = {name: args[name] for name in ("root", "watch_id", "offset") if name in args}
            ask.update(patience=0, state="followed")
            if result:
                ask.update(watch_id=result["watch"]["id"], offset=result["offset"], patience=PATIENCE)
            try:
                answer = self._module(ask, task_vars)
            except AnsibleConnectionFailure as error:
                answer = {"failed": True, "unreachable": True, "msg": str(error)}
            if answer.get("failed") and not result and not answer.get("unreachable"):
                return answer  # there is none to follow
            if not answer.get("failed"):
                result, since = answer, time.monotonic()
                continue
            lost = f"the watch cannot be asked ({wording.clean(str(answer.get('msg', 'no reason given')))})"
            display.display(f"[{host}] {lost}; it goes on without us", color=C.COLOR_WARN)  # a warning would wait for the task's end
            result.pop("lines", None)
            if time.monotonic() - since > float(args.get("lost_after", 300)):
                lost += "; look with mobius.ops.monitor -e mobius_monitor_attach=true"
                return {**result, "verdict": "inconclusive", "trigger": lost, "lost": True}
            time.sleep(RETRY)

    def _module(self, args: t.Mapping[str, object], task_vars: t.Mapping[str, object] | None) -> Answer:
        return self._execute_module(module_name="mobius.ops.monitor", module_args=args, task_vars=task_vars)

    def _show(self, host: str, result: Answer, progress: str) -> None:
        lines = [line for line in result.get("lines", []) if progress == "all" or (progress == "changes" and " INFO round " not in line)]
        for number, line in enumerate(lines):
            last = number == len(lines) - 1 and " round " in line
            color = next((color for word, color in COLORS.items() if word in line), None)
            bars = f"  {spark(result['watch']['recent'] or [])}" if last else ""
            display.display(f"[{host}] {wording.clean(line)}{bars}", color=color)
