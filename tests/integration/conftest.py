"""A site: the sample application below a root of its own, run by the real playbooks on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import string
import typing as t
from pathlib import Path

import pytest
from support import playbooks, templates, warm
from support.application import Client, make_source
from support.fleet import Fleet
from support.playbooks import ROOT, Operator, Result
from support.ports import free_port
from support.remains import kill
from support.waiting import HANG, wait_until, when

from ansible_collections.mobius.ops.plugins.module_utils._core import processes as core_processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts as deploy_artifacts
from ansible_collections.mobius.ops.plugins.module_utils._deploy import build

#: They need an earlier version of the collection, and an environment with ansible-rulebook.
_NEEDS = {"test_upgrade.py": "MOBIUS_OLD", "test_events.py": "MOBIUS_EVENTS"}
collect_ignore = [name for name, needs in _NEEDS.items() if not os.environ.get(needs)]
#: What a running application writes all the time; everything else below a root must stay as it is when nothing changes.
RESTLESS = ("shared/logs/", "shared/data/")
#: The folder of the deploy lock: a run that is refused had the lock and gave it back. Its time tells that; what is in it counts.
LOCK = "state/lock"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How thorough the kills of deploys are."""
    parser.addoption("--kills", type=int, default=3, metavar="N", help="random moments at which deploys are killed")
    parser.addoption("--failures", type=int, default=3, metavar="N", help="how many deploys fail in a row")
    parser.addoption("--kill-chance", default="2026", metavar="TEXT", help="what the random moments hang on")


#: Neither a slow machine nor its full disk makes a site unwell.
THRESHOLDS = {"response_time_ms": [20_000, 20_000], "disk_pct": [100, 100], "inodes_pct": [100, 100]}


