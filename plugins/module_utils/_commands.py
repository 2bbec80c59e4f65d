# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place where other programs are started: argv lists, never a shell.

The utils also run detached from Ansible, where there is no ``AnsibleModule.run_command``.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._errors import OpsError, StateError

_PASSWORD = re.compile(r"(https?://)([^/@\s]+)@")


def without_passwords(text: str) -> str:
    """The text without user and password (or token) in the web addresses in it."""
    return _PASSWORD.sub(r"\1", text)


def passwords(text: str) -> list[str]:
    """The ``user:password`` and tokens in the web addresses of a text."""
    return [match.group(2) for match in _PASSWORD.finditer(text)]


def capture(argv: list[str], folder: str = "/", what: str = "command",
            env: dict[str, str] | None = None, stdin: t.BinaryIO | None = None,
            timeout: float | None = None, **account: t.Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ``returncode``, ``stdout`` and ``stderr``.

    :param what: what it is for, in words.
    :param env: its whole environment; that of this process by default.
    :param stdin: a file that it reads; nothing by default.
    :param timeout: seconds after which it is killed; never by default.
    :param account: ``user``, ``group`` and ``extra_groups`` of ``Popen``, to run as somebody else.
    :raises StateError: when the program is not there, or does not end in time.
    """
    try:
        return subprocess.run(argv, cwd=folder, env=env, stdin=stdin or subprocess.DEVNULL,  # pylint: disable=ansible-bad-function
                              capture_output=True, text=True, errors="replace", check=False, timeout=timeout,
                              **account)
    except subprocess.TimeoutExpired as error:
        raise StateError(f"{what}: {argv[0]}", f"an end within {timeout:g} s", "none", "Run it by hand to see why") from error
    except (FileNotFoundError, PermissionError) as error:
        # a folder of the PATH that may not be looked into makes "no such program" a "permission denied"
        path = (os.environ if env is None else env).get("PATH")
        if isinstance(error, PermissionError) and (os.sep in argv[0] or shutil.which(argv[0], path=path)):
            raise
        raise StateError(what, f"the program {argv[0]}", "none on the PATH", "Install it (mobius.ops.setup does)") from error


def run(argv: list[str], folder: str, what: str, env: dict[str, str] | None = None) -> str:
    """Run a command that has to succeed and return what it prints.

    :raises OpsError: when it cannot be started or fails; the message has its last lines.
    """
    done = capture(argv, folder, what, env)
    if done.returncode:
        last = " | ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-6:])
        raise OpsError(without_passwords(f"{what}: {' '.join(argv)}"), "exit status 0",
                       without_passwords(f"{done.returncode} ({last})"), "Correct the cause and run it again")
    return done.stdout


def start(argv: list[str], folder: str, env: dict[str, str], output: t.BinaryIO, **account: t.Any) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, what it prints into a file.

    :param account: ``user``, ``group`` and ``extra_groups`` of ``Popen``, to run as somebody else.
    :raises OSError: when it cannot be started.
    """
    return subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output,  # pylint: disable=ansible-bad-function
                            stderr=output, start_new_session=True, **account)
