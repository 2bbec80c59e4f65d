# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter status_page."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.mobius.ops.plugins.filter import status_page
from ansible_collections.mobius.ops.plugins.module_utils._core import clock

SERVICE = {"message": "mobius runs.", "health": {"results": [1], "status": "normal", "error_rate_pct": 0.0, "p95_ms": 5}}


def record(release_id, status="verified"):
    return {"id": release_id, "status": status, "activated": "2026-01-01T00:00:00Z", "verified": None}


def test_the_page_names_what_an_operator_looks_for():
    page = status_page.status_page(
        SERVICE,
        {
            "live": "r2",
            "target": "r1",
            "releases": [record("r2"), record("r1"), record("r0", "failed")],
            "history": [
                {"when": "W", "who": "ada", "what": "active", "why": "x" * 200, "release": "r2"},
                {"when": "W", "who": "ada", "what": "watch", "why": "", "verdict": "healthy"},
            ],
        },
        [
            {
                "archive": "/b/1.zip",
                "status": "corrupt",
                "reason": "bad CRC",
                "size": 1500,
                "created": "C",
                "purpose": "deploy",
                "why": "before v2",
            },
            {"archive": "/b/0.zip", "status": "verified", "reason": "", "size": 1, "created": "C"},
            {"archive": "/b/gone.zip", "status": "missing", "reason": "", "size": None, "created": "C"},
        ],
    )
    lines = page.splitlines()
    assert lines[0] == "mobius runs." and "Health: normal, error rate 0.0 %, p95 5 ms" in lines
    (live,) = [line for line in lines if "<- live" in line]
    (target,) = [line for line in lines if "<- rollback target" in line]
    assert live.split()[0] == "r2" and target.split()[0] == "r1" and live.index("<-") == target.index("<-")
    assert any(line.split()[0] == "/b/1.zip" and line.endswith("deploy: before v2") for line in lines if line.strip())
    assert any(line.split()[0] == "/b/0.zip" and line.endswith("unknown") for line in lines if line.strip())
    assert any(line.split()[0] == "/b/gone.zip" and " - " in line for line in lines if line.strip())
    assert "corrupt (bad CRC)" in page and "1.5 kB" in page and "healthy" in page and "x" * 101 not in page


def test_torn_stores_are_on_top():
    releases = {"live": None, "target": None, "releases": [], "history": [], "findings": ["record 1 is damaged"]}
    lines = status_page.status_page({**SERVICE, "torn_stores": ["store a.json: torn.", "store b.json: torn."]}, releases, []).splitlines()
    assert lines[2:5] == ["Damaged: store a.json: torn.", "Damaged: store b.json: torn.", "Damaged: record 1 is damaged"]


def test_an_empty_host():
    page = status_page.status_page(
        {"message": "m", "health": {"results": []}}, {"live": None, "target": None, "releases": [], "history": []}, []
    )
    assert page.count("  none") == 3 and "Health" not in page
    assert status_page.FilterModule().filters()["status_page"] is status_page.status_page


@pytest.mark.parametrize(
    "upkeep, said",
    [
        (None, ""),
        ({"jobs": []}, "\nScheduled jobs\n  none; mobius.ops.schedule installs timers\n"),
        ({"jobs": [], "stuck_jobs": [{"name": "r7", "verdict": "stopped", "pid": 7}]}, "\nFFmpeg job r7 is stopped (process 7)."),
        ({"failed": True, "msg": "root: no."}, "\nScheduled jobs\n  root: no.\n"),
    ],
)
def test_what_the_host_does_by_itself(upkeep, said):
    page = status_page.status_page(SERVICE, {"live": None, "target": None, "releases": [], "history": []}, [], upkeep=upkeep)
    assert said in page and ("Scheduled jobs" in page) == bool(upkeep)


def test_backups_that_cannot_be_listed():
    page = status_page.status_page(SERVICE, {"live": None, "target": None, "releases": [], "history": []}, [], "/b: no such folder.")
    assert page.splitlines()[0] == "mobius runs." and "Backups\n  /b: no such folder.\n" in page


@pytest.mark.parametrize(
    ("days", "verdict", "said"),
    [
        (None, "", "Last drill: none. Run: ansible-playbook mobius.ops.drill."),
        (3, "passed", "Last drill: passed 3 d ago, WHEN."),
        (100, "passed", "Last drill: passed 100 d ago, WHEN. Run: ansible-playbook mobius.ops.drill."),
        (3, "failed", "Last drill: failed (at the step verify) 3 d ago, WHEN. Run: ansible-playbook mobius.ops.drill."),
    ],
)
def test_the_last_drill(days, verdict, said):
    when = clock.iso(clock.now() - datetime.timedelta(days=days or 0, seconds=10))
    event = None if days is None else {"when": when, "verdict": verdict, "why": "at the step verify" * (verdict == "failed")}
    page = status_page.status_page(SERVICE, {"live": None, "target": None, "releases": [], "history": [], "drill": event}, [])
    assert f"\n  {said.replace('WHEN', when)}\n" in page


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (None, None),
        ({"fault": "damaged."}, "Deploy lock: damaged."),
        (
            {"owner": "ada", "host": "laptop", "since": "S", "reason": "deploy of v1", "expires": "E", "expired": False},
            "Deploy lock: held by ada on laptop since S for 'deploy of v1', expires E",
        ),
        (
            {"owner": "ada", "host": "laptop", "since": "S", "reason": "deploy of v1", "expires": "E", "expired": True},
            "Deploy lock: held by ada on laptop since S for 'deploy of v1', expired E",
        ),
    ],
)
def test_who_holds_the_deploy_lock(lock, said):
    lines = status_page.status_page(SERVICE, {"live": None, "target": None, "releases": [], "history": [], "lock": lock}, []).splitlines()
    assert said in lines if said else not any("lock" in line for line in lines)


