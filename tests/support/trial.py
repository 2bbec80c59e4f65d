# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A collection with one module that works as long as a test wants, in the background as the backup modules do; and its playbooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

from support.waiting import HANG

ROOT = Path(__file__).resolve().parents[2]

ACTION = '''
from __future__ import annotations
from ansible_collections.mobius.ops.plugins.plugin_utils import background, progress_lines

background.RETRY, background.LOST_AFTER, progress_lines.PACE = 0.2, {lost_after}, ((3600, {pace}),)


class ActionModule(background.BackgroundAction):
    """Work."""
'''

#: Does what ``steps`` say: ``{name, bytes, files, seconds, hold}`` each, waits until there is no file ``hold``, and ends as ``end`` says.
#: A step with its own ``hold`` keeps progressing, but does not end while that file exists.
MODULE = """#!/usr/bin/python
from __future__ import annotations
import os, signal, time
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments, background
from ansible_collections.mobius.ops.plugins.module_utils._target import progress
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError

background.PATIENCE, background.STAY, progress.PERIOD = {patience}, 0.1, 0.05


def run(params, check_mode):
    if params["pid_file"]:
        with open(params["pid_file"], "a") as stream:
            stream.write(f"{os.getpid()}\\n")
    meter = progress.meter(params)
    for step in params["steps"]:
        seconds, size, files = float(step.get("seconds", 0)), int(step.get("bytes", 0)), int(step.get("files", 0))
        meter.phase(step["name"], size, files)
        while step.get("hold") and os.path.exists(step["hold"]):
            meter.add((size - meter.bytes) // 1000, (files - meter.files) // 1000)
            time.sleep(0.02)
        begin, done = time.monotonic(), 0.0
        while done < 1:
            time.sleep(min(0.02, seconds))
            done = min(1.0, (time.monotonic() - begin) / seconds) if seconds else 1.0
            meter.add(int(size * done) - meter.bytes, int(files * done) - meter.files)
    while params["hold"] and os.path.exists(params["hold"]):
        time.sleep(0.02)
    if params["pid_file"]:
        os.rename(params["pid_file"], params["pid_file"] + ".end")
    if params["end"] == "fail":
        error = StateError("the trial", "an end", "another one", "Try again")
        error.facts = {"files": [1, 2]}
        raise error
    if params["end"] == "crash":
        raise RuntimeError("a mistake in the module")
    if params["end"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    # late, as parts of ansible-core are: the module's files must still be there
    from ansible.module_utils.common import network
    result = {"said": params["say"], "check": check_mode, "user": os.getuid(), "cwd": os.getcwd(), "late": network.__name__}
    return True, {**result, "many": "x" * params["many"]}, {"before": "a\\n", "after": "b\\n"}


def main():
    module = AnsibleModule(argument_spec={
        "steps": {"type": "list", "elements": "dict", "default": []}, "end": {"type": "str", "default": "well"},
        "say": {"type": "str"}, "word": {"type": "str", "no_log": True}, "pid_file": {"type": "path"}, "hold": {"type": "path"},
        "many": {"type": "int", "default": 0},
        **arguments.PROGRESS}, supports_check_mode=True)
    module.warn("a warning of the module")
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
"""


#: A local connection that a file can cut: before what is asked for is done (``down``), or once after it (``answer``).
CONNECTION = '''
from __future__ import annotations
import os
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import local

DOCUMENTATION = """
name: cut
short_description: local, and cut by a file
description: Trial.
author: mobius
extends_documentation_fragment: connection_pipelining
"""


class Connection(local.Connection):
    transport = "mobius.trial.cut"

    def exec_command(self, *args, **options):
        try:
            with open(os.environ["TRIAL_CUT"]) as stream:
                how = stream.read()
        except OSError:
            how = ""
        if how == "down":
            raise AnsibleConnectionFailure("the line is cut")
        done = super().exec_command(*args, **options)
        if how == "answer" and b"background" in done[1]:
            os.unlink(os.environ["TRIAL_CUT"])
            raise AnsibleConnectionFailure("the line was cut")
        return done
'''


