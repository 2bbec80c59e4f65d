# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which cause is named for what was seen; and which one is mended."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import remedies, rules
from ansible_collections.mobius.ops.plugins.module_utils._diagnose.evidence import Disk, Evidence, Folder
from ansible_collections.mobius.ops.plugins.module_utils._diagnose.process_looks import Process
from ansible_collections.mobius.ops.plugins.module_utils._logs.recent import Recent, SlowRoute

GB = 1024**3
MAIN = Process(
    port=5001,
    release="r1",
    pid=42,
    ticks=7,
    age=60.0,
    watched=3.0,
    states="SSSSSS",
    cpu_pct=1.0,
    blocked_in="",
    memory=(GB,) * 6,
    files=30,
    files_limit=1024,
    queue=0,
)
WELL = Evidence(
    service="mobius",
    status="running",
    restarts=0,
    crashing=False,
    uptime=60.0,
    last_exit="",
    exception="",
    processes=(MAIN,),
    strangers=(),
    failed=0,
    checks=1,
    fault="",
    silent=False,
    disks=(Disk("/", 50 * GB, 100_000), Disk("/mnt", GB, None)),
    folders=(Folder("/srv/up", ""),),
    jobs=(),
    memory_free=8 * GB,
    memory_whole=16 * GB,
)
SILENT = {"failed": 1, "fault": "/health: no answer within 4 s", "silent": True}
DOWN = {"status": "stopped", "processes": ()}
LOOP = dataclasses.replace(MAIN, states="RRRRRR", cpu_pct=98.0, queue=3)
BLOCKED = dataclasses.replace(MAIN, blocked_in="read of /srv/fifo")
FULL = dataclasses.replace(MAIN, files=1023)
LEAK = dataclasses.replace(MAIN, memory=(GB, GB + 10**8, GB + 10**8, GB + 2 * 10**8))
SLOW = Recent(30, 25, (SlowRoute("GET /api/projects", 25, 3000.0, 3500.0),))
JOB = {"verdict": "stuck", "name": "abc", "pid": 9, "command": "ffmpeg -i x"}


def seen(**changes):
    return dataclasses.replace(WELL, **changes)


def job(verdict):
    return ({**JOB, "verdict": verdict},)


