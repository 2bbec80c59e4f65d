# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place where other programs are started: argv lists, never a shell.

The utils also run detached from Ansible, where there is no ``AnsibleModule.run_command``.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import shutil
import signal
import subprocess
import threading
import time
import typing as t

from . import causes, interrupt, processes, redaction
from .errors import OpsError, StateError

#: Environment in which npm and programs like it print no notice of a new version, and do not ask a registry for one.
QUIET = {"NO_UPDATE_NOTIFIER": "1", "npm_config_update_notifier": "false"}
#: Variables by which git, called from a hook or by a script, is bound to one repository (``git rev-parse --local-env-vars``, git 2.47, and
#: two that hooks of a push have). Settings that are given by environment, ``GIT_CONFIG_COUNT`` and ``GIT_CONFIG_PARAMETERS``, are none.
_OF_ONE_REPOSITORY = frozenset(
    (
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_CONFIG",
        "GIT_OBJECT_DIRECTORY",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_GRAFT_FILE",
        "GIT_INDEX_FILE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_REPLACE_REF_BASE",
        "GIT_PREFIX",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_QUARANTINE_PATH",
    )
)
#: What to do about a failure whose cause is not a known one.
AGAIN = "Correct the cause and run it again"
#: Seconds that an interrupted command has to end, and that the output of an ended one may stay open.
GRACE = 5.0
#: How much of what a command printed last is kept of one that may print without end: so many chunks of so many bytes.
_LAST, _CHUNK = 16, 4096
#: Lines that are kept at least of the beginning and of the end of what a command printed, and characters of a line.
_KEPT, _LONGEST = 1000, 4096
#: Seconds between two looks whether a command has ended.
_LOOK = 0.02
#: Seconds that a wait without a limit lasts at a time. Python runs the handler of a signal only between two waits when the signal came just
#: before the system call, or was given to another thread.
_TURN = 0.5


def environment() -> dict[str, str]:
    """This process's environment, for git, npm and builds: not bound to the repository whose hook may have started it."""
    return {name: value for name, value in os.environ.items() if name not in _OF_ONE_REPOSITORY}


