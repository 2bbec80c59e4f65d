# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a part of this collection detached from the Ansible task that starts it.

A module's code is gone from the target as soon as its task ends, so the part takes its code along: the source of
every util that is loaded goes into one zip file, named by its content, and Python runs from that. Its bytecode goes along, so that
a program starts in half the time; another version of Python than that of the module uses the source.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import marshal
import os
import re
import sys
import types
import zipfile

from .._core import commands, fs, systemd
from .._target.layout import Layout
from . import env_start, unit_file

PACKAGE = "ansible_collections.mobius.ops.plugins.module_utils"
#: The room that knows Ansible, which is not there when such a program runs.
EDGE = PACKAGE + "._ansible"
#: Zip files of earlier versions that are kept: programs that still run may yet import from them.
KEPT = 5


def _sources() -> dict[str, str]:
    """Archive path -> source of every loaded util, and the empty packages above them."""
    found = {}
    for name in sorted(sys.modules):
        module = sys.modules[name]
        loader = getattr(module, "__loader__", None)
        if name.startswith(PACKAGE + "._") and not (name + ".").startswith(EDGE + ".") and hasattr(loader, "get_source"):
            package = hasattr(module, "__path__")  # a room: its __init__.py is empty
            path = name.replace(".", "/") + ("/__init__.py" if package else ".py")
            found[path] = "" if package else env_start.source_of(module)
    parts = PACKAGE.split(".")
    for depth in range(1, len(parts) + 1):
        found["/".join(parts[:depth]) + "/__init__.py"] = ""
    return found


def code_archive(layout: Layout) -> str:
    """The zip file with the loaded utils, written when it is not there yet.

    A detached program that starts another one, as a watch does when it rolls back, passes its own file on: it has
    loaded only what it needs itself.
    """
    path, sources = _archive(layout)
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    if sources and not os.path.exists(path):
        with fs.atomic_file(path) as stream, zipfile.ZipFile(stream, "w") as archive:
            for name in sorted(sources):
                archive.writestr(zipfile.ZipInfo(name), sources[name])
                archive.writestr(zipfile.ZipInfo(name + "c"), _bytecode(sources[name], os.path.join(path, name)))
        _sweep(folder)
    os.utime(path)
    return path


def _archive(layout: Layout) -> tuple[str, dict[str, str]]:
    """Where the zip file belongs, and what goes into it; nothing when this program runs from it."""
    folder = layout.path("state", "code")
    own = __file__.partition(".zip" + os.sep)[0] + ".zip"
    if os.path.dirname(own) == folder:
        return own, {}
    sources = _sources()
    text = "".join(path + "\0" + sources[path] + "\0" for path in sorted(sources))
    return os.path.join(folder, hashlib.sha256(text.encode("utf-8")).hexdigest()[:16] + ".zip"), sources


def _bytecode(source: str, path: str) -> bytes:
    """The content of a ``.pyc`` file that is used without a look at its source (PEP 552: magic number, flags, hash, code)."""
    code = compile(source, path, "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + importlib.util.source_hash(source.encode("utf-8")) + marshal.dumps(code)


def _sweep(folder: str) -> None:
    """Remove zip files of earlier versions, but none that a unit of systemd names: it may start its program at any time."""
    paths = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".zip")]
    named = _named(folder)
    for path in [path for path in sorted(paths, key=os.path.getmtime, reverse=True)[KEPT:] if path not in named]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _named(folder: str) -> set[str]:
    """The zip files of a folder that units of systemd run programs from."""
    units = os.listdir(systemd.UNIT_DIR) if os.path.isdir(systemd.UNIT_DIR) else []
    pattern = re.compile(re.escape(systemd.literal(folder)) + r"/([\w-]+\.zip)")
    found: set[str] = set()
    for unit in (name for name in units if name.endswith(".service")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found.update(os.path.join(folder, name) for name in pattern.findall(systemd.read_unit(unit)))
    return found


def command(layout: Layout, util: types.ModuleType, argument: str, write: bool = True) -> tuple[list[str], dict[str, str]]:
    """The argv and environment that run ``main()`` of a util, e.g. ``_watch.watcher``, with one argument.

    :param write: whether the zip file is written, when it is not there yet.
    """
    env = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TZ", "USER")}
    env.update(PYTHONPATH=code_archive(layout) if write else _archive(layout)[0], PYTHONDONTWRITEBYTECODE="1")
    return [sys.executable, "-m", util.__name__, argument], env


def launch(layout: Layout, util: types.ModuleType, argument: str, log: str, keep: tuple[int, ...] = ()) -> int:
    """Start a util in a session of its own, out of reach of the login session, and return its process id; what it prints goes to *log*.

    :param keep: descriptors that it inherits.
    """
    argv, env = command(layout, util, argument)
    with open(log, "ab") as output:
        return commands.start(systemd.apart(argv, _described(argv)), "/", env, output, pass_fds=keep).pid


def launch_unit(layout: Layout, util: types.ModuleType, argument: str, log: str, unit: str, confined: bool, becomes_user: bool) -> None:
    """Start a util as a systemd unit that keeps it running until it ends by itself: through a kill, and through a reboot.

    :param confined: in a sandbox. What it starts as a process of its own would be in there as well.
    :param becomes_user: whether it may run commands as the service's user in there.
    """
    argv, env = command(layout, util, argument)
    writable = (layout.root, systemd.UNIT_DIR) if confined else ()
    systemd.write_unit(unit, unit_file.program_unit(_described(argv), argv, env, log, writable, becomes_user))
    systemd.enable(unit)
    systemd.systemctl("start", unit)


def _described(argv: list[str]) -> str:
    return f"mobius.ops {' '.join(argv[2:])}"
