# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs modules as processes of their own, forked from one that has loaded them already: see ``support.processes``.

One JSON object a line comes in (``run`` or ``wait``), one goes out. Its children are real processes: they parse their
arguments from a file, print JSON and exit as under Ansible, and can be killed, traced and limited.
"""

from __future__ import annotations

import atexit
import datetime
import importlib
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, sqlite
from support.waiting import HANG

MODULES = ("backup", "backup_info", "backup_restore", "checksum", "storage_cleanup")
#: What Python loads at its first use only. A child may have become a user by then who may not read the interpreter's folder.
LATE = ("_strptime", "concurrent.futures.thread", *(f"encodings.{name}" for name in ("ascii", "cp437", "idna", "latin_1", "utf_8_sig")))
PACKAGE = "ansible_collections.mobius.ops.plugins.modules."
#: What the system is asked for at each step of the work (Python's audit events).
STEPS = (
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.chown",
    "os.utime",
    "os.symlink",
    "os.link",
    "os.setxattr",
    "os.truncate",
    "os.listdir",
    "sqlite3.connect",
    "fcntl.flock",
    "shutil.rmtree",
    "tempfile.mkstemp",
)


def kill_at(event: str, step: int, output: str) -> None:
    """End this process with SIGKILL at one of its steps, or (*event*) at one of that kind; with step 0 write down what they are."""
    made: list[str] = []

    def hook(name: str, _arguments: t.Any) -> None:
        if name == event or (not event and name in STEPS):
            made.append(name)
            if len(made) == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    if not step:
        descriptor = os.open(output + ".steps", os.O_WRONLY | os.O_CREAT)
        atexit.register(lambda: os.write(descriptor, json.dumps(made).encode()))


def stop_at(pattern: str) -> None:
    """Stop this process (SIGSTOP) just before it makes the first file or folder whose name fits."""
    wanted, stopped = re.compile(pattern), False

    def hook(name: str, arguments: tuple[t.Any, ...]) -> None:
        nonlocal stopped
        if stopped or name not in ("open", "os.mkdir") or not isinstance(arguments[0], (str, bytes)):
            return
        if wanted.search(os.path.basename(os.fsdecode(arguments[0]))):
            stopped = True
            os.kill(os.getpid(), signal.SIGSTOP)

    sys.addaudithook(hook)


def child(command: dict[str, t.Any]) -> int:
    """Become the module; the exit status."""
    for number, path in ((1, command["output"]), (2, command["output"] + ".err")):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [command["module"], command["arguments"]]
    if command.get("memory"):
        resource.setrlimit(resource.RLIMIT_AS, (command["memory"],) * 2)
    os.environ.update(command.get("environment", {}))
    time.tzset()
    if command.get("later"):
        now, later = clock.now, datetime.timedelta(seconds=command["later"])
        clock.now = lambda: now() + later
    main = sys.modules[PACKAGE + command["module"]].main
    if command.get("uid"):
        os.setgroups([])
        os.setgid(command["uid"])
        os.setuid(command["uid"])
    if command.get("hold"):
        with open(command["hold"], "rb"):  # a FIFO: goes on when somebody opens its other end
            pass
    if command.get("cpu"):  # its default action ends the process, as SIGKILL does
        signal.setitimer(signal.ITIMER_PROF, command["cpu"])
    if command.get("stop"):
        stop_at(command["stop"])
    if "step" in command:
        kill_at(command.get("event", ""), command["step"], command["output"])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 99
    return 98  # a module leaves by exit_json or fail_json


def run(command: dict[str, t.Any]) -> dict[str, t.Any]:
    """Start a module."""
    pid = os.fork()
    if pid:
        return {"pid": pid}
    status = 97
    try:
        status = child(command)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def wait(command: dict[str, t.Any]) -> dict[str, t.Any]:
    """How a module ended: its exit status, or the number of the signal below zero; nothing while it runs."""
    deadline = time.monotonic() + command["timeout"]
    while True:
        pid, status, usage = os.wait4(command["pid"], os.WNOHANG)
        if pid:
            return {"status": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss * 1024, "cpu": usage.ru_utime + usage.ru_stime}
        if time.monotonic() > deadline:
            return {}
        time.sleep(0.002)


def serve() -> None:
    """Answer commands until there are no more."""
    for name in (*LATE, *(PACKAGE + module for module in MODULES)):
        importlib.import_module(name)
    sqlite.PATIENCE = HANG
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        command = json.loads(line)
        answers.write(json.dumps({"run": run, "wait": wait}[command["do"]](command)) + "\n")


if __name__ == "__main__":
    serve()
