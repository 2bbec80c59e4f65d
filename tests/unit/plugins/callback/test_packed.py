# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packed modules that the callback keeps, with the real ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.playbooks import ROOT

from ansible_collections.mobius.ops.plugins.callback import packed
from ansible_collections.mobius.ops.plugins.plugin_utils import packed_modules

MARKED = b'print(\'{"changed": false, "marked": true}\')\nraise SystemExit'


@pytest.fixture
def play(tmp_path):
    """Play one module of the collection on a local host: what was printed."""
    folder = tmp_path / "packed"

    def run(**settings: str) -> str:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        (tmp_path / "hosts.json").write_text(json.dumps({"web": {"hosts": {"web1": local}}}))
        task = {"mobius.ops.host_metrics": {"root": "/none"}, "register": "found", "ignore_errors": True}
        show = {"ansible.builtin.debug": {"msg": "marked {{ found.marked | default(false) }}"}}
        (tmp_path / "book.yml").write_text(json.dumps([{"hosts": "web", "gather_facts": False, "tasks": [task, show]}]))
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_CALLBACKS_ENABLED": packed.CallbackModule.CALLBACK_NAME,
            "MOBIUS_PACKED_FOLDER": str(folder),
            **settings,
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.json"), str(tmp_path / "book.yml")]
        done = subprocess.run(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode()

    run.folder = folder
    return run


def mark(info, found: bytes) -> dict[str, bytes]:
    """Make a packed module print a result of its own."""
    if info.filename.endswith("modules/host_metrics.py"):
        return {info.filename: MARKED}
    return {} if info.filename.endswith("modules/host_metrics.pyc") else {info.filename: found}


def test_a_run_uses_what_the_run_before_has_packed(play):
    assert "marked False" in play()
    (kept,) = play.folder.glob("*-bytecode/ansible_collections.mobius.ops.plugins.modules.host_metrics-*")
    kept.write_bytes(packed_modules.rewritten(kept.read_bytes(), mark))
    assert "marked True" in play()
    assert "marked False" in play(MOBIUS_PACKED_BYTECODE="never")


def test_a_run_ends_well_without_a_folder_of_its_own(play):
    play.folder.mkdir()
    play.folder.chmod(0o777)
    told = play()
    assert "marked False" in told
    wanted = f"Packed modules are not kept: {play.folder}: expected a folder that only its owner, you, may write to"
    assert "".join(wanted.split()) in "".join(told.split())  # it is wrapped, also in the midst of a path
    assert list(play.folder.iterdir()) == []


def test_what_cannot_be_kept_is_told_with_v_only(monkeypatch):
    class Full:
        def take(self, _cache):
            raise OSError(28, "No space left on device")

    told = []
    callback = packed.CallbackModule()
    monkeypatch.setattr(callback, "get_option", {"folder": "/srv/packed"}.get)
    callback._store, callback._name = Full(), callback._fingerprint()
    monkeypatch.setattr(callback._display, "v", told.append)
    monkeypatch.setattr(callback._display, "warning", lambda text: pytest.fail(text))
    callback.v2_playbook_on_stats(None)
    assert told == ["Packed modules are not kept: /srv/packed: No space left on device."]
