"""The converged host: its unit and sandbox, and how deploys, crashes and rollbacks end under systemd. Run in this order."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from support import dotenv_file
from support.application import Client, make_source, png
from support.cluster import fault
from support.playbooks import ROOT, Operator, Result
from support.waiting import HANG, wait_until

RUN = ROOT / ".build" / "molecule"
#: Stored by absolute path, as MOBIUS does.
IMAGE = png(grey=11)
SSH = ["ssh", "-i", str(RUN / "key"), "-o", f"UserKnownHostsFile={RUN}/known_hosts", "-o", "IdentitiesOnly=yes", "-l", "deployer"]


class Host:
    """The host, as seen through SSH and through the playbooks."""

    def __init__(self) -> None:
        self.ssh = [*SSH, (RUN / "address-mobius-systemd").read_text().strip()]
        self.operator = Operator(str(ROOT / "molecule" / "default" / "inventory"))

    def run(self, command: str) -> str:
        """What a shell line of root prints; also when it fails."""
        return subprocess.run([*self.ssh, "sudo", "bash", "-c", f"'{command}'"], capture_output=True, text=True, check=False).stdout.strip()

    def unit(self, name: str) -> str:
        """A property of the service's unit."""
        return self.run(f"systemctl show mobius --value --property {name}")

    def live(self) -> str:
        """The id of the live release."""
        return os.path.basename(self.run("readlink /opt/mobius/current"))

    def play(self, playbook: str, **extra: t.Any) -> Result:
        """Run a playbook to its end."""
        return self.operator.run(playbook, **extra)

    def source(self, version: str, fault: dict[str, t.Any] | None = None) -> dict[str, str]:
        """The settings that deploy a new version."""
        folder = RUN / f"source-{version}"
        shutil.rmtree(folder, ignore_errors=True)
        return {"mobius_release_source": str(make_source(folder, version, fault)), "mobius_version": version}


def says(result: Result, sentence: str) -> bool:
    """Whether a run's output has a sentence, however its lines were folded and coloured."""
    return sentence in " ".join(re.sub(r"\x1b\[[\d;]*m", " ", result.output).split())


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


