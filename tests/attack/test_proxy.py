# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proxy's folder: nothing in it that the service's user could change is run, trusted or followed by root."""

from __future__ import annotations

import itertools
import os
import pwd
import socket
import subprocess

import pytest
from support import attack

#: Says who ran it, and passes for the real one.
EVIL = """\
os.execute("touch {trace}-$(id -u)")
core.register_action("mobius_hold", {{"http-req"}}, function(_) end, 0)
core.register_action("mobius_hold_renders", {{"http-req"}}, function(_) end, 1)
"""
#: Gives the folder back to the service's user, as an earlier version left it, with a file of his own beside root's.
LEGACY = """
import os, sys
os.chdir(sys.argv[1])
for name, text in (("evil.lua", sys.argv[2]), ("evil.cfg", "global\\n lua-load evil.lua\\n")):
    with open(".new", "w") as stream:
        stream.write(text)
    os.rename(".new", name)
"""


@pytest.fixture
def host(target, attacker):
    """A host with a proxy, not started yet."""
    made = target(proxied=True)
    made.layout().good()
    return made


@pytest.fixture
def traces(open_folder):
    """A folder in which whoever runs the attacker's code leaves a name; root must not."""
    folder = open_folder / "traces"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    assert "ran-0" not in os.listdir(folder), "root ran code of the service's user"


def as_before(host, attacker, text):
    """The folder as an earlier version left it: the service's user owns it, and has put files there."""
    folder = host.path("proxy")
    folder.mkdir(exist_ok=True)
    os.chown(folder, attacker.uid, attacker.gid)
    attacker.does(LEGACY, folder, text)


def test_root_runs_no_code_of_the_folder(host, attacker, race, traces, decoys):
    """While setup finds a folder as an earlier version left it, again and again, and checks another configuration each time."""
    timeouts = itertools.count(60)

    def setup():
        as_before(host, attacker, EVIL.format(trace=traces / "ran"))
        host.define(proxy_timeout=next(timeouts)).settled()

    setup()
    race(
        setup,
        *(
            (host.path("proxy", name), host.path("proxy", other))
            for name, other in (("hold.lua", "evil.lua"), ("candidate.cfg", "evil.cfg"), ("haproxy.cfg", "evil.cfg"))
        ),
    )


@pytest.mark.parametrize(
    "kind", ["pipe", "folder", *(pytest.param(kind, marks=pytest.mark.full) for kind in ("link", "device", "own", "sparse"))]
)
def test_what_was_planted_in_the_folder_of_an_earlier_version(served, attacker, decoys, kind):
    """It is neither read nor waited for, and gone after the next setup, while the service goes on."""
    host, folder = served, served.path("proxy")
    os.chown(folder, attacker.uid, attacker.gid)
    attacker.does(attack.PLANT, folder, kind, decoys.secret, "haproxy.cfg", "hold.lua", "switch.map", "candidate.cfg", "run", "more")
    for operation in (lambda: host.module("node_service_info", checks=host.checks), lambda: preflight(host), host.define):
        assert operation().settled().peak < attack.MEMORY
    assert host.last.good() and host.module("node_service_info", checks=host.checks).good()["well"]
    left = {path.name: path.lstat() for path in folder.iterdir()}
    named = {name for name in left if not name.startswith(".old.")}  # root's own files, which were renamed, stay
    assert named == {"haproxy.cfg", "hold.lua", "switch.map", "run"}, left
    assert {name: status.st_uid for name, status in left.items()} == {**dict.fromkeys(left, 0), "run": attacker.uid}
    decoys.require_unread(*host.printed)


