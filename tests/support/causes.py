# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What keeps a service from its work, made for real: the application hangs, leaks or crashes, disks are full, renders are stuck.

The tests of the diagnosis and its benchmark make causes with this. It needs the standard library and the collection only, because the
benchmark also runs it on hosts that have nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, processes
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import rules
from ansible_collections.mobius.ops.plugins.module_utils._service import registry
from ansible_collections.mobius.ops.plugins.module_utils._service.node_service import Service
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from support import renders
from support.remains import kill
from support.waiting import HANG, wait_until

#: Another program that listens on a port until it is killed.
_STRANGER = "import socket, sys, time; held = socket.create_server(('127.0.0.1', int(sys.argv[1]))); print(flush=True); time.sleep(1e6)"


class Patient:
    """The service below a root, of which causes make something that is wrong.

    :param headers: what the application wants with each request.
    """

    def __init__(self, root: str, headers: dict[str, str], name: str = "mobius") -> None:
        self.layout, self.headers = Layout(root), headers
        self.service: Service = registry.load(self.layout, name)
        self.port = self.service.port
        #: What ends with the cause.
        self.stack = contextlib.ExitStack()

    @property
    def pid(self) -> int:
        """The process of the application; 0 while there is none."""
        return int(self.service.status()["pid"] or 0)

    @property
    def release(self) -> str:
        """The folder of the release that serves."""
        return os.path.realpath(self.layout.current)

    def fault(self, kind: str, pid: int = 0, **options: t.Any) -> None:
        """Turn a fault of the application on, which looks for one four times a second, and wait until it has seen it.

        :param pid: only the process with this id has it, so that a restart ends it; any process when 0.
        """
        mark = round(random.uniform(0.01, 0.1), 6)  # due at once; it tells this fault from earlier ones in what the application printed
        self.put_fault(kind, after=mark, pid=pid, **options)
        wait_until(lambda: f'"kind":"{kind}","after":{mark},' in self.service.printed(), f"{kind} is turned on")

    def put_fault(self, kind: str, **options: t.Any) -> None:
        """Tell the application to have a fault."""
        path = os.path.join(self.release, "fault.json")
        with open(path + ".new", "w", encoding="utf-8") as stream:
            json.dump({"kind": kind, **options}, stream)
        os.chmod(path + ".new", 0o644)
        os.replace(path + ".new", path)
        self.stack.callback(self.over)

    def over(self) -> None:
        """Turn it off."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.release, "fault.json"))

    def ask(self, path: str) -> None:
        """Send a request that may never be answered, and wait until nothing else is."""
        threading.Thread(target=self.status_of, args=(path, HANG), daemon=True).start()
        wait_until(lambda: not self.answers(), "it hangs")

    def answers(self, timeout: float = 1) -> bool:
        """Whether /health is answered in time."""
        return self.status_of("/health", timeout) == 200

    def status_of(self, path: str, timeout: float, body: dict[str, t.Any] | None = None) -> int:
        """The status of an answer; 0 when none came."""
        return self.request(path, timeout, body)[0]

    def request(self, path: str, timeout: float, body: dict[str, t.Any] | None = None) -> tuple[int, bytes]:
        """Status and body of an answer; 0 when none came."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {**self.headers, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, b""
        except OSError:
            return 0, b""

    def begin_render(self, background: str = "", seconds: int = 600) -> str:
        """Begin a render that takes as long as its clip; its id.

        :param background: the path of a picture, as the application sees it.
        """
        scene = {"id": "scene-0", "durationSec": seconds, **({"background": {"image": background}} if background else {})}
        video = {"resolution": {"width": 320, "height": 180}, "fps": 10}
        config = {"projectId": "p0", "video": video, "timing": {"scenes": [scene]}, "realtime": True}
        status, answer = self.request("/api/render", HANG, {"config": config})
        assert status == 200, f"a render was answered by {status}: {answer[:300]!r}"
        return str(json.loads(answer)["jobId"])

    def ffmpeg(self) -> int:
        """The ffmpeg that works for it, once it does."""
        return int(wait_until(lambda: renders.encoder_of(self.pid), "ffmpeg has opened its clip"))

    def own(self, path: str) -> None:
        """Give a file to the service's user."""
        account = accounts.named(self.service.spec["user"])
        os.chown(path, account.uid, account.gid)

    def cured(self) -> None:
        """End the cause, and what it has left."""
        self.stack.close()


@dataclasses.dataclass(frozen=True)
class Cause:
    """Something that is made wrong."""

    name: str
    #: What the diagnosis calls it; empty when nothing is wrong.
    verdict: str
    #: Makes it wrong; ``cured`` of the patient ends that. The number of the run tells which of several ways is taken.
    make: t.Callable[[Patient, int], None]
    #: How the sentence on what ``mobius_fix`` has done begins; empty when it has to leave that to a person.
    remedy: str = ""
    #: Whether the code of a hung loop is ended, instead of a restart.
    interrupt: bool = False
    #: What the place of a hung loop begins with.
    place: str = ""
    #: Whether it takes a whole processor.
    burns: bool = False
    #: Whether the benchmark makes it as often as was asked for, else a quarter of that.
    often: bool = True


