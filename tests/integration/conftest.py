"""A site: the sample application below a root of its own, run by the real playbooks on this machine."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import typing as t
from pathlib import Path

import pytest
from support.application import Client, make_source
from support.playbooks import ROOT, Operator, Result
from support.waiting import wait_until, when

#: What a running application writes all the time; everything else below a root must stay as it is when nothing changes.
RESTLESS = ("shared/logs/", "shared/data/")
#: The folder of the deploy lock: a run that is refused had the lock and gave it back. Its time tells that; what is in it counts.
LOCK = "state/lock"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How thorough the kills of deploys are."""
    parser.addoption("--kills", type=int, default=3, metavar="N", help="random moments at which deploys are killed")
    parser.addoption("--failures", type=int, default=3, metavar="N", help="how many deploys fail in a row")
    parser.addoption("--kill-chance", default="2026", metavar="TEXT", help="what the random moments hang on")


def free_port() -> int:
    """A TCP port that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Site:
    """One root with its operator; windows of seconds."""

    artifacts = ROOT / ".build" / "artifacts"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "mobius"
        self.port = free_port()
        self.outputs: list[str] = []
        self.operator = Operator(
            "local", mobius_root=str(self.root), mobius_port=self.port, mobius_artifact_store=str(self.artifacts),
            mobius_watch_duration="3", mobius_watch_interval="0.5", mobius_watch_retry_interval="0.2",
            mobius_rollback_watch_duration=0, mobius_check_timeout=2, mobius_ready_timeout=20, mobius_min_free_mb=100)

    def play(self, playbook: str, *options: str, **extra: t.Any) -> Result:
        """Run a playbook to its end."""
        result = self.operator.run(playbook, *options, **extra)
        self.outputs.append(result.output)
        return result

    def source(self, version: str, fault: dict[str, t.Any] | None = None) -> Path:
        """The source of a version, made when it is not there yet."""
        folder = self.folder / f"source-{version}"
        return folder if folder.exists() else make_source(folder, version, fault)

    def deploy(self, version: str, *options: str, fault: dict[str, t.Any] | None = None, **extra: t.Any) -> Result:
        """Deploy a version."""
        return self.play("deploy", *options, mobius_release_source=str(self.source(version, fault)), mobius_version=version, **extra)

    def deployed(self, *versions: str) -> Site:
        """Set up, and deploy versions one after the other."""
        assert self.play("setup").outcome == "set_up", self.outputs[-1]
        for version in versions:
            assert self.deploy(version).outcome == "deployed", self.outputs[-1]
        return self

    @contextlib.contextmanager
    def spoiled(self, **fault: t.Any) -> t.Iterator[None]:
        """The release that comes into service within the block turns bad once its watch has found it well.

        :param fault: the fault of the sample application, by default that its health check fails.
        """
        good, before = self.live(), len(self.watch_logs())

        def watched() -> bool:
            logs = self.watch_logs()
            return self.live() != good and len(logs) > before and "round 1 ok" in logs[-1].read_text()

        def spoil() -> None:
            (self.root / "current" / "fault.json").write_text(json.dumps({"kind": "health", **fault}))

        with when(watched, spoil):
            yield

    def client(self) -> Client:
        """A user of the application."""
        return Client(self.port, self.secret())

    @staticmethod
    def secret() -> str:
        """The key that the application was given."""
        return (ROOT / ".build" / "secrets" / "local").read_text().split()[0]

    def service(self) -> dict[str, t.Any]:
        """What the supervisor has on disk."""
        return json.loads((self.root / "state" / "service" / "mobius" / "status.json").read_text())

    def live(self) -> str:
        """The id of the live release."""
        return os.path.basename(os.readlink(self.root / "current"))

    def record(self, release_id: str) -> dict[str, t.Any]:
        """A release's record."""
        return json.loads((self.root / "releases" / release_id / ".release.json").read_text())

    def history(self) -> list[dict[str, t.Any]]:
        """Every event."""
        return [json.loads(line) for line in (self.root / "state" / "history.jsonl").read_text().splitlines()]

    def incidents(self) -> list[dict[str, t.Any]]:
        """Every incident."""
        return [json.loads(path.read_text()) for path in sorted((self.root / "incidents").glob("*.json"))]

    def watch_logs(self) -> list[Path]:
        """What the watches have written, oldest first."""
        return sorted((self.root / "monitor_logs").glob("monitor-*.log"))

    def tree(self) -> dict[str, tuple]:
        """Everything below the root but what a running application writes: path -> (mode, size, time, link)."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if not name.startswith(RESTLESS):
                status = path.lstat()
                changed = status.st_mtime_ns if name != LOCK else 0
                found[name] = (status.st_mode, status.st_size, changed, os.readlink(path) if path.is_symlink() else "")
        return found

    def processes(self) -> list[int]:
        """Processes that run inside the root, or were started for it."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (str(self.root) in os.readlink(entry / "cwd")
                                             or str(self.root).encode() in (entry / "cmdline").read_bytes()):
                    found.append(int(entry.name))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]

    def close(self) -> None:
        """Stop everything; what does not stop by itself is a failure, and is killed."""
        if (self.root / "state" / "service").exists():
            self.play("stop")
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not left, f"processes {left} outlived the stop playbook"


@pytest.fixture(name="free_port")
def _free_port() -> t.Callable[[], int]:
    return free_port


@pytest.fixture(scope="module")
def new_site() -> t.Iterator[t.Callable[[Path], Site]]:
    """Makes sites below given folders; closed after the tests of the file."""
    made = []

    def make(folder: Path) -> Site:
        made.append(Site(folder))
        return made[-1]
    yield make
    for site in made:
        site.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    """A new site for the tests of one file."""
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


@pytest.fixture
def eventually() -> t.Callable[..., t.Any]:
    """Wait for a condition as long as playbooks and services take."""
    return wait_until


def says(result: Result, sentence: str) -> bool:
    """Whether a run's output has a sentence, however its lines were folded."""
    return " ".join(sentence.split()) in " ".join(result.output.split())


@pytest.fixture(name="says")
def _says() -> t.Callable[[Result, str], bool]:
    return says


@pytest.fixture(params=["exclusive", "shared"])
def proxied(request, new_site, tmp_path, free_port):
    """A site behind a proxy, with a first release of one instance that was there before."""
    site = new_site(tmp_path / "site")
    site.folder.mkdir()
    site.state = request.param
    site.operator.settings["mobius_service_environment"] = {
        "MOBIUS_STORE": "json" if site.state == "exclusive" else "sqlite", "CORS_ORIGINS": "*"}
    site.deployed("v1")
    public = free_port()
    site.operator.settings.update(mobius_proxy_port=public, mobius_standby_port=free_port(), mobius_state=site.state)
    site.port = public  # for its clients
    return site
