# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run one program in a mount namespace where it can write to one folder only, and sees copies in place of the originals.

``python -m …sandbox FILE`` becomes the program that the JSON file describes: it keeps its process id. The namespace
guards against mistakes of a program, such as an absolute path in its settings; it is no prison.
"""

from __future__ import annotations

import os
import pwd
import signal
import sys

from ..._core import dotenv, fs, namespaces
from ..._target.record_types import ServiceSpec

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, CAP_SYS_ADMIN = 1, 24, 38, 21
#: Trees of the kernel's own, which hold no data.
_KERNEL = ("/proc", "/sys", "/dev")
#: Exit status when it must not run without a namespace.
REFUSED = 78


def below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def mount_points() -> list[str]:
    """Where something is mounted, as this process sees it."""
    with open("/proc/self/mountinfo", "rb") as stream:
        fields = [line.split()[4] for line in stream]
    return [os.fsdecode(field.decode("unicode_escape").encode("latin-1")) for field in fields]


def isolate(writable: str, guarded: str, instead: dict[str, str]) -> None:
    """Make everything read-only for this process but *writable*, and show other folders in place of some.

    :param guarded: the folder that has to be read-only afterwards; elsewhere the best that can be had is good enough.
    :param instead: path -> folder (in *writable*) that is seen there.
    :raises OSError: when this system does not allow it.
    """
    namespaces.enter()
    namespaces.mount(writable, writable, namespaces.MS_BIND | namespaces.MS_REC)
    for point in sorted(set(mount_points())):
        if any(below(point, folder) for folder in (*_KERNEL, writable)):
            continue
        try:
            namespaces.make_read_only(point)
        except OSError:
            if below(point, guarded) or below(guarded, point):
                raise
    for path, folder in instead.items():
        namespaces.mount(folder, path, namespaces.MS_BIND | namespaces.MS_REC)
    if not os.statvfs(guarded).f_flag & os.ST_RDONLY:
        raise OSError(30, "it can still be written to", guarded)


def _become(user: str | None) -> None:
    """Another user, for good; root keeps no right to mount."""
    if not os.getuid():
        namespaces.call("prctl", PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)
        if user:
            entry = pwd.getpwnam(user)
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
    namespaces.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _say(text: str) -> None:
    os.write(1, f"mobius.ops: {text}\n".encode("utf-8", "replace"))


class InstanceSpec(ServiceSpec):
    """The definition of a drill's instance."""

    #: The root of the service, which it must not write to.
    guarded: str
    #: The process that it must not outlive.
    parent: int
    #: Path -> the folder that it sees there.
    instead: dict[str, str]
    #: Why it must not run without a namespace; empty when it may.
    required: str


def environment(spec: InstanceSpec) -> dict[str, str]:
    """The program's whole environment: a few basic variables, its ``.env``, then what the description says."""
    env = {key: os.environ[key] for key in ("PATH", "LANG", "TZ", "HOME") if key in os.environ}
    return {**env, **dotenv.read(spec["env_file"]), **spec["environment"]}


def run(spec: InstanceSpec) -> None:
    """Become the program. It dies with the process that started it.

    :param spec: ``command, working_dir, env_file, environment, user, writable, guarded, instead, parent``,
        ``app``: where it works in a namespace, or ``None``, and ``required``: why it must not run without one; empty when it may.
    """
    env = environment(spec)
    folder = spec["working_dir"]
    try:
        isolate(spec["writable"][0], spec["guarded"], spec["instead"])
        folder = spec["app"] or folder
    except OSError as error:
        _say(f"no mount namespace: {error.filename}: {error.strerror}")
        if spec["required"]:
            _say(f"refused to start without one: {spec['required']}")
            raise SystemExit(REFUSED) from error
    _become(spec["user"])
    os.chdir(folder)  # anew, for the folder of before is outside of the namespace
    namespaces.call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != spec["parent"]:
        raise SystemExit(REFUSED)
    os.umask(0o027)
    os.execve(spec["command"][0], spec["command"], env)


def main() -> None:
    """``python -m …sandbox FILE``"""
    run(fs.read_json(sys.argv[1]))


if __name__ == "__main__":
    main()
