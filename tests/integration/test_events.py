"""Alerts against the real ansible-rulebook: one action for one cause, none without the token, and nothing of an alert is run.

``make test-events`` makes the environment that it needs, and names it in MOBIUS_EVENTS.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.playbooks import ROOT
from support.ports import free_port
from support.remains import kill
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes

BIN = Path(os.environ.get("MOBIUS_EVENTS", ROOT / ".build" / "events" / "bin"))
TOKEN = "a-token-of-the-tests"
NAMES = ("MobiusDown", "MobiusErrors", "MobiusSlow", "MobiusHealth")
#: How often the time from an alert to its action is measured.
ROUNDS = 5


class Rulebook:
    """A running ansible-rulebook with the collection's rulebook."""

    def __init__(self, site, folder: Path, settings: dict[str, object] | None = None, **variables: str) -> None:
        self.site, self.folder, self.port = site, folder, free_port()
        self.log, self.marker = folder / "rulebook.log", folder / "executed"
        self._sent = 0
        secret = {"MOBIUS_API_KEYS": site.secret(), "API_KEY": site.secret()}
        host = {"ansible_connection": "local", "ansible_python_interpreter": str(BIN / "python")}
        settings = {
            **(settings or {}),
            "mobius_env": "local",
            "mobius_become": False,
            "mobius_service_manager": "process",
            "mobius_dotenv": secret,
            "mobius_health_assertions": ["status == 'ok'", "release == '{release}'"],
            **site.operator.settings,
        }
        inventory, given = folder / "hosts.json", folder / "events.json"
        inventory.write_text(json.dumps({"mobius": {"hosts": {"web1": host}, "vars": settings}}))
        given.write_text(json.dumps({"mobius_events_port": self.port, **variables}))
        environment = {
            **site.operator.environment(),
            "PATH": f"{BIN}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "ANSIBLE_CALLBACKS_ENABLED": "mobius.ops.summary",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_STDOUT_CALLBACK": "mobius.ops.steps",
            "ANSIBLE_FORCE_COLOR": "0",
            "MOBIUS_LOG_FOLDER": str(folder / "logs"),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    str(BIN / "ansible-rulebook"),
                    "--rulebook",
                    "mobius.ops.alerts",
                    "-i",
                    str(inventory),
                    "--vars",
                    str(given),
                    "--verbose",
                ],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: self.process.poll() is not None or processes.port_answers(self.port), "the rulebook listens")
        assert self.process.poll() is None, self.printed()

    def printed(self) -> str:
        """All that the rulebook and its playbooks have printed."""
        return self.log.read_text(errors="replace")

    def send(self, *alerts: dict, token: str | None = TOKEN) -> int:
        """Post alerts as an Alertmanager does; the HTTP status of the answer."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token is not None else {})}
        body = json.dumps({"version": "4", "status": "firing", "receiver": "mobius", "alerts": list(alerts)}).encode()
        with contextlib.closing(urllib.request.build_opener(urllib.request.ProxyHandler({}))) as opener:
            try:
                return opener.open(urllib.request.Request(f"http://127.0.0.1:{self.port}/alerts", body, headers)).status
            except urllib.error.HTTPError as error:
                return error.code

    def alert(self, name: str, status: str = "firing", **labels: str) -> dict:
        """An alert, with an attack in its text: as a template it would make a file."""
        self._sent += 1
        evil = "{{ lookup('ansible.builtin.pipe', 'touch " + str(self.marker) + "') }}"
        return {
            "status": status,
            "labels": {"alertname": name, "instance": "web1:5001", "mobius_respond": "true", "severity": "critical", **labels},
            "annotations": {"summary": f"number {self._sent} {evil}"},
            "startsAt": "2026-11-27T12:00:00Z",
            "fingerprint": f"{self._sent:x}",
        }

    def storm(self, prefix: str) -> None:
        """A hundred alerts: identical ones, of several names, resolved ones, and some that ask for nothing."""
        for number in range(20):
            name = prefix + NAMES[number % 4]
            told = [
                self.alert(name),
                self.alert(name),
                self.alert(prefix + NAMES[(number + 1) % 4]),
                self.alert(name, "resolved"),
                self.alert("Unrelated", mobius_respond="false"),
            ]
            assert self.send(*told) == 200

    def drained(self, name: str) -> None:
        """Wait until everything that was sent before is answered: the rulebook works on one alert after the other."""
        assert self.send(self.alert(name)) == 200
        wait_until(lambda: name in self.printed() or "ERROR - " in self.printed(), f"the rulebook answers {name}")
        wait_until(
            lambda: f"nothing was done about {name}" in self.printed() or "ERROR - " in self.printed(), f"the playbook answers {name}"
        )
        assert "ERROR - " not in self.printed(), self.printed()

    def close(self) -> None:
        """End it with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def rulebook(served, tmp_path):
    made = Rulebook(served, tmp_path, mobius_events_token=TOKEN)
    try:
        yield made
    finally:
        made.close()