class Line(t.NamedTuple):
    """A line of output, and when it came, in seconds after the start."""

    at: float
    text: str


class Run:
    """A playbook that runs; its lines are there as they come."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: Path) -> None:
        self._begin = time.monotonic()
        self.lines: list[Line] = []
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(Line(time.monotonic() - self._begin, line.rstrip("\n")))

    def end(self, timeout: float = HANG) -> Run:
        """Wait for its end."""
        self.process.wait(timeout)
        self._reader.join(timeout)
        return self

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return "\n".join(line.text for line in self.lines)

    def progress(self, host: str = "localhost") -> list[Line]:
        """The lines that tell a host's progress."""
        return [line for line in self.lines if line.text.startswith(f"[{host}] ")]


class Trial:
    """Playbooks of one folder, for one task of the trial's module on each host.

    :param patience: seconds that the first call waits for the end.
    :param pace: seconds between two lines.
    """

    def __init__(self, folder: Path, patience: float = 0.3, pace: float = 0.3, lost_after: float = HANG) -> None:
        self.folder, self.jobs, self.cut = folder, folder / "jobs", folder / "cut"
        collection = folder / "collections" / "ansible_collections" / "mobius" / "trial"
        for path, text in (
            ("plugins/modules/work.py", MODULE.replace("{patience}", str(patience))),
            ("plugins/action/work.py", ACTION.format(lost_after=lost_after, pace=pace)),
            ("plugins/connection/cut.py", CONNECTION),
            ("meta/runtime.yml", "requires_ansible: '>=2.16.0'\naction_groups:\n  all: [work]\n"),
            ("galaxy.yml", "namespace: mobius\nname: trial\nversion: 0.0.1\n"),
        ):
            (collection / path).parent.mkdir(parents=True, exist_ok=True)
            (collection / path).write_text(text)

    def start(
        self,
        *options: str,
        hosts: dict[str, dict[str, t.Any]] | None = None,
        task: dict[str, t.Any] | None = None,
        play: dict[str, t.Any] | None = None,
        env: dict[str, str] | None = None,
        variables: dict[str, t.Any] | None = None,
        **work: t.Any,
    ) -> Run:
        """Run the task on every host; *hosts* has each one's options beside those in *work*."""
        hosts = hosts or {"localhost": {}}
        inventory = {
            "all": {
                "vars": {
                    "ansible_connection": "local",
                    "ansible_python_interpreter": sys.executable,
                    "ansible_async_dir": str(self.jobs),
                    **(variables or {}),
                },
                "hosts": {host: {"work": {**work, **own}} for host, own in hosts.items()},
            }
        }
        tasks = [
            {"mobius.trial.work": "{{ work }}", "register": "done", "ignore_errors": True, **(task or {})},
            {
                "ansible.builtin.copy": {"content": "{{ done | to_json }}", "dest": f"{self.folder}/{{{{ inventory_hostname }}}}.done"},
                "check_mode": False,
                "diff": False,
                "become": False,
                "vars": {"ansible_connection": "local"},
            },
        ]
        (self.folder / "hosts.json").write_text(json.dumps(inventory))
        (self.folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, **(play or {}), "tasks": tasks}]))
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.json", "play.yml", *options]
        return Run(
            argv,
            {
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "PYTHONUNBUFFERED": "1",
                "ANSIBLE_STDOUT_CALLBACK": "default",
                "ANSIBLE_COLLECTIONS_PATH": f"{self.folder / 'collections'}:{ROOT / '.build' / 'collections'}",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_INJECT_FACT_VARS": "0",
                "TRIAL_CUT": str(self.cut),
                **(env or {}),
            },
            self.folder,
        )

    def result(self, host: str = "localhost") -> dict[str, t.Any]:
        """What the task left, as the playbook sees it."""
        return json.loads((self.folder / f"{host}.done").read_text())

    def left(self) -> list[str]:
        """What lies in the folder of jobs."""
        return sorted(os.listdir(self.jobs)) if self.jobs.exists() else []
