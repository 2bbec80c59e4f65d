# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep a Node service running where there is no systemd: started again when it ends, its state on disk.

It runs detached (``_service.detach``), holds a lock on its folder for as long as it lives, and writes ``status.json`` there
at every change. The service's secrets are read from its ``.env`` and passed by environment only.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
import typing as t

from .._core import accounts, clock, commands, dotenv, foreign, fs, locks, processes
from .._core.errors import StateError
from .._target import app_path, records
from .._target.record_types import ServiceSpec, Supervised

POLL = 0.1


def environment(spec: ServiceSpec) -> dict[str, str]:
    """A service's whole environment: a few basic variables, its ``.env``, its own settings."""
    env = {key: os.environ[key] for key in ("PATH", "LANG", "TZ", "HOME") if key in os.environ}
    return {**env, **dotenv.read(spec["env_file"]), **spec["environment"]}


def account(user: str | None) -> dict[str, t.Any]:
    """``Popen`` arguments to run as a user; none when this process runs as that user already. :raises InputError: when there is none."""
    if not user or pwd.getpwuid(os.getuid()).pw_name == user:
        return {}
    entry = accounts.entry(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Supervisor:
    """Runs one service until it is told to stop, or until it crashes too often.

    :param folder: where ``spec.json`` is and ``status.json`` goes.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.spec: ServiceSpec = records.read(os.path.join(folder, "spec.json"), records.SERVICE)
        self.status: Supervised = {"state": "starting", "restarts": 0, "last_exit": None, "pid": None}
        self.exits: list[float] = []
        self.stopping = False

    def run(self) -> None:
        """Until the end; the lock tells others that the supervisor lives."""
        with open(os.path.join(self.folder, "lock"), "a", encoding="ascii") as lock:
            if not locks.taken(lock):
                return
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self.write(supervisor_pid=os.getpid(), supervisor_ticks=processes.start_ticks(os.getpid()), console_from=self._printed())
            while not self.stopping:
                code = self.run_once()
                if not self.stopping and not self.may_restart(code):
                    return
            self.write(state="stopped", pid=None)

    def _printed(self) -> int:
        """Bytes that the console log has already: of what was started before."""
        with contextlib.suppress(OSError):
            return os.lstat(self.spec["console_log"]).st_size
        return 0

    def _stop(self, _number: int, _frame: t.Any) -> None:
        self.stopping = True

    def write(self, **facts: t.Any) -> None:
        """Add facts to the status and put it on disk."""
        self.status.update(t.cast(Supervised, facts))
        with contextlib.suppress(OSError):  # on a full disk the service runs on, told or not
            fs.write_json(os.path.join(self.folder, "status.json"), self.status)

    def run_once(self) -> int:
        """Start the service and wait for its end (or end it, when this is to stop); its exit code."""
        with self._console() as console:
            try:
                child = self._start(console)
            except (OSError, StateError) as error:
                console.write(f"{clock.iso()} cannot start {self.spec['command'][0]}: {error}\n".encode("utf-8", "replace"))
                return 127
        ticks = processes.start_ticks(child.pid)
        self.write(state="running", pid=child.pid, ticks=ticks, started=clock.iso())
        while not self.stopping:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=POLL)
        return self.end(child)

    def _console(self) -> t.BinaryIO:
        """The service's log. Nothing is kept when the service's user puts something else in its place as fast as it is removed."""
        try:
            return foreign.append_stream(self.spec["console_log"])
        except (FileExistsError, foreign.NotRegularError):
            return open(os.devnull, "ab")

    def _start(self, console: t.BinaryIO) -> subprocess.Popen[bytes]:
        spec, user, app = self.spec, account(self.spec.get("user")), self.spec.get("app") or ""
        release, way = os.path.realpath(spec["working_dir"]), app_path.way(spec)
        self.status["app_path"] = way
        if way == app_path.BOUND:
            return commands.start(spec["command"], "/", environment(spec), console, preexec_fn=lambda: app_path.enter(release, app, user))
        if way == app_path.LINKED:
            app_path.link(release, app)
        return commands.start(spec["command"], app if way == app_path.LINKED else release, environment(spec), console, **user)

    def end(self, child: subprocess.Popen) -> int:
        """SIGTERM to the service, SIGKILL after ``stop_timeout``, and SIGKILL to what it left behind."""
        child.terminate()
        try:
            child.wait(timeout=self.spec["stop_timeout"])
        except subprocess.TimeoutExpired:
            child.kill()
        code = child.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        return code

    def may_restart(self, code: int) -> bool:
        """Note how the service ended, then wait for the restart delay; false when it crashes too often."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.status["pid"]:
                os.killpg(self.status["pid"], signal.SIGKILL)
        moment = time.monotonic()
        self.exits = [at for at in self.exits if moment - at < self.spec["restart_window"]] + [moment]
        failed = len(self.exits) > self.spec["restart_limit"]
        self.write(
            state="failed" if failed else "restarting",
            pid=None,
            last_exit={"when": clock.iso(), "how": processes.exit_text(code)},
            restarts=self.status["restarts"] + (0 if failed else 1),
        )
        deadline = moment + self.spec["restart_delay"]
        while not failed and not self.stopping and time.monotonic() < deadline:
            time.sleep(POLL)
        return not failed


def main() -> None:
    """``python -m …supervisor FOLDER``"""
    Supervisor(sys.argv[1]).run()


if __name__ == "__main__":
    main()