def capture(
    argv: list[str],
    folder: str = "/",
    what: str = "command",
    env: dict[str, str] | None = None,
    stdin: t.BinaryIO | None = None,
    timeout: float | None = None,
    **account: t.Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ``returncode``, ``stdout`` and ``stderr``.

    :param what: what it is for, in words.
    :param env: its whole environment; that of this process by default.
    :param stdin: a file that it reads; nothing by default.
    :param timeout: seconds after which it is killed; never by default.
    :param account: ``user``, ``group`` and ``extra_groups`` of ``Popen``, to run as somebody else.
    :raises StateError: when the program is not there, or does not end in time.
    """
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv,
            cwd=folder,
            env=env,
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            **account,
        )
        with process:
            try:
                stdout, stderr = _communicate(process, timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)
    except subprocess.TimeoutExpired as error:
        raise StateError(f"{what}: {argv[0]}", f"an end within {timeout:g} s", "none", "Run it by hand to see why") from error
    except (FileNotFoundError, PermissionError) as error:
        _require_program(error, argv, what, env)
        raise


def _communicate(process: subprocess.Popen[str], timeout: float | None) -> tuple[str, str]:
    """What a command prints until its end. :raises subprocess.TimeoutExpired: when that takes longer."""
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return process.communicate(timeout=max(0.0, min(_TURN, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline:
                raise


def _status(process: subprocess.Popen[str]) -> int:
    """The exit code of a command, as soon as it has ended."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_TURN)


def _require_program(error: OSError, argv: list[str], what: str, env: dict[str, str] | None) -> None:
    """:raises StateError: when a program could not be started because it is not there.

    A folder of the PATH that may not be looked into makes "no such program" a "permission denied".
    """
    path = (os.environ if env is None else env).get("PATH")
    if not isinstance(error, PermissionError) or not (os.sep in argv[0] or shutil.which(argv[0], path=path)):
        raise StateError(
            what,
            f"the program {argv[0]}",
            "none on the PATH",
            "Install it on this machine (on targets mobius.ops.setup does), or correct the setting that names it",
        ) from error


def cause(done: subprocess.CompletedProcess[str], hide: t.Callable[[str], str] = str) -> str:
    """Why a command failed, in one line of bounded length, by what it printed; ``no output`` when that is nothing.

    :param hide: returns a text without secrets other than those in web addresses.
    """
    return causes.cause(*(redaction.without_passwords(hide(text)) for text in (done.stderr, done.stdout))) or "no output"


def ending(done: subprocess.CompletedProcess[str], hide: t.Callable[[str], str] = str) -> str:
    """How a failed command ended, and why: ``exit status 1 (…)`` or ``SIGKILL (…)``."""
    how = processes.exit_text(done.returncode)
    return f"{'exit ' if done.returncode >= 0 else ''}{how} ({cause(done, hide)})"


def failure(done: subprocess.CompletedProcess[str], what: str, todo: str = AGAIN, hide: t.Callable[[str], str] = str) -> OpsError:
    """The error that states why a command failed, and what to do.

    :param what: what the command is for, in words.
    :param todo: what to do when the cause is not a known one, such as a full disk.
    :param hide: returns a text without secrets other than those in web addresses.
    """
    found, command = ending(done, hide), redaction.without_passwords(hide(" ".join(done.args)))
    todo, log = causes.remedy(command, found) or todo, causes.log_file(done.stderr)
    return OpsError(
        f"{what}: {command}",
        "exit status 0",
        found.removeprefix("exit status "),
        f"{todo}. npm's whole log: {log}" if os.path.isfile(log) else todo,
    )


def run(argv: list[str], folder: str, what: str, env: dict[str, str] | None = None, todo: str = AGAIN) -> str:
    """Run a command that has to succeed and return what it prints.

    :param todo: what to do when it fails for another cause than a known one, such as a full disk.
    :raises OpsError: when it cannot be started or fails; the message states the cause.
    """
    done = capture(argv, folder, what, {**QUIET, **(os.environ if env is None else env)})
    if done.returncode:
        raise failure(done, what, todo)
    return done.stdout


def run_live(
    argv: list[str],
    folder: str,
    what: str,
    env: dict[str, str],
    todo: str,
    show: t.Callable[[str], None],
    hide: t.Callable[[str], str],
    held: t.Sequence[int] = (),
) -> None:
    """Run a command that has to succeed, and hand over each line while it runs.

    It runs in a session of its own. When this process is interrupted, the command and all that it started are ended.

    :param show: takes a line that the command printed.
    :param hide: returns a text without secrets other than those in web addresses.
    :param held: descriptors that the command inherits, with the locks on them.
    :raises OpsError: when it cannot be started or fails; the message states the cause.
    """
    env = {**QUIET, **env}
    texts: tuple[list[str], list[str]] = ([], [])
    started: list[subprocess.Popen[str]] = []
    try:
        with interrupt.undivided():
            started.append(_start_live(argv, folder, what, env, held))
        [process] = started
        readers = [
            threading.Thread(target=_read, args=(stream, lines, show), daemon=True)
            for stream, lines in zip((process.stdout, process.stderr), texts)
        ]
        for reader in readers:
            reader.start()
        status = _status(process)
    except BaseException:
        for process in started:
            processes.end_group(process.pid, processes.start_ticks(process.pid), GRACE)
            process.wait()
        raise
    for reader in readers:
        reader.join(GRACE)  # what the command left running may keep its output open
    if status:
        raise failure(subprocess.CompletedProcess(argv, status, *("".join(list(lines)) for lines in texts)), what, todo, hide)


def _start_live(argv: list[str], folder: str, what: str, env: dict[str, str], held: t.Sequence[int]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=held,
        )
    except (FileNotFoundError, PermissionError) as error:
        _require_program(error, argv, what, env)
        raise


def _read(stream: t.TextIO, lines: list[str], show: t.Callable[[str], None]) -> None:
    """Show each line and keep the first and the last ones: scripts of packages may print without end, and without a line's end."""
    for line in iter(lambda: stream.readline(_LONGEST), ""):
        lines.append(line)
        if len(lines) > 4 * _KEPT:
            del lines[_KEPT:-_KEPT]
        show(redaction.without_passwords(line.rstrip()))


def start(argv: list[str], folder: str, env: dict[str, str], output: t.BinaryIO, **account: t.Any) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, what it prints into a file.

    :param account: ``user``, ``group`` and ``extra_groups`` of ``Popen``, to run as somebody else, and ``pass_fds``.
    :raises OSError: when it cannot be started.
    """
    return subprocess.Popen(  # pylint: disable=ansible-bad-function
        argv,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        **account,
    )


def ended(process: subprocess.Popen[bytes], timeout: float) -> tuple[bool, str]:
    """Wait for a command, then end what is left of its session; whether it ended in time, and the last of what it printed.

    However much it prints takes no more memory.

    :param process: started in a session of its own; ``stdout`` and ``stderr`` are pipes, or nothing.
    """
    printed: collections.deque[bytes] = collections.deque(maxlen=_LAST)

    def keep(stream: t.IO[bytes]) -> None:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            printed.append(chunk)

    readers = [threading.Thread(target=keep, args=(stream,), daemon=True) for stream in (process.stdout, process.stderr) if stream]
    for reader in readers:
        reader.start()
    deadline, in_time = time.monotonic() + timeout, False
    try:
        while not in_time and time.monotonic() < deadline:  # not reaped yet, so that its number is still its session's
            in_time = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            time.sleep(0 if in_time else _LOOK)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for reader in readers:
            reader.join(GRACE)
    return in_time, b"".join(printed).decode("utf-8", "replace")
