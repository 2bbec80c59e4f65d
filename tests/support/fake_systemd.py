# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""As much of systemd as units of the collection need, for machines that it has not booted: processes, what is enabled, reboots.

Run as a program, it is ``systemctl`` of a folder.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time

WANTS = "multi-user.target.wants"
TIMERS = "timers.target.wants"

#: Mounts a folder at another place for one program, which is what systemd does for ``BindReadOnlyPaths=``.
UNSHARE = ["unshare", "--mount", "--propagation", "private"]
BIND = 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec "$@"'


class FakeSystemd:
    """The units of a folder, and what runs of them.

    :param folder: ``bin`` has the ``systemctl`` that is to be the first one on the PATH, ``units`` is the folder of the unit files.
    """

    def __init__(self, folder: str) -> None:
        self.units, self.running = os.path.join(folder, "units"), os.path.join(folder, "running")
        self.program = os.path.join(folder, "bin", "systemctl")
        self.folder = folder

    def install(self) -> None:
        """Make the folders and the program."""
        for path in (os.path.join(self.units, WANTS), os.path.join(self.units, TIMERS), self.running, os.path.dirname(self.program)):
            os.makedirs(path)
        with open(self.program, "w", encoding="utf-8") as stream:
            stream.write(f'#!/bin/sh\nexec {sys.executable} -I -S {os.path.abspath(__file__)} {self.folder} "$@"\n')
        os.chmod(self.program, 0o755)

    def enabled(self) -> set[str]:
        """The units that a reboot starts."""
        return set(os.listdir(os.path.join(self.units, WANTS)))

    def files(self) -> set[str]:
        """All unit files."""
        return set(os.listdir(self.units)) - {WANTS, TIMERS}

    def timers(self) -> set[str]:
        """The timers that run, and that a reboot starts."""
        return {unit for unit in os.listdir(os.path.join(self.units, TIMERS)) if os.path.exists(os.path.join(self.running, unit))}

    def reboot(self) -> None:
        """All processes are gone; what is enabled is started."""
        for unit in os.listdir(self.running):
            pid = self.pid(unit)
            if pid:
                os.killpg(pid, signal.SIGKILL)
            os.unlink(os.path.join(self.running, unit))
        for unit in sorted(self.enabled()):
            subprocess.run([self.program, "start", unit], check=True)

    def active(self) -> set[str]:
        """The units of which a process runs."""
        return {unit for unit in os.listdir(self.running) if self.pid(unit)}

    def pid(self, unit: str) -> int:
        """Of a unit that runs; 0 of another one."""
        with contextlib.suppress(OSError, ValueError):
            with open(os.path.join(self.running, unit), encoding="ascii") as stream:
                pid = int(stream.read())
            with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
                return 0 if stream.read().rpartition(")")[2].split()[0] == "Z" else pid
        return 0

    def do(self, verb: str, unit: str) -> None:
        """What systemctl does."""
        if unit.endswith(".timer"):
            self._timer(verb, unit)
            return
        link = os.path.join(self.units, WANTS, unit)
        lines = self._lines(unit) if verb in ("start", "enable") else []
        if verb == "show":
            print(f"ActiveState={'active' if self.pid(unit) else 'inactive'}\nMainPID={self.pid(unit)}\nResult=success")
        elif verb == "start" and not self.pid(unit):
            self._start(unit, lines)
        elif verb == "stop" and self.pid(unit):
            pid = self.pid(unit)
            os.killpg(pid, signal.SIGTERM)
            while self.pid(unit):
                time.sleep(0.01)
        elif verb == "enable" and "[Install]" in lines and not os.path.lexists(link):
            os.symlink(os.path.join(self.units, unit), link)
        elif verb == "disable" and os.path.lexists(link):
            os.unlink(link)

    def _timer(self, verb: str, unit: str) -> None:
        """A timer runs and is enabled, or not; it never elapses."""
        link, runs = os.path.join(self.units, TIMERS, unit), os.path.join(self.running, unit)
        if verb == "show":
            print(f"ActiveState={'active' if os.path.exists(runs) else 'inactive'}\nNextElapseUSecRealtime=Sat 2026-11-28 02:15:00 UTC")
        elif verb in ("start", "restart") and os.path.exists(os.path.join(self.units, unit)):
            with open(runs, "w", encoding="ascii"):
                pass
        elif verb == "enable" and not os.path.lexists(link):
            os.symlink(os.path.join(self.units, unit), link)
        elif verb in ("stop", "disable"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(runs if verb == "stop" else link)

    def _lines(self, unit: str) -> list[str]:
        with open(os.path.join(self.units, unit), encoding="utf-8") as stream:
            return stream.read().splitlines()

    def _start(self, unit: str, lines: list[str]) -> None:
        def values(name: str) -> list[str]:
            return [line.partition("=")[2] for line in lines if line.startswith(name + "=")]

        if not all(map(os.path.exists, values("ConditionPathExists"))):
            return
        environment = dict(shlex.split(value)[0].split("=", 1) for value in values("Environment"))
        argv = [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(values("ExecStart")[0])]
        path = os.pathsep.join([os.path.dirname(self.program), os.environ["PATH"]])
        for pair in values("BindReadOnlyPaths"):
            source, _colon, target = shlex.split(pair)[0].partition(":")
            argv = [*UNSHARE, *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "sh", "-c", BIND, "sh", source, target, *argv]
        process = subprocess.Popen(
            argv,
            cwd=(values("WorkingDirectory") or ["/"])[0],
            env={"PATH": path, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if values("Type") == ["oneshot"]:
            process.wait()
        else:
            with open(os.path.join(self.running, unit), "w", encoding="ascii") as stream:
                stream.write(str(process.pid))


def main() -> None:
    """``systemctl [--options] VERB UNIT …``"""
    words = [word for word in sys.argv[2:] if not word.startswith("--")]
    FakeSystemd(sys.argv[1]).do(words[0], (words + [""])[1])


if __name__ == "__main__":
    main()
