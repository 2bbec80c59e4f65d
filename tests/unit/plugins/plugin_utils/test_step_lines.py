# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines of steps, and the table of a fleet."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mobius.ops.plugins.plugin_utils import step_lines

ROOT = Path(__file__).parents[4]


@pytest.fixture
def clock():
    """A clock that a test sets."""

    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def steps(clock):
    return step_lines.Steps(clock)


def texts(lines):
    return [line.text for line in lines]


def test_a_step_is_one_line_with_hosts_and_time(steps, clock):
    assert texts(steps.begin("Check")) == []
    steps.count("web1", "ok")
    steps.count("web2", "changed")
    clock.now = 4.13
    (line,) = steps.end()
    assert line == ("changed", "✓ Check              4.1 s   web1, web2")
    assert texts(steps.end()) == []


def test_a_long_one_is_announced_and_the_one_before_ends(steps, clock):
    list(steps.begin("Check"))
    steps.count("web1", "ok")
    clock.now = 75
    assert texts(steps.begin("Back up…")) == ["✓ Check         1 min 15 s   web1", "  Back up…"]
    assert texts(steps.begin("Back up…")) == texts(steps.begin("")) == texts(steps.begin("outcome")) == []
    steps.count("web1", "failed")
    steps.count("web1", "ok")
    (line,) = steps.end()
    assert line.kind == "failed" and line.text.startswith("✗ Back up ")


def test_a_step_in_which_no_host_had_anything_to_do_is_not_told(steps):
    list(steps.begin("Migrate"))
    assert texts(steps.begin("Switch")) == texts(steps.end()) == [] and steps.table() == []


def test_hosts_are_in_the_order_of_their_numbers(steps):
    list(steps.begin("Check"))
    for host in ("web10", "db", "web2", "10.0.0.9", "10.0.0.10"):
        steps.count(host, "ok")
    list(steps.end())
    assert [line.split()[0] for line in steps.table()[2:]] == ["10.0.0.9", "10.0.0.10", "db", "web2", "web10"]


def test_of_many_hosts_those_that_failed_are_named(steps):
    list(steps.begin("Switch"))
    for number in range(30):
        steps.count(f"web{number}", "failed" if number == 17 else "changed")
    (line,) = steps.end()
    assert line.text.endswith("   30 hosts, 1 failed: web17")


def test_a_fleet_gets_a_table_and_one_host_none(steps):
    list(steps.begin("Check"))
    for host in ("web1", "web10"):
        steps.count(host, "ok")
    list(steps.begin("Switch…"))
    steps.count("web1", "changed")
    list(steps.end())
    list(steps.begin("Check"))
    steps.count("web10", "failed")
    list(steps.end())
    assert steps.table() == ["", "       Check  Switch", "web1   ✓      ✓", "web10  ✗      ·"]


@pytest.mark.parametrize(("hosts", "told"), [(["web1"], "  [web1] two\n  lines"), (["web1", "web2"], "  two\n  lines")])
def test_a_message_names_its_hosts_unless_all_say_it(hosts, told):
    assert step_lines.message("two\nlines\n", hosts, ["web1", "web2"]) == told


@pytest.mark.parametrize(
    ("facts", "texts"),
    [
        ({"msg": "one"}, ["one"]),
        ({"msg": ["one", "two"]}, ["one\ntwo"]),
        ({"msg": {"a": "ä"}}, ['{\n  "a": "ä"\n}']),
        ({"inventory_hostname": "web1", "changed": False, "_ansible_verbose_always": True}, ["inventory_hostname: web1"]),
        (
            {"msg": "All items completed", "results": [{"msg": "word one", "item": 1}, {"msg": "word two", "item": 2}]},
            ["word one", "word two"],
        ),
        ({"changed": False}, []),
    ],
)
def test_what_debug_says(facts, texts):
    assert step_lines.said(facts) == texts


@pytest.mark.parametrize(("value", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s")])
def test_times(value, text):
    assert step_lines.seconds(value) == text


def test_every_file_of_tasks_that_is_named_is_there_and_every_role_has_a_step():
    for place in step_lines.STEPS:
        role, _, file = place.partition("/")
        folder = ROOT / "playbooks" if role == "playbooks" else ROOT / "roles" / role
        assert (folder / "tasks" / f"{file or 'main'}.yml").exists(), place
    assert {path.name for path in (ROOT / "roles").iterdir()} == {place for place in step_lines.STEPS if "/" not in place}


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("/x/mobius/ops/roles/deploy/tasks/switch.yml:12", "Switch…"),
        ("/x/roles/deploy/tasks/main.yml:3", ""),
        ("/x/roles/mobius/tasks/outcome.yml:3", "outcome"),
        ("/x/roles/monitor/tasks/follow.yml:3", "Watch…"),
        ("/x/playbooks/hosts.yml:3", ""),
        ("/x/mobius/ops/playbooks/tasks/awx_absent.yml:3", "Remove…"),
        ("/x/playbooks/tasks/other.yml:3", ""),
    ],
)
def test_the_step_of_a_file(path, step):
    assert step_lines.step_at(path) == step
