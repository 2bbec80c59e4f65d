"""The data for AWX, applied by the real modules of awx.awx to a stand-in of its API. What that is and is not: support.awx_stand_in."""

from __future__ import annotations

import shutil

import pytest
import yaml
from support.awx_stand_in import MODULES, TOKEN, StandIn, awx_collection, awx_data
from support.playbooks import ROOT, Operator

from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import request

SECRETS = {"vault_awx_ssh_key": "the ssh key", "vault_mobius_api_keys": "key-one,key-two", "vault_awx_read_token": "a token"}
#: What an AWX has before.
BEFORE = {"organizations": {"Default"}, "credential_types": {"Machine", "Red Hat Ansible Automation Platform"}}


class Administrator(Operator):
    """Runs playbooks with a controller that has awx.awx, against a stand-in."""

    def __init__(self, stand_in, **settings):
        super().__init__("local", **settings)
        self.collections = f"{ROOT}/.build/collections:{awx_collection.bring()}"
        self.credential = stand_in.environment

    def environment(self):
        return {**super().environment(), **self.credential, "ANSIBLE_COLLECTIONS_PATH": self.collections}


@pytest.fixture
def stand_in():
    with StandIn() as server:
        yield server


@pytest.fixture
def small(tmp_path):
    """A folder with little data: a credential and its type, a template, and a workflow of three nodes, one an approval."""
    folder = tmp_path / "awx"
    folder.mkdir()
    nodes = [
        {"identifier": "approval", "approval_node": {"name": "A", "timeout": 60}, "success_nodes": ["one"]},
        {"identifier": "one", "unified_job_template": "T", "success_nodes": ["two"]},
        {"identifier": "two", "unified_job_template": "T"},
    ]
    kind = {"name": "K", "kind": "cloud", "inputs": {"fields": [{"id": "a", "label": "A"}]}, "injectors": {"env": {"A": "a"}}}
    data = {
        "awx_ssh_key": "k",
        "awx_api_keys": "a",
        "awx_own_token": "t",
        "controller_credential_types": [kind],
        "controller_credentials": [{"name": "C", "organization": "Default", "credential_type": "K", "inputs": {"a": "b"}}],
        "controller_templates": [{"name": "T", "organization": "Default", "forks": 5}],
        "controller_workflows": [{"name": "W", "organization": "Default", "simplified_workflow_nodes": nodes}],
    }
    (folder / "all.yml").write_text(yaml.safe_dump(data))
    return folder


def names(store):
    """The names of all objects, by endpoint."""
    return {
        endpoint: {one.get("identifier") or one["name"] for one in objects.values()}
        for endpoint, objects in store.objects.items()
        if objects
    }


def test_all_of_it_is_made_in_order_a_second_run_changes_nothing_and_absent_removes_it(stand_in, tmp_path):
    folder = shutil.copytree(ROOT / "awx", tmp_path / "awx")
    data, problems = awx_data.read(folder)
    assert problems == []
    store, administrator = stand_in.store, Administrator(stand_in, awx_data=str(folder), **SECRETS)

    made = administrator.run("awx_configure")
    assert (made.status, made.outcome) == (0, "configured"), made.output
    have = names(store)
    for variable, module in awx_data.MODULES.items():
        endpoint = next((name for name, one in MODULES.items() if one == module), "")
        assert not endpoint or data.names(variable) == have[endpoint] - BEFORE.get(endpoint, set()), variable
    nodes = [
        (node["identifier"], "approval_node" in node) for workflow in data.of("controller_workflows") for node in awx_data.nodes(workflow)
    ]
    assert have["workflow_job_template_nodes"] == {name for name, _approval in nodes}
    assert len(store.objects["workflow_approval_templates"]) == sum(approval for _name, approval in nodes)
    kinds = [endpoint for method, endpoint, _name in store.changes if method == "POST"]
    first = [endpoint for endpoint in dict.fromkeys(kinds) if endpoint in MODULES]
    wanted = [name for module in awx_data.MODULES.values() for name in MODULES if MODULES[name] == module]
    assert first == [*wanted[:-1], "workflow_job_template_nodes", "schedules"]
    order = [name for method, endpoint, name in store.changes if (method, endpoint) == ("POST", "workflow_job_template_nodes")]
    assert set(order[:3]) == {name for name, approval in nodes if approval}
    links = [number for number, change in enumerate(store.changes) if change[1] in ("success_nodes", "failure_nodes", "always_nodes")]
    assert links and min(links) > max(number for number, change in enumerate(store.changes) if change[1] == "workflow_job_template_nodes")
    assert sum(len(store.lists.get((key, "teams"), [])) for key in store.granted) == sum(
        len(role["teams"]) * (len(role.get("job_templates", [])) + len(role.get("workflows", []))) for role in data.of("controller_roles")
    )
    for secret in SECRETS.values():
        assert secret not in made.output

    store.changes.clear()
    again = administrator.run("awx_configure")
    assert (again.status, again.changed(), store.changes) == (0, 0, []), again.output

    gone = administrator.run("awx_configure", awx_state="absent")
    assert (gone.status, gone.outcome, names(store)) == (0, "removed", BEFORE), gone.output


