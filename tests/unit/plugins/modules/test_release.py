# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules release and release_info, through their main()."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket

import pytest
from support.attributes import Attributes
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders as watch_folders
from ansible_collections.mobius.ops.plugins.modules import release, release_info

pytestmark = pytest.mark.usefixtures("by_answers")
FILES = {"package.json": "{}", "src/api/index.js": "listen()", "client/build/index.html": "x"}


@pytest.fixture
def do(host, run_module):
    """``do(state, release_id=None, check=False, **options)``: run the module release on the host."""

    def run(state, release_id=None, check=False, **options):
        given = {"root": host.root, "state": state, **({"release_id": release_id} if release_id else {}), **options}
        return run_module(release, given, check)

    return run


@pytest.fixture
def options(tmp_path, artifact):
    path, digest = artifact(tmp_path / "a.tar.gz", FILES)
    return {"artifact": path, "sha256": digest, "version": "1.0"}


@pytest.fixture
def serving(host):
    """r1 serves; the options that switch its service."""
    host.live("r1")
    host.serve()
    return {"service": "mobius", "checks": host.raw_checks, "ready_timeout": HANG}


def test_a_life_of_releases_without_a_service(do, host, options):
    for release_id in ("r1", "r2"):
        assert do("prepared", release_id, **options)["release"]["status"] == "prepared"
        assert not do("prepared", release_id, **options)["changed"]
        assert do("active", release_id)["changed"] and not do("active", release_id)["changed"]
        assert do("verified")["release"]["id"] == release_id and not do("verified")["changed"]
    result = do("rolled_back", why="uploads fail")
    assert (result["changed"], result["previous"], result["target"]) == (True, "r2", "r1")
    assert result["diff"]["before"] == {"live": "r2", "releases": {"r1": "verified", "r2": "verified"}}
    assert result["diff"]["after"] == {"live": "r1", "releases": {"r1": "verified", "r2": "rolled_back"}}
    assert not do("rolled_back", "r1")["changed"]
    assert do("failed", "r2", why="because")["release"]["failed_reason"] == "because"
    assert do("pruned", keep=1) == {**do("pruned", keep=1), "removed": []}


@pytest.mark.parametrize(
    "state, release_id, after",
    [
        ("prepared", "r9", {"live": "r2", "releases": {"r1": "verified", "r2": "active", "r9": "prepared"}}),
        ("active", "r1", {"live": "r1", "releases": {"r1": "active", "r2": "active"}}),
        ("active", "r9", {"live": "r9", "releases": {"r1": "verified", "r2": "active", "r9": "active"}}),
        ("verified", None, {"live": "r2", "releases": {"r1": "verified", "r2": "verified"}}),
        ("failed", "r1", {"live": "r2", "releases": {"r1": "failed", "r2": "active"}}),
        ("rolled_back", None, {"live": "r1", "releases": {"r1": "verified", "r2": "rolled_back"}}),
    ],
)
def test_check_mode_writes_nothing_and_says_what_would_be(do, host, options, snapshot, state, release_id, after):
    host.live("r1")
    host.live("r2", status="active")
    before = snapshot(host.root)
    result = do(state, release_id, check=True, **(options if state == "prepared" else {}))
    assert result["changed"] and result["diff"]["after"] == after, result
    assert snapshot(host.root) == before


def test_nothing_is_pruned_while_somebody_deploys(do, host):
    """What that run has prepared, nothing uses yet."""
    host.release("r1", "verified")
    host.live("r2")
    lock = deploy_lock.DeployLock(host.layout)
    wish = {"owner": "ada", "reason": "deploy of r3", "env": "test", "host": "laptop", "process": "", "expiry": 60}
    token = lock.hold(wish)["lock"]["token"]
    unused = os.path.join(host.layout.deps, "0123456789abcdef")
    os.makedirs(unused)
    for check in (True, False):
        result = do("pruned", check=check, keep=0)
        assert (result["changed"], result["removed"]) == (False, []) and os.path.isdir(unused)
    lock.free(token)
    do("pruned", keep=0)
    assert not os.path.exists(unused)


