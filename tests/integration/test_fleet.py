"""Three hosts in one run: they are switched one after the other, and there is one decision for all of them."""
from __future__ import annotations

import os
import time

import pytest
import yaml
from support.playbooks import ROOT, Operator
from support.waiting import when

NAMES = ("first", "second", "third")


class Fleet:
    """An operator whose inventory has three hosts on this machine, whose connections can be cut."""

    def __init__(self, folder, new_site):
        self.folder, self.sites = folder, {name: new_site(folder / name) for name in NAMES}
        settings = yaml.safe_load((ROOT / "inventories" / "local" / "group_vars" / "mobius.yml").read_text())
        settings["secret_file"] = str(ROOT / ".build" / "secrets" / "local")
        hosts = {}
        for name, site in self.sites.items():
            site.folder.mkdir()
            hosts[name] = {**site.operator.settings, "ansible_connection": "cuttable",
                           "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        (folder / "hosts.yml").write_text(yaml.safe_dump({"mobius": {"hosts": hosts, "vars": settings}}))
        (folder / "cut").mkdir()
        self.operator = Operator("local")
        self.operator.inventory = folder / "hosts.yml"

    def deploy(self, version, **extra):
        source = str(self.sites["first"].source(version))
        return self.operator.run("deploy", mobius_release_source=source, mobius_version=version, **extra)

    def versions(self):
        """What each host serves."""
        return [site.client().health()["version"] for site in self.sites.values()]

    def live(self):
        return {site.live() for site in self.sites.values()}

    def incidents(self):
        return [incident for site in self.sites.values() for incident in site.incidents()]

    def locks(self):
        """Whether somebody holds the deploy lock of each host."""
        return [self.locked(name) for name in NAMES]

    def locked(self, name):
        return (self.sites[name].root / "state" / "lock" / "deploy.json").exists()

    def switched_to(self, name, version):
        """How often a host was switched to a version."""
        return len([event for event in self.sites[name].history() if event["what"] == "active" and event["release"].startswith(version)])

    def cut(self, name):
        (self.folder / "cut" / name).touch()

    def mend(self):
        for mark in (self.folder / "cut").iterdir():
            mark.unlink()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, new_site):
    folder = tmp_path_factory.mktemp("fleet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOBIUS_CUT", str(folder / "cut"))
        patch.setenv("ANSIBLE_CONNECTION_PLUGINS", str(ROOT / "tests" / "support" / "connections"))
        made = Fleet(folder, new_site)
        assert made.operator.run("setup").outcome == "set_up"
        result = made.deploy("v1")
        assert (result.status, result.outcome) == (0, "deployed"), result.output
        yield made


@pytest.fixture
def good(fleet):
    """The release that all of them serve; what an earlier test left is put away."""
    (release,) = fleet.live()
    for site in fleet.sites.values():
        for path in (site.root / "incidents").glob("*.json"):
            path.unlink()
    return release


def back(fleet, good, version="v1"):
    """Whether all serve the old release, and records say so."""
    assert fleet.live() == {good} and fleet.versions() == [version] * 3
    assert [site.record(good)["status"] for site in fleet.sites.values()] == ["verified"] * 3
    return True


def test_all_serve_it(fleet):
    assert len(fleet.live()) == 1 and fleet.versions() == ["v1"] * 3 and fleet.locks() == [False] * 3
    assert fleet.incidents() == []


def test_a_host_that_fails_stops_the_next_and_sends_the_ones_before_back(fleet, good):
    """The second host's data folder is gone: its new release cannot be well."""
    second = fleet.sites["second"]
    os.rename(second.root / "shared" / "data", second.root / "shared" / "gone")
    (second.root / "shared" / "data").write_text("no folder")
    result = fleet.deploy("v2", mobius_components="config,logs", mobius_ready_timeout=6)
    (second.root / "shared" / "data").unlink()
    os.rename(second.root / "shared" / "gone", second.root / "shared" / "data")
    assert result.status == 2 and result.outcome in ("failed", "rolled_back"), result.output
    assert fleet.live() == {good} and fleet.locks() == [False] * 3
    assert [fleet.switched_to(name, "v2") for name in NAMES] == [1, 1, 0], result.output
    (incident,) = fleet.incidents()
    assert incident in second.incidents() and list(incident["evidence"]["hosts"]) == ["second"]
    assert fleet.operator.run("restart").outcome == "restarted"
    assert back(fleet, good)