def _endless(kind: str) -> t.Callable[[Patient, int], None]:
    def make(patient: Patient, number: int) -> None:
        patient.fault(kind, patient.pid)
        patient.ask(f"/api/projects?page={number}")

    return make


def _reads(patient: Patient, _number: int) -> None:
    pipe = os.path.join(patient.release, "fault.pipe")
    with contextlib.suppress(FileExistsError):
        os.mkfifo(pipe)
    os.chmod(pipe, 0o644)
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    patient.stack.callback(os.unlink, pipe)
    patient.stack.callback(os.close, held)  # so that a process which still reads gets its end
    patient.fault("read", patient.pid)
    wait_until(lambda: not patient.answers(), "it waits")


def _hangs(patient: Patient, _number: int) -> None:
    patient.fault("hang", patient.pid)
    wait_until(lambda: not patient.answers(), "it waits")


def _stopped(patient: Patient, _number: int) -> None:
    pid = patient.pid
    os.kill(pid, signal.SIGSTOP)
    patient.stack.callback(_go_on, pid)


def _go_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _leaks(patient: Patient, _number: int) -> None:
    wait_until(lambda: processes.age(patient.pid) > rules.STARTS, "it has started long ago")
    patient.fault("leak", patient.pid, max_mb=4000)


def _crashes(patient: Patient, _number: int) -> None:
    pid = patient.pid
    patient.put_fault("crash")
    wait_until(lambda: patient.pid != pid and patient.service.status()["status"] in ("restarting", "failed"), "it crashes")


def _folder(patient: Patient, number: int) -> None:
    """Its mode, its owner, or the folder itself; root as the service's user is stopped by the last only."""
    uploads = patient.layout.component("uploads")
    if os.geteuid() == 0 and accounts.named(patient.service.spec["user"]).uid:
        way = number % 3
        if way == 0:
            os.chmod(uploads, 0o555)
            patient.stack.callback(os.chmod, uploads, 0o750)
            return
        if way == 1:
            os.chown(uploads, 0, 0)
            os.chmod(uploads, 0o755)
            patient.stack.callback(os.chmod, uploads, 0o750)
            patient.stack.callback(patient.own, uploads)
            return
    elif os.geteuid():
        os.chmod(uploads, 0o555)
        patient.stack.callback(os.chmod, uploads, 0o750)
        return
    gone = os.path.join(uploads, ".root")
    os.rename(gone, gone + "-gone")
    patient.stack.callback(_put_back, gone + "-gone", gone)


def _put_back(gone: str, path: str) -> None:
    """Put a folder back, unless the remedy has made a new one: then its files are in that."""
    if not os.path.exists(path):
        os.rename(gone, path)
    else:
        subprocess.run(["rm", "-rf", "--", gone], check=True)


def _fills(patient: Patient, _number: int) -> None:
    filler = os.path.join(patient.layout.root, "filler")
    patient.stack.callback(os.unlink, filler)
    with open(filler, "wb") as stream:
        facts = os.fstatvfs(stream.fileno())
        os.posix_fallocate(stream.fileno(), 0, facts.f_bavail * facts.f_frsize)


def _fills_inodes(patient: Patient, _number: int) -> None:
    folder = os.path.join(patient.layout.root, "fillers")
    os.mkdir(folder)
    patient.stack.callback(subprocess.run, ["rm", "-rf", "--", folder], check=True)
    with contextlib.suppress(OSError):
        for number in range(10**6):
            os.close(os.open(os.path.join(folder, str(number)), os.O_CREAT | os.O_WRONLY))


def _port_taken(patient: Patient, number: int) -> None:
    """Another program has the port of a service that was stopped, or that crashes because of it."""
    patient.service.stop()
    stranger = subprocess.Popen([sys.executable, "-c", _STRANGER, str(patient.port)], stdout=subprocess.PIPE)
    patient.stack.callback(stranger.wait)
    patient.stack.callback(stranger.kill)
    assert stranger.stdout and stranger.stdout.readline() == b"\n", "the other program did not get the port"
    if number % 2:
        patient.service.start()
        wait_until(lambda: patient.service.status()["status"] in ("restarting", "failed"), "it crashes")


def _module_missing(patient: Patient, number: int) -> None:
    """One of its own files, or all of its packages."""
    path = os.path.join(patient.release, *(("src", "api", "ids.js") if number % 2 else ("node_modules",)))
    os.rename(path, path + ".gone")
    patient.stack.callback(os.rename, path + ".gone", path)
    before = patient.service.printed().count("ERR_MODULE_NOT_FOUND")
    os.kill(patient.pid, signal.SIGKILL)
    wait_until(lambda: patient.service.printed().count("ERR_MODULE_NOT_FOUND") > before, "it does not start")


