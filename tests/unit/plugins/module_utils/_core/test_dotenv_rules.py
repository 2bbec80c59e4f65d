# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starting a command with the variables of a ``.env`` file, as the process itself has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import commands, dotenv, dotenv_rules
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._service import env_start, supervisor

#: Prints its process id and its whole environment, as the kernel has it.
SHOW = """
import json, os, sys
data = open("/proc/self/environ", "rb").read().decode("latin-1")
print(json.dumps([os.getpid(), dict(entry.split("=", 1) for entry in data.split("\\0") if entry), sys.argv[1:]]))
"""
ODD = b"""\xef\xbb\xbf# a comment with caf\xe9
A="value" # comment
B=value # comment
C='v # no comment' # comment
export D=`it's "so"`
E: yes
PEM="-----BEGIN KEY-----
MIIB+/==
-----END KEY-----" # the key
F="a\\nb\\r\\tc"
G='a\\nb $HOME ${A} 100% \\\\ "'\r
H=caf\xe9 \r
I="two\r
lines"\r
a.b=1
x-y=2
1X=3
EMPTY=
SEVERAL=1
SEVERAL=$A;`date`|2
PORT=9999
PYTHONHOME=/nowhere
LD_BIND_NOW=1
"""
PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture
def spec(host):
    return host.service(manager="process", command=[sys.executable, "-I", "-S", "-c", SHOW, "a b", "$A"]).spec


def write(spec, content):
    with open(spec["env_file"], "wb") as stream:
        stream.write(content)


def started(spec, **environment):
    """What the service gets under systemd: its argv, with the definition's variables around."""
    env_start.prepare(spec)
    return subprocess.run(env_start.argv(spec), env={**PATH, **spec["environment"], **environment}, capture_output=True, check=False)


def shown(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_process_has_what_it_has_under_the_supervisor(spec, tmp_path):
    write(spec, ODD)
    _pid, found, words = shown(started(spec))
    with open(tmp_path / "console", "wb") as console:
        environment = {key: value for key, value in supervisor.environment(spec).items() if key not in ("LANG", "TZ", "HOME")}
        commands.start(spec["command"], "/", environment, console).wait()
    assert found == json.loads((tmp_path / "console").read_text())[1]
    assert words == ["a b", "$A"] and found["PORT"] == str(spec["port"]), "the definition comes first"
    assert {name: found[name] for name in "ABCDEFGHI"} == {
        "A": "value",
        "B": "value",
        "C": "v # no comment",
        "D": 'it\'s "so"',
        "E": "yes",
        "F": "a\nb\r\\tc",
        "G": 'a\\nb $HOME ${A} 100% \\\\ "',
        "H": "caf\xe9",
        "I": "two\nlines",
    }
    assert found["PEM"] == "-----BEGIN KEY-----\nMIIB+/==\n-----END KEY-----"
    assert (found["a.b"], found["x-y"], found["1X"], found["EMPTY"], found["SEVERAL"]) == ("1", "2", "3", "", "$A;`date`|2")


def test_what_hides_secrets_knows_the_value_that_the_process_has(spec):
    write(spec, ODD)
    _pid, found, _words = shown(started(spec))
    redactor = dotenv.Redactor(spec["env_file"])
    for name in ("PEM", "C", "D", "SEVERAL"):
        assert redactor.text(f"x {found[name]} y") == "x *** y" or "***" in redactor.text(found[name])
        assert found[name] not in redactor.text(found[name])


def test_it_keeps_its_process_id_and_adds_nothing(spec):
    """Python sets LC_CTYPE in its own environment where there is no locale; the application must not get that."""
    write(spec, b"A=1\n")
    env_start.prepare(spec)
    child = subprocess.Popen(env_start.argv(spec), env=PATH, stdout=subprocess.PIPE)
    pid, found, _words = json.loads(child.communicate()[0])
    assert pid == child.pid and found == {**PATH, "A": "1"}


def test_without_a_file_it_is_started_with_what_the_definition_says(spec):
    os.unlink(spec["env_file"])
    assert shown(started(spec))[1] == {**PATH, **spec["environment"]}
    assert dotenv.read(spec["env_file"]) == {}


@pytest.mark.parametrize(
    "content, sentence",
    [
        (
            b"A=1\nMY KEY=s3cret\n",
            "expected NAME=value in line 2, with a name of letters, digits, '_', '.' and '-', found something else. Correct the name",
        ),
        (b"KEY=-----BEGIN KEY-----\nMIIB+/==\n-----END KEY-----\n", "expected NAME=value in line 2"),
        (b"A='1'\n\n# B\n \n=s3cret\n", "expected NAME=value in line 5"),
        ("\ufeffA=s3cret\n".encode("utf-16-le"), "expected text in UTF-8, found a NUL byte. Save it in that encoding."),
        (b"A=s3cret" * 600_000, "expected a file of 4194304 bytes at most, found a larger one. Move"),
    ],
)
def test_what_would_leave_the_application_half_configured_is_refused(spec, content, sentence):
    write(spec, content)
    done = started(spec)
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (dotenv_rules.REFUSED, b"")
    assert said.startswith(f"mobius.ops: {spec['env_file']}: {sentence}") and said.count("\n") == 1 and "s3cret" not in said
    with pytest.raises(StateError) as refused:
        env_start.require(spec)
    assert str(refused.value).startswith(f"{spec['env_file']}: {sentence}") and "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"no line\nA=1\n", b"# A B=1\n  # =\nA=1\n", b"A=1 # x=y\n# A='\n", b"A='x\ny=z'\n", b"A=b=c\n", b"\n\n"]
)
def test_what_dotenv_takes_or_cannot_mean_is_not_refused(content):
    dotenv_rules.variables(content)


def test_a_folder_or_pipe_in_its_place_is_refused(spec):
    for make in (os.mkdir, os.mkfifo):
        if os.path.isfile(spec["env_file"]):
            os.unlink(spec["env_file"])
        elif os.path.isdir(spec["env_file"]):
            os.rmdir(spec["env_file"])
        make(spec["env_file"])
        done = started(spec)
        assert done.returncode == dotenv_rules.REFUSED and b"found something else. Move it away." in done.stderr
        with pytest.raises(StateError, match="Move it away"):
            env_start.require(spec)


def test_a_command_or_value_that_the_kernel_refuses_has_its_sentence(spec):
    write(spec, b"A=" + b"x" * 200_000)
    done = started(spec)
    assert done.returncode == dotenv_rules.REFUSED
    assert b"expected a program that can be started, found Argument list too long." in done.stderr
    write(spec, b"")
    done = started({**spec, "command": ["/nowhere/node"]})
    assert done.returncode == dotenv_rules.REFUSED and b"mobius.ops: /nowhere/node: expected a program that can be started" in done.stderr
