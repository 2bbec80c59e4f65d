"""Services that are not MOBIUS, deployed as docs/node-services.md says, by whoever runs the tests and by an ordinary user."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import pytest
import requests
import yaml
from support.external import STORE
from support.playbooks import BIN, ROOT, Operator, Result
from support.ports import free_port
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError

GUIDE = (ROOT / "docs" / "node-services.md").read_text(encoding="utf-8")
#: Its headings.
SERVICE, INVENTORY, SERVERS, NEXT = "1. Your service", "2. The inventory", "4. On your servers", "Next.js"
SERVICES = ROOT / "tests" / "services"
NOBODY = 65534
#: Windows of seconds instead of minutes, and what does not depend on the machine. Everything else is the guide's.
QUICK = {
    "mobius_watch_duration": "1",
    "mobius_watch_interval": "0.5",
    "mobius_watch_requests": 5,
    "mobius_watch_latency_floor_ms": 60_000,
    "mobius_thresholds": {"response_time_ms": [20_000, 20_000], "disk_pct": [100, 100], "inodes_pct": [100, 100]},
    "mobius_check_timeout": 20,
    "mobius_ready_timeout": int(HANG),
    "mobius_smoke_timeout": 60,
    "mobius_min_free_mb": 100,
    "mobius_rollback_watch_duration": 0,
    "mobius_failure_threshold": 1,
    "mobius_watch_retry_interval": "0.2",
    "mobius_watch_metrics_interval": 0,
}


def blocks(heading: str, kind: str) -> list[str]:
    """The guide's blocks of code of a kind below a heading."""
    text = GUIDE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, flags=re.M | re.S)


class As(Operator):
    """An operator who is another user, with a home of its own."""

    def __init__(self, home: Path, user: int | None, **settings: t.Any) -> None:
        super().__init__("local", **settings)
        self.home, self.user = home, user
        self.place = ROOT if user is None else home
        if user is not None:
            self.stats_file = str(home / "stats.json")
            Path(self.stats_file).touch()
            os.chown(self.stats_file, user, user)

    def environment(self) -> dict[str, str]:
        own = {"HOME": str(self.home)}
        if self.user is not None:  # an account without a home
            own.update(USER="nobody", ANSIBLE_REMOTE_TEMP=str(self.home / ".ansible" / "tmp"))
        return {**super().environment(), **own}


class Service:
    """A service of the guide's inventory.

    :param lines: the inventory, as the guide has it.
    :param more: lines of the guide that come to its variables.
    """

    def __init__(self, home: Path, user: int | None, lines: str, more: str = "") -> None:
        self.home, self.root, self.port = home, home / "shop", free_port()
        inventory = yaml.safe_load(lines)
        inventory["mobius"]["vars"].update(yaml.safe_load(more) or {} if more else {})
        self.operator = As(home, user, mobius_port=self.port, **QUICK)
        self.operator.inventory = home / "inventory.yml"
        self.operator.inventory.write_text(yaml.safe_dump(inventory))
        self.output = ""

    def play(self, playbook: str, **extra: t.Any) -> Result:
        """Run a playbook to its end."""
        result = self.operator.run(playbook, **extra)
        self.output = result.output
        return result

    def deploy(self, source: Path, version: str, **extra: t.Any) -> Result:
        """Deploy a source."""
        return self.play("deploy", mobius_release_source=str(source), mobius_version=version, **extra)

    def get(self, path: str) -> requests.Response:
        """GET a path of the service."""
        with requests.Session() as http:
            http.trust_env = False
            return http.get(f"http://127.0.0.1:{self.port}{path}", timeout=HANG)

    def live(self) -> str:
        """The id of the live release."""
        return os.path.basename(os.readlink(self.root / "current"))