CASES = {
    "well": (seen(), []),
    "loop": (seen(**SILENT, processes=(LOOP,)), ["loop"]),
    "loop on a crowded host": (seen(**SILENT, processes=(dataclasses.replace(LOOP, cpu_pct=9.0),)), ["loop"]),
    "busy but answering": (seen(processes=(LOOP,)), []),
    "silent and idle": (seen(**SILENT), []),
    "blocked": (seen(**SILENT, processes=(BLOCKED,)), ["blocking_call"]),
    "blocked in one look only, and answering": (seen(processes=(BLOCKED,)), []),
    "stopped": (seen(**SILENT, processes=(dataclasses.replace(MAIN, states="TTTTTT"),)), ["stopped"]),
    "stopped for a moment": (seen(processes=(dataclasses.replace(MAIN, states="TTTSSS"),)), []),
    "files, which also hang": (seen(**SILENT, processes=(dataclasses.replace(LOOP, files=1024),)), ["files_exhausted"]),
    "files": (seen(processes=(FULL,)), ["files_exhausted"]),
    "no limit of files": (seen(processes=(dataclasses.replace(MAIN, files=5000, files_limit=0),)), []),
    "leak": (seen(processes=(LEAK,)), ["memory"]),
    "memory that requests take": (
        seen(processes=(dataclasses.replace(MAIN, memory=(73269248, 73326592, 73461760, 74862592, 75448320, 77488128)),)),
        [],
    ),
    "memory of one that starts": (seen(processes=(dataclasses.replace(LEAK, age=3.0),)), []),
    "memory of one that starts again and again": (seen(processes=(LEAK,), crashing=True), ["crash_loop"]),
    "memory that goes up and down": (seen(processes=(dataclasses.replace(MAIN, memory=(GB, 2 * GB, GB, 2 * GB)),)), []),
    "heap": (seen(**DOWN, exception="FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"), ["memory"]),
    "host short of memory": (seen(memory_free=GB // 4), ["memory"]),
    "disk": (seen(disks=(Disk("/", 4096, 100_000),), status="restarting", exception="ENOSPC"), ["disk_full"]),
    "quota": (seen(folders=(Folder("/srv/up", "EDQUOT"),)), ["disk_full"]),
    "inodes": (seen(disks=(Disk("/", GB, 0),), jobs=job("stuck")), ["inodes_full"]),
    "folder": (seen(folders=(Folder("/srv/up", "EACCES"),)), ["folder_not_writable"]),
    "read-only": (seen(folders=(Folder("/srv/up", "EROFS"),)), ["folder_not_writable"]),
    "port": (seen(**DOWN, strangers=("process 7 (nginx) on port 5001",)), ["port_taken"]),
    "port, found while it crashes": (seen(status="restarting", strangers=("process 7 (nginx) on port 5001",)), ["port_taken"]),
    "a stranger beside it": (seen(strangers=("process 7 (nginx) on port 5001",)), []),
    "module": (
        seen(status="failed", restarts=5, processes=(), exception="Error: Cannot find module 'express' (index.js:1:1)"),
        ["dependency_missing"],
    ),
    "other Node": (seen(status="restarting", exception="Error: … NODE_MODULE_VERSION 115"), ["dependency_missing"]),
    "an old exception of one that runs": (seen(exception="Error: Cannot find module 'x'"), []),
    "crash loop": (seen(status="restarting", restarts=4, exception="TypeError: x (a.js:1:1)"), ["crash_loop"]),
    "crash loop, seen while it starts": (seen(crashing=True, restarts=4, failed=1, fault="connection refused"), ["crash_loop"]),
    "module, seen while it starts": (seen(crashing=True, exception="Error: Cannot find module 'express'"), ["dependency_missing"]),
    "port, seen while it starts": (seen(crashing=True, strangers=("process 7 (nginx) on port 5001",)), ["port_taken"]),
    "gave up": (seen(status="failed", restarts=9, processes=()), ["crash_loop"]),
    "stopped by hand": (seen(**DOWN), ["not_running"]),
    "stuck render": (seen(jobs=job("stuck")), ["job_stuck"]),
    "stopped render": (seen(jobs=job("stopped")), ["job_stopped"]),
    "slow render": (seen(jobs=job("slow")), []),
    "slow": (seen(recent=SLOW), ["slow"]),
    "slow because of a loop": (seen(**SILENT, processes=(LOOP,), recent=SLOW), ["loop"]),
    "a few slow answers": (seen(recent=dataclasses.replace(SLOW, timed=3, slow=3)), []),
    "one slow route": (seen(recent=dataclasses.replace(SLOW, timed=100, slow=20)), []),
    "two": (seen(folders=(Folder("/srv/up", "EACCES"),), jobs=job("stuck")), ["folder_not_writable", "job_stuck"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_cause_is_named_and_nothing_that_follows_from_it(case):
    evidence, names = CASES[case]
    found = rules.causes(evidence)
    assert [cause.name for cause in found] == names
    for cause in found:
        assert cause.evidence and cause.text.endswith(".") and cause.todo and not cause.todo.endswith(".")
        assert cause.confidence in ("certain", "likely", "possible")


def test_every_rule_is_tried_and_explains_rules_that_there_are():
    names = {rule.name for rule in rules.RULES}
    assert names == {name for _evidence, found in CASES.values() for name in found}
    assert {name for rule in rules.RULES for name in rule.explains} <= names


@pytest.mark.parametrize(
    "evidence, words",
    [
        (seen(), "a cause that can be mended, found none"),
        (seen(disks=(Disk("/", 0, 9999),)), "for a person to mend"),
        (seen(processes=(FULL,), folders=(Folder("/srv/up", "EACCES"),)), "found folder_not_writable and files_exhausted"),
        (seen(folders=(Folder("/srv/up", "EROFS"),)), "Mount it for writing"),
    ],
)
def test_what_is_not_mended(evidence, words):
    with pytest.raises(StateError) as error:
        remedies.chosen(rules.causes(evidence))
    assert words in str(error.value)


def test_the_surest_cause_is_mended():
    assert remedies.chosen(rules.causes(CASES["two"][0])).remedy == "folders"
    both = seen(jobs=({**JOB}, {**JOB, "verdict": "stopped"}))
    assert remedies.chosen(rules.causes(both)).remedy == "jobs"