class Site:
    """One root with its operator; windows of seconds."""

    artifacts = ROOT / ".build" / "artifacts"
    #: Where sites are made that others are copies of.
    templates: t.ClassVar[Path]
    #: Settings for a deploy whose release the watch finds bad: a watch that goes on to its end is a hang.
    guarded: t.ClassVar[dict[str, t.Any]] = {"mobius_watch_duration": "900", "mobius_failure_threshold": "3"}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "mobius"
        self.port = free_port()
        self.outputs: list[str] = []
        self.first = ""
        self.operator = Operator(
            "local",
            mobius_root=str(self.root),
            mobius_port=self.port,
            mobius_artifact_store=str(self.artifacts),
            # a good deploy's watch ends after a second, and one good round is enough however slow the machine is
            mobius_watch_duration="1",
            mobius_watch_interval="0.5",
            mobius_watch_retry_interval="0.2",
            mobius_failure_threshold=1,
            mobius_watch_requests=5,
            mobius_watch_latency_floor_ms=60_000,
            mobius_thresholds=THRESHOLDS,
            mobius_drain_quiet=0,
            mobius_rollback_watch_duration=0,
            mobius_check_timeout=20,
            mobius_ready_timeout=int(HANG),
            mobius_smoke_timeout=60,
            mobius_min_free_mb=100,
        )

    def play(self, playbook: str, *options: str, **extra: t.Any) -> Result:
        """Run a playbook to its end."""
        result = self.operator.run(playbook, *options, **extra)
        self.outputs.append(result.output)
        return result

    def source(self, version: str, fault: dict[str, t.Any] | None = None) -> Path:
        """The source of a version, made when it is not there yet."""
        folder = self.folder / f"source-{version}"
        return folder if folder.exists() else make_source(folder, version, fault)

    def artifact(self, version: str) -> Path:
        """Where the artifact of a version is, once it was built."""
        source = self.source(version)
        return self.artifacts / f"{build.release_id(version, deploy_artifacts.source_digest(str(source)))}.tar.gz"

    def deploy(self, version: str, *options: str, fault: dict[str, t.Any] | None = None, **extra: t.Any) -> Result:
        """Deploy a version."""
        return self.play("deploy", *options, mobius_release_source=str(self.source(version, fault)), mobius_version=version, **extra)

    def deployed(self, *versions: str) -> Site:
        """Set up, and deploy versions one after the other: a copy of a site with the same settings, which playbooks have made once."""
        templates.deployed(self.templates, self.operator.settings, versions, lambda folder: self._built(folder, versions), self.folder)
        return self

    def _built(self, folder: Path, versions: tuple[str, ...]) -> None:
        made = Site(folder)
        made.operator.settings = {**self.operator.settings, **{name: made.operator.settings[name] for name in templates.OWN}}
        assert made.play("setup").outcome == "set_up", made.outputs[-1]
        for version in versions:
            assert made.deploy(version).outcome == "deployed", made.outputs[-1]

    @contextlib.contextmanager
    def spoiled(self, **fault: t.Any) -> t.Iterator[None]:
        """The release that a deploy within the block puts into service turns bad, once its watch is all that the deploy waits for.

        By then it was found well, it has passed the smoke tests, and the deploy has given its lock back.

        :param fault: the fault of the sample application, by default that its health check fails.
        """
        good, before = self.live(), len(self.watch_logs())

        def watched() -> bool:
            logs = self.watch_logs()
            return (
                self.live() != good
                and len(logs) > before
                and "round 1 ok" in logs[-1].read_text()
                and not (self.root / LOCK / "deploy.json").exists()
            )

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
                if entry.name.isdigit() and (
                    str(self.root) in os.readlink(entry / "cwd") or str(self.root).encode() in (entry / "cmdline").read_bytes()
                ):
                    found.append(int(entry.name))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]

    def leaks(self) -> list[str]:
        """Where the secret is that must be nowhere: in what was printed, in logs, incidents, reports and state."""
        secret = self.secret()
        found = [f"output {number}" for number, output in enumerate(self.outputs) if secret in output]
        for folder in ("monitor_logs", "incidents", "reports", "state", "shared/logs"):
            found += [str(path) for path in (self.root / folder).rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
        return found

    def close(self) -> None:
        """Stop everything; what does not stop by itself is a failure, and is killed."""
        with contextlib.suppress(OpsError):  # nothing was set up
            templates.stop(self.folder)
        left, leaks = self.processes(), self.leaks()
        commands = [" ".join(core_processes.command_line(pid).split())[-200:] for pid in left]
        kill(*left)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not left, f"processes {left} outlived the stop: {commands}"
        assert not leaks, f"the secret is in {leaks}"


@contextlib.contextmanager
def opened(folder: Path) -> t.Iterator[Site]:
    """A site below a folder of its own, closed in any case."""
    folder.mkdir(exist_ok=True)
    made = Site(folder)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> t.Iterator[None]:
    """The same environment whoever runs the tests, and wherever: locale, umask, settings of Ansible, git and Node.js."""
    umask = os.umask(0o022)
    kept = ("MOBIUS_TEST_", "NODE_EXTRA_CA_CERTS")  # the latter lets npm reach its registry on some machines
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            sets = name.startswith(("ANSIBLE_", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX", "NODE_", "LC_", "MOBIUS_"))
            if sets and not name.startswith(kept):
                patch.delenv(name)
        patch.setenv("LANG", "C.UTF-8")
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, ",".join(filter(None, [os.environ.get(name, ""), "127.0.0.1", "localhost"])))
        yield
    os.umask(umask)


@pytest.fixture(scope="session")
def _common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what all workers of a run share, removed as pytest removes its temporary folders."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def _warm(_surroundings: None, _common: Path) -> None:
    """Playbooks fork from a loaded Ansible, once the environment is the one that they see."""
    playbooks.WARM = None if warm.COLD else warm.Warm(str(_common / "warm"))


@pytest.fixture(scope="session", autouse=True)
def _templates(_common: Path) -> None:
    """The place for sites that others are copies of."""
    Site.templates = _common / "templates"


@pytest.fixture(scope="session", autouse=True)
def _secret(_surroundings: None) -> None:
    """The key of the environment `local`: the first playbook would make it, and of two that begin at once one would fail."""
    path = ROOT / ".build" / "secrets" / "local"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    mine.touch(0o600)
    mine.write_text("".join(secrets.choice(string.ascii_letters + string.digits) for _character in range(32)) + "\n")
    with contextlib.suppress(FileExistsError):  # made before, or just now by another worker
        os.link(mine, path)
    mine.unlink()


@pytest.fixture(name="free_port", scope="session")
def _free_port() -> t.Callable[[], int]:
    return free_port


@pytest.fixture(scope="module")
def new_site() -> t.Iterator[t.Callable[[Path], Site]]:
    """Makes sites below given folders; closed after the tests of the file."""
    with contextlib.ExitStack() as stack:
        yield lambda folder: stack.enter_context(opened(folder))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    """A new site for a file whose sites are special; its tests begin with a fixture that brings it to a known state."""
    with opened(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def bare(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    """A new site that was set up, without a release."""
    with opened(tmp_path_factory.mktemp("site")) as made:
        yield made.deployed()


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    """A new site whose v1 is verified and runs; for a test that changes what serves, or its data."""
    with opened(tmp_path_factory.mktemp("site")) as made:
        yield made.deployed("v1")


@pytest.fixture(scope="module")
def shared_served(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    """The same for all tests of a file that only look, are refused, or leave it as it was."""
    with opened(tmp_path_factory.mktemp("site")) as made:
        made.deployed("v1")
        made.first = made.live()
        yield made


@pytest.fixture(autouse=True)
def _as_it_was(request: pytest.FixtureRequest) -> None:
    """Bring a shared site back to its release when a test that failed has left it otherwise."""
    if "shared_served" in request.fixturenames:
        site = request.getfixturevalue("shared_served")
        if site.live() != site.first:
            site.play("rollback", mobius_release_id=site.first)
        if site.service()["state"] != "running":
            site.play("restart")


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
def proxied(request, tmp_path_factory, free_port):
    """A site behind a proxy, with a first release of one instance that was there before."""
    with opened(tmp_path_factory.mktemp("site")) as site:
        site.state = request.param
        site.operator.settings["mobius_service_environment"] = {
            "MOBIUS_STORE": "json" if site.state == "exclusive" else "sqlite",
            "MOBIUS_CORS_ORIGINS": "*",
        }
        site.deployed("v1")
        public = free_port()
        site.operator.settings.update(mobius_proxy_port=public, mobius_standby_port=free_port(), mobius_state=site.state)
        site.port = public  # for its clients
        yield site


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, new_site: t.Callable[[Path], Site]) -> t.Iterator[Fleet]:
    """Three hosts with v1; the tests begin with :func:`good`."""
    folder = tmp_path_factory.mktemp("fleet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOBIUS_CUT", str(folder / "cut"))
        patch.setenv("ANSIBLE_CONNECTION_PLUGINS", str(ROOT / "tests" / "support" / "connections"))
        made = Fleet(folder, new_site)
        made.begin()
        yield made


@pytest.fixture
def good(fleet: Fleet) -> str:
    """The release that all hosts serve at the beginning of a test."""
    return fleet.reset()
