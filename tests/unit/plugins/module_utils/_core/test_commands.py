# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that fail, by the real programs: what the message states, and what it hides."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import causes, commands
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import dependencies

RECORDED = Path(__file__).parents[1] / "recorded"
EMPTY = {"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": True}
NEEDED = {"left-pad": "1.3.0"}
PACKAGE = {"name": "app", "version": "1.0.0", "dependencies": NEEDED}
LOCK = {**EMPTY, "packages": {"": PACKAGE, "node_modules/left-pad": {"version": "1.3.0"}}}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home without settings of npm or git, and an empty cache."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("npm_config_cache", str(folder / "cache"))
    return folder


@pytest.fixture
def source(tmp_path):
    def make(package=PACKAGE, lock=LOCK):
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        (folder / "package.json").write_text(json.dumps(package))
        (folder / "package-lock.json").write_text(lock if isinstance(lock, str) else json.dumps(lock))
        return folder

    return make


@pytest.fixture
def closed_port():
    """A port that refuses: bound, so that nobody else takes it, and not listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a program of that name and with that shell script before the others."""

    def make(name, script):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n" + script)
        (tmp_path / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")

    return make


def refused(folder, tmp_path, *arguments):
    with pytest.raises(OpsError) as caught:
        dependencies.install(str(folder), str(tmp_path / "deps"), list(arguments))
    return str(caught.value)


def advises(said, todo):
    """Whether a message ends with what to do, and the file with all that npm said."""
    before, _words, log = said.rstrip(".").rpartition(" npm's whole log: ")
    return before.endswith(todo) and os.path.isfile(log)


def test_a_lock_file_that_is_no_json(source, tmp_path):
    said = refused(source(lock="{ broken"), tmp_path, "--offline")
    assert ": npm ci --offline: expected exit status 0, found 1 (code EUSAGE | The `npm ci` command can only install with" in said
    assert advises(said, "Run npm install in the source, commit its package-lock.json and deploy that commit.") and "Options" not in said


def test_a_package_that_is_not_in_the_cache(source, tmp_path):
    said = refused(source(), tmp_path, "--offline")
    assert "found 1 (code ENOTCACHED | request to " in said
    assert advises(
        said, "no cached response is available.). Remove --offline from mobius_npm_ci_args, or fill npm's cache on this machine first."
    )


def test_a_registry_that_refuses(source, tmp_path, closed_port):
    said = refused(source(), tmp_path, f"--registry=http://127.0.0.1:{closed_port}", "--fetch-retries=0")
    assert "found 1 (code ECONNREFUSED | FetchError: request to " in said and "Check that this machine reaches the package registry" in said
    assert "release_source" not in said


def test_a_host_without_the_engine(source, tmp_path):
    package = {"name": "app", "version": "1.0.0", "engines": {"node": ">=99"}}
    said = refused(source(package, {**EMPTY, "packages": {"": package}}), tmp_path, "--engine-strict")
    assert "code EBADENGINE" in said and '{"node":">=99"}' in said and "Install the Node.js and npm versions that the cause names" in said


def test_an_install_script_that_fails(source, tmp_path):
    package = {"name": "app", "version": "1.0.0", "scripts": {"postinstall": "echo 'cannot download the binary' >&2; exit 3"}}
    said = refused(source(package, {**EMPTY, "packages": {"": {**package, "hasInstallScript": True}}}), tmp_path)
    assert "expected exit status 0, found 3 (cannot download the binary | path " in said
    assert advises(said, "Correct what that install script lacks, or add --ignore-scripts to mobius_npm_ci_args.")


def test_a_setting_that_silences_npm_does_not_hide_the_cause(source, tmp_path, home):
    (home / ".npmrc").write_text("loglevel=silent\n")
    assert "code ENOTCACHED" in refused(source(), tmp_path, "--offline")


def test_a_folder_that_npm_may_not_write_to():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "package.json").write_text(json.dumps(PACKAGE))
        Path(folder, "package-lock.json").write_text(
            json.dumps({**EMPTY, "packages": {"": PACKAGE, "node_modules/left-pad": {"version": "1.3.0", "resolved": "file:left-pad.tgz"}}})
        )
        os.chmod(folder, 0o555)
        account = {} if os.getuid() else {"user": pwd.getpwnam("nobody").pw_uid}
        done = commands.capture(
            ["npm", "ci", "--offline", f"--cache={folder}/cache"], folder, env={**os.environ, "HOME": "/nonexistent"}, **account
        )
        os.chmod(folder, 0o755)
    said = str(commands.failure(done, "dependencies"))
    assert "code EACCES | " in said and said.endswith("Give the user that runs this access to that path, then run it again."), said


