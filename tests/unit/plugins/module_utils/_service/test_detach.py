# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Code that goes on when its task has ended."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, systemd
from ansible_collections.mobius.ops.plugins.module_utils._service import detach, supervisor
from ansible_collections.mobius.ops.plugins.module_utils._watch import watcher

NAME = "ansible_collections/mobius/ops/plugins/module_utils/"


def test_the_archive_holds_the_code_and_is_written_once(host):
    path = detach.code_archive(host.layout)
    written = os.stat(path)
    assert detach.code_archive(host.layout) == path and os.stat(path).st_ino == written.st_ino
    names = zipfile.ZipFile(path).namelist()
    assert {NAME + name for name in ("_watch/watcher.py", "_watch/__init__.py", "_service/supervisor.py", "__init__.py")} <= set(names)
    assert not [name for name in names if name.startswith(NAME + "_ansible/")]


def test_it_runs_from_the_archive_alone(host):
    code = f"import {clock.__name__} as clock; print(clock.__file__)"
    _argv, env = detach.command(host.layout, watcher, "x")
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd="/", check=True, capture_output=True, text=True)
    assert done.stdout.startswith(detach.code_archive(host.layout))


def test_it_starts_from_bytecode_and_another_python_from_the_source(host, monkeypatch):
    def origin():
        _argv, env = detach.command(host.layout, watcher, "x")
        code = f"import {watcher.__name__} as watcher; print(watcher.__file__); print(watcher.Watcher.run.__code__.co_filename)"
        done = subprocess.run([sys.executable, "-c", code], env=env, cwd="/", check=True, capture_output=True, text=True)
        return done.stdout.split()

    path = detach.code_archive(host.layout)
    assert origin() == [f"{path}/{NAME}_watch/watcher.pyc", f"{path}/{NAME}_watch/watcher.py"]
    os.unlink(path)
    monkeypatch.setattr(importlib.util, "MAGIC_NUMBER", b"\0\0\r\n")
    assert origin() == [f"{path}/{NAME}_watch/watcher.py"] * 2


def test_its_environment_holds_nothing_of_the_task(host, monkeypatch):
    monkeypatch.setenv("MOBIUS_API_KEYS", "sekret")
    argv, env = detach.command(host.layout, supervisor, "/folder")
    assert argv[0] == sys.executable and argv[-1] == "/folder" and argv[-2] == supervisor.__name__
    assert set(env) <= {"PATH", "HOME", "LANG", "TZ", "USER", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}


def test_what_it_prints_goes_to_its_log(host, tmp_path, wait_until):
    log = tmp_path / "log"
    pid = detach.launch(host.layout, watcher, host.layout.path("state", "watch", "gone"), str(log))
    wait_until(lambda: log.exists() and "Error" in log.read_text())
    assert os.waitpid(pid, 0)[0] == pid


def test_old_archives_are_swept_and_the_newest_kept(host):
    folder = host.layout.path("state", "code")
    os.makedirs(folder)
    for number in range(8):
        path = os.path.join(folder, f"old-{number}.zip")
        with open(path, "w"):
            os.utime(path, (number, number))
    path = detach.code_archive(host.layout)
    kept = os.listdir(folder)
    assert len(kept) == detach.KEPT and os.path.basename(path) in kept and "old-0.zip" not in kept


def test_an_archive_that_a_unit_names_is_never_swept(host, tmp_path, monkeypatch):
    monkeypatch.setattr(systemd, "UNIT_DIR", str(tmp_path))
    folder = host.layout.path("state", "code")
    os.makedirs(folder)
    for number in range(8):
        path = os.path.join(folder, f"old-{number}.zip")
        with open(path, "w"):
            os.utime(path, (number, number))
    (tmp_path / "mobius-local-backup.service").write_text(f'Environment="PYTHONPATH={folder}/old-1.zip"\n')
    (tmp_path / "other.service").write_text("Environment=PYTHONPATH=/elsewhere/state/code/old-2.zip\n")
    (tmp_path / "damaged.service").write_bytes(b"\xff\xfe")
    detach.code_archive(host.layout)
    kept = os.listdir(folder)
    assert "old-1.zip" in kept and "old-0.zip" not in kept and "old-2.zip" not in kept and len(kept) == detach.KEPT + 1


def test_where_it_belongs_can_be_told_without_writing(host):
    _argv, env = detach.command(host.layout, watcher, "x", write=False)
    assert not os.path.exists(host.layout.path("state", "code"))
    assert detach.code_archive(host.layout) == env["PYTHONPATH"]
