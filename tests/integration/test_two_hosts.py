"""Two hosts in one run: the artifact is built once, and what fails on one goes back on both."""
from __future__ import annotations

import os

import pytest
import yaml
from support.playbooks import ROOT, Operator


@pytest.fixture(scope="module")
def pair(tmp_path_factory, new_site):
    """An operator whose inventory has two hosts on this machine, and the two sites."""
    folder = tmp_path_factory.mktemp("pair")
    sites = {name: new_site(folder / name) for name in ("first", "second")}
    settings = yaml.safe_load((ROOT / "inventories" / "local" / "group_vars" / "mobius.yml").read_text())
    settings["secret_file"] = str(ROOT / ".build" / "secrets" / "local")
    hosts = {}
    for name, site in sites.items():
        hosts[name] = {**site.operator.settings, "ansible_connection": "local",
                       "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"mobius": {"hosts": hosts, "vars": settings}}))
    operator = Operator("local")
    operator.inventory = folder / "hosts.yml"
    return operator, sites["first"], sites["second"]


def test_deploy_on_both(pair):
    operator, first, second = pair
    assert operator.run("setup").outcome == "set_up"
    result = operator.run("deploy", mobius_release_source=str(first.source("v1")), mobius_version="v1")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert first.live() == second.live()
    assert [site.client().health()["version"] for site in (first, second)] == ["v1", "v1"]


def test_a_failure_on_one_host_goes_back_on_the_other_too(pair):
    """The second host's uploads folder is gone: its new release cannot be well."""
    operator, first, second = pair
    good = first.live()
    os.rename(second.root / "shared" / "data", second.root / "shared" / "gone")
    (second.root / "shared" / "data").write_text("no folder")
    result = operator.run("deploy", mobius_release_source=str(first.source("v2")), mobius_version="v2", mobius_components="config,logs",
                          mobius_ready_timeout=6)
    (second.root / "shared" / "data").unlink()
    os.rename(second.root / "shared" / "gone", second.root / "shared" / "data")
    assert result.status == 2 and result.outcome in ("failed", "rolled_back"), result.output
    assert first.live() == second.live() == good
    assert first.client().health()["release"] == good
    assert first.incidents() and second.incidents()
    assert operator.run("restart").outcome == "restarted"
    assert second.client().health()["release"] == good