@pytest.mark.parametrize("where", ["app.py", ""])
def test_pruning_goes_on_and_names_what_stays_of_a_release(do, host, tmp_path, where):
    """Not even root may remove what is immutable."""
    attributes = Attributes(tmp_path / "probe")
    try:
        for release_id in ("r1", "r2", "r3"):
            host.release(release_id, "verified")
        host.live("r4")
        attributes.give(os.path.join(host.layout.release("r2"), where).rstrip("/"), "+i")
        result = do("pruned", keep=1)
        assert result["removed"] == (["r2", "r1"] if where else ["r1"]), result
        [told] = result["warnings"]
        assert "r2" in told and "is immutable" in told
        assert do("pruned", keep=1)["warnings"] == [told]
        attributes.obey(re.search("'(chattr .*)'", told).group(1))
        last = do("pruned", keep=1)
        assert "warnings" not in last and last["removed"] == ([] if where else ["r2"])
        assert not [name for name in os.listdir(host.layout.releases) if "r2" in name]
    finally:
        attributes.close(tmp_path)


def test_pruning_goes_on_and_names_what_stays_of_unused_dependencies(do, host, tmp_path):
    """No half of them is ever taken for dependencies."""
    attributes = Attributes(tmp_path / "probe")
    try:
        host.release("r1", "verified")
        host.release("r2", "verified")
        host.live("r3")
        for key in ("aaaa", "bbbb", "cccc"):
            os.makedirs(os.path.join(host.layout.deps, key, "node_modules", "x"))
            fs.write_text(os.path.join(host.layout.deps, key, "node_modules", "index.js"), "")
        attributes.give(os.path.join(host.layout.deps, "aaaa", "node_modules", "index.js"), "+i")
        attributes.give(os.path.join(host.layout.deps, "bbbb"), "+i")
        result = do("pruned", keep=0)
        assert result["removed"] == ["r1"] and "msg" not in result
        assert [told.partition(" is immutable")[1] for told in result["warnings"]] == [" is immutable"] * 2
        assert [name for name in sorted(os.listdir(host.layout.deps)) if not name.startswith(".")] == ["bbbb"]
        assert os.path.exists(os.path.join(host.layout.deps, "bbbb", "node_modules", "index.js")), "what keeps its name is whole"
        for told in result["warnings"]:
            attributes.obey(re.search("'(chattr .*)'", told).group(1))
        assert "warnings" not in do("pruned", keep=0)
        assert not [name for name in os.listdir(host.layout.deps) if "aaaa" in name or "bbbb" in name]
    finally:
        attributes.close(tmp_path)


def test_pruning_goes_on_when_the_name_for_what_is_removed_is_taken(do, host, tmp_path):
    attributes = Attributes(tmp_path / "probe")
    try:
        for release_id in ("r1", "r2"):
            host.release(release_id, "verified")
        host.live("r3")
        taken = os.path.join(host.layout.releases, ".removing-r1")
        fs.write_text(taken, "")
        attributes.give(taken, "+i")
        result = do("pruned", keep=0)
        assert result["removed"] == ["r1"] and [told.split()[0] for told in result["warnings"]] == [taken]
    finally:
        attributes.close(tmp_path)


def test_a_release_that_cannot_lose_its_name_is_named(do, host, monkeypatch):
    """Such as the top of a mounted file system."""
    host.release("r1", "verified")
    host.release("r2", "verified")
    host.live("r3")
    rename = os.rename

    def refuse(source, target):
        if source == host.layout.release("r1"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), source)
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    result = do("pruned", keep=0)
    path = host.layout.release("r1")
    assert "msg" not in result and result["warnings"] == [f"{path} could not be removed. Look at what is in it, and remove it by hand."]