def test_a_watch_that_goes_back_on_one_host_sends_all_back(fleet, good):
    third = fleet.sites["third"]

    def spoil():
        (third.root / "current" / "fault.json").write_text('{"kind": "health"}')

    begun = time.monotonic()
    with when(lambda: third.live() != good and not fleet.locked("third"), spoil):
        result = fleet.deploy("v3", mobius_watch_duration="90")
    assert (result.status, result.outcome) == (2, "rolled_back"), result.output
    assert time.monotonic() - begun < 90, "nobody waited for the other hosts' hour to end"
    assert back(fleet, good) and fleet.locks() == [False] * 3
    (incident,) = fleet.incidents()
    assert incident in third.incidents()


def test_a_host_that_is_lost_before_the_switch_stops_the_deploy(fleet, good):
    with when(lambda: fleet.locked("second"), lambda: fleet.cut("second")):
        result = fleet.deploy("v4")
    assert result.status != 0 and result.outcome == "failed", result.output
    assert back(fleet, good) and [fleet.switched_to(name, "v4") for name in NAMES] == [0, 0, 0]
    (incident,) = fleet.incidents()
    assert incident["evidence"]["not_reached"] == ["second"] and "second" in incident["summary"]
    fleet.mend()
    result = fleet.deploy("v4")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert fleet.versions() == ["v4"] * 3 and fleet.locks() == [False] * 3


def test_a_host_that_is_lost_after_its_switch_is_named_and_put_right_when_it_is_back(fleet, good):
    second = fleet.sites["second"]
    with when(lambda: second.live().startswith("v5"), lambda: fleet.cut("second")):
        result = fleet.deploy("v5")
    assert result.status != 0 and result.outcome in ("failed", "rolled_back"), result.output
    assert fleet.versions() == ["v4", "v5", "v4"]
    (incident,) = fleet.incidents()
    assert incident["evidence"]["not_reached"] == ["second"] and "second" in incident["summary"]
    fleet.mend()
    refused = fleet.operator.run("rollback")
    assert refused.status == 2 and "different releases" in refused.output, refused.output
    assert fleet.operator.run("rollback", mobius_release_id=good).outcome == "rolled_back"
    assert fleet.versions() == ["v4"] * 3 and fleet.live() == {good}
    result = fleet.deploy("v5")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert fleet.versions() == ["v5"] * 3 and fleet.locks() == [False] * 3


def test_a_host_that_missed_a_deploy_gets_it_from_the_same_command(fleet, good):
    """Two hosts serve the release already; the third went another way."""
    third = fleet.sites["third"]
    others = [site.service()["pid"] for site in list(fleet.sites.values())[:2]]
    assert third.play("rollback").outcome == "rolled_back"
    assert len(fleet.live()) == 2
    result = fleet.deploy("v5")
    assert result.outcome == "deployed", result.output
    assert fleet.live() == {good} and fleet.versions() == ["v5"] * 3
    assert [site.service()["pid"] for site in list(fleet.sites.values())[:2]] == others


def test_watches_that_nobody_could_follow_at_the_same_time_are_refused(fleet, good):
    what = {"mobius_release_source": str(fleet.sites["first"].source("v6")), "mobius_version": "v6"}
    for playbook, extra in (("monitor", {}), ("deploy", what)):
        result = fleet.operator.run(playbook, "--forks", "2", **extra)
        assert result.status == 2 and "forks: expected as many as hosts (3), found 2" in " ".join(result.output.split()), result.output
    assert fleet.live() == {good} and fleet.locks() == [False] * 3


