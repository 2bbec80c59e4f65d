# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State that the service keeps elsewhere, such as in PostgreSQL: one command dumps it, another one restores it.

Setup keeps the commands in ``state/external.json``. They run as the service's user, with its environment. What a dump prints is, for the
time of the backup, the file :data:`FILE` in the component ``database``: so it is hashed, verified, compared and restored as any other.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import stat
import subprocess
import typing as t

from .._core import commands, dotenv, foreign, locks, wording
from .._core.errors import InputError, OpsError, StateError
from .._service import registry as service_registry
from .._service import supervisor
from .._target import records, shared_folders
from .._target.layout import Layout

COMPONENT, FILE = "database", ".external.dump"
MEMBER = f"{COMPONENT}/{FILE}"
#: Components in which a service has state, and not only settings and logs.
STATE = ("database", "uploads", "generated")
SETTING = "mobius_external_state"
_DEFAULTS: t.Mapping[str, t.Any] = {"dump": [], "restore": [], "drill": [], "timeout": 600.0, "max_mb": 10_000}
Command = t.Literal["dump", "restore", "drill"]


class ExternalState(t.TypedDict, total=False):
    """The commands for state that is kept elsewhere; empty on a host that was set up without them. ``timeout`` in seconds."""

    dump: list[str]
    restore: list[str]
    drill: list[str]
    timeout: float
    max_mb: int
    service: str
    stateless: bool


def normalize(given: t.Mapping[str, t.Any] | None, service: str, stateless: bool) -> ExternalState:
    """The setting in full form, with the name of the service whose user runs the commands. :raises InputError: when it is wrong."""
    found = {**_DEFAULTS, **(given or {})}
    unknown = sorted(set(found) - set(_DEFAULTS))
    if unknown:
        raise InputError(SETTING, "some of " + ", ".join(_DEFAULTS), ", ".join(unknown), "Correct it")
    for name in ("dump", "restore", "drill"):
        if not isinstance(found[name], list) or not all(isinstance(word, (str, int)) for word in found[name]):
            raise InputError(f"{SETTING}.{name}", "a command as a list of words", repr(found[name])[:80], "Correct it; there is no shell")
        found[name] = [str(word) for word in found[name]]
    if bool(found["dump"]) != bool(found["restore"]) or (found["drill"] and not found["dump"]):
        there = ", ".join(name for name in ("dump", "restore", "drill") if found[name])
        raise InputError(
            SETTING,
            "the commands dump and restore",
            f"only {there}",
            "Name both: nobody can go back to a dump without a command that restores it",
        )
    try:
        found.update(timeout=float(found["timeout"]), max_mb=int(found["max_mb"]))
    except (TypeError, ValueError) as error:
        raise InputError(SETTING, "timeout and max_mb as numbers", str(error), "Correct it") from error
    if found["timeout"] <= 0 or found["max_mb"] <= 0:
        raise InputError(SETTING, "timeout and max_mb above 0", f"{found['timeout']:g} and {found['max_mb']}", "Correct it")
    return {
        "dump": found["dump"],
        "restore": found["restore"],
        "drill": found["drill"],
        "timeout": found["timeout"],
        "max_mb": found["max_mb"],
        "service": service,
        "stateless": stateless,
    }


def kept(layout: Layout) -> str:
    """The file that keeps it."""
    return layout.path("state", "external.json")


def load(layout: Layout) -> ExternalState:
    """What the host was set up with; no commands on one of before."""
    found: ExternalState | None = records.read(kept(layout), records.EXTERNAL)
    return found or {}


def lacks_state(layout: Layout, components: list[str], files: t.Iterable[str]) -> bool:
    """Whether a backup of these components can hold nothing of what the service keeps, though nobody said that it keeps nothing.

    :param files: the component of each file that the backup takes.
    """
    told = load(layout)
    kept_here = any(entry["component"] in STATE for entry in shared_folders.load(layout))
    return COMPONENT in components and not (kept_here or told.get("dump") or told.get("stateless") or any(name in STATE for name in files))