def test_check_mode_of_pruning(do, host, snapshot):
    host.release("r1", "verified")
    host.release("r2", "verified")
    host.live("r3")
    before = snapshot(host.root)
    result = do("pruned", check=True, keep=1)
    assert result["removed"] == ["r1"] and "r1" not in result["diff"]["after"]["releases"]
    assert snapshot(host.root) == before
    assert do("pruned", keep=1)["removed"] == ["r1"] and not do("pruned", keep=1)["changed"]
    assert not os.path.exists(host.layout.release("r1"))


def test_a_service_is_switched_and_rolled_back(do, host, serving):
    host.release("r2")
    result = do("active", "r2", backup="/b/1.zip", **serving)
    assert result["changed"] and result["previous"] == "r1" and result["target"] == "r1" and result["downtime"] >= 0
    assert result["release"]["backup"] == "/b/1.zip"
    assert not do("active", "r2", **serving)["changed"]
    result = do("rolled_back", **serving)
    assert result["target"] == "r1" and host.store.live() == "r1"


def test_a_target_without_its_dependencies_is_refused_before_anything_stops(do, host, serving):
    os.symlink("../../deps/gone/node_modules", os.path.join(host.layout.release("r1"), "node_modules"))
    host.release("r2")
    do("active", "r2", **serving)
    pid = host.service().status()["pid"]
    for check in (True, False):
        result = do("rolled_back", check=check, **serving)
        assert result["msg"].startswith("release r1: expected its dependencies at ") and "deps/gone" in result["msg"]
    assert host.store.live() == "r2" and host.service().status()["pid"] == pid


def test_what_does_not_become_ready_fails_with_its_evidence(do, host, serving):
    host.release("r2", mode="bad")
    result = do("active", "r2", **{**serving, "ready_timeout": 0.5})
    assert "status 500 instead of 200" in result["msg"] and result["msg"].endswith("Release r1 serves again.")
    assert result["evidence"] and host.statuses()["r2"] == "failed"


def test_a_live_release_whose_service_is_down_is_started_again(do, host, serving):
    host.service().stop()
    assert do("active", "r1", **serving)["changed"] and host.service().status()["status"] == "running"


