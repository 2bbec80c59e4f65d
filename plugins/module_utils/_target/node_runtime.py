# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Node that dependencies were installed for, and whether the Node of this host can load them.

The record lies beside the real ``node_modules``: in ``deps/<key>``, or in a release that has its own. Folders of earlier versions have
none, and are not judged.
"""

from __future__ import annotations

import mmap
import os

from .._core import commands, fs
from .._core.errors import OpsError
from . import records

RECORD = ".dependencies.json"
#: What a compiled program or library begins with on Linux.
_ELF = b"\x7fELF"
#: In an addon that uses V8 itself: it loads only into a Node with the same module ABI. Addons that use Node-API load into any.
_BOUND = (b"_ZN2v8", b"node_module_register")
_FACTS = "[process.platform, process.arch, process.versions.modules].join(' ')"
#: Seconds that Node has to state its ABI on a busy host.
_PATIENCE = 120.0


def current() -> str:
    """What compiled dependencies depend on: platform, architecture, libc and module ABI of this host's Node, such as
    ``linux-x64-glibc-115``.

    :raises OpsError: when Node is missing or fails.
    """
    done = commands.capture(["node", "-p", _FACTS], what="Node", timeout=_PATIENCE)
    if done.returncode:
        raise commands.failure(done, "Node", "Repair the installation of node")
    platform, arch, abi = done.stdout.split()
    return "-".join((platform, arch, _libc(), abi))


def _libc() -> str:
    try:
        return "glibc" if os.confstr("CS_GNU_LIBC_VERSION") else "other"
    except (ValueError, OSError):
        return "musl"


def describe(modules: str, runtime: str) -> dict[str, str]:
    """The record for installed dependencies: ``runtime``, the first compiled file (``native``) and the first addon that is bound to the
    ABI (``addon``); both empty when there is none.
    """
    found = {"runtime": runtime, "native": "", "addon": ""}
    for folder, names, files in os.walk(modules):
        names.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not _is_compiled(path):
                continue
            inside = os.path.relpath(path, modules)
            found["native"] = found["native"] or inside
            if name.endswith(".node") and not found["addon"] and _is_bound(path):
                found["addon"] = inside
    return found


def _is_compiled(path: str) -> bool:
    with open(path, "rb") as stream:
        return stream.read(len(_ELF)) == _ELF


def _is_bound(path: str) -> bool:
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(mark) >= 0 for mark in _BOUND)


def note(home: str, record: dict[str, str]) -> None:
    """Write the record beside ``node_modules``."""
    fs.write_json(os.path.join(home, RECORD), record)


def of_release(folder: str) -> dict[str, str] | None:
    """The record of a release's dependencies; ``None`` when an earlier version installed them, or there are none.

    A damaged record does not keep a host from going back: it counts as none.
    """
    home = os.path.dirname(os.path.realpath(os.path.join(folder, "node_modules")))
    return records.Findings().without(lambda: records.read(os.path.join(home, RECORD), records.DEPENDENCIES), None)


def misfit(record: dict[str, str] | None) -> str:
    """Why this host's Node cannot load dependencies, as a clause; empty when it can, or when that is unknown."""
    if not record or not record["native"]:
        return ""
    try:
        here = current()
    except OpsError:
        return ""
    (machine, _dash, abi), (own_machine, _dash, own_abi) = (text.rpartition("-") for text in (record["runtime"], here))
    if machine != own_machine:
        return f"{record['native']} is compiled for {machine}, and this host is {own_machine}"
    if record["addon"] and abi != own_abi:
        return f"{record['addon']} is compiled for Node ABI {abi}, and this host's Node has ABI {own_abi}"
    return ""
