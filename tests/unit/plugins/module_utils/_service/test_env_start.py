# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that gives a service under systemd its ``.env``: that it is in place, and that its user may read the file."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv_rules
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._service import env_start, unit_file

PATH = {"PATH": os.environ["PATH"]}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user's rights to give")


@pytest.fixture
def spec(host):
    return {**host.service().spec, "manager": "systemd", "user": "nobody" if os.geteuid() == 0 else None}


def program(host):
    return host.layout.path("lib", "dotenv.py")


def open_folders(path):
    """Let all users pass to a file of the test."""
    while path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            os.chmod(path, os.stat(path).st_mode | 0o011)


def test_the_program_is_put_in_place_and_replaced_when_it_is_another(host, spec):
    assert not env_start.current(spec)
    env_start.prepare(spec)
    assert env_start.current(spec) and stat.S_IMODE(os.stat(program(host)).st_mode) == 0o644
    with open(program(host), "a", encoding="utf-8") as stream:
        stream.write("# of another version\n")
    assert not env_start.current(spec)
    env_start.prepare(spec)
    with open(program(host), encoding="utf-8") as stream, open(dotenv_rules.__file__, encoding="utf-8") as source:
        assert stream.read() == source.read()


def test_the_program_needs_nothing_of_this_collection(host, spec):
    env_start.prepare(spec)
    done = subprocess.run(
        [sys.executable, "-I", "-S", program(host), os.devnull + "x", "", sys.executable, "-c", "print(1)"],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_proxy_has_no_file_and_no_program(host, spec):
    front = {**spec, "env_file": os.devnull}
    env_start.prepare(front)
    assert env_start.argv(front) == spec["command"] and env_start.current(front) and not os.path.exists(program(host))


def test_the_interpreter_is_named_so_that_an_upgrade_of_the_system_does_not_take_it_away(spec, monkeypatch, tmp_path):
    system = tmp_path / "python3"
    monkeypatch.setattr(env_start, "_PYTHON", str(system))
    monkeypatch.setattr(env_start, "_HOMES", ("/nowhere/",))
    assert env_start.argv(spec)[0] == sys.executable  # there is no other
    system.symlink_to("/bin/sh")
    assert env_start.argv(spec)[0] == sys.executable  # another one
    monkeypatch.setattr(env_start, "_HOMES", (os.path.dirname(os.path.realpath(sys.executable)) + "/",))
    assert env_start.argv(spec)[0] == str(system)  # which the service can see
    monkeypatch.undo()
    monkeypatch.setattr(env_start, "_PYTHON", str(system))
    system.unlink()
    system.symlink_to(sys.executable)
    assert env_start.argv(spec)[0] == str(system)


def let_in(spec):
    subprocess.run(env_start.before(spec), cwd="/", env={}, check=True)


def read_as_user(spec):
    """Start the command as the service's user."""
    open_folders(spec["env_file"])
    account = pwd.getpwnam(spec["user"])
    return subprocess.run(
        [
            "setpriv",
            f"--reuid={account.pw_uid}",
            f"--regid={account.pw_gid}",
            "--clear-groups",
            *env_start.argv({**spec, "command": ["env"]}),
        ],
        cwd="/",
        env=PATH,
        capture_output=True,
        text=True,
        check=False,
    )


@as_root
def test_a_file_that_root_made_for_itself_is_read_as_well(host, spec):
    """As after an edit by hand with a tight umask, and a systemctl restart."""
    env_start.prepare(spec)
    os.chmod(host.layout.env_file, 0o600)
    refused = read_as_user(spec)
    assert refused.returncode == dotenv_rules.REFUSED and "expected a file that the service's user may read, found Perm" in refused.stderr
    env_start.require(spec)
    let_in(spec)
    status = os.stat(host.layout.env_file)
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o640) and "MOBIUS_API_KEYS=" in read_as_user(spec).stdout
    os.unlink(host.layout.env_file)
    let_in(spec)


@as_root
def test_nobody_is_let_in_to_what_a_link_or_another_name_leads_to(host, spec, tmp_path):
    """An archive that is restored brings any link and name; what root can read stays root's."""
    env_start.prepare(spec)
    decoy = tmp_path / "decoy"
    decoy.write_text("A=1\n")
    decoy.chmod(0o600)
    for make in (os.symlink, os.link):
        os.unlink(host.layout.env_file)
        make(decoy, host.layout.env_file)
        let_in(spec)
        status = os.stat(decoy)
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o600)
        with pytest.raises(StateError, match="expected a file that the user nobody may read, found one that it may not read"):
            env_start.require(spec)
        assert read_as_user(spec).returncode == dotenv_rules.REFUSED
    env_start.require({**spec, "manager": "process"})  # its supervisor is root
    for other in ({"uid": 65534, "mode": 0o600}, {"uid": 0, "mode": 0o602}):
        os.unlink(host.layout.env_file)
        with open(host.layout.env_file, "w", encoding="ascii"):
            os.chown(host.layout.env_file, other["uid"], 0)
            os.chmod(host.layout.env_file, other["mode"])
        let_in(spec)
        assert stat.S_IMODE(os.stat(host.layout.env_file).st_mode) == other["mode"]


@as_root
def test_a_link_of_roots_is_fine_when_the_user_may_read_what_it_leads_to(host, spec, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "env").write_text("A=1\n")
    os.unlink(host.layout.env_file)
    os.symlink(closed / "env", host.layout.env_file)
    open_folders(host.layout.env_file)
    with pytest.raises(StateError, match="found one that it may not read, or not get to"):
        env_start.require(spec)
    closed.chmod(0o711)
    env_start.require(spec)


@as_root
def test_a_user_that_the_host_does_not_have_has_its_sentence(spec):
    with pytest.raises(InputError, match=r"user no-such: expected a user of the target, found none\. Create it first"):
        unit_file.render({**spec, "user": "no-such"})


def test_without_a_user_of_its_own_nobody_is_let_in(spec):
    assert env_start.before({**spec, "user": None}) == [] == env_start.before({**spec, "env_file": os.devnull})