@pytest.fixture
def client(host: Host) -> t.Iterator[Client]:
    """A user of the application, through a tunnel: the service listens on the host's loopback only."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    tunnel = subprocess.Popen([*host.ssh, "-N", "-L", f"{port}:127.0.0.1:5001"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    user = Client(port, (RUN / "secret").read_text().split()[0])
    wait_until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), "the tunnel listens")
    yield user
    tunnel.terminate()
    tunnel.wait()


def test_the_release_that_was_deployed_answers(host, client):
    health = client.health()
    assert health["status"] == "ok" and health["release"] == host.live() and host.live().startswith("v1-")


def test_the_unit_is_active_enabled_and_runs_as_the_service_user(host):
    assert host.run("systemctl is-active mobius; systemctl is-enabled mobius").split() == ["active", "enabled"]
    assert host.run("systemctl is-system-running") == "running"
    assert host.run(f"ps -o user= -p {host.unit('MainPID')}") == "mobius"


def test_the_sandbox_is_tight(host):
    report = host.run("systemd-analyze security --no-pager mobius.service")
    exposure = float(re.search(r"Overall exposure level for mobius.service: ([0-9.]+)", report)[1])
    print(f"exposure of mobius.service: {exposure}")
    assert exposure <= 2.5, report
    analyze = "systemd-analyze security --offline=true --threshold=25 --no-pager /etc/systemd/system/mobius.service"
    assert host.run(f"{analyze} >/dev/null && echo safe") == "safe"


def test_the_render_work_has_its_limits(host):
    found = {name: host.unit(name) for name in ("CPUQuotaPerSecUSec", "CPUWeight", "IOWeight", "TasksMax")}
    assert float(found.pop("CPUQuotaPerSecUSec").rstrip("s")) == 1.5  # some versions of systemd print 1.500000s
    assert found == {"CPUWeight": "50", "IOWeight": "50", "TasksMax": "512"}


def test_secrets_code_and_records_are_out_of_reach(host):
    assert host.run("stat -c %U:%G:%a /opt/mobius/shared/config/.env") == "root:mobius:640"
    assert not host.run("runuser -u nobody -- cat /opt/mobius/shared/config/.env")
    assert "MOBIUS_API_KEYS" in host.run("runuser -u mobius -- cat /opt/mobius/shared/config/.env")
    for path in ("releases", "current/src", "deps", "incidents", "monitor_logs", "state", "backups", "shared/config"):
        assert host.run(f"runuser -u mobius -- test -w /opt/mobius/{path} && echo writable") == "", path
    assert not host.run("runuser -u mobius -- ls /opt/mobius/state /opt/mobius/backups")


def test_uploads_and_renders_work_inside_the_sandbox(host, client, tmp_path):
    upload = client.upload("board.png", png())
    clip = client.clip(client.render(upload["path"]), tmp_path / "clip.mp4")
    assert clip["codecs"] == ["aac", "h264"] and 1.5 < clip["duration"] < 2.5
    owners = host.run("find -L /opt/mobius/shared/uploads -type f -printf '%u %m\\n'".replace("'", '"'))
    assert len(owners.splitlines()) >= 4 and set(owners.splitlines()) == {"mobius 640"}


def test_a_render_that_was_stopped_is_found_and_ended_so_that_its_file_stays_playable(host, client):
    job = client.begin_render(seconds=600, realtime=True)
    pid = wait_until(lambda: host.run("pgrep -u mobius -x ffmpeg"))
    wait_until(lambda: ".mp4" in host.run(f"ls -l /proc/{pid}/fd"))
    assert host.play("ffmpeg", mobius_ffmpeg_window=3).outcome == "rendering"
    host.run(f"kill -STOP {pid}")
    found = host.play("ffmpeg", mobius_ffmpeg_window=3)
    assert found.outcome == "impaired_now" and found.stats["mobius_ffmpeg_found"] == {"stopped": [job]}, found.output
    ended = host.play("ffmpeg", mobius_ffmpeg_state="killed", mobius_ffmpeg_only=["stopped"], mobius_ffmpeg_window=3)
    assert ended.outcome == "ended" and says(ended, "can be played") and not says(ended, "cannot be played"), ended.output
    assert host.run(f"ls -d /proc/{pid}") == ""
    wait_until(lambda: client.job(job)["status"] == "failed")
    assert host.play("ffmpeg", mobius_ffmpeg_window=3).outcome == "idle"


def test_the_service_sees_its_release_in_the_folder_that_stays(host, client):
    pid = host.unit("MainPID")
    assert host.run(f"readlink /proc/{pid}/cwd") == "/opt/mobius/app" and host.run("ls -A /opt/mobius/app") == ""
    assert "Read-only file system" in host.run(f"nsenter -t {pid} -m touch /opt/mobius/app/x 2>&1")
    client.add_image("chess", "first.png", IMAGE)
    assert client.images("chess") == {"first.png": (IMAGE, IMAGE)}


def test_a_killed_service_is_started_again_and_status_says_so(host):
    pid = host.unit("MainPID")
    host.run(f"kill -9 {pid}")
    wait_until(lambda: host.unit("ActiveState") == "active" and host.unit("MainPID") not in ("0", pid), "systemd starts it again")
    result = wait_until(lambda: (told := host.play("status")).outcome == "not_well" and told, "the status tells of the restart")
    assert says(result, "its process ended by SIGKILL at") and says(result, "it was restarted (restart 1 since its start)")


def test_a_watch_survives_controller_and_session_and_rolls_back(host):
    assert host.play("deploy", **host.source("v2")).outcome == "deployed"
    good = host.live()
    run = host.operator.start("deploy", **host.source("v3"), mobius_watch_duration="600", mobius_failure_threshold="3")
    for line in run.stdout:
        if "round 1 ok" in line:
            break
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    (unit,) = host.run('systemctl list-units --plain --no-legend "mobius-watch-*" | cut -d" " -f1').split()
    report = host.run(f"systemd-analyze security --no-pager {unit}")
    exposure = float(re.search(r"Overall exposure level for .*: ([0-9.]+)", report)[1])
    print(f"exposure of the watch: {exposure}")
    assert exposure <= 2.5, report
    for line in host.run("loginctl --no-legend list-sessions").splitlines():  # the connection's multiplexer would keep it open
        host.run(f"loginctl terminate-session {line.split()[0]}")
    assert host.live().startswith("v3-")
    host.run(fault("health"))
    wait_until(lambda: host.live() == good, "the watch goes back by itself")
    wait_until(lambda: json.loads(host.run("tail -n 1 /opt/mobius/state/history.jsonl"))["what"] == "watch", "the watch notes its verdict")
    assert json.loads(host.run("tail -n 1 /opt/mobius/state/history.jsonl"))["verdict"] == "rolled_back"
    told = host.play("monitor", mobius_monitor_attach="true")
    assert (told.status, told.outcome) == (2, "rolled_back")
    assert host.run("ls /opt/mobius/incidents/*.json")


def asked_for(host, path):
    """What the application answers on the host to a browser, within two seconds."""
    code = (
        "import urllib.request as r, sys\n"
        f"asked = r.Request('http://127.0.0.1:5001{path}', headers={{'Origin': 'http://localhost:5001'}})\n"
        "try: print(r.urlopen(asked, timeout=2).status)\n"
        "except OSError: print('no answer')\n"
    )
    return host.run(f"echo {base64.b64encode(code.encode()).decode()} | base64 -d | python3")


def test_a_hung_event_loop_is_named_and_ended_without_a_restart(host):
    pid, restarts = host.unit("MainPID"), host.unit("NRestarts")
    host.run(fault("regex"))
    wait_until(lambda: "regex" in host.run("journalctl -u mobius -n 50 -o cat"), "the application has noticed its fault")
    assert asked_for(host, "/api/projects") == "no answer"
    asked = {"mobius_diagnose_inspect": "true"}
    result = host.play("diagnose", **asked)
    assert (result.status, result.outcome, result.stats["mobius_causes"]) == (2, "cause_found", ["loop"]), result.output
    assert says(result, "It is in spin (src/api/faults.js:") and says(result, "for GET /api/projects."), result.output
    host.run("rm /opt/mobius/current/fault.json")
    result = host.play("diagnose", **asked, mobius_fix="true", mobius_diagnose_interrupt="true")
    assert (result.status, result.outcome) == (0, "mended"), result.output
    assert (host.unit("MainPID"), host.unit("NRestarts")) == (pid, restarts)
    assert asked_for(host, "/health") == "200" and host.run("ss -Htln sport = :9229") == "", "the inspector listens on"


def test_a_rollback_by_hand(host, client):
    assert client.images("chess") == {"first.png": (IMAGE, IMAGE)}, "the images are lost with another release"
    result = host.play("rollback")
    assert (result.status, result.outcome) == (0, "rolled_back"), result.output
    assert host.live().startswith("v1-") and client.health()["release"] == host.live()
    assert client.images("chess") == {"first.png": (IMAGE, IMAGE)}


def test_data_that_is_restored_belongs_to_the_service_again(host, client, tmp_path):
    backup = host.play("backup").stats["mobius_backup"]
    upload = client.upload("late.png", png(grey=200))
    result = host.play("rollback", mobius_backup=backup, mobius_rollback_data=True)
    assert result.status == 0, result.output
    assert client.file(upload["path"]) is None
    assert host.run("find /opt/mobius/shared/*/ ! -user mobius ! -path */config/*") == ""
    upload = client.upload("after.png", png())
    assert client.clip(client.render(upload["path"]), tmp_path / "clip.mp4")["codecs"] == ["aac", "h264"]


def test_a_restore_stops_the_unit_for_the_swap_only(host, client):
    backup = host.play("backup").stats["mobius_backup"]
    upload, pid = client.upload("later.png", png(grey=210)), host.unit("MainPID")
    result = host.play("restore", mobius_backup=backup)
    assert (result.status, result.outcome) == (0, "restored"), result.output
    assert client.file(upload["path"]) is None and client.health()["status"] == "ok"
    assert host.unit("MainPID") not in (pid, "0") and float(result.stats["mobius_downtime"]) > 0
    print(f"the service was down for {result.stats['mobius_downtime']} s")
    assert host.run("find /opt/mobius/shared/*/ ! -user mobius ! -path */config/*") == ""
    assert host.run("ls -A /opt/mobius/shared").split() == ["config", "data", "logs", "out", "uploads"]


def test_the_unit_is_not_started_while_its_data_is_of_two_times(host, client):
    """As after a reboot in the midst of a restore: nobody asks this collection then."""
    host.run("systemctl stop mobius; echo {} > /opt/mobius/state/restore.swapping.json")
    assert "Assertion failed" in host.run("systemctl start mobius 2>&1 || true")
    assert host.unit("MainPID") == "0"
    host.run("rm /opt/mobius/state/restore.swapping.json; systemctl start mobius")
    assert host.unit("MainPID") != "0"


#: Loaded into the application of a drill: tries to write where a mistake may lead it to, and ends it, so that its lines are shown.
TRESPASS = """
const fs = require("fs");
for (const path of ["/opt/mobius/shared/uploads/planted", "/opt/mobius/trespass/x", "/srv/trespass/x"]) {
  try { fs.writeFileSync(path, "x"); console.log("wrote " + path); } catch (error) { console.log(error.code + " " + path); }
}
process.exit(9);
"""


def test_a_drill_restores_and_starts_the_backup_beside_the_service(host, client):
    pid, uploads = host.unit("MainPID"), host.run("find /opt/mobius/shared/uploads | sort")
    result = host.play("drill")
    assert (result.status, result.outcome) == (0, "drill_passed"), result.output
    told = json.loads(host.run("cat " + result.stats["mobius_report_file"].replace(".html", ".json")))
    assert told["application"]["isolation"] == "systemd" and told["application"]["release"] == host.live()
    assert host.unit("MainPID") == pid and client.health()["status"] == "ok"
    assert host.run("find /opt/mobius/shared/uploads | sort") == uploads
    assert host.run("ls -d /opt/mobius/.drill-* /opt/mobius/state/drill.json") == ""
    assert host.run("systemctl list-units --all --no-legend mobius-drill-*") == ""


def test_the_application_of_a_drill_cannot_write_to_live_data(host):
    host.run("for f in /opt/mobius /srv; do mkdir $f/trespass; chown mobius $f/trespass; done")
    host.run(f"echo {base64.b64encode(TRESPASS.encode()).decode()} | base64 -d > /srv/trespass.cjs")
    result = host.play("drill", mobius_drill_environment={"NODE_OPTIONS": "--require=/srv/trespass.cjs"})
    assert (result.status, result.outcome) == (2, "drill_failed") and says(result, "ended 1 times (last: status 9)"), result.output
    assert says(result, "EROFS /opt/mobius/trespass/x") and says(result, "EROFS /srv/trespass/x"), result.output
    assert says(result, "wrote /opt/mobius/shared/uploads/planted")  # in the copy
    assert host.run("ls -A /opt/mobius/shared/uploads/planted /opt/mobius/trespass /srv/trespass").replace("\n", "").strip() in (
        "/opt/mobius/trespass:/srv/trespass:",
    )
    assert host.run("systemctl list-units --all --no-legend mobius-drill-*") == ""
    host.run("rm -r /opt/mobius/trespass /srv/trespass /srv/trespass.cjs")


def test_a_release_that_crashes_at_once_leaves_the_old_one_serving(host, client):
    good = host.live()
    result = host.play("deploy", **host.source("v4", {"kind": "crash", "after": 0}))
    assert (result.status, result.outcome) == (2, "failed"), result.output
    assert says(result, f"Release {good} serves again.") and client.health()["release"] == good


ENV_FILE = "/opt/mobius/shared/config/.env"


def write_env(host, text):
    """Replace the `.env` as an operator may: by a new file, which only root can read."""
    coded = base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
    host.run(f"umask 077; echo {coded} | base64 -d >{ENV_FILE}.new; mv {ENV_FILE}.new {ENV_FILE}")


def environment(host, unit="mobius"):
    """What the process of a unit was given, as the kernel has it; nothing when none runs."""
    pid = host.run(f"systemctl show {unit} --value --property MainPID")
    data = base64.b64decode(host.run(f"base64 -w0 /proc/{pid}/environ"))
    return dict(entry.split("=", 1) for entry in data.decode("utf-8", "surrogateescape").split("\0") if "=" in entry)


def has(host, wanted):
    """Wait until the service runs with some variables; while it is being started, its process has not all of them yet."""
    wait_until(lambda: (found := environment(host)) and {name: found.get(name) for name in wanted} == wanted, f"it has {wanted}")


def test_a_file_by_hand_reaches_the_process_as_the_application_reads_it(host, client):
    """Through a deploy, a restart by systemd's own command, and a crash; the definition's own variables come first."""
    before = host.run(f"cat {ENV_FILE}") + "\n"
    write_env(host, dotenv_file.TEXT.replace("UNCLOSED", before + "PORT=9999\nUNCLOSED"))
    deployed = host.play("deploy", **host.source("v5"))
    assert deployed.outcome == "deployed", deployed.output
    found = environment(host)
    assert {name: found.get(name) for name in dotenv_file.VALUES} == dotenv_file.VALUES and found["PORT"] == "5001"
    assert "LC_CTYPE" not in found and host.run(f"stat -c %U:%G:%a {ENV_FILE}") == "root:mobius:640"
    assert "Restart needed" not in host.play("status").output
    assert host.run("journalctl -u mobius -o json -n 1 _COMM=node").count('SYSLOG_IDENTIFIER":"node"') == 1
    host.run(f"sed -i s/^BARE=.*/BARE=edited\\ by\\ hand\\ #\\ c/ {ENV_FILE}; systemctl restart mobius")
    has(host, {**dotenv_file.VALUES, "BARE": "edited by hand"})
    host.run(f"sed -i s/^BARE=.*/BARE=once\\ more/ {ENV_FILE}; kill -9 {host.unit('MainPID')}")
    has(host, {**dotenv_file.VALUES, "BARE": "once more"})
    wait_until(lambda: answers(client), "it answers")
    check_refused(host, before)
    assert client.health()["release"] == host.live()


def answers(client):
    """Whether the application is well; not yet, while it is being started."""
    with contextlib.suppress(OSError):
        return client.health()["status"] == "ok"


def check_refused(host, before):
    """Nothing that runs is stopped because of a file that is no good; nothing is started half configured."""
    pid, live = host.unit("MainPID"), host.live()
    write_env(host, before + "MY KEY=s3cret-word\n")
    line = before.count("\n") + 1
    sentence = f"{ENV_FILE}: expected NAME=value in line {line}, with a name of letters"
    for playbook in ("setup", "deploy", "restart"):
        refused = host.play(playbook, **host.source("v7"), **({"mobius_dotenv": {}} if playbook == "setup" else {}))
        assert refused.status == 2 and says(refused, sentence) and "s3cret-word" not in refused.output, refused.output
    assert (host.unit("MainPID"), host.live()) == (pid, live)
    since = host.run("date +%s")
    host.run("systemctl restart mobius")
    wait_until(lambda: sentence in host.run(f"journalctl -u mobius --since @{since} -o cat"), "the journal says why")
    assert "s3cret-word" not in host.run(f"journalctl -u mobius --since @{since}")
    write_env(host, before)
    assert host.play("restart").outcome == "restarted"
    assert "MY" not in environment(host)


def test_the_start_limit_of_systemd_does_not_stick(host, client):
    drop_in = "/run/systemd/system/mobius.service.d"  # on a busy machine it does not come to ten restarts a minute
    host.run(f'mkdir -p {drop_in} && printf "[Unit]\\nStartLimitIntervalSec=1d\\n" >{drop_in}/day.conf && systemctl daemon-reload')
    host.run(fault("crash") + "; systemctl restart mobius")
    wait_until(lambda: host.unit("ActiveState") == "failed", "systemd gives up starting it", 5 * HANG)
    host.run(f"rm -r {drop_in}; systemctl daemon-reload")
    result = host.play("status")
    assert (result.status, result.outcome) == (2, "not_well") and says(result, "mobius is DOWN"), result.output
    host.run("rm /opt/mobius/current/fault.json")
    assert host.play("restart").outcome == "restarted"
    assert client.health()["status"] == "ok"


def test_changed_settings_are_reported_until_a_start(host):
    lacking = "Restart needed: the running process does not have the current {}. Run: ansible-playbook mobius.ops.restart."
    done = host.play("setup", mobius_memory_max="3G")
    assert says(done, lacking.format("mobius_memory_max")), done.output
    host.run("echo NEW_FLAG=1 >>/opt/mobius/shared/config/.env")
    done = host.play("status")
    assert says(done, lacking.format("NEW_FLAG and mobius_memory_max")) and says(done, "where systemd mounts its release"), done.output
    pid = host.unit("MainPID")
    host.run(f"kill -9 {pid}")
    wait_until(lambda: host.unit("ActiveState") == "active" and host.unit("MainPID") not in ("0", pid), "systemd starts it again")
    assert "Restart needed" not in host.play("status").output
    assert says(host.play("setup"), lacking.format("unit"))
    assert host.play("restart").outcome == "restarted"
    assert "Restart needed" not in host.play("status").output and host.play("setup").changed() == 0


def test_stop(host):
    assert host.play("stop").outcome == "stopped"
    assert host.unit("ActiveState") == "inactive" and host.run("pgrep -u mobius") == ""
    assert "watcher" not in host.run("systemctl list-units --type=scope")
    assert host.play("restart").outcome == "restarted"


def units(host, state):
    """The service's unit files in a state, by name."""
    return host.run(f'systemctl list-unit-files --plain --no-legend {state} "mobius*" | cut -d" " -f1').split()