@pytest.mark.parametrize(
    "state, given, words",
    [
        ("prepared", {}, "missing"),
        ("active", {}, "release_id"),
        ("active", {"release_id": "r9"}, "release r9: expected one of r1, found no such release."),
        ("active", {"release_id": "../r1"}, "release id '../r1': expected 1 to 64 letters"),
        ("verified", {"release_id": "r9"}, "release r9: expected one of r1"),
        ("rolled_back", {}, "rollback of r1: expected a verified release older than the live one, found none on this host."),
        ("rolled_back", {"release_id": "r9"}, "release r9: expected one of r1"),
        ("active", {"release_id": "r1", "service": "gone"}, "service gone: expected a service that was set up"),
        ("active", {"release_id": "r1", "checks": [{"url": "x"}]}, "check x: expected a url with http:// or https://"),
        ("active", {"release_id": "r1", "checks": [{"url": "http://x/", "json": ["=="]}]}, "expected a JMESPath expression"),
        ("prepared", {"release_id": "../x", "artifact": "/a", "sha256": "0"}, "release id '../x'"),
        ("prepared", {"release_id": "r9", "artifact": "/no/a", "sha256": "0"}, "artifact /no/a: expected a file on the target"),
        ("pruned", {"keep": -1}, "keep: expected 0 or more releases, found -1."),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(do, host, snapshot, state, given, words):
    host.live("r1")
    with host.store.switching():  # its file is there from the first switch on
        before = snapshot(host.root)
    result = do(state, **given)
    assert result["failed"] and words in result["msg"], result["msg"]
    assert snapshot(host.root) == before


def test_a_port_in_use_changes_nothing(do, host):
    host.live("r1")
    host.release("r2")
    host.service()
    with socket.create_server(("127.0.0.1", host.port)):
        result = do("active", "r2", service="mobius", checks=host.raw_checks)
    assert result["msg"].startswith(f"port {host.port}: expected nobody or the service mobius")
    assert host.statuses() == {"r1": "verified", "r2": "prepared"} and host.store.live() == "r1"


def test_a_wrong_checksum(do, host, options, snapshot):
    before = snapshot(host.root)
    result = do("prepared", "r1", **{**options, "sha256": "0" * 64})
    assert "expected SHA-256 000" in result["msg"] and snapshot(host.root) == before


def test_a_host_that_was_not_set_up(run_module, tmp_path):
    result = run_module(release, {"root": str(tmp_path), "state": "pruned"})
    assert "Run the playbook mobius.ops.setup first" in result["msg"] and os.listdir(tmp_path) == []
    assert "expected a host that was set up" in run_module(release_info, {"root": str(tmp_path)})["msg"]


def test_info(run_module, do, host, snapshot):
    host.live("r1")
    host.release("r2")
    do("active", "r2")
    before = snapshot(host.root)
    result = run_module(release_info, {"root": host.root, "events": 1})
    assert not result["changed"] and (result["live"], result["target"]) == ("r2", "r1")
    assert [record["id"] for record in result["releases"]] == ["r2", "r1"]
    assert [event["what"] for event in result["history"]] == ["active"]
    assert snapshot(host.root) == before


def test_info_of_an_empty_host(run_module, host):
    result = run_module(release_info, {"root": host.root})
    assert (result["live"], result["target"], result["releases"], result["history"]) == (None, None, [], [])


WATCH = {"env": "test", "duration": "900", "interval": 60}


@pytest.fixture
def watched(host, serving):
    """The options that switch to r2, which is prepared, and watch it; the watch ends with the test."""
    host.release("r2")
    yield {**serving, "watch": WATCH}
    watch_control.stop(host.layout, "the test is over")


def test_the_watch_begins_with_the_switch(do, host, watched):
    result = do("active", "r2", **watched)
    folder = watch_folders.latest(host.layout)
    assert result["changed"] and result["release"]["status"] == "active"
    assert (folder.id, folder.state()["status"], folder.state()["release"]) == (result["watch"]["watch"]["id"], "running", "r2")
    assert {name: folder.spec()[name] for name in ("env", "service", "duration", "keep")} == {
        "env": "test",
        "service": "mobius",
        "duration": 900.0,
        "keep": 100,
    }
    assert [check["name"] for check in folder.spec()["checks"]] == [check["name"] for check in host.raw_checks]


def test_a_release_that_serves_without_a_watch_gets_one(do, host, serving, watched):
    do("active", "r2", **serving)
    result = do("active", "r2", **watched)
    assert result["changed"] and watch_folders.latest(host.layout).state()["release"] == "r2"
    assert [event["release"] for event in host.history() if event["what"] == "active"] == ["r2"]


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"durration": 5}, "durration"),
        ({"duration": "long"}, "unable to convert to float"),
        ({"duration": 0}, "watch option duration"),
        ({"env": ""}, "env"),
    ],
)
def test_a_mistake_in_the_watch_is_found_before_the_switch(do, host, watched, wrong, said):
    result = do("active", "r2", **{**watched, "watch": {**WATCH, **wrong}})
    assert result["failed"] and said in result["msg"] and "Traceback" not in result["msg"], result
    assert host.store.live() == "r1" and watch_folders.latest(host.layout) is None


def test_no_watch_begins_in_check_mode_or_of_a_release_that_does_not_start(do, host, watched):
    assert do("active", "r2", check=True, **watched)["changed"] and watch_folders.latest(host.layout) is None
    host.mode("r2", "crash")
    assert do("active", "r2", **watched)["failed"] and host.store.live() == "r1" and watch_folders.latest(host.layout) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_in_the_switch_leaves_a_watched_release(do, host, watched, monkeypatch, number):
    real = activation.activate

    def interrupted(*arguments):
        facts = real(*arguments)
        os.kill(os.getpid(), number)
        return facts

    monkeypatch.setattr(activation, "activate", interrupted)
    before = signal.getsignal(number)
    assert do("active", "r2", **watched)["watch"]["watch"]["release"] == "r2" and signal.getsignal(number) is before
    assert watch_folders.latest(host.layout).state()["status"] == "running"
