"""An incident from its opening to its review, by the playbooks; and one that two hosts share."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
import yaml
from support.playbooks import Operator, Result

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


class Hosts:
    """Two hosts on this machine that are nothing but folders: incidents need no service."""

    def __init__(self, folder: Path) -> None:
        self.layouts = {name: Layout(str(folder / name)) for name in ("web1", "web2")}
        for layout in self.layouts.values():
            for path in layout.folders():
                Path(path).mkdir(parents=True)
        own = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        hosts = {name: {**own, "mobius_root": layout.root} for name, layout in self.layouts.items()}
        (folder / "hosts.yml").write_text(yaml.safe_dump({"mobius": {"hosts": hosts}}))
        self.operator = Operator("local", mobius_env="local", mobius_become=False)
        self.operator.inventory = folder / "hosts.yml"

    def act(self, action: str, *options: str, **extra: object) -> Result:
        """Run mobius.ops.incident."""
        return self.operator.run("incident", *options, mobius_incident_action=action, **extra)

    def record(self, host: str, name: str) -> dict:
        """An incident's record on a host."""
        return json.loads(Path(self.layouts[host].path("incidents", name + ".json")).read_text())


@pytest.fixture
def hosts(tmp_path):
    return Hosts(tmp_path)


def test_from_the_opening_to_the_review(hosts, says):
    result = hosts.act("open", mobius_incident_title="Renders fail")
    assert (result.status, result.outcome) == (2, "refused") and says(result, "mobius_incident_severity: none was given."), result.output
    result = hosts.act("open", mobius_incident_title="Renders fail", mobius_incident_severity=2, mobius_incident_cause="renders")
    assert (result.status, result.outcome) == (0, "opened"), result.output
    name = result.stats["mobius_incident"]
    assert hosts.record("web1", name)["evidence"]["metrics"] and not Path(hosts.layouts["web2"].path("incidents", name + ".json")).exists()

    assert hosts.act("acknowledge", mobius_incident=name, mobius_why="on it").outcome == "acknowledged"
    assert hosts.act("acknowledge", mobius_incident=name).outcome == "unchanged"
    result = hosts.act("review", mobius_incident=name)
    assert (result.status, result.outcome) == (2, "refused"), result.output
    assert says(result, "it is acknowledged. Resolve it before the review."), result.output
    assert (
        hosts.act(
            "update",
            mobius_incident=name,
            mobius_incident_done="encoder installed",
            mobius_incident_severity=3,
            mobius_incident_reached="root_cause",
        ).outcome
        == "updated"
    )
    result = hosts.operator.run("incidents", mobius_incident=name, mobius_incident_review=True)
    assert (result.status, result.outcome) == (0, "incident_shown"), result.output
    for words in ("encoder installed", "Review of " + name, "3 medium", "root cause"):
        assert words in result.output, result.output
    assert hosts.act("resolve", mobius_incident=name, mobius_why="renders work").outcome == "resolved"
    assert hosts.operator.run("incidents").outcome == "no_incidents"
    assert hosts.act("reopen", mobius_incident=name, mobius_why="they fail again").outcome == "reopened"
    assert hosts.record("web1", name)["status"] == "open"
    assert hosts.act("escalate", mobius_incident=name).outcome == "escalated"
    assert hosts.record("web1", name)["events"][-1]["what"] == "escalated"
    assert hosts.act("resolve", mobius_incident=name).outcome == "resolved"
    assert hosts.act("review", mobius_incident=name).outcome == "reviewed"
    assert hosts.record("web1", name)["status"] == "reviewed"


def test_the_incident_of_a_fleet_is_one(hosts, says):
    facts = {"title": "v2 is bad", "severity": 1, "env": "local", "cause": "release v2", "fleet": "2026-11-27 web1 web2"}
    name, again = (incidents.open_incident(layout, facts)["id"] for layout in hosts.layouts.values())
    assert name == again
    result = hosts.operator.run("incidents")
    assert (result.outcome, result.stats["mobius_incidents"]) == ("incidents_listed", [name]), result.output
    assert says(result, "web1 and web2"), result.output
    assert hosts.act("acknowledge", mobius_incident=name).outcome == "acknowledged"
    assert [hosts.record(host, name)["status"] for host in hosts.layouts] == ["acknowledged", "acknowledged"]

    result = hosts.operator.run("verify_backups")  # there are none
    assert (result.outcome, result.status) == ("not_verified", 2), result.output
    unverified = result.stats["mobius_incident"]
    assert [hosts.record(host, unverified)["cause"] for host in hosts.layouts] == ["verify backups"] * 2
    assert hosts.act("resolve", mobius_incident=unverified).outcome == "resolved"

    disk = {"title": "disk", "severity": 3, "env": "local"}
    own, other = (incidents.open_incident(layout, disk)["id"] for layout in hosts.layouts.values())
    assert own == other
    result = hosts.act("resolve", mobius_incident=own)
    assert (result.status, result.outcome) == (2, "refused"), result.output
    assert says(result, "this is not the same incident on web1 and web2. Give -l"), result.output
    assert hosts.act("resolve", "-l", "web1", mobius_incident=own).outcome == "resolved"
    assert [hosts.record(host, own)["status"] for host in hosts.layouts] == ["resolved", "open"]
    path = Path(hosts.layouts["web2"].path("incidents", own + ".json"))
    late = {**json.loads(path.read_text())}
    late["events"][0]["when"] = late["opened"] = clock.iso(clock.now() - datetime.timedelta(hours=5))
    path.write_text(json.dumps(late))
    result = hosts.operator.run("incidents", mobius_incident_show="overdue")
    assert (result.status, result.outcome, result.stats["mobius_incidents"]) == (2, "overdue", [own]), result.output
    result = hosts.act("resolve", mobius_incident="INC-9")
    assert (result.status, result.outcome) == (2, "refused") and says(result, "no host of this run has such an incident."), result.output
