# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SIGKILL right before every step of an incident: no event is lost that was reported, and no reader sees half of one."""

from __future__ import annotations

import os

import pytest
from support.killing import killed_before

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_log, incident_record, incidents
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

STEPS = ((os, "replace"), (os, "link"), (os, "unlink"), (os, "fsync"), (fs, "append_line"))
FACTS = {"title": "Renders fail", "severity": 2, "env": "production", "cause": "renders"}


def new_layout(folder):
    made = Layout(str(folder))
    for path in made.folders():
        os.makedirs(path)
    return made


def opened(layout):
    return lambda: incidents.open_incident(layout, FACTS)


def changed(layout, what, **facts):
    def change():
        return incidents.change(layout, incident_record.names(layout)[0], what, **facts)

    return change


#: What is done before, and what is killed.
WORKS = {
    "open": ((), opened),
    "acknowledge": (("open",), lambda layout: changed(layout, "acknowledged")),
    "update": (("open",), lambda layout: changed(layout, "updated", why="a")),
    "resolve": (("open",), lambda layout: changed(layout, "resolved")),
    "reopen": (("open", "resolved"), lambda layout: changed(layout, "reopened")),
    "review": (("open", "resolved"), lambda layout: changed(layout, "reviewed")),
}


def events(layout):
    """The events of the incident as every reader sees them: a damaged record would raise."""
    found = [incident_record.read(layout, name) for name in incident_record.names(layout)]
    assert len(found) <= 1 and all(record["status"] == incident_log.state(record).status for record in found)
    return found[0]["events"] if found else []


@pytest.mark.parametrize("work", WORKS)
def test_an_event_is_there_or_not(tmp_path, work):
    before, work = WORKS[work]
    outcomes, number = [], 0
    while True:
        number += 1
        layout = new_layout(tmp_path / str(number))
        for step in before:
            (opened(layout) if step == "open" else changed(layout, step))()
        was = events(layout)
        name = killed_before(number, work(layout), effects=STEPS)
        now = events(layout)
        assert now[: len(was)] == was and len(now) - len(was) in (0, 1)
        outcomes.append(len(now) - len(was))
        work(layout)()  # a person does it again
        after = events(layout)
        assert after[: len(now)] == now and len(after) == len(was) + 1
        with open(layout.path("incidents", incident_record.names(layout)[0] + ".md"), encoding="utf-8") as stream:
            page = stream.read()
        assert not outcomes[-1] or name != "" or after[-1]["what"] in page
        if not name:
            break
    assert outcomes == sorted(outcomes) and {0, 1} <= set(outcomes) and number > 6, outcomes
