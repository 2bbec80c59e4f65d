"""Runs that end before the service matters: what they refuse, what they show, what they leave alone."""

from __future__ import annotations

import pytest
from support.playbooks import ROOT, Operator, Result

SECRET = "sekret-of-the-test"


@pytest.fixture(name="operator")
def _operator(tmp_path) -> Operator:
    return Operator("local", mobius_root=str(tmp_path / "mobius"), mobius_dotenv={})


def told(result: Result, sentence: str) -> bool:
    """Whether the run failed with a sentence."""
    return result.status == 2 and " ".join(sentence.split()) in " ".join(result.output.replace("''", "'").split())


def test_environments_may_be_one_string(operator):
    done = operator.run("status", mobius_env="loc", mobius_environments="local, production")
    assert told(done, "mobius_env: expected one of local, production, found 'loc'."), done.output
    done = operator.run("status", mobius_env="local", mobius_environments="local, production")
    assert told(done, "expected a host that was set up"), done.output


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("mobius_dotenv", {"KEY": f"{SECRET}\nmore"}, "mobius_dotenv: expected a value of KEY on one line"),
        ("mobius_dotenv", [SECRET], "mobius_dotenv: expected a dictionary, found a list."),
        ("mobius_check_headers", [SECRET], "mobius_check_headers: expected a dictionary, found a list."),
    ],
)
def test_a_mistake_in_a_secret_is_told_without_it(operator, tmp_path, setting, value, sentence):
    done = operator.run("setup", "-vvv", **{setting: value})
    assert told(done, sentence), done.output
    assert SECRET not in done.output
    assert not (tmp_path / "mobius").exists()


def test_secret_headers_are_not_shown(operator, tmp_path):
    assert operator.run("setup").outcome == "set_up"
    done = operator.run(
        "status",
        "-vvv",
        mobius_check_headers={"Origin": "http://shown.example"},
        mobius_check_secret_headers={"Authorization": f"Bearer {SECRET}"},
    )
    assert told(done, "mobius does not run: no release is live."), done.output
    assert SECRET not in done.output and "Origin: http://shown.example" in done.output


def test_setup_in_check_mode_on_a_new_host(operator, tmp_path):
    done = operator.run("setup", "--check", "--diff", mobius_dotenv={"KEY": SECRET})
    assert (done.status, done.outcome) == (0, "planned") and done.changed() == 3, done.output
    assert "would be set up" in done.output and SECRET not in done.output and not (tmp_path / "mobius").exists()


# those for AWX work on AWX, not on hosts
@pytest.mark.parametrize(
    "playbook",
    sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml") if path.stem != "hosts" and not path.stem.startswith("awx_")),
)
def test_no_host_is_a_failure(operator, playbook):
    done = operator.run(playbook, mobius_hosts="nope")
    assert told(done, "mobius_hosts: expected hosts of the inventory, found none for 'nope'. Correct it, or give the inventory with -i.")
    assert done.outcome == "failed"


@pytest.mark.parametrize(
    ("inventory", "options", "hosts", "named"),
    [
        ("[mobius]\nhere ansible_connection=local\n", [], "mobius", "here"),
        ("[mobius]\nhere ansible_connection=local\nthere\n", ["--limit", "here"], "mobius", "here"),
        ("[mobius]\nlocalhost ansible_connection=local\n", [], "mobius", "localhost"),
        ("[others]\nelsewhere\n", [], "localhost", "localhost"),
        ("[mobius]\nhere ansible_connection=local\nthere\n", [], "mobius:!there", "here"),
    ],
)
def test_hosts_are_found(operator, tmp_path, inventory, options, hosts, named):
    operator.inventory = tmp_path / "hosts.ini"
    operator.inventory.write_text(inventory)
    done = operator.run("status", *options, mobius_hosts=hosts, mobius_env="local", mobius_become=False)
    assert told(done, "expected a host that was set up") and f"fatal: [{named}]" in done.output, done.output


def test_status_is_shown_without_the_folder_of_backups(operator, tmp_path):
    assert operator.run("setup").outcome == "set_up"
    (tmp_path / "mobius" / "backups").rmdir()
    done = operator.run("status", mobius_backup_dir=str(tmp_path / "gone"))
    assert (done.status, done.outcome) == (2, "not_well") and "Last events" in done.output, done.output
    assert str(tmp_path / "gone") in done.output