def released_by_proxy(host, port):
    """The release that answers on the proxy's port."""
    ask = f'import urllib.request; print(urllib.request.urlopen(\\"http://127.0.0.1:{port}/health\\").read().decode())'
    return json.loads(host.run(f'python3 -c "{ask}"'))["release"]


def check_confined(host):
    """The proxy writes to its socket's folder only, root owns what it reads, and its units are sandboxed."""
    owners = host.run('cd /opt/mobius/proxy && stat -c "%U %a" . run haproxy.cfg hold.lua switch.map')
    assert owners.splitlines() == ["root 750", "mobius 700", "root 644", "root 644", "root 644"]
    assert host.run("systemctl show -p ReadWritePaths --value mobius-proxy") == "/opt/mobius/proxy/run"
    assert host.run("runuser -u mobius -- touch /opt/mobius/proxy/new 2>/dev/null || echo refused") == "refused"
    for unit in ("mobius-proxy", "mobius-boot"):
        report = host.run(f"systemd-analyze security --no-pager {unit}.service")
        exposure = float(re.search(r"Overall exposure level for .*: ([0-9.]+)", report)[1])
        print(f"exposure of {unit}.service: {exposure}")
        assert exposure <= 2.5, report
    live = host.live()
    host.run('systemctl stop "mobius@*"; systemctl start mobius-boot')

    def serves():
        with contextlib.suppress(ValueError):  # not yet
            return released_by_proxy(host, 8080) == live

    wait_until(serves, "the boot unit starts the instance that serves")