@pytest.mark.parametrize("recorded", ["npm9-missing-package", "npm10-missing-package", "npm11-missing-package"])
def test_a_notice_of_a_new_version_does_not_displace_the_cause(source, tmp_path, program, recorded):
    program("npm", f"cat {shlex.quote(str(RECORDED / recorded))}.txt >&2; exit 1\n")
    assert "npm notice" in (RECORDED / f"{recorded}.txt").read_text()
    said = refused(source(), tmp_path)
    assert "found 1 (code E404 | 404 Not Found - GET " in said and "notice" not in said and "New m" not in said


def test_npm_is_asked_for_no_notice_audit_or_funding(source, tmp_path, program):
    program("npm", f"env > {tmp_path}/env; exit 1\n")
    refused(source(), tmp_path)
    seen = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    wanted = {"NO_UPDATE_NOTIFIER": "1", **dict.fromkeys(("npm_config_update_notifier", "npm_config_audit", "npm_config_fund"), "false")}
    assert {name: seen.get(name) for name in wanted} == wanted


def test_an_environment_that_is_given_keeps_its_own_word(tmp_path):
    env = {"PATH": os.environ["PATH"], "npm_config_update_notifier": "true"}
    assert "npm_config_update_notifier=true" in commands.run(["env"], "/", "look", env).splitlines()
    assert "npm_config_update_notifier=false" in commands.run(["env"], "/", "look").splitlines()


def test_a_build_with_a_syntax_error(tmp_path):
    (tmp_path / "package.json").write_text(json.dumps({"name": "app", "version": "1.0.0", "scripts": {"build": "node build.cjs"}}))
    (tmp_path / "build.cjs").write_text("console.log('transforming...')\nlet a = ;\n")
    with pytest.raises(OpsError) as caught:
        commands.run(["npm", "run", "build"], str(tmp_path), "build", todo="Correct the source or mobius_build_command")
    assert str(caught.value).startswith("build: npm run build: expected exit status 0, found 1 (SyntaxError: Unexpected token ';' | ")
    assert str(caught.value).endswith("). Correct the source or mobius_build_command.")


def test_a_build_that_lacks_a_module(tmp_path):
    (tmp_path / "package.json").write_text(json.dumps({"name": "app", "version": "1.0.0", "scripts": {"build": "node build.cjs"}}))
    with pytest.raises(OpsError, match=r"found 1 \(Error: Cannot find module '.*build\.cjs'"):
        commands.run(["npm", "run", "build"], str(tmp_path), "build")


def test_a_build_whose_program_is_not_installed(tmp_path):
    (tmp_path / "package.json").write_text(json.dumps({"name": "app", "version": "1.0.0", "scripts": {"build": "no-such-bundler build"}}))
    with pytest.raises(OpsError, match=r"found 127 \(.*no-such-bundler: not found\)\. Add that program to the dependencies of the source"):
        commands.run(["npm", "run", "build"], str(tmp_path), "build")


def test_a_command_that_prints_nothing_and_one_that_is_killed():
    with pytest.raises(OpsError, match=r"^check: false: expected exit status 0, found 1 \(no output\)\. Correct the cause"):
        commands.run(["false"], "/", "check")
    with pytest.raises(OpsError, match=r"expected exit status 0, found SIGKILL \(no output\)\. Find out what killed it"):
        commands.run(["sh", "-c", "kill -KILL $$"], "/", "check")


def test_passwords_and_secrets_are_hidden_before_lines_are_cut():
    secret = "s3cret-" * 20
    url = "https://bot:tok3n-value@git.example/x.git"
    text = "error: " + "a" * (causes.WIDTH - 20) + secret + f"\nfatal: unable to access '{url}'\n"
    done = commands.capture(["sh", "-c", 'printf %s "$0" >&2; exit 1', text])
    said = str(commands.failure(done, "look", hide=lambda words: words.replace(secret, "********")))
    assert "s3cret" not in said and "tok3n" not in said and "https://git.example/x.git" in said and "***" in said


def test_what_prints_without_end_is_kept_in_part(monkeypatch):
    monkeypatch.setattr(commands, "_KEPT", 10)
    shown = []
    with pytest.raises(OpsError, match=r"first error"):
        flood = "echo first error; yes | head -n 5000; head -c 100000 /dev/zero | tr '\\0' x; exit 3"
        commands.run_live(["sh", "-c", flood], "/", "a flood", dict(os.environ), "todo", shown.append, str)
    assert len(shown) > 5000 and max(map(len, shown)) <= commands._LONGEST


def test_a_command_that_does_not_end_is_ended_with_all_that_it_printed_last():
    process = subprocess.Popen(["sh", "-c", "while :; do echo more; done"], stdout=subprocess.PIPE, start_new_session=True)
    in_time, printed = commands.ended(process, 0.2)
    assert not in_time and "more" in printed and len(printed) <= commands._LAST * commands._CHUNK and process.returncode < 0
