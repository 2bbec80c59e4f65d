# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of the attack tests: what an attacker wants (decoys), the attacker (a real second user), and the host that is attacked.

A host's operations are modules that run as processes, of this checkout or of the one that ``MOBIUS_ATTACK_CHECKOUT`` names.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pwd
import resource
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import typing as t
from pathlib import Path

from support.ports import free_ports
from support.waiting import HANG

HERE = Path(__file__).resolve().parents[2]
#: The checkout whose modules run.
CHECKOUT = Path(os.environ.get("MOBIUS_ATTACK_CHECKOUT") or HERE).resolve()
#: Who the service runs as, and who attacks.
USER = "nobody"
#: What runs the service: this collection's own supervisor, or systemd on a host of its own (molecule/attack).
MANAGER = os.environ.get("MOBIUS_ATTACK_MANAGER") or "process"
#: The attacker's program, where no compiler is.
PROGRAM = os.environ.get("MOBIUS_ATTACK_PROGRAM")
#: Answers ``/health`` with its release's id. It works on no file that an attacker can change.
APP = """\
import json, os, socket
with open(".release.json") as stream:
    release = json.load(stream)["id"]
print("serving", release, flush=True)
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    client, _ = server.accept()
    with client:
        client.recv(65536)
        body = json.dumps({"status": "ok", "release": release}).encode()
        client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % len(body) + body)
"""

#: Bytes of memory that an operation needs at most, whatever lies there.
MEMORY = 300 << 20
#: What plants one thing in place of each name: ``plant(folder, kind, decoy, names…)``.
PLANT = """
import os, socket, sys, time
folder, kind, decoy, *names = sys.argv[1:]
os.chdir(folder)
for name in names:
    new = ".new." + name
    if kind == "pipe":
        os.mkfifo(new)
    elif kind in ("link", "device"):
        os.symlink(decoy if kind == "link" else "/dev/zero", new)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(new)
    elif kind == "folder":
        os.makedirs(new + "/a" * 300)
        open(new + "/file", "w").close()
    elif kind == "own":
        with open(new, "w") as stream:
            stream.write("live 1\\n")
    else:
        with open(new, "wb") as stream:
            stream.truncate(100 * 10**9)
    if os.path.lexists(name):
        os.rename(name, ".old.%s.%d" % (name, time.time_ns()))
    os.rename(new, name)
"""


