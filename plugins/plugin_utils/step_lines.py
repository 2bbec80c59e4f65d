# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the callback C(steps) shows: lines of steps, messages, failures, and the table of a fleet. No Ansible in here."""

from __future__ import annotations

import re
import textwrap
import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

#: Step of each file of tasks, by role, by role and file, or by "playbooks" and file; an empty text belongs to the step before.
#: "…" at the end: it may take long.
STEPS = {
    "playbooks/awx_present": "Apply…",
    "playbooks/awx_absent": "Remove…",
    "app": "Set up…",
    "app/restart": "Restart…",
    "app/stop": "Stop…",
    "backup": "Back up…",
    "backup/restore": "Restore…",
    "backup/drill": "Try a restore…",
    "backup/verify": "Verify…",
    "backup/prune": "",
    "backup/report": "",
    "cleanup": "Clean up…",
    "deploy": "",
    "deploy/preflight": "Check",
    "deploy/checks": "Check",
    "deploy/build": "Build…",
    "deploy/prepare": "Prepare…",
    "deploy/migrate": "Migrate…",
    "deploy/switch": "Switch…",
    "deploy/recover": "Go back…",
    "deploy/finish": "Finish",
    "deploy/force_unlock": "Unlock",
    "diagnose": "Diagnose…",
    "ffmpeg": "Look…",
    "health": "Ask…",
    "incident": "Write it down",
    "incident/list": "Look",
    "logs": "Read…",
    "maintenance": "Maintain…",
    "mobius": "",
    "mobius/outcome": "outcome",
    "monitor": "Watch…",
    "monitor/forks": "Check",
    "monitor/report": "",
    "oncall": "Look",
    "oncall/escalate": "Page…",
    "preflight": "Check",
    "report": "Write the page",
    "respond": "Respond…",
    "respond/page": "Page…",
    "rollback": "",
    "rollback/reach": "Check",
    "rollback/target": "Check",
    "rollback/data": "Restore…",
    "schedule": "Schedule",
    "smoke_test": "Smoke-test…",
    "smoke_test/canary": "",
    "status": "Look",
}
#: The step of tasks whose message is the outcome, which is shown last.
OUTCOME = "outcome"
_PLACE = re.compile(r"/(?:roles/(\w+)|playbooks)/tasks/(\w+)\.yml")
MARKS = {"failed": "✗", "changed": "✓", "ok": "✓"}
#: What says more about a host in a step.
_WEIGHT = ("ok", "changed", "failed")
WIDTH = 100
#: What Ansible adds to a result.
_OURS = frozenset(("changed", "failed", "skipped", "item", "exception", "warnings", "deprecations", "invocation", "diff"))
#: At most so many hosts are named in a line.
NAMED = 4


def step_at(path: str) -> str:
    """The step of a task of this collection, by the file that it is in; empty when it belongs to the step before."""
    found = _PLACE.search(path)
    role, file = (found[1] or "playbooks", found[2]) if found else ("", "")
    return STEPS.get(f"{role}/{file}", STEPS.get(role, ""))


class Line(t.NamedTuple):
    """A line, and what it is about: ``ok``, ``changed``, ``failed`` or ``begins``."""

    kind: str
    text: str


class Step:
    """A step that runs or ran: when it began, the seconds that it took, and the worst of each host in it."""

    def __init__(self, name: str, began: float) -> None:
        self.name, self.began, self.took = name, began, 0.0
        self.verdicts: dict[str, str] = {}

    @property
    def kind(self) -> str:
        """The worst of all hosts."""
        return max(self.verdicts.values(), key=_WEIGHT.index)


