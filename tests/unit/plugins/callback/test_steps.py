# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The callback's own parts; what a run looks like is in tests/integration/test_steps.py."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from ansible_collections.mobius.ops.plugins.callback import steps


class Screen:
    """A display that keeps what it shows."""

    def __init__(self, verbosity):
        self.verbosity, self.shown = verbosity, []

    def display(self, msg, *_args, **_words):
        self.shown.append(msg)

    def warning(self, msg):
        self.shown.append(f"warning: {msg}")


@pytest.mark.parametrize("verbosity", [0, 1])
def test_all_goes_into_the_file_and_with_v_to_the_screen_too(verbosity):
    screen, file = Screen(verbosity), io.StringIO()
    recorder = steps.Recorder(screen, file)
    recorder.display("ok: [web1]", color="green")
    recorder.banner("TASK [Back up]")
    recorder._error(SimpleNamespace(event=SimpleNamespace(msg="it failed", formatted_traceback="line 1")), stderr=True)
    lines = file.getvalue().splitlines()
    assert lines[0] == "ok: [web1]" and lines[2].startswith("TASK [Back up] ***") and lines[3:] == ["[ERROR]: it failed", "line 1"]
    assert bool(screen.shown) == bool(verbosity)
    recorder.warning("mind the disk")
    assert screen.shown[-1] == "warning: mind the disk"


def test_a_file_that_cannot_be_written_any_more_is_no_failure():
    file = io.StringIO()
    file.close()
    steps.Recorder(Screen(0), file).display("lost")
    steps.Recorder(Screen(0), None).display("lost too")


def task(path, name="a role : A task", collection=None, **variables):
    role = SimpleNamespace(_role_collection=collection) if collection else None
    return SimpleNamespace(get_vars=lambda: variables, get_path=lambda: path, get_name=lambda: name, _role=role)


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (task("/x/mobius/ops/roles/deploy/tasks/switch.yml:9"), "Switch…"),
        (task("/checkout/roles/backup/tasks/main.yml:9", collection="mobius.ops"), "Back up…"),
        (task("/x/mobius/ops/roles/monitor/tasks/main.yml:9", mobius_step="Switch…"), "Switch…"),
        (task("/x/mobius/ops/playbooks/hosts.yml:3"), ""),
        (task("/site.yml:3", "web : Install nginx"), "Install nginx"),
        (task(None, "Gathering Facts"), "Gathering Facts"),
    ],
)
def test_the_step_of_a_task(given, step):
    assert steps.step_of(given) == step


def test_results_of_every_core_are_read():
    host = SimpleNamespace(get_name=lambda: "web1")
    for result in (SimpleNamespace(task="t", host=host, result={"a": 1}), SimpleNamespace(_task="t", _host=host, _result={"a": 1})):
        assert steps.parts(result) == ("t", "web1", {"a": 1})