def _files(patient: Patient, _number: int) -> None:
    pid = patient.pid
    patient.fault("files", pid)
    limit = processes.files_limit(pid) or 0
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) >= limit - 2, "it has opened all")


def _job_stuck(patient: Patient, number: int) -> None:
    """The picture of a render is a pipe that nobody opens for writing: ffmpeg waits for that, and does not hear SIGTERM."""
    name = f"stuck-{number}.png"
    pipe = os.path.join(patient.layout.component("uploads"), name)
    with contextlib.suppress(FileExistsError):
        os.mkfifo(pipe)
    os.chmod(pipe, 0o644)
    patient.stack.callback(os.unlink, pipe)
    patient.begin_render(f"src/api/uploads/{name}")
    wait_until(
        lambda: any(processes.waits_in(pid) == "wait_for_partner" for pid in processes.started_by(patient.pid, ["ffmpeg"])), "ffmpeg waits"
    )


def _job_stopped(patient: Patient, _number: int) -> None:
    patient.begin_render()
    pid = patient.ffmpeg()
    os.kill(pid, signal.SIGSTOP)
    patient.stack.callback(_go_on, pid)


def _killed(patient: Patient, number: int) -> None:
    """Somebody has stopped it."""
    patient.service.stop()


def _answers_late(patient: Patient, _number: int) -> None:
    """All answers are late, and those from before are gone from the logs, as these are when it is over."""

    def forget() -> None:
        for log in Path(patient.layout.path("shared", "logs")).glob("*.log"):
            os.truncate(log, 0)

    patient.stack.callback(forget)
    patient.fault("slow", ms=2500)
    forget()
    asked = [threading.Thread(target=patient.status_of, args=("/api/projects", HANG)) for _each in range(20)]
    for each in asked:
        each.start()
    for each in asked:
        each.join()


def _nothing(_patient: Patient, _number: int) -> None:
    """Nothing is wrong."""


def _slowed(patient: Patient, _number: int) -> None:
    """A render that gets a tenth of the time, as by cpulimit."""
    patient.begin_render(seconds=120)
    pid, over = patient.ffmpeg(), threading.Event()

    def slow() -> None:
        with contextlib.suppress(ProcessLookupError):
            while not over.wait(0.01):
                os.kill(pid, signal.SIGSTOP)
                over.wait(0.09)
                os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=slow, daemon=True)
    thread.start()
    patient.stack.callback(thread.join)
    patient.stack.callback(over.set)


def _works(patient: Patient, _number: int) -> None:
    """A render that goes on, and requests all the time."""
    patient.begin_render(seconds=60)
    patient.ffmpeg()
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            patient.status_of("/api/projects", 5)

    asks = threading.Thread(target=ask, daemon=True)
    asks.start()
    patient.stack.callback(asks.join)
    patient.stack.callback(over.set)


_RESTARTED = "mobius"
CAUSES = (
    Cause("hung loop, `for (;;)`", "loop", _endless("loop"), "The code was ended", True, "spin (src/api/faults.js:", True),
    Cause("hung loop, regular expression", "loop", _endless("regex"), "The code was ended", True, "spin (src/api/faults.js:", True),
    Cause("hung loop, restarted", "loop", _endless("loop"), _RESTARTED, place="spin (src/api/faults.js:", burns=True, often=False),
    Cause("blocking read", "blocking_call", _reads, _RESTARTED),
    Cause("blocking wait", "blocking_call", _hangs, _RESTARTED, often=False),
    Cause("process stopped", "stopped", _stopped, "Process ", often=False),
    Cause("leak", "memory", _leaks, _RESTARTED),
    Cause("crash loop", "crash_loop", _crashes),
    Cause("folder not writable", "folder_not_writable", _folder, "Owner and mode were set again"),
    Cause("disk full", "disk_full", _fills),
    Cause("inodes full", "inodes_full", _fills_inodes),
    Cause("port taken", "port_taken", _port_taken),
    Cause("stuck ffmpeg", "job_stuck", _job_stuck, "Ended "),
    Cause("stopped ffmpeg", "job_stopped", _job_stopped, "Ended "),
    Cause("file descriptors exhausted", "files_exhausted", _files, _RESTARTED),
    Cause("dependency missing", "dependency_missing", _module_missing),
    Cause("answers late", "slow", _answers_late, often=False),
    Cause("service not started", "not_running", _killed, _RESTARTED, often=False),
    Cause("nothing", "", _nothing, often=False),
    Cause("nothing, a render and requests", "", _works, often=False),
    Cause("nothing, a render slowed tenfold", "", _slowed, often=False),
)


def recover(patient: Patient) -> None:
    """What a person does when the cause is gone: restart what does not run or answer, and wait for it."""
    patient.cured()
    if patient.pid:
        kill(*processes.started_by(patient.pid, ["ffmpeg"]))
    if patient.service.status()["status"] != "running" or not any(patient.answers(5) for _try in range(3)):
        patient.service.stop()
        patient.service.start()
    wait_until(patient.answers, "the service is well again")