def test_a_proxy_is_given_and_taken_away(host, client):
    """Nothing but what is wanted is enabled, and what runs is never lost."""
    proxy = {"mobius_proxy_port": 8080, "mobius_standby_port": 5002, "mobius_service_environment": {"MOBIUS_CORS_ORIGINS": "*"}}
    pid = host.unit("MainPID")
    assert host.play("setup", **proxy).outcome == "set_up" and host.unit("MainPID") == pid
    assert units(host, "--state=enabled") == ["mobius-boot.service", "mobius-proxy.service"]
    host.run(f"echo PORT=9999 >>{ENV_FILE}")
    deployed = host.play("deploy", **host.source("v6"), **proxy)
    assert deployed.outcome == "deployed", deployed.output
    instance = host.run('systemctl list-units --plain --no-legend --state=running "mobius@*" | cut -d" " -f1')
    assert instance == f"mobius@{environment(host, instance)['PORT']}.service", "each instance has its own port, whatever the file says"
    host.run(f"sed -i /^PORT=/d {ENV_FILE}")
    assert host.unit("LoadState") == "not-found" and host.run("pgrep -u mobius -c -x node") == "1"
    assert host.play("setup", **proxy).changed() == 0
    check_confined(host)
    for other in ({**proxy, "mobius_standby_port": 5003}, {**proxy, "mobius_port": 5003}, {}):
        refused = host.play("setup", **other)
        assert refused.status == 2 and says(refused, "Nothing was changed. End it first"), refused.output
    assert released_by_proxy(host, 8080) == host.live()
    assert host.play("stop").outcome == "stopped"
    assert host.play("setup").outcome == "set_up" and host.play("setup").changed() == 0
    assert host.play("restart").outcome == "restarted"
    assert units(host, "") == units(host, "--state=enabled") == ["mobius.service"]
    assert client.health()["release"] == host.live()