def test_drift_is_repaired_and_what_is_gone_is_not_removed_twice(stand_in, small):
    store, administrator = stand_in.store, Administrator(stand_in, awx_data=str(small))
    assert administrator.run("awx_configure").status == 0
    (template,) = store.objects["job_templates"]
    (workflow,) = store.objects["workflow_job_templates"]
    ids = {one["identifier"]: key for key, one in store.objects["workflow_job_template_nodes"].items()}
    store.change(template, {"forks": 1})
    stale = {"identifier": "three", "workflow_job_template": workflow, "unified_job_template": template}
    extra = store.add("workflow_job_template_nodes", stale)
    store.associate(ids["one"], "failure_nodes", {"id": extra["id"]})
    store.associate(ids["approval"], "failure_nodes", {"id": ids["two"]})
    result = administrator.run("awx_configure")
    assert result.status == 0, result.output
    assert store.objects["job_templates"][template]["forks"] == 5
    assert names(store)["workflow_job_template_nodes"] == {"approval", "one", "two"}
    assert store.lists[ids["one"], "failure_nodes"] == store.lists[ids["approval"], "failure_nodes"] == []
    assert store.lists[ids["approval"], "success_nodes"] == [ids["one"]] and store.lists[ids["one"], "success_nodes"] == [ids["two"]]
    gone = [administrator.run("awx_configure", awx_state="absent") for _time in range(2)]
    assert [(run.status, run.changed()) for run in gone] == [(0, 4), (0, 0)] and names(store) == BEFORE, gone[1].output


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"awx_state": "gone"}, "awx_state: expected present or absent, found gone. Correct it."),
        ({"awx_data": "/nonexistent"}, "awx_data: there is no .yml file in /nonexistent."),
        ({}, "awx_own_token: it has no value. Give the vault that settings.yml names, with -e @FILE"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(stand_in, small, wrong, sentence):
    (small / "all.yml").write_text((small / "all.yml").read_text().replace("awx_own_token: t", "awx_own_token: '{{ vault_missing }}'"))
    result = Administrator(stand_in, awx_data=str(small)).run("awx_configure", **wrong)
    assert result.status == 2 and sentence in " ".join(result.output.split()), result.output
    assert stand_in.store.changes == []


def test_without_awx_awx_it_says_how_to_install_it(stand_in, small):
    administrator = Administrator(stand_in, awx_data=str(small))
    administrator.collections = f"{ROOT}/.build/collections"
    result = administrator.run("awx_configure")
    assert result.status == 2
    assert "Install it: ansible-galaxy collection install awx.awx:24.6.1" in " ".join(result.output.split()), result.output


def test_who_approved_in_awx_has_approved_the_deploy(stand_in):
    stand_in.approve(7, {"approve_ops": "anna", "approve_dev": "bert", "approve_rollback": ""})
    result = Administrator(stand_in).run("awx_approvals", awx_workflow_job_id=7)
    assert (result.status, result.outcome) == (0, "approved"), result.output
    assert request.people(result.stats["mobius_approvals"]) == [("anna", "ops"), ("bert", "dev")]
    assert request.approvals_row(result.stats["mobius_approvals"], 2, "ops")["status"] == "passed"


@pytest.mark.parametrize(
    ("answers", "extra", "sentence"),
    [
        ({"approve_ops": ""}, {"awx_workflow_job_id": 7}, "no node of this workflow was approved by a person"),
        ({"approve_ops": "anna"}, {}, "no AWX workflow launched this job"),
        ({"approve_ops": "anna"}, {"awx_workflow_job_id": 7, "awx_address": ""}, "CONTROLLER_HOST or CONTROLLER_OAUTH_TOKEN is not set"),
        (
            {"approve_ops": "anna"},
            {"awx_workflow_job_id": 8},
            "does not tell the nodes of workflow job 8 (status 404). Check the address and",
        ),
    ],
)
def test_a_workflow_without_an_approval_goes_no_further(stand_in, answers, extra, sentence):
    stand_in.approve(7, answers)
    result = Administrator(stand_in).run("awx_approvals", **extra)
    assert result.status == 2 and sentence in " ".join(result.output.split()), result.output
    assert "mobius_approvals" not in result.stats and TOKEN not in result.output