class Decoys:
    """Files outside of the service's folders that no operation may change, read, run or delete.

    :param folder: of root; other users may look into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret_text = "decoy-that-only-root-reads-7b1e"
        folder.mkdir(mode=0o755)
        self.secret = self._file("secret", f"{self.secret_text}\n", 0o600)
        self.plain = self._file("plain", "a file of root\n", 0o644)
        self.large = self._file("large", "x" * 300_000, 0o600)
        #: Leaves :attr:`trace` behind when root runs it.
        self.script = self._file("script", f"#!/bin/sh\ntouch {folder}/ran\n", 0o755)
        self.inner = folder / "folder"
        self.inner.mkdir(mode=0o700)
        self._file("folder/file", f"{self.secret_text} as well\n", 0o600)
        self.trace = folder / "ran"
        self._before = self.facts()

    def _file(self, name: str, text: str, mode: int) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def facts(self) -> dict[str, t.Any]:
        """Type, mode, owner, links, times but the access time, and content of everything there."""
        found = {}
        for path in [self.folder, *sorted(self.folder.rglob("*"))]:
            status = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
            found[str(path.relative_to(self.folder))] = (
                oct(status.st_mode),
                status.st_uid,
                status.st_gid,
                status.st_ino,
                status.st_nlink,
                status.st_mtime_ns,
                status.st_ctime_ns,
                content,
            )
        return found

    def require_unharmed(self) -> None:
        """The test fails when something was done to them."""
        assert self.facts() == self._before

    def require_unread(self, *texts: str) -> None:
        """The test fails when their content is in one of these."""
        assert not any(self.secret_text in text for text in texts)


class Attacker:
    """Processes of the service's user, which end with the test.

    :param folder: of root, where other users may look.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        entry = pwd.getpwnam(USER)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        self._processes: list[subprocess.Popen[str]] = []
        self._program = Path(PROGRAM) if PROGRAM else folder / "exchange"
        if not PROGRAM:
            subprocess.run(["gcc", "-O2", "-o", self._program, HERE / "tests" / "attack" / "exchange.c"], check=True)

    def start(self, *command: t.Any, **how: t.Any) -> subprocess.Popen[str]:
        """A program as the service's user."""
        account = {"user": self.uid, "group": self.gid, "extra_groups": []}
        process = subprocess.Popen([str(word) for word in command], cwd="/", text=True, **account, **how)
        self._processes.append(process)
        return process

    def python(self, code: str, *words: t.Any, **how: t.Any) -> subprocess.Popen[str]:
        """A Python program as the service's user."""
        return self.start("/usr/bin/python3", "-c", code, *words, **how)

    def does(self, code: str, *words: t.Any) -> str:
        """Run a Python program as the service's user to its end; what it printed."""
        process = self.python(code, *words, stdout=subprocess.PIPE)
        text, _ = process.communicate(timeout=HANG)
        assert process.returncode == 0
        return text

    @contextlib.contextmanager
    def exchanging(self, *pairs: tuple[t.Any, t.Any]) -> t.Iterator[t.Callable[[], int]]:
        """While the block runs, each pair of names is exchanged as fast as can be. It gets what tells how often that was tried.

        Names that are not there (yet) do not count; those in a folder that the user may not write to do. At the end each name stands
        for what it stood for at the beginning.
        """
        counter = self._folder / f"counter-{len(self._processes)}"
        counter.write_bytes(bytes(16))
        os.chown(counter, self.uid, self.gid)
        process = self.start(self._program, counter, *(name for pair in pairs for name in pair))

        def count() -> int:
            assert process.poll() is None, f"the attacker ended: {process.returncode}"
            return sum(struct.unpack("QQ", counter.read_bytes()))

        try:
            yield count
        finally:
            self.end(process)

    def end(self, process: subprocess.Popen[str]) -> None:
        """End one of its processes."""
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def end_all(self) -> None:
        """End all that were started."""
        for process in self._processes:
            if process.poll() is None:
                self.end(process)


class Done(t.NamedTuple):
    """How a module ended."""

    status: int
    result: dict[str, t.Any]
    output: str
    #: The most memory that it had, in bytes.
    peak: int

    def good(self) -> dict[str, t.Any]:
        """Its result; the test fails when it did not succeed."""
        assert self.status == 0 and not self.result.get("failed"), self.output[-3000:]
        return self.result

    def settled(self) -> Done:
        """The test fails when it ended in another way than with a result or a sentence."""
        assert self.result and "Traceback" not in self.output and "exception" not in self.result, self.output[-3000:]
        return self


