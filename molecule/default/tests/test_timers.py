"""The converged host looks after itself by timers: from a fault to the message, without a controller. Run in order, after test_host.py."""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from support.cluster import fault
from support.waiting import HANG, wait_until
from test_host import Host, says

#: Receivers on the host itself, by HTTP and by SMTP: one line a message, with the moment of its arrival.
RECEIVER = """
import email, email.policy, http.server, json, time
from aiosmtpd.controller import Controller
def note(channel, title, key):
    with open("/var/tmp/messages", "a") as stream:
        stream.write(json.dumps([time.time(), channel, title, key]) + "\\n")
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        note("room", body["title"], self.headers["Idempotency-Key"])
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass
class Mails:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        note("mail", str(mail["Subject"]), mail["X-Idempotency-Key"])
        return "250 OK"
Controller(Mails(), hostname="127.0.0.1", port=8025).start()
http.server.HTTPServer(("127.0.0.1", 8099), Receiver).serve_forever()
"""
#: What the receiver by SMTP needs; all of it is Python.
LIBRARIES = ("aiosmtpd", "attr", "public")
#: Earlier tests may have left incidents; one that is open keeps the next one of its cause from being paged.
RESOLVE = """
import glob, json
for path in glob.glob("/opt/mobius/incidents/*.json"):
    record = json.load(open(path))
    json.dump({**record, "status": "resolved"}, open(path, "w"))
"""
CHANNELS = ("room", "mail")
PEOPLE: dict[str, t.Any] = {
    "mobius_contacts": {"channels": {name: {} for name in CHANNELS}},
    "mobius_escalation": {
        **{str(severity): [{"after": 0, "notify": [*CHANNELS]}] for severity in (1, 2, 3)},
        "4": [{"after": 0, "notify": ["mail"]}],
    },
    "mobius_notify_urls": {
        "room": "json://127.0.0.1:8099/room",
        "mail": "mailto://127.0.0.1:8025/?from=ops@mobius.example&to=anna@mobius.example",
    },
    "mobius_checks": [{"name": "health", "url": "http://127.0.0.1:5001/health", "timeout": 5}],
}
CADENCES = ("weekly", "monthly", "quarterly")
JOBS = ("backup", "verify", "escalate", *CADENCES, "metrics")
LATE = HANG + 120


class Message(t.NamedTuple):
    """A message that a receiver got."""

    at: float
    channel: str
    title: str
    key: str


@pytest.fixture(scope="module")
def host() -> t.Iterator[Host]:
    found = Host()
    folders = [Path(importlib.import_module(name).__file__ or "").parent for name in LIBRARIES]
    words = [word for path in folders for word in ("-C", str(path.parent), path.name)]
    packed = subprocess.run(["tar", "-c", "--exclude=__pycache__", *words], capture_output=True, check=True).stdout
    subprocess.run([*found.ssh, "sudo mkdir -p /var/tmp/lib && sudo tar -x -C /var/tmp/lib"], input=packed, check=True)
    code = base64.b64encode(RECEIVER.encode()).decode()
    found.run(f"echo {code} | base64 -d >/var/tmp/receiver.py; rm -f /var/tmp/messages")
    found.run("systemctl stop receiver; systemd-run --unit=receiver --setenv=PYTHONPATH=/var/tmp/lib python3 /var/tmp/receiver.py")
    code = base64.b64encode(RESOLVE.encode()).decode()
    found.run(f"echo {code} | base64 -d | python3")
    print(found.run('python3 -c "import apprise; print(apprise.__version__, apprise.__file__)"; cat /etc/debian_version'))
    yield found
    found.run("systemctl stop receiver")


def messages(host: Host) -> list[Message]:
    return [Message(*json.loads(line)) for line in host.run("cat /var/tmp/messages 2>/dev/null").splitlines()]


def seconds_to(host: Host, fault: str, title: str, first: str = "true") -> None:
    """Bring about a fault, and tell how many seconds later its message arrives, by the host's clock. The controller only looks.

    :param first: what the host does or waits for just before.
    """
    before = len(messages(host))
    began = float(host.run(f"{first}; date +%s.%N; {fault}").splitlines()[0])

    def arrived() -> dict[str, float]:
        found = {each.channel: each.at for each in reversed(messages(host)[before:]) if title in each.title}
        return found if set(found) == set(CHANNELS) else {}

    found = wait_until(arrived, f"the message {title}", LATE)
    print(f"{title}: {' and '.join(f'{found[name] - began:.1f} s to {name}' for name in CHANNELS)} from the fault")


