# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a real playbook shows with -vvvv of users and passwords in the addresses of checks, and of what an application answers."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
import sys
from urllib.parse import quote

import pytest

SECRET, SHORT, TOKEN = "pa+ss w0rd-of-a-check", "pw7", "t0ken-of-a-check"
EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"
PLAYS = pathlib.Path(__file__).resolve().parents[4]


def modules(base: str, root: str) -> list[dict]:
    """Tasks that have addresses with passwords."""
    address = base.replace("http://", f"http://ada:{quote(SECRET, safe='')}@")
    checks = [
        {"name": "one", "url": f"{address}/health"},
        {"name": "two", "url": base.replace("//", f"//{TOKEN}@") + "/evil"},
        {"name": "three", "url": base.replace("//", f"//bob:{SHORT}@") + "/health", "json": ["nothing == 'x'"]},
    ]
    return [
        {"mobius.ops.health_check": {"checks": checks, "root": root}},
        {
            "mobius.ops.smoke_test": {
                "base_url": address,
                "suite": [{"name": "a", "url": "/evil"}, {"name": "b", "url": "/health", "status": [500]}],
            }
        },
        {"mobius.ops.node_service_info": {"root": root, "checks": checks}},
        {"mobius.ops.monitor": {"root": root, "state": "baseline", "checks": checks[:1]}},
        {"mobius.ops.release_artifact": {"source": f"https://ada:{quote(SECRET, safe='')}@127.0.0.1:1/x.git", "store": root + "/store"}},
    ]


@pytest.fixture
def shown(host, web, tmp_path):
    """All that ansible-playbook prints."""
    host.live("r1")
    host.serve()
    web.answers["/evil"] = (500, json.dumps({"error": f"no {SECRET} {EVIL} in {base64.b64encode(f'ada:{SECRET}'.encode()).decode()}"}))
    tasks = [{**task, "ignore_errors": True} for task in modules(web.base, host.root)]
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(next(pathlib.Path(path) for path in [PLAYS / ".build" / "collections"])),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "ANSIBLE_INJECT_INVOCATION": "1",
    }  # newer versions of Ansible show arguments only when asked
    program = pathlib.Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [
            str(program),
            "-vvvv",
            "-i",
            "localhost,",
            "-c",
            "local",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
            str(tmp_path / "play.yml"),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    return done.stdout + done.stderr


def test_no_password_of_an_address_is_shown_with_vvvv(shown):
    assert "module_args" in shown and "health_check" in shown and "Traceback" not in shown
    assert shown.count('"health":') + shown.count('"checks": [') >= 2, shown[-3000:]
    forms = {
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        TOKEN,
        f"bob:{SHORT}",
        base64.b64encode(f"ada:{SECRET}".encode()).decode(),
        json.dumps(SECRET)[1:-1],
    }
    assert not [line[:300] for line in shown.splitlines() if any(form in line for form in forms)]
    assert "********" in shown


def test_nothing_that_an_application_answers_commands_the_terminal(shown):
    assert "owned" in shown
    assert not [line[:300] for line in shown.splitlines() if any(sign in line for sign in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e"))]