#: In the socket's place: ``answer(path, how)``. It answers every connection, until it is ended.
ANSWER = """
import os, random, socket, sys, time
path, how, port = sys.argv[1:]
os.chdir(os.path.dirname(path))
name = os.path.basename(path)
for old in (name, ".new"):
    try:
        os.unlink(old)
    except FileNotFoundError:
        pass
server = socket.socket(socket.AF_UNIX)
server.bind(".new")
server.listen(64)
os.rename(".new", name)
print("ready", flush=True)
GARBAGE = [b"Pid: " + b"9" * 5000, b"Pid: 1\\n", b"\\xff" * 1000, b"\\n" * 100000, b"\\x1b[2J" * 10,
           b"1 live \\xc2\\xb2\\n2 hold inf\\n3 renders nan\\n4 free -1e999\\n",
           b"0x1: be=port_1 age=" + b"9" * 5000 + b"d " + b"x=" * 100, b"1 live 99999999999999999999\\n", b"", b"\\0" * 100]
while True:
    client, _ = server.accept()
    try:
        client.recv(65536)  # what closes without that resets the connection, and nobody sees an answer
        if how == "flood":
            while True:
                client.sendall(b"x" * 65536)
        elif how == "silent":
            time.sleep(30)
        elif how == "lines":
            client.sendall(f"0x1: be=port_{port} age=1s\\n".encode() * 1000000)
        elif how == "pairs":
            client.sendall(b"".join(b"0x1 k%d v\\n" % number for number in range(2000000)))
        elif how == "words":
            client.sendall(f"0x1: be=port_{port} ".encode() + b"x " * 15000000)
        elif how == "worker":
            client.sendall(b"Pid: 1\\n")
        else:
            client.sendall(random.choice(GARBAGE))
    except OSError:
        pass
    client.close()
"""


@pytest.fixture
def served(target):
    """A host whose proxy runs, and who answers in its place: ``answer(how)``."""
    made = target(proxied=True)
    made.setup()
    for release_id in ("r1", "r2"):
        made.deploy(release_id)
    return made


@pytest.mark.parametrize(
    "how", ["garbage", "flood", *(pytest.param(how, marks=pytest.mark.full) for how in ("lines", "pairs", "words", "silent"))]
)
def test_what_the_socket_answers(served, attacker, how):
    """Each operation ends with a result or a sentence, in bounded memory; afterwards setup puts all right."""
    host = served
    path = socket_of(host)
    program = attacker.python(ANSWER, path, how, host.definition["port"], stdout=subprocess.PIPE)
    assert program.stdout.readline() == "ready\n"
    for operation in (
        lambda: host.module("node_service_info", checks=host.checks),
        lambda: preflight(host),
        lambda: host.roll_back("r1"),
        lambda: host.module("release_info"),
        lambda: host.define(proxy_timeout=77),
    ):
        for _time in range(3 if how == "garbage" else 1):
            assert operation().settled().peak < attack.MEMORY
    attacker.end(program)
    host.define(state="started").good()
    assert host.module("node_service_info", checks=host.checks).good()["well"]


def preflight(host):
    return host.module("preflight", programs={}, encoders=[], min_free_mb=1)


def socket_of(host):
    """Where the proxy's socket is; earlier versions had it beside the configuration."""
    return next(path for path in (host.path("proxy", "run", "admin.sock"), host.path("proxy", "admin.sock")) if path.exists())


#: Puts a link or a pipe in the socket's place: ``replace(path, kind, target)``.
REPLACE = """
import os, sys
path, kind, target = sys.argv[1:]
os.unlink(path)
os.symlink(target, path) if kind == "link" else os.mkfifo(path)
"""


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_socket_is_not_asked(served, attacker, open_folder, kind):
    """A link leads to a socket of root's own, which the service's user could not reach."""
    host, path = served, socket_of(served)
    with socket.socket(socket.AF_UNIX) as roots:
        (open_folder / "private").mkdir(mode=0o700)
        roots.bind(str(open_folder / "private" / "socket"))
        roots.listen()
        roots.settimeout(0)
        attacker.does(REPLACE, path, kind, open_folder / "private" / "socket")
        check_not_asked(host)
        with pytest.raises(BlockingIOError):
            roots.accept()


def test_a_socket_of_another_user_is_not_asked(served, open_folder):
    """Only the proxy's user may have begun to listen on it, whoever has put it there."""
    host, path = served, socket_of(served)
    stranger = pwd.getpwnam("daemon")
    place = open_folder / "strangers"
    place.mkdir()
    place.chmod(0o777)
    account = {"user": stranger.pw_uid, "group": stranger.pw_gid, "extra_groups": []}
    command = ["/usr/bin/python3", "-c", ANSWER, place / "socket", "worker", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, **account) as program:
        try:
            assert program.stdout.readline() == "ready\n"
            path.unlink()
            os.rename(place / "socket", path)
            check_not_asked(host)
        finally:
            program.kill()


def check_not_asked(host):
    """No answer is an answer of the proxy; setup puts it right."""
    host.module("node_service_info", checks=host.checks).settled()
    assert "nobody answers on the socket" in preflight(host).settled().result["msg"]
    host.define().good()
    assert host.module("node_service_info", checks=host.checks).good()["well"] and "nobody answers" not in str(preflight(host).result)
