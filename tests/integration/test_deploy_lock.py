"""One deployer at a time: who is refused, who waits, who is not kept out by a killed run, and what it leaves."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import typing as t
from pathlib import Path

import psutil
import pytest
import yaml
from support import listening
from support.playbooks import ROOT, Operator, Result
from support.waiting import HANG, wait_until, when

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation, ways
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target.deploy_lock import DeployLock
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore

BOB = {"owner": "bob", "reason": "deploy of v9", "env": "local", "host": "elsewhere", "process": "", "expiry": 600}


@pytest.fixture
def ready(shared_served):
    """A site with v1 live, for tests that are refused."""
    return shared_served


def lock_of(site) -> DeployLock:
    """The lock of a site."""
    return DeployLock(Layout(str(site.root)))


def test_a_deploy_leaves_no_lock(ready):
    assert lock_of(ready).look() is None and (ready.root / "state" / "lock" / "guard").exists()


def test_a_run_without_work_clears_a_lock_that_a_killed_one_left(ready):
    """Killed between its switch and the end, while the watch went on by itself: the release is verified, the lock is there."""
    lock_of(ready).hold({**BOB, "expiry": 0.1})
    wait_until(lambda: lock_of(ready).look()["expired"])
    again = ready.deploy("v1")
    assert (again.outcome, again.changed()) == ("unchanged", 0), again.output
    assert ready.history()[-1]["what"] == "lock_reclaimed" and ready.history()[-1]["why"] == "it had expired"
    assert lock_of(ready).look() is None


@pytest.mark.parametrize("playbook", ["deploy", "rollback"])
def test_whoever_comes_second_is_told_who_is_first(ready, says, playbook):
    lock = lock_of(ready)
    bob = lock.hold(BOB)["lock"]
    live, history = ready.live(), ready.history()
    try:
        more = (
            {"mobius_release_id": live}
            if playbook == "rollback"
            else {"mobius_release_source": str(ready.source("v2")), "mobius_version": "v2"}
        )
        result = ready.play(playbook, **more)
        assert result.status == 2, result.output
        assert says(result, f"expected nobody to hold it, found that bob on elsewhere holds it since {bob['since']} for 'deploy of v9'")
        assert says(result, "ansible-playbook mobius.ops.force_unlock -e mobius_why=REASON.")
        assert (ready.live(), ready.history()) == (live, history) and lock.look()["token"] == bob["token"]
    finally:
        lock.free(bob["token"])


def test_check_mode_tells_who_holds_it_and_status_too(ready, says):
    lock = lock_of(ready)
    bob = lock.hold(BOB)["lock"]
    tree = ready.tree()
    try:
        planned = ready.deploy("v2", "--check")
        status = ready.play("status")
        assert ready.tree() == tree
    finally:
        lock.free(bob["token"])
    assert (planned.outcome, status.outcome) == ("planned", "well")
    assert says(planned, "found that bob on elsewhere holds it"), planned.output
    assert says(status, "Deploy lock: held by bob on elsewhere since"), status.output


def looks_at(path) -> bool:
    """Whether another process has a file open."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended
            if process.pid != os.getpid() and any(file.path == str(path) for file in process.open_files()):
                return True
    return False