class Steps:
    """All steps of a run, in order.

    :param clock: seconds of a clock that does not jump.
    """

    def __init__(self, clock: t.Callable[[], float]) -> None:
        self._clock = clock
        self._now: Step | None = None
        self._done: list[Step] = []

    @property
    def now(self) -> str:
        """The step that runs; empty before the first one."""
        return self._now.name if self._now else ""

    @property
    def done(self) -> list[Step]:
        """The steps that have ended, in order."""
        return self._done

    @property
    def hosts(self) -> list[str]:
        """Every host so far, as it came."""
        steps = [*self._done, *([self._now] if self._now else [])]
        return list(dict.fromkeys(host for step in steps for host in step.verdicts))

    def begin(self, name: str) -> t.Iterator[Line]:
        """A task of a step begins; lines for the end of the one before and for the beginning of a long one."""
        if name in ("", OUTCOME) or (self._now and self._now.name == name):
            return
        yield from self.end()
        self._now = Step(name, self._clock())
        if name.endswith("…"):
            yield Line("begins", f"  {name}")

    def count(self, host: str, verdict: str) -> None:
        """A host did a task: ``ok``, ``changed`` or ``failed``."""
        if self._now:
            before = self._now.verdicts.get(host, "ok")
            self._now.verdicts[host] = max(before, verdict, key=_WEIGHT.index)

    def end(self) -> t.Iterator[Line]:
        """The line of the step that ends, unless no host had anything to do in it."""
        step, self._now = self._now, None
        if step and step.verdicts:
            self._done.append(step)
            step.took = self._clock() - step.began
            title = f"{MARKS[step.kind]} {step.name.rstrip('…')}"
            took = seconds(step.took)
            room = max(20, WIDTH - len(title) - len(took) - 6)
            hosts = named(list(step.verdicts), [host for host, verdict in step.verdicts.items() if verdict == "failed"], room)
            yield Line(step.kind, f"{title:<16}{took:>10}   {hosts}")

    def table(self) -> list[str]:
        """Host by step, for a fleet; none for one host."""
        hosts = self.hosts
        steps = list(dict.fromkeys(step.name.rstrip("…") for step in self._done))
        if len([host for host in hosts if host != "localhost"]) < 2 or not steps:
            return []
        widths = [max(len(name), 1) for name in steps]
        first = max(len(host) for host in hosts)
        lines = ["", "  ".join([" " * first, *[f"{name:<{width}}" for name, width in zip(steps, widths)]]).rstrip()]
        for host in sorted(hosts, key=_numbered):
            marks = [MARKS.get(self._verdict(host, name), "·") for name in steps]
            lines.append("  ".join([f"{host:<{first}}", *[f"{mark:<{width}}" for mark, width in zip(marks, widths)]]).rstrip())
        return lines

    def _verdict(self, host: str, name: str) -> str:
        found = [step.verdicts[host] for step in self._done if step.name.rstrip("…") == name and host in step.verdicts]
        return max(found, key=_WEIGHT.index, default="")


def _numbered(host: str) -> list[tuple[int, str]]:
    """For a sorted list in which web2 comes before web10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", host)]


def named(hosts: list[str], first: list[str], room: int) -> str:
    """Hosts as a line may name them, the ones that matter first: all of a few, or some and a number."""
    order = [*first, *[host for host in hosts if host not in first]]
    text = ", ".join(order)
    if len(order) <= NAMED and len(text) <= room:
        return text
    return f"{len(order)} hosts" + (f", {len(first)} failed: {', '.join(first[:NAMED])}" if first else "")


def seconds(value: float) -> str:
    """``0.4 s``, ``12 s`` or ``3 min 05 s``."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"


def said(facts: t.Mapping[str, object]) -> list[str]:
    """What a task of ``debug`` says: its message or its variable, of a loop that of each item."""
    items = facts.get("results")
    if isinstance(items, list):
        return [text for item in items for text in said(item)]
    if "msg" in facts:
        return [task_result.text_of(facts["msg"])]
    return [
        f"{name}: {task_result.text_of(value)}"
        for name, value in facts.items()
        if not name.startswith(("_", "ansible_")) and name not in _OURS
    ]


def message(text: str, hosts: list[str], of: list[str]) -> str:
    """What a task said, with its hosts where not all of them say it."""
    who = "" if len(set(hosts)) >= len(set(of)) else f"[{named(hosts, [], WIDTH)}] "
    return textwrap.indent(who + text.rstrip(), "  ")