@contextlib.contextmanager
def dumped(layout: Layout, components: list[str], safety: bool = False) -> t.Iterator[list[dict[str, str]]]:
    """While the block runs, the dump lies in the component, when there is a command and that component is asked for.

    :param safety: whether this is for a safety backup. What it saves may be damaged, so a dump that fails is only a problem to tell of.
    :returns: the problems, as a backup tells them.
    :raises OpsError: when it cannot be made; its cause is the command's.
    """
    if not (COMPONENT in components and load(layout).get("dump")):
        yield []
        return
    problems = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(locks.locked(layout.path("state", ".external.lock")))  # backups may run side by side
        stack.callback(discard, layout)
        try:
            dump(layout)
        except OpsError as error:
            if not safety:
                raise
            discard(layout)
            problems.append({"path": MEMBER, "reason": str(error)})
        yield problems


def dump(layout: Layout) -> None:
    """Write what the command prints into the component, in place of an earlier one. :raises StateError: when it fails."""
    told = load(layout)
    limit = max(1, min(told["max_mb"] * 10**6, shutil.disk_usage(layout.root).free // 2))
    discard(layout)
    with foreign.folder(layout.component(COMPONENT)) as folder:
        descriptor = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            _run(layout, "dump", {"stdout": descriptor}, limit=limit)
            if os.fstat(descriptor).st_size >= limit:
                raise _too_large(limit)
        finally:
            os.close(descriptor)


def restore(layout: Layout, command: Command = "restore", place: str = "", environment: t.Mapping[str, object] | None = None) -> bool:
    """Give the dump in the component to the command that restores it, then remove it; whether there is one.

    :param command: ``restore``, or ``drill``.
    :param place: another folder that has the component's content.
    :param environment: further variables.
    :raises StateError: when the command fails.
    """
    with foreign.folder(place or layout.component(COMPONENT)) as folder:
        try:
            descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            return False
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StateError(f"dump {FILE}", "a file", "something else", "Remove it")
            _run(layout, command, {"stdin": descriptor}, environment)
        finally:
            os.close(descriptor)
        if not place:
            os.unlink(FILE, dir_fd=folder)
    return True


def discard(layout: Layout) -> None:
    """Remove the dump from the component."""
    with contextlib.suppress(FileNotFoundError), foreign.folder(layout.component(COMPONENT)) as folder:
        os.unlink(FILE, dir_fd=folder)


def _too_large(limit: int) -> StateError:
    return StateError(
        "dump of the external state", f"{wording.human_size(limit)} at most", "more", f"Raise max_mb in {SETTING}, or free some space"
    )


def _run(layout: Layout, name: Command, streams: dict[str, int], environment: t.Mapping[str, object] | None = None, limit: int = 0) -> None:
    """Run a command to its end, in the live release's folder; all that it started is ended with it.

    :param limit: bytes that a file of it may have; any when 0.
    """
    told = load(layout)
    spec = service_registry.load(layout, told["service"]).spec
    what, argv = f"{name} of the external state", told[name]
    env = {**supervisor.environment(spec), **{key: str(value) for key, value in (environment or {}).items()}}
    try:
        folder = layout.current if os.path.isdir(layout.current) else "/"
        options: dict[str, t.Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            **streams,
            **supervisor.account(spec.get("user")),
        }
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv,
            cwd=folder,
            env=env,
            start_new_session=True,
            preexec_fn=_limited(limit),  # pylint: disable=subprocess-popen-preexec-fn
            stderr=subprocess.PIPE,
            **options,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise StateError(
            what, f"the program {argv[0]}", "none that may be run", f"Install it on this host, or correct {SETTING}"
        ) from error
    in_time, printed = commands.ended(process, told["timeout"])
    if not in_time:
        raise StateError(
            f"{what}: {argv[0]}",
            f"an end within {told['timeout']:g} s",
            "none",
            f"Run it by hand to see why, or raise timeout in {SETTING}",
        )
    if process.returncode == -signal.SIGXFSZ:
        raise _too_large(limit)
    if process.returncode:
        done = subprocess.CompletedProcess(argv, process.returncode, "", printed)
        raise commands.failure(done, what, f"Correct the cause, or {SETTING}", dotenv.Redactor(spec["env_file"]).text)


def _limited(limit: int) -> t.Callable[[], None] | None:
    """What limits the files of a command: it has to be done in its process, for only that may be limited without further rights."""
    return (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None