def asked(guard) -> None:
    """Return when somebody has asked for the lock once more than before: whoever asks has its guard, which is kept meanwhile."""
    wait_until(lambda: not looks_at(guard))
    with open(guard, "a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        wait_until(lambda: looks_at(guard), what="somebody asks for the lock")
    wait_until(lambda: not looks_at(guard))


def test_it_waits_as_long_as_it_is_told(served):
    lock = lock_of(served)
    bob = lock.hold(BOB)["lock"]
    run = threading.Thread(target=lambda: results.append(served.deploy("v2", mobius_lock_wait=int(10 * HANG))))
    results: list[Result] = []
    run.start()
    for _time in range(3):
        asked(Path(lock.folder) / "guard")
    lock.free(bob["token"])
    run.join()
    [result] = results
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert lock.look() is None and served.live().startswith("v2-")


class Asked(listening.Listener):
    """Answers each check with 200, and does something before.

    :param before: is called for each request.
    """

    def __init__(self, before: t.Callable[[], None]) -> None:
        self.before = before
        super().__init__()

    def talk(self, line):
        line.recv(65536)
        self.before()
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        line.close()

    @contextlib.contextmanager
    def checks(self) -> t.Iterator[list[dict[str, t.Any]]]:
        """The checks that ask it."""
        try:
            yield [{"name": "health", "url": f"http://127.0.0.1:{self.port}/", "timeout": HANG}]
        finally:
            self.listener.close()


def test_what_another_run_did_while_it_waited_counts(served):
    """v2 is live when the deploy of v2 looks, and somebody else, who has the lock, goes back to v1."""
    assert served.deploy("v2").outcome == "deployed"
    lock, layout = lock_of(served), Layout(str(served.root))
    bob = lock.hold(BOB)["lock"]
    results: list[Result] = []
    run = threading.Thread(target=lambda: results.append(served.deploy("v2", mobius_lock_wait=int(10 * HANG))))
    run.start()
    for _time in range(3):
        asked(Path(lock.folder) / "guard")
    activation.roll_back(ways.of(ReleaseStore(layout), service_registry.load(layout, "mobius"), [], HANG), "bob went back")
    assert served.live().startswith("v1-")
    lock.free(bob["token"])
    run.join()
    [result] = results
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert served.live().startswith("v2-") and lock.look() is None


def test_what_another_run_does_after_the_look_is_told(served, says):
    """Nothing is to be done, so nothing is locked; while the service is asked whether it is well, another release takes its place."""
    assert served.deploy("v2").outcome == "deployed"
    live, layout = served.live(), Layout(str(served.root))

    def go_back():
        if served.live() == live:
            activation.roll_back(ways.of(ReleaseStore(layout), service_registry.load(layout, "mobius"), [], HANG), "bob went back")

    with Asked(go_back).checks() as checks:
        result = served.deploy("v2", mobius_checks=checks)
    assert (result.status, result.outcome) == (2, "failed"), result.output
    told = f"release {live} was live and verified when this run began, and another run has replaced it: {served.live()} serves now."
    assert says(result, told)


def test_a_release_that_another_run_replaces_during_the_watch_is_not_called_live(served, says):
    """Another operator rolls back to v1 during the watch, which holds no lock."""
    before, lock, layout = served.live(), lock_of(served), Layout(str(served.root))

    def go_back():
        if served.live() != before and not lock.look():  # the watch asks
            with contextlib.suppress(OpsError):  # of requests at the same time one goes back
                activation.roll_back(ways.of(ReleaseStore(layout), service_registry.load(layout, "mobius"), [], HANG), "bob went back")

    with Asked(go_back).checks() as checks:
        result = served.deploy("v2", mobius_checks=checks, mobius_watch_duration=int(10 * HANG))
    assert (result.status, result.outcome) == (2, "inconclusive"), result.output
    assert says(result, f"was put into service and not verified, and another run has replaced it: {before} serves now (")
    assert "is live and not verified" not in result.output


def test_a_killed_deploy_does_not_stop_the_same_command(served, eventually):
    source, known = str(served.source("v3")), len(served.history())
    run = served.operator.start("deploy", mobius_release_source=source, mobius_version="v3")
    for line in run.stdout:
        if "Back up" in line or "Verify and unpack" in line:
            break
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    stranded = eventually(lock_of(served).look)
    assert stranded["reason"].startswith("deploy of v3-") and not stranded["expired"]
    result = served.deploy("v3")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    [event] = [event for event in served.history()[known:] if event["what"] == "lock_reclaimed"]
    assert event["why"] == "its process had ended" and event["lock"]["reason"] == stranded["reason"]
    assert lock_of(served).look() is None


def test_a_deploy_that_lost_its_lock_ends_before_the_switch(served, says):
    """Its lock is removed by force while it works, and somebody else takes it."""
    lock, live = lock_of(served), served.live()
    source = served.source("v4")
    (source / "filler").write_bytes(os.urandom(1_000_000))

    stolen: list[dict] = []

    def steal() -> None:
        lock.force("a test")
        stolen.append(lock.hold(BOB)["lock"])

    with when(lambda: (lock.look() or {}).get("reason", "").startswith("deploy of v4-"), steal):
        result = served.deploy("v4")
    assert result.status == 2 and served.live() == live, result.output
    assert says(result, "expected to be held with the token of this run, found that bob on elsewhere holds it")
    assert lock.look()["token"] == stolen[0]["token"]
    unlocked = served.play("force_unlock", mobius_why="bob went home")
    assert (unlocked.status, unlocked.outcome) == (0, "unlocked"), unlocked.output
    assert says(unlocked, "It was held by bob on elsewhere since")
    assert served.history()[-1]["what"] == "force_unlock" and served.history()[-1]["why"] == "bob went home"
    assert served.play("force_unlock", mobius_why="again").outcome == "not_locked"
    assert served.play("force_unlock").status == 2


def test_of_two_hosts_both_are_given_back_when_one_is_not_to_be_had(ready, bare, says):
    other = bare
    settings = yaml.safe_load((ROOT / "inventories" / "local" / "group_vars" / "mobius.yml").read_text())
    settings["secret_file"] = str(ROOT / ".build" / "secrets" / "local")
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    hosts = {name: {**site.operator.settings, **local} for name, site in (("first", other), ("second", ready))}
    inventory = other.folder / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"mobius": {"hosts": hosts, "vars": settings}}))
    operator = Operator("local")
    operator.inventory = inventory
    bob = lock_of(ready).hold(BOB)["lock"]
    try:
        result = operator.run("deploy", mobius_release_source=str(ready.source("v5")), mobius_version="v5")
    finally:
        lock_of(ready).free(bob["token"])
    assert result.status == 2 and says(result, "the deploy lock of another host was not to be had: second"), result.output
    assert lock_of(other).look() is None and not (other.root / "current").exists()
    assert not (other.root / "state" / "history.jsonl").exists()  # nothing was ever done there