def test_a_host_that_does_not_answer_keeps_nobody_from_going_back(fleet, good):
    fleet.cut("second")
    result = fleet.operator.run("rollback")
    assert (result.status, result.outcome) == (2, "incomplete"), result.output
    assert "Not reached: second." in result.stats["mobius_message"]
    assert fleet.versions() == ["v4", "v5", "v4"] and fleet.locks() == [False] * 3
    (incident,) = fleet.incidents()
    assert (incident["severity"], incident["evidence"]["not_reached"]) == (2, ["second"])
    fleet.mend()
    target = result.stats["mobius_release"]
    again = fleet.operator.run("rollback", mobius_release_id=target)
    assert (again.status, again.outcome) == (0, "rolled_back") and fleet.live() == {target}, again.output


def test_when_nobody_answers_that_is_said(fleet, good):
    for name in NAMES:
        fleet.cut(name)
    result = fleet.operator.run("rollback")
    fleet.mend()
    assert result.status != 0 and "found none of first, second, third" in " ".join(result.output.split()), result.output
    assert fleet.live() == {good}


def test_a_rollback_that_fails_on_one_host_is_no_good_one_on_the_others(fleet, good):
    assert fleet.deploy("v7").outcome == "deployed"
    fault = fleet.sites["third"].root / "releases" / good / "fault.json"
    fault.write_text('{"kind": "crash"}')
    result = fleet.operator.run("rollback", mobius_ready_timeout=6)
    fault.unlink()
    assert (result.status, result.outcome) == (2, "failed"), result.output
    (incident,) = fleet.incidents()
    assert incident["severity"] == 1 and list(incident["evidence"]["hosts"]) == ["third"] and incident in fleet.sites["third"].incidents()
    said = " ".join(result.output.split())
    assert said.count("The rollback failed on third, so it was not smoke-tested here.") >= 2 and "ROLLED_BACK" not in said, result.output
    assert [fleet.sites[name].client().health()["version"] for name in NAMES[:2]] == ["v4", "v4"]  # nothing answers on the third
    assert fleet.live() == {good} and fleet.locks() == [False] * 3
    assert fleet.operator.run("restart").outcome == "restarted" and back(fleet, good, "v4")


def test_a_migration_stays_under_the_hosts_that_serve_it_when_another_one_fails_to_get_it(fleet, good, says):
    """Two hosts serve the new release; the third, which missed it, fails its start, and then gets it."""
    log = fleet.folder / "migrations"
    migration = {"mobius_migration": "reversible", "mobius_migration_up": ["sh", "-c", f"echo up >> {log}"],
                 "mobius_migration_down": ["sh", "-c", f"echo down >> {log}"]}
    assert fleet.deploy("v8", **migration).outcome == "deployed" and log.read_text() == "up\n"
    third = fleet.sites["third"]
    assert third.play("rollback").outcome == "rolled_back" and log.read_text() == "up\n"
    data = third.root / "shared" / "data"
    os.rename(data, third.root / "shared" / "gone")
    data.write_text("no folder")
    result = fleet.deploy("v8", mobius_components="config,logs", mobius_ready_timeout=6, **migration)
    data.unlink()
    os.rename(third.root / "shared" / "gone", data)
    assert result.status == 2 and log.read_text() == "up\n", result.output
    assert [fleet.sites[name].client().health()["version"] for name in NAMES[:2]] == ["v8", "v8"] and third.live() == good
    mixed = "serves on first, second and not on third, and its migration was not undone. Mend the cause and run the same deploy again, " \
            f"or send all to one release with mobius.ops.rollback -e mobius_release_id={good}."
    assert says(result, mixed) and says(result, "nothing was changed. The fleet is mixed: release"), result.output
    (incident,) = fleet.incidents()
    assert incident in third.incidents() and mixed in incident["summary"] and incident["evidence"]["served_it_before"] == list(NAMES[:2])
    assert third.play("restart").outcome == "restarted"
    again = fleet.deploy("v8", **migration)
    assert again.outcome == "deployed" and fleet.versions() == ["v8"] * 3 and log.read_text() == "up\n", again.output