class Target:
    """A host of the service, set up by the modules of a checkout.

    :param folder: of root; other users may look into it.
    :param options: of ``node_service``.
    """

    def __init__(self, folder: Path, proxied: bool = False, **options: t.Any) -> None:
        self.folder, self.root = folder, folder / "mobius"
        self.port, standby, self.public = free_ports(3)
        if not proxied:
            self.public = self.port
        collections = folder / "collections" / "ansible_collections" / "mobius"
        collections.mkdir(parents=True)
        (collections / "ops").symlink_to(CHECKOUT)
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(folder / "collections"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),
        }
        self.definition: dict[str, t.Any] = {
            "name": "mobius",
            "manager": MANAGER,
            "command": ["/usr/bin/python3", "app.py"],
            "port": self.port,
            "user": USER,
            "stop_timeout": 2,
            "restart_delay": 0.2,
            "restart_limit": 100,
            "drain_timeout": HANG,
            **({"proxy_port": self.public, "standby_port": standby} if proxied else {}),
            **options,
        }
        self.checks = [
            {
                "name": "health",
                "url": f"http://127.0.0.1:{self.public}/health",
                "timeout": HANG,
                "json": ["status == 'ok'", "release == '{release}'"],
            }
        ]
        self.last: Done | None = None
        #: Everything that modules printed.
        self.printed: list[str] = []

    def definition_ports(self) -> list[int]:
        """The ports of the instances."""
        return [self.definition[name] for name in ("port", "standby_port") if name in self.definition]

    def path(self, *parts: str) -> Path:
        """A path below the root."""
        return self.root.joinpath(*parts)

    def shared(self, *parts: str) -> Path:
        """A path below the shared folders."""
        return self.path("shared", *parts)

    def module(self, module: str, /, timeout: float = HANG, **options: t.Any) -> Done:
        """Run a module of the checkout to its end; one that hangs is killed and fails the test."""
        arguments = self.folder / f"arguments-{time.monotonic_ns()}.json"
        options = {"root": str(self.root), **options, "_ansible_remote_tmp": str(self.folder)}
        arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
        command = [sys.executable, str(CHECKOUT / "plugins" / "modules" / f"{module}.py"), str(arguments)]
        with open(arguments.with_suffix(".out"), "w+b") as output:
            process = subprocess.Popen(
                command, env=self._environment, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
            status, peak = _reaped(process, timeout, f"{module} {options.get('state', '')}")
            output.seek(0)
            text = output.read(20_000_000).decode("utf-8", "replace")
        self.printed.append(text)
        self.last = Done(status, _result(text), text, peak)
        return self.last

    def layout(self) -> Done:
        """The folders, as setup makes them."""
        return self.module("layout", owner=USER)

    def define(self, state: str = "present", **options: t.Any) -> Done:
        """The service's definition, as setup makes it."""
        checks = {"checks": self.checks} if state != "present" else {}
        return self.module("node_service", state=state, **{**self.definition, **options, **checks})

    def setup(self) -> None:
        """Make the host ready; nothing serves yet."""
        self.layout().good()
        self.define().good()

    def prepare(self, release_id: str, files: dict[str, str] | None = None) -> Done:
        """Unpack a release of the application."""
        path = self.folder / f"{release_id}.tar.gz"
        sha256 = _artifact(path, {"app.py": APP, "package.json": "{}", **(files or {})})
        return self.module("release", state="prepared", release_id=release_id, version=release_id, artifact=str(path), sha256=sha256)

    def activate(self, release_id: str) -> Done:
        """Let a release serve."""
        return self.module("release", state="active", release_id=release_id, service="mobius", checks=self.checks, ready_timeout=HANG)

    def mark(self, release_id: str, status: str) -> Done:
        """Mark a release."""
        return self.module("release", state=status, release_id=release_id)

    def deploy(self, release_id: str) -> None:
        """A release that serves, and that a rollback may go to."""
        self.prepare(release_id).good()
        self.activate(release_id).good()
        self.mark(release_id, "verified").good()

    def roll_back(self, release_id: str | None = None) -> Done:
        """Go back."""
        return self.module(
            "release",
            state="rolled_back",
            service="mobius",
            checks=self.checks,
            ready_timeout=HANG,
            why="a test",
            **({"release_id": release_id} if release_id else {}),
        )


def remove_units(folder: Path, units: Path = Path("/etc/systemd/system")) -> None:
    """Stop and remove every unit of systemd that names a folder; none is there unless systemd runs the service."""
    mine = [path.name for path in units.glob("mobius*") if path.is_file() and str(folder) in path.read_text(encoding="utf-8")]
    if mine:
        subprocess.run(["systemctl", "disable", "--now", "--quiet", *mine], check=True)
        for name in mine:
            (units / name).unlink(missing_ok=True)
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        subprocess.run(["systemctl", "reset-failed", "--quiet", "mobius*"], check=False)


def _reaped(process: subprocess.Popen[bytes], timeout: float, what: str) -> tuple[int, int]:
    deadline = time.monotonic() + timeout
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            # What it has used itself is known only when that is more than this process, whose memory it had before its own.
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return process.returncode, usage.ru_maxrss * 1024 if usage.ru_maxrss > own else 0
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"{what} did not end within {timeout} s")
        time.sleep(0.01)


def _result(text: str) -> dict[str, t.Any]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return {}


def _artifact(path: Path, files: dict[str, str]) -> str:
    """An artifact of the format that all checkouts know; its SHA-256."""
    listed = {
        name: {"type": "file", "sha256": hashlib.sha256(text.encode()).hexdigest(), "size": len(text.encode()), "mode": "0644"}
        for name, text in files.items()
    }
    manifest = {
        "schema": 1,
        "name": "mobius",
        "version": "1",
        "created": "2026-01-01T00:00:00Z",
        "source": "test",
        "digest": "d" * 64,
        "files": listed,
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {"MANIFEST.json": json.dumps(manifest), **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()