def copied(source: Path, folder: Path) -> Path:
    """A copy of a service's source, without what a developer has installed or built."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules", ".next"))
    return folder


@pytest.fixture(params=["runner", "nobody"])
def service(request: pytest.FixtureRequest) -> t.Iterator[t.Callable[..., Service]]:
    """``service(lines, more)``: a service below a home that its user can reach; stopped and removed after the test."""
    user = NOBODY if request.param == "nobody" else None
    home = Path(tempfile.mkdtemp(prefix="mobius-service-"))
    home.chmod(0o755)
    made = []

    def make(lines: str, more: str = "") -> Service:
        if user is not None:
            made_for(user, home)
        made.append(Service(home, user, lines, more))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            with contextlib.suppress(OpsError):  # nothing was set up
                one.play("stop")
        shutil.rmtree(home, ignore_errors=True)


def made_for(user: int, home: Path) -> None:
    """Give a user its home; skip the test where this checkout is not for other users' eyes."""
    if os.geteuid():
        pytest.skip("only root can be another user; the other half of these tests runs as an ordinary user already")
    os.chown(home, user, user)
    tried = subprocess.run(
        [BIN / "ansible-playbook", "--version"],
        env={**os.environ, "HOME": str(home)},
        cwd=home,
        user=user,
        group=user,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"user {user} cannot run {BIN / 'ansible-playbook'}: {tried.stderr.strip()[-200:]}")


def test_an_inventory_of_the_guide_has_at_most_eleven_lines():
    for heading in (INVENTORY, SERVERS):
        (lines,) = blocks(heading, "yaml")
        assert len(lines.splitlines()) <= 11 and set(yaml.safe_load(lines)) == {"mobius"}


def test_a_fastify_service_by_the_lines_of_the_guide(service):
    """As the user who runs the tests, and as one without any rights: set up, deployed twice, gone back, backed up, tried, stopped."""
    (lines,) = blocks(INVENTORY, "yaml")
    site = service(lines)
    site.operator.settings["mobius_stateless"] = "false"  # the guide's line says true; this is the service of one who forgot it
    source = copied(SERVICES / "fastify", site.home / "source")
    assert site.play("setup").outcome == "set_up", site.output
    assert site.play("preflight", mobius_release_source=str(source), mobius_version="1.0.0").outcome == "ready", site.output
    assert "ffmpeg" not in site.output and "encoders" in site.output
    assert site.deploy(source, "1.0.0").outcome == "deployed", site.output
    first = site.live()
    assert site.get("/").json()["service"] == "fastify" and site.get("/health").json() == {"up": True}
    assert site.deploy(source, "1.1.0").outcome == "deployed", site.output
    assert site.play("smoke_test").outcome == "smoke_passed", site.output
    assert site.play("status").outcome == "well", site.output
    assert site.play("rollback", mobius_why="a test").outcome == "rolled_back" and site.live() == first, site.output
    told = site.play("backup")
    assert told.outcome == "not_pruned" and "(unverified, " in told.stats["mobius_message"], told.output
    assert "it holds no state of the service" in told.stats["mobius_message"] and "mobius_stateless" in told.stats["mobius_message"]
    del site.operator.settings["mobius_stateless"]
    assert site.play("setup").outcome == "set_up", site.output
    told = site.play("backup")
    assert told.outcome == "backed_up" and "(verified, " in told.stats["mobius_message"], told.output
    assert site.play("drill").outcome == "drill_passed", site.output
    assert site.get("/health").ok


def test_a_service_with_a_build_as_next_has_it(service):
    """Its build makes `.next`, its server writes a cache into it, and what it wrote is there in the next release."""
    (lines,) = blocks(INVENTORY, "yaml")
    (more,) = blocks(NEXT, "yaml")
    site = service(lines, more + "\nmobius_command: [node, server.js]\nmobius_health_path: /health\n")
    source = copied(SERVICES / "pages", site.home / "source")
    assert site.play("setup").outcome == "set_up", site.output
    assert site.deploy(source, "1", mobius_build_environment={"NEXT_PUBLIC_TITLE": "one"}).outcome == "deployed", site.output
    assert site.get("/").text == "<main>one</main>\n" and site.get("/revalidate").text == "ok"
    assert site.deploy(source, "2", mobius_build_environment={"NEXT_PUBLIC_TITLE": "two"}).outcome == "deployed", site.output
    assert site.get("/").text == "<main>two</main>\n"
    assert (site.root / "current" / ".next" / "cache" / "page").read_text() == "<main>one</main>\n"
    assert (site.root / "shared" / "out" / "page").exists()
    (source / "build.js").write_text("")
    before = site.live()
    assert site.deploy(source, "3").outcome == "failed" and site.live() == before
    assert ".next/BUILD_ID in the built application, found none" in " ".join(site.output.split())
    assert site.play("backup").outcome == "backed_up", site.output


