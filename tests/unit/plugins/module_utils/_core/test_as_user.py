# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Functions that run in a process with a user's rights and limits."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import threading
import time

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, as_user
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


def who():
    with open("/proc/self/status", encoding="ascii") as stream:
        facts = dict(line.rstrip("\n").split(":\t", 1) for line in stream)
    regained = True
    try:
        os.setuid(0)
    except PermissionError:
        regained = False
    return {
        "ids": os.getresuid() + os.getresgid(),
        "groups": os.getgroups(),
        "caps": facts["CapEff"],
        "nnp": facts["NoNewPrivs"],
        "regained": regained,
        "group": os.getpgrp() == os.getpid(),
        "env": len(os.environ),
        "fds": os.listdir("/proc/self/fd"),
    }


def raises(kind):
    raise {
        "ops": IntegrityError("x", "y", "z", "w"),
        "os": FileNotFoundError(2, "no", "/gone"),
        "bug": KeyError("k"),
        "exit": SystemExit(3),
    }[kind]


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def hangs():
    time.sleep(2 * HANG)


def computes():
    while True:
        pass


def grows(size):
    return len(bytearray(size))


def writes(path, size):
    with open(path, "wb") as stream:
        stream.write(bytes(size))


def talks():
    return "x" * (as_user.MOST + 1)


def pid():
    return os.getpid()


def forks():
    return os.fork()


def opens(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def dials(port):
    socket.create_connection(("127.0.0.1", port)).close()


@pytest.fixture
def helper():
    with as_user.Helper(accounts.own()) as made:
        yield made


@ROOT
def test_all_rights_are_gone():
    nobody = pwd.getpwnam("nobody")
    account = accounts.named("nobody")
    found = as_user.run(account, who, seconds=HANG)
    assert found["ids"] == [nobody.pw_uid] * 3 + [nobody.pw_gid] * 3 and found["groups"] == list(account.groups)
    assert int(found["caps"], 16) == 0 and found["nnp"] == "1" and not found["regained"] and found["group"] and not found["env"]


def test_no_descriptor_is_inherited(helper, tmp_path):
    with open(tmp_path / "held", "w", encoding="ascii"):
        assert len(helper.call(who, seconds=HANG)["fds"]) == 4  # 0, 1, 2 and the listing's own


@ROOT
def test_what_only_root_may_read_is_not_read(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    with pytest.raises(PermissionError):
        as_user.run(accounts.named("nobody"), opens, str(tmp_path / "secret"), seconds=HANG)


@ROOT
def test_there_is_no_network():
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match=r"unreachable|refused|assign"):
        as_user.run(accounts.named("nobody"), dials, listener.getsockname()[1], seconds=HANG)


@pytest.mark.parametrize(
    "kind, error, text",
    [
        ("ops", IntegrityError, r"x: expected y, found z\. w\."),
        ("os", FileNotFoundError, "/gone"),
        ("bug", as_user.Failed, "KeyError: 'k'"),
        ("exit", as_user.Failed, "its process ended"),
    ],
)
def test_errors_come_through(helper, kind, error, text):
    with pytest.raises(error, match=text):
        helper.call(raises, kind, seconds=HANG)


@pytest.mark.parametrize(
    "function, seconds, error",
    [
        (dies, HANG, "its process ended"),
        (hangs, 0.2, "more than 0 s"),
        (computes, 0.2, "more than 0 s"),
        (talks, HANG, "it says more than"),
    ],
)
def test_after_a_failure_there_is_a_new_process(helper, function, seconds, error):
    first = helper.call(pid, seconds=HANG)
    with pytest.raises(as_user.Failed, match=error):
        helper.call(function, seconds=seconds)
    assert helper.call(pid, seconds=HANG) != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_one_process_serves_many_calls_and_goes_with_the_helper(helper):
    found = {helper.call(pid, seconds=HANG) for _number in range(20)}
    assert len(found) == 1
    helper.close()
    with pytest.raises(ProcessLookupError):
        os.kill(found.pop(), 0)


def test_memory_and_files_are_limited(helper, tmp_path):
    assert helper.call(grows, 10**6, seconds=HANG) == 10**6
    with pytest.raises(as_user.Failed, match=r"it needs more than 268\.4 MB of memory"):
        helper.call(grows, 10**9, seconds=HANG)
    with pytest.raises(OSError, match="File too large"):
        helper.call(writes, str(tmp_path / "file"), 10**6, seconds=HANG, written=10**5)
    helper.call(writes, str(tmp_path / "file"), 10**6, seconds=HANG, written=10**6)


@ROOT
def test_it_starts_no_process():
    with pytest.raises(BlockingIOError):
        as_user.run(accounts.named("nobody"), forks, seconds=HANG)


def test_threads_take_turns(helper):
    found, failed = [], []

    def ask():
        try:
            found.append(helper.call(grows, 1000, seconds=HANG))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1000] * 8 and not failed


@pytest.mark.parametrize(
    "answer",
    [
        b"\n",
        b"1\n",
        b"[]\n",
        b"{}\n",
        b'["OSError", []]\n',
        b'["IntegrityError", 3]\n',
        b"[" * 100_000 + b"\n",
        b'["Exception", ["x"]]\n',
        b'["OpsError", {}]\n',
        b"\xff\n",
    ],
)
def test_an_answer_of_another_shape_is_a_failure(answer):
    with pytest.raises((as_user.Failed, TypeError)) as caught:
        as_user._result(answer)
    assert isinstance(caught.value, as_user.Failed)


@ROOT
def test_the_owner_of_a_folder(tmp_path):
    assert accounts.owner_of(str(tmp_path)) == accounts.own() and not accounts.own().drops
    os.chown(tmp_path, pwd.getpwnam("nobody").pw_uid, 0)
    assert accounts.owner_of(str(tmp_path)) == accounts.named("nobody") and accounts.named("nobody").drops
    os.chown(tmp_path, 54321, 54322)
    assert accounts.owner_of(str(tmp_path)) == accounts.Account(54321, 54322, (54322,))
    assert accounts.owner_of(str(tmp_path / "gone")) == accounts.own()


@ROOT
def test_what_an_account_reaches(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir(mode=0o700)
    account = accounts.stranger()
    assert account.reaches("/tmp") and not account.reaches(str(folder)) and not account.reaches(str(tmp_path / "gone"))
    with contextlib.suppress(KeyError):
        pwd.getpwuid(account.uid)
        raise AssertionError("it is a user's")