def state(host: Host, job: str) -> dict[str, t.Any]:
    """The record of the last run of a job."""
    return json.loads(host.run(f"cat /opt/mobius/state/schedule/{job}.json") or "{}")


def test_the_timers_are_installed_once_and_start_with_the_host(host):
    assert host.play("setup", **PEOPLE).outcome == "set_up"
    assert host.play("restart", **PEOPLE).outcome == "restarted"
    done = host.play("schedule", **PEOPLE)
    assert (done.status, done.outcome) == (0, "scheduled"), done.output
    timers = [f"mobius-staging-{job}.timer" for job in JOBS]
    assert sorted(done.stats["mobius_timers"]) == sorted(timers)
    assert host.run(f"systemctl is-active {' '.join(timers)}").split() == ["active"] * len(JOBS)
    assert host.run(f"systemctl is-enabled {' '.join(timers)}").split() == ["enabled"] * len(JOBS)
    again = host.play("schedule", **PEOPLE)
    assert again.changed() == 0, again.output
    assert host.run("stat -c %a:%U /opt/mobius/state/schedule.json") == "600:root"


def test_the_sandboxes_are_tight(host):
    for job in (job for job in JOBS if job not in CADENCES):  # maintenance starts the application, and has none
        report = host.run(f"systemd-analyze security --no-pager mobius-staging-{job}.service")
        exposure = float(re.search(r"Overall exposure level for .*: ([0-9.]+)", report)[1])
        print(f"exposure of mobius-staging-{job}.service: {exposure}")
        assert exposure <= (2.5 if job == "escalate" else 4.5), report


def test_each_job_does_its_work_in_its_sandbox(host):
    for job, outcome in (("backup", "backed_up"), ("verify", "verified"), ("escalate", "quiet"), ("metrics", "looked")):
        host.run(f"systemctl start mobius-staging-{job}.service")
        found = state(host, job)
        assert found.get("outcome") == outcome, f"{found} {host.run(f'journalctl --no-pager -n 30 -u mobius-staging-{job}')}"
    newest = host.run("ls -t /opt/mobius/backups/*.zip | head -n 1")
    assert host.run(f"python3 -m zipfile -l {newest} | grep -c config/.env") == "1"
    assert host.run("ls /opt/mobius/state/metrics").endswith(".jsonl")


@pytest.mark.parametrize("cadence", CADENCES)
def test_each_cadence_runs_unattended_and_leaves_its_page(host, cadence):
    host.run(f"systemctl start mobius-staging-{cadence}.service")
    found = state(host, cadence)
    print(f"{cadence}: {found['seconds']} s, {found['outcome']}: {found['message']}")
    assert [each.channel for each in messages(host) if each.title.startswith(f"{cadence.capitalize()} maintenance: ")] == ["mail"]
    assert found["outcome"] in ("all_done", "attention_needed", "steps_failed"), found
    assert host.run(f"test -s /opt/mobius/reports/maintenance-{cadence}.html && echo there") == "there"
    steps = json.loads(host.run("cat /opt/mobius/state/maintenance.json"))["steps"]
    failed = {name for name, step in steps.items() if step["status"] == "failed"}
    assert failed <= {"dependencies", "security_patches"}, found["message"]  # no registry is reached from these hosts


def test_a_failed_backup_reaches_people(host):
    fault = "mv /opt/mobius/backups /opt/mobius/backups.aside; systemctl start --no-block mobius-staging-backup.service"
    seconds_to(host, fault, "The scheduled backup failed")
    status = host.play("status", **PEOPLE)
    assert status.outcome == "not_well" and says(status, "The job backup failed:"), status.output
    host.run("mv /opt/mobius/backups.aside /opt/mobius/backups; systemctl start mobius-staging-backup.service")
    assert host.run("grep -l resolved /opt/mobius/incidents/*.json") != "" and state(host, "backup")["good"]


def test_a_killed_backup_reaches_people(host):
    host.run("systemctl stop mobius-staging-metrics.timer")
    host.run("dd if=/dev/urandom of=/opt/mobius/shared/uploads/large.bin bs=1M count=300 status=none")
    runs = (
        "systemctl start --no-block mobius-staging-backup.service; "
        'until grep -q "ended.: null" /opt/mobius/state/schedule/backup.json; do sleep 0.02; done'
    )
    fault = (
        "systemctl kill -s KILL mobius-staging-backup.service; rm -f /opt/mobius/shared/uploads/large.bin; "
        "systemctl start mobius-staging-metrics.timer"
    )
    seconds_to(host, fault, "The scheduled backup failed", first=runs)
    assert state(host, "backup")["outcome"] == "killed"
    host.run("systemctl start mobius-staging-backup.service")
    assert state(host, "backup")["good"]