def responded(site) -> list[tuple[str, list[str], str]]:
    """Cause, actions and outcome of each response."""
    return [(event["cause"], event["actions"], event["outcome"]) for event in site.history() if event["what"] == "responded"]


def test_a_storm_of_alerts_has_one_action_for_each_cause(served, rulebook):
    pid = served.service()["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: processes.stat_fields(pid)[0] == "T")
    assert {
        rulebook.send(rulebook.alert("MobiusDown"), token=token) for token in (None, "", "wrong", TOKEN + "x") for _time in range(5)
    } == {401}

    began = time.monotonic()
    rulebook.storm("A")
    wait_until((served.root / "state" / "responses.json").exists, "the first action begins")
    print(f"first alert to the first action on a process that hangs: {time.monotonic() - began:.1f} s")
    rulebook.drained("SentinelA")
    assert responded(served) == [("stopped", ["mend"], "mended")], rulebook.printed()

    kill(*served.processes())
    began = time.monotonic()
    rulebook.storm("B")
    wait_until(lambda: '"not_running"' in (served.root / "state" / "responses.json").read_text(), "the second action begins")
    print(f"first alert to the second action, on a service that does not run: {time.monotonic() - began:.1f} s")
    rulebook.drained("SentinelB")
    assert responded(served) == [("stopped", ["mend"], "mended"), ("not_running", ["restart"], "mended")], rulebook.printed()
    assert {event["who"] for event in served.history() if event["what"] == "responded"} <= {
        f"alert {one}{name}" for one in "AB" for name in NAMES
    }

    assert not rulebook.marker.exists(), "the text of an alert was run as a template"
    assert served.secret() not in rulebook.printed()
    assert rulebook.send(rulebook.alert("all", instance="no-such-host")) == 200
    wait_until(
        lambda: "expected hosts of the inventory, found none for 'no-such-host'" in " ".join(rulebook.printed().split()),
        "a host is unknown",
    )


def actions(site) -> list[str]:
    """Cause of each response that has begun to act."""
    path = site.root / "state" / "responses.json"
    return [each["cause"] for each in json.loads(path.read_text()) if each["actions"]] if path.exists() else []


def test_how_soon_an_alert_is_acted_on(served, tmp_path):
    """Prints the seconds. They are not asserted, because the machine may have much else to do."""
    allowed = {"mobius_respond_quiet": 0, "mobius_respond_limit": 2 * ROUNDS}
    taken = []
    with contextlib.closing(Rulebook(served, tmp_path, allowed, mobius_events_token=TOKEN)) as rulebook:
        for number in range(ROUNDS):
            pid = served.service()["pid"]
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda pid=pid: processes.stat_fields(pid)[0] == "T")
            began = time.monotonic()
            assert rulebook.send(rulebook.alert(f"Round{number}")) == 200
            wait_until(lambda number=number: len(actions(served)) > number, "the action begins")
            taken.append(time.monotonic() - began)
            rulebook.drained(f"Sentinel{number}")
    print(
        f"alert to the begin of its action, {ROUNDS} alerts: {', '.join(f'{seconds:.1f}' for seconds in taken)} s; "
        f"median {statistics.median(taken):.1f} s, worst {max(taken):.1f} s, load {os.getloadavg()[0]:.1f}"
    )
    assert actions(served) == ["stopped"] * ROUNDS
    assert [each for each in responded(served) if each[1]] == [("stopped", ["mend"], "mended")] * ROUNDS


def test_without_a_token_nobody_is_let_in(served, tmp_path):
    with contextlib.closing(Rulebook(served, tmp_path)) as rulebook:
        for token in (None, "", "None", "x", "{{ mobius_events_token }}"):
            assert rulebook.send(rulebook.alert("MobiusDown"), token=token) in (401, 500)
        assert "respond" not in rulebook.printed() and not (served.root / "state" / "responses.json").exists()


def test_both_rulebooks_are_what_ansible_rulebook_takes():
    check = (
        "import sys, yaml; from ansible_rulebook.validators import Validate\n"
        "for path in sys.argv[1:]: Validate.rulebook(yaml.safe_load(open(path)))"
    )
    books = sorted((ROOT / "extensions" / "eda" / "rulebooks").glob("*.yml"))
    done = subprocess.run([BIN / "python", "-c", check, *books], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
