# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The FFmpeg of a host: its version, what it can do, and whether it does it.

An encoder that is listed may still fail, as one without its hardware does. So a moment of a made-up picture or sound is encoded into a
file, and the file is decoded again. Where *account* is a parameter, it is as of ``commands.capture``: who runs the program.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import typing as t

from .._core import commands
from .._core.errors import OpsError, StateError

#: What the program can be asked for: the option that lists it.
KINDS = ("encoders", "decoders", "filters")
#: Seconds that each call has; npm took 30 s to start on a host at a load of twelve a core.
PATIENCE = 120.0
_VERSION = re.compile(r"version (\S+)")
_REPAIR = "Repair the installation of FFmpeg (mobius.ops.setup installs mobius_packages)"


def found(program: str) -> str:
    """Where the program is. :raises StateError: when it is not there."""
    path = shutil.which(program)
    if not path:
        raise StateError(
            "ffmpeg",
            f"the program {program}",
            "none on the PATH",
            "Install FFmpeg (mobius.ops.setup does), or correct the setting that names it",
        )
    return path


def version(program: str, **account: t.Any) -> str:
    """Its version, such as ``5.1.6-0+deb12u1``. :raises OpsError: when it does not start or tells none."""
    said = _ask([program, "-version"], "version of ffmpeg", account)
    match = _VERSION.search(said.partition("\n")[0])
    if not match:
        raise StateError("ffmpeg", f"{program} to tell its version", repr(said.partition("\n")[0][:80]), _REPAIR)
    return match.group(1)


def names(program: str, kind: str, **account: t.Any) -> dict[str, str]:
    """What it has of a kind (:data:`KINDS`); name -> flags, such as ``V....D`` of an encoder for pictures.

    :raises OpsError: when it does not start.
    """
    said = _ask([program, "-hide_banner", "-" + kind], f"{kind} of ffmpeg", account)
    rows = [line.split() for line in said.splitlines()]
    return {words[1]: words[0] for words in rows if len(words) > 2 and words[1] != "="}


def _ask(argv: list[str], what: str, account: t.Mapping[str, t.Any]) -> str:
    done = commands.capture(argv, what=what, timeout=PATIENCE, **account)
    if done.returncode:
        raise StateError("ffmpeg", "it to start", commands.ending(done), _REPAIR)
    return done.stdout


def trial(program: str, encoders: dict[str, str], **account: t.Any) -> str:
    """Why a moment of picture or sound cannot be encoded and decoded again, in a line; empty when it can.

    :param encoders: flags by name. Each makes a stream of one file, since a start of the program costs more than the moment.
    """
    encode = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=10", "-f", "lavfi", "-i", "sine", "-t", "0.2"]
    for flags in encoders.values():
        encode += ["-map", "0" if flags.startswith("V") else "1"]
    for number, name in enumerate(encoders):
        encode += [f"-c:{number}", name]
    with tempfile.TemporaryFile() as made:
        trouble = _trouble(program, [*encode, "-f", "nut", "pipe:0"], f"encoder {', '.join(encoders)}", stdin=made, **account)
        made.seek(0)
        return trouble or _trouble(program, ["-xerror", "-i", "pipe:0", "-map", "0", "-f", "null", "-"], "decoding", stdin=made, **account)


def _trials(program: str, encoders: dict[str, str], **account: t.Any) -> dict[str, str]:
    """What :func:`trial` says of each. One by one only when together they fail."""
    if len(encoders) > 1 and not trial(program, encoders, **account):
        return dict.fromkeys(encoders, "")
    return {name: trial(program, {name: flags}, **account) for name, flags in encoders.items()}


def decode(program: str, path: str, timeout: float = PATIENCE, **account: t.Any) -> str:
    """Why a file cannot be decoded to its end, in a line; empty when it can.

    :param path: its URL, such as ``file:/srv/a.mp4``.
    :param timeout: seconds that it may take.
    """
    return _trouble(program, ["-xerror", "-i", path, "-f", "null", "-"], "decoding", timeout, **account)


def _trouble(program: str, words: list[str], what: str, timeout: float = PATIENCE, **account: t.Any) -> str:
    try:
        done = commands.capture([program, "-nostdin", "-v", "error", *words], what=what, timeout=timeout, **account)
    except OpsError as error:
        return str(error)
    return commands.cause(done) if done.returncode else ""


class Tried(t.TypedDict):
    """An encoder that was tried, and why it does not work; empty when it does."""

    encoder: str
    error: str


class Able(t.TypedDict):
    """What an FFmpeg lacks, by kind, and whether the encoders that it has work."""

    missing: dict[str, list[str]]
    encodes: list[Tried]


class Found(Able):
    """The FFmpeg of a host."""

    path: str
    version: str


def look(program: str, wanted: dict[str, list[str]], tried: bool = True, **account: t.Any) -> Found:
    """What a host's FFmpeg is: ``path``, ``version``, and what :func:`able` tells.

    :raises OpsError: when it is not there or does not start.
    """
    path = found(program)
    return {"path": path, "version": version(path, **account), **able(path, wanted, tried, **account)}


def able(path: str, wanted: dict[str, list[str]], tried: bool = True, **account: t.Any) -> Able:
    """What it lacks, and whether what it has works.

    :param wanted: names by kind that it must have.
    :param tried: whether each wanted encoder that it has is tried.
    :returns: ``missing``, names by kind; ``encodes``, a list of ``encoder`` and ``error``, which is empty when it works.
    :raises OpsError: when it does not start.
    """
    has = {kind: names(path, kind, **account) if wanted.get(kind) else {} for kind in KINDS}
    missing = {kind: [name for name in wanted.get(kind) or [] if name not in has[kind]] for kind in KINDS}
    there = {name: has["encoders"][name] for name in wanted.get("encoders") or [] if name in has["encoders"]} if tried else {}
    encodes: list[Tried] = [{"encoder": name, "error": error} for name, error in _trials(path, there, **account).items()]
    return {"missing": missing, "encodes": encodes}