DORA = {
    "days": 30,
    "deploys": 6,
    "deploys_per_week": 1.4,
    "failed": 1,
    "change_failure_rate_pct": 16.7,
    "time_to_restore": 95.0,
    "unrestored": 0,
    "lead_time": 10800.0,
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "Deploys in the last 30 days: 6 (1.4 a week), 1 failed (16.7 %), time to restore 95 s, lead time from the commit 3 h"),
        (
            {"time_to_restore": None, "unrestored": 1, "lead_time": None},
            "Deploys in the last 30 days: 6 (1.4 a week), 1 failed (16.7 %), 1 not restored yet",
        ),
        ({"deploys": 0}, "Deploys in the last 30 days: none"),
    ],
)
def test_the_four_keys_are_a_line(changed, said):
    releases = {"live": None, "target": None, "releases": [], "history": [], "dora": {**DORA, **changed}}
    assert "  " + said in status_page.status_page(SERVICE, releases, []).splitlines()


def metric(name, subject, value, unit="%", status="normal", todo=""):
    return {"metric": name, "subject": subject, "value": value, "unit": unit, "status": status, "todo": todo}


def test_the_host_in_few_lines():
    host = {
        "status": "critical",
        "metrics": [
            metric("cpu_pct", "", 12.3),
            metric("swap_pct", "", 1.0),
            metric("load_per_core", "", 2.0, "", "warning", "Look with top."),
            metric("disk_pct", "/srv", 96.2, status="critical", todo="Make room."),
            metric("uptime_s", "", 7300.0, "s"),
            metric("inodes_pct", "/gone", None, status="unknown", todo="It could not be measured: gone."),
            metric("port_listening", "5001", 1, ""),
            metric("service_rss_bytes", "", 1500, "bytes"),
        ],
    }
    lines = status_page.status_page(SERVICE, {"live": None, "target": None, "releases": [], "history": []}, [], host=host).splitlines()
    block = lines[lines.index("Host: critical") + 1 :]
    rows = [line.split() for line in block[: block.index("")]]
    assert rows == [
        ["metric", "subject", "value", "status", "what", "to", "do"],
        ["cpu_pct", "12.3", "%", "normal"],
        ["load_per_core", "2", "warning", "Look", "with", "top."],
        ["disk_pct", "/srv", "96.2", "%", "critical", "Make", "room."],
        ["uptime_s", "2", "h", "normal"],
        ["inodes_pct", "/gone", "-", "unknown", "It", "could", "not", "be", "measured:", "gone."],
        ["service_rss_bytes", "1.5", "kB", "normal"],
    ]
    assert lines.index("Host: critical") < lines.index("Releases")


@pytest.mark.parametrize(("host", "said"), [({"msg": "psutil is missing."}, "psutil is missing."), ({"failed": True}, "not measured")])
def test_a_host_that_cannot_be_measured(host, said):
    page = status_page.status_page(SERVICE, {"live": None, "target": None, "releases": [], "history": []}, [], host=host)
    assert f"\n\nHost\n  {said}\n\nReleases" in page


def test_no_host_was_asked_for():
    assert "Host" not in status_page.status_page(SERVICE, {"live": None, "target": None, "releases": [], "history": []}, [])


EMPTY = {"live": None, "target": None, "releases": [], "history": []}


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("mounted", "Application folder: /m/app, where systemd mounts its release"),
        ("bound", "Application folder: /m/app, where its release is mounted in a mount namespace of its own"),
        ("linked", "Application folder: /m/app, which has links to all that is in its release"),
        (
            "moving",
            "Application folder: that of its release, so paths that it stores break with the next one. Where the host allows it, "
            "a restart brings /m/app",
        ),
    ],
)
def test_how_the_application_gets_to_its_folder(way, said):
    assert said in status_page.status_page({**SERVICE, "app_path": way, "app_folder": "/m/app"}, EMPTY, []).splitlines()


def test_instances_and_shared_folders():
    slots = {
        "5001": {"status": "running", "release": "r2", "serves": True},
        "5002": {"status": "stopped", "release": None, "serves": False},
    }
    shared = [
        {"path": "uploads", "component": "uploads", "place": "shared/uploads/.root", "exists": True},
        {"path": "out", "component": "generated", "place": "shared/out", "exists": False},
    ]
    page = status_page.status_page({**SERVICE, "slots": slots, "shared_folders": shared}, EMPTY, [])
    lines = [line.split() for line in page.splitlines()]
    assert ["5001", "running", "r2", "<-", "serves"] in lines and ["5002", "stopped", "-"] in lines
    assert ["uploads", "shared/uploads/.root", "uploads"] in lines
    assert ["out", "shared/out", "generated", "MISSING:", "run", "mobius.ops.setup"] in lines
    old = status_page.status_page({**SERVICE, "shared_folders": []}, EMPTY, [])
    assert "unknown: an earlier version has set this host up. Run: ansible-playbook mobius.ops.setup." in old
