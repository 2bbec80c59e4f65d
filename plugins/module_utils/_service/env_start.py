# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a service under systemd gets the variables of its ``.env``: a small program reads the file at every start.

systemd reads files of variables by rules of its own, and would give the process other values than the application reads by itself, and
than this collection hides. The program (``dotenv_rules``) lies in ``lib`` below the root and runs as the service's user, in its sandbox:
root does nothing with what the file says. All that root does before that is to let this user read the file.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import types

from .._core import accounts, dotenv, dotenv_rules, foreign, fs, processes
from .._core.errors import StateError
from .._target.record_types import ServiceSpec

#: The name that leads to a newer Python after an upgrade of the host's system.
_PYTHON = "/usr/bin/python3"
#: What a service does not see (``ProtectHome``).
_HOMES = ("/home/", "/root/", "/run/user/")


def source_of(module: types.ModuleType) -> str:
    """The text of a util, wherever it was loaded from."""
    source = module.__loader__.get_source(module.__name__) or ""  # type: ignore[union-attr]  # bytes where Ansible itself imports collections
    return source if isinstance(source, str) else source.decode("utf-8")


def _program(env_file: str) -> str:
    """Where the program lies, below the root of a ``.env`` file."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(env_file)))
    return os.path.join(root, "lib", "dotenv.py")


def _python() -> str:
    """The interpreter: that of this module, by the name that lasts; the system's where a service could not see it."""
    hidden = os.path.realpath(sys.executable).startswith(_HOMES)
    with contextlib.suppress(OSError):
        if os.path.samefile(_PYTHON, sys.executable) or (hidden and os.access(_PYTHON, os.X_OK)):
            return _PYTHON
    return sys.executable


def argv(spec: ServiceSpec) -> list[str]:
    """The command of a service, with the variables of its ``.env``; the definition's own come first."""
    if spec["env_file"] == os.devnull:
        return spec["command"]
    return [_python(), "-I", "-S", _program(spec["env_file"]), spec["env_file"], " ".join(sorted(spec["environment"])), *spec["command"]]


def before(spec: ServiceSpec) -> list[str]:
    """What root runs before each start; empty when nobody has to be let in."""
    if not spec["user"] or spec["env_file"] == os.devnull:
        return []
    return [_python(), "-I", "-S", _program(spec["env_file"]), "--let-in", str(accounts.named(spec["user"]).gid), spec["env_file"]]


def require(spec: ServiceSpec) -> None:
    """:raises StateError: when a service would not start with its ``.env``."""
    path = spec["env_file"]
    dotenv.read(path)
    if spec["manager"] == "systemd" and os.path.exists(path) and not _may_read(accounts.named(spec["user"]), path):
        raise StateError(
            path,
            f"a file that the user {spec['user']} may read",
            "one that it may not read, or not get to",
            "Let the group of that user read it, or what it leads to",
        )


def _may_read(account: accounts.Account, path: str) -> bool:
    """Whether a user can read a file, after what is run before each start."""
    status = os.stat(path)
    bit = stat.S_IRUSR if status.st_uid == account.uid else stat.S_IRGRP if status.st_gid in account.groups else stat.S_IROTH
    let_in = dotenv_rules.own(status) and not os.path.islink(path)
    return not account.drops or (account.reaches(os.path.dirname(os.path.realpath(path))) and bool(status.st_mode & bit or let_in))


def current(spec: ServiceSpec) -> bool:
    """Whether the program is in place."""
    return spec["env_file"] == os.devnull or foreign.read_own(_program(spec["env_file"])) == source_of(dotenv_rules)


def prepare(spec: ServiceSpec) -> None:
    """Put the program in place."""
    if not current(spec):
        program = _program(spec["env_file"])
        with fs.open_umask():
            os.makedirs(os.path.dirname(program), exist_ok=True)
        fs.write_text(program, source_of(dotenv_rules))


def reads(spec: ServiceSpec, pid: int) -> bool:
    """Whether a process is about to become the application, and has not the variables of its ``.env`` yet."""
    return _program(spec["env_file"]) in processes.command_line(pid, 2000)