def test_state_elsewhere_is_dumped_and_restored(service):
    """A script stands for pg_dump and pg_restore, and a file outside of the root for the database."""
    (lines,) = blocks(INVENTORY, "yaml")
    site = service(lines)
    store, script = site.home / "elsewhere", site.home / "store.py"
    script.write_text(STORE)
    store.write_text("three orders")
    if site.operator.user is not None:
        os.chown(store, site.operator.user, site.operator.user)
    command = [sys.executable, "-I", "-S", str(script)]
    site.operator.settings.update(
        mobius_service_environment={"STORE": str(store)},
        mobius_external_state={"dump": [*command, "dump"], "restore": [*command, "restore"]},
    )
    source = copied(SERVICES / "pages", site.home / "source")
    assert site.play("setup").outcome == "set_up", site.output
    assert site.deploy(source, "1").outcome == "deployed", site.output
    told = site.play("backup")
    assert told.outcome == "backed_up" and "(verified, " in told.stats["mobius_message"], told.output
    store.write_text("nothing")
    told = site.play("restore", mobius_backup="newest")
    assert told.outcome == "restored" and store.read_text() == "three orders" and site.get("/health").ok, told.output
    before = site.live()
    store.unlink()
    told = site.deploy(source, "2")
    assert told.outcome == "failed" and site.live() == before, told.output
    assert "Take a backup and verify it: dump of the external state" in told.stats["mobius_message"]
    assert "No such file or directory" in told.stats["mobius_message"] and "2-" not in " ".join(os.listdir(site.root / "releases"))


@pytest.mark.parametrize("service", ["runner"], indirect=True)
def test_the_express_app_of_the_guide(service):
    (lines,) = blocks(INVENTORY, "yaml")
    site = service(lines)
    source = site.home / "source"
    source.mkdir()
    (source / "server.js").write_text(blocks(SERVICE, "js")[0])
    (source / "package.json").write_text(blocks(SERVICE, "json")[0])
    assert site.play("setup").outcome == "set_up", site.output
    told = site.deploy(source, "1.0.0")
    assert told.outcome == "failed" and "expected package-lock.json, found none" in " ".join(told.output.split()), told.output
    assert not (site.root / "releases").exists() or not os.listdir(site.root / "releases")
    shutil.copy(SERVICES / "express" / "package-lock.json", source)
    assert site.deploy(source, "1.0.0").outcome == "deployed", site.output
    assert site.get("/").text == "Hello from the shop\n"


@pytest.mark.parametrize("service", ["runner"], indirect=True)
@pytest.mark.parametrize("playbook", ["setup", "preflight", "deploy", "status"])
def test_an_unknown_profile_is_refused_in_one_sentence(service, playbook):
    (lines,) = blocks(INVENTORY, "yaml")
    site = service(lines)
    result = site.play(playbook, mobius_profile="express", mobius_release_source=str(SERVICES / "fastify"), mobius_version="1")
    assert result.status == 2 and "mobius_profile: expected one of mobius, node, found 'express'. Correct it." in result.output
    assert not site.root.exists()


def test_the_lock_file_of_the_guide_is_of_its_package():
    """The guide tells to make one; here it is kept, so that the test gets the same versions always."""
    lock = json.loads((SERVICES / "express" / "package-lock.json").read_text())
    assert lock["packages"][""]["dependencies"] == json.loads(blocks(SERVICE, "json")[0])["dependencies"]
