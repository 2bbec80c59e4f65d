"""Run the collection's playbooks as an operator does, and read their outcome."""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from support import warm

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
#: What playbooks are forked from; the integration tests set it. Demo, benchmarks and systemd hosts run as users run them.
WARM: warm.Warm | None = None


@dataclass
class Result:
    """How a playbook ended: exit status, `set_stats`, everything it printed."""

    status: int
    output: str
    stats: dict[str, t.Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """The word for what came of it."""
        return self.stats.get("mobius_outcome", "none")

    def task(self, name: str) -> str:
        """What was printed of a task whose name begins so; empty when it was not reached."""
        return "".join(re.findall(rf"TASK \[(?:[\w.]+ : )?{re.escape(name)}.*?(?=\n(?:TASK|PLAY) |\Z)", self.output, re.DOTALL))

    def changed(self) -> int:
        """The recap's count of changed tasks, over all hosts."""
        return sum(int(number) for number in re.findall(r"changed=(\d+)", self.output))


class Operator:
    """Runs playbooks of one environment below one root.

    :param settings: extra vars of every run; an operator's inventory holds them otherwise.
    """

    #: Whose processes the playbooks are, with a group of the same number; by default those of who runs the tests. The folder they run in.
    user: int | None = None
    place = ROOT

    def __init__(self, inventory: str, **settings: t.Any) -> None:
        self.inventory = ROOT / "inventories" / inventory
        self.settings = settings
        self.stats_file = tempfile.mkstemp(prefix="mobius-stats-")[1]
        atexit.register(Path(self.stats_file).unlink, missing_ok=True)

    def command(self, playbook: str, *options: str, **extra: t.Any) -> list[str]:
        """The argv of one run."""
        return [
            str(BIN / "ansible-playbook"),
            "-i",
            str(self.inventory),
            f"mobius.ops.{playbook}",
            "--extra-vars",
            json.dumps({**self.settings, **extra}),
            *options,
        ]

    def environment(self) -> dict[str, str]:
        """The environment of a run: the tools of the virtual environment first, and `set_stats` kept."""
        paths = [str(BIN), *[path for path in os.environ["PATH"].split(os.pathsep) if "shims" not in path]]
        return {
            **os.environ,
            "PATH": os.pathsep.join(paths),
            "MOBIUS_STATS_FILE": self.stats_file,
            "ANSIBLE_STDOUT_CALLBACK": os.environ.get("MOBIUS_TEST_OUTPUT", "default"),
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "support" / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "stats_file",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, playbook: str, *options: str, **extra: t.Any) -> subprocess.Popen:
        """A run in a process group of its own, with its own Python on both sides, output in a pipe: one that a test may kill."""
        return subprocess.Popen(
            self.command(playbook, *options, **extra),
            cwd=self.place,
            env=self.environment(),
            text=True,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def fork(self, playbook: str, *options: str, **extra: t.Any) -> subprocess.Popen | warm.Forked:
        """The same, forked from a process that has loaded Ansible, where there is one."""
        if WARM is None:
            return self.start(playbook, *options, **extra)
        extra = {"ansible_python_interpreter": WARM.interpreter(), **extra}
        return WARM.playbook(self.command(playbook, *options, **extra), str(self.place), self.environment(), self.user)

    def run(self, playbook: str, *options: str, show: bool = False, **extra: t.Any) -> Result:
        """One run to its end; with *show*, its output appears line by line."""
        Path(self.stats_file).write_text("{}")
        process = self.fork(playbook, *options, **extra)
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if show:
                    print(line, end="", flush=True)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
        status = process.wait()
        return Result(status, "".join(lines), json.loads(Path(self.stats_file).read_text()))