def test_a_hung_service_reaches_people(host):
    seconds_to(host, "systemctl kill -s STOP mobius", "mobius is down")
    host.run("systemctl kill -s CONT mobius")


def test_a_disk_that_is_critical_reaches_people(host):
    fault = "mount -t tmpfs -o size=8m tmpfs /opt/mobius/shared/out; head -c 16M /dev/zero >/opt/mobius/shared/out/full"
    seconds_to(host, fault, "/opt/mobius/shared/out is nearly full")
    host.run("umount /opt/mobius/shared/out")


def test_an_incident_of_another_part_is_paged_by_the_timer(host):
    record = {"title": "A watch went back", "severity": 2, "status": "open", "env": "staging"}
    code = base64.b64encode(
        (
            "import json, time\n"
            f"record = json.loads({json.dumps(json.dumps(record))})\n"
            "record['opened'] = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())\n"
            "json.dump(record, open(f'/opt/mobius/incidents/INC-20261127-{time.time():.0f}.json', 'w'))\n"
        ).encode()
    ).decode()
    seconds_to(host, f"echo {code} | base64 -d | python3", "A watch went back")


def test_a_rollback_by_a_watch_reaches_people(host):
    good = host.live()
    run = host.operator.start(
        "deploy",
        **host.source("v7"),
        mobius_watch_duration="600",
        mobius_watch_interval="60",
        mobius_watch_retry_interval="5",
        mobius_failure_threshold="3",
        **PEOPLE,
    )
    for line in run.stdout:
        if "round 1 ok" in line:
            break
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert host.live().startswith("v7-")
    seconds_to(host, fault("health"), "was rolled back to")
    assert host.live() == good
    assert host.play("force_unlock", mobius_why="the controller was killed").status == 0


def test_no_incident_was_paged_twice(host):
    found = messages(host)
    assert len({each.key for each in found}) == len(found) and all(each.key for each in found), found
    for channel in CHANNELS:
        titles = [re.sub(r"-[0-9a-f]{8}", "", each.title.partition(" [delayed")[0]) for each in found if each.channel == channel]
        assert sorted(title for title in titles if "aintenance: " not in title) == sorted(
            [
                *["SEV2 high: The scheduled backup failed (staging, mobius-systemd)"] * 2,
                "SEV1 critical: mobius is down (staging, mobius-systemd)",
                "SEV2 high: /opt/mobius/shared/out is nearly full (staging, mobius-systemd)",
                "SEV2 high: A watch went back (staging, mobius-systemd)",
                f"SEV2 high: Release v7 was rolled back to {host.live().rpartition('-')[0]} (staging, mobius-systemd)",
            ]
        ), titles


def test_a_new_version_replaces_the_code_and_the_old_one_stays_while_it_is_named(host):
    code, old = json.loads(host.run("cat /opt/mobius/state/schedule.json"))["code"], "/opt/mobius/state/code/0123456789abcdef.zip"
    host.run(
        f"mv {code} {old}; touch -d 2020-01-01 {old}; sed -i s,{code},{old}, /etc/systemd/system/mobius-staging-*.service; "
        "systemctl daemon-reload; for i in 1 2 3 4 5 6 7; do echo >/opt/mobius/state/code/later$i.zip; done"
    )
    host.run("systemctl start mobius-staging-metrics.service")
    assert state(host, "metrics")["outcome"] == "looked"  # code of an earlier version
    assert host.play("schedule", mobius_schedule={"verify": "off"}, **PEOPLE).outcome == "scheduled"
    assert host.run(f"ls {old} {code}").split() == [old, code] and "later1.zip" not in host.run("ls /opt/mobius/state/code")
    assert host.run(f"grep -l {code} /etc/systemd/system/mobius-staging-*.service | wc -l") == str(len(JOBS) - 1)
    assert host.run("ls /etc/systemd/system/ | grep verify") == ""


def test_absent_removes_all_timers(host):
    gone = host.play("schedule", mobius_schedule_state="absent", **PEOPLE)
    assert (gone.status, gone.outcome) == (0, "unscheduled"), gone.output
    assert host.run("ls /etc/systemd/system/ | grep staging") == "" and host.run("systemctl list-timers --all | grep staging") == ""
    assert host.play("schedule", mobius_schedule_state="absent", **PEOPLE).changed() == 0
