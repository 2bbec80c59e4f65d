# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a release comes from: a folder, a tar file with its checksum, or a git repository and a ref of it; all of it, or a refusal."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import typing as t

from .._core import clock, commands, redaction
from .._core.errors import InputError
from . import artifacts

_GIT = ("git://", "ssh://", "http://", "https://", "git+", "file://")
#: ``user@host:path`` or ``host:path``, as ssh takes it: no slash before the first colon.
_SCP = re.compile(r"(?:[^/:@\s]+@)?[^/:@\s]+:(?!/?/)\S+|[^/:@\s]+@[^/:@\s]+:\S+")
#: How a file begins that Git LFS keeps elsewhere, and the size that it has at most (the specification of Git LFS, "The pointer").
_POINTER, _POINTER_SIZE = b"version https://git-lfs.", 1024


def expand(source: str) -> str:
    """The source with ``~`` as the folder of the user who runs this."""
    return os.path.expanduser(source) if source.startswith("~") else source


def kind_of(source: str, ref: str = "") -> str:
    """``git``, ``directory`` or ``tarball``.

    A folder is taken as it is, unless a ref of its repository is asked for; a bare repository is always asked through git.

    :raises InputError: when the source is none of them, tells a password, or has no refs although one is asked for.
    """
    if redaction.passwords(source):
        raise InputError(
            f"release source '{redaction.without_passwords(source)}'",
            "a URL without user, password and token",
            "one with",
            "Use a git credential helper, GIT_ASKPASS or an SSH key instead",
        )
    if source.startswith(_GIT) or (_SCP.fullmatch(source) and not os.path.exists(source)):
        return "git"
    if os.path.isdir(source):
        if _is_bare(source) or (ref and os.path.exists(os.path.join(source, ".git"))):
            return "git"
        return _without_ref("directory", source, ref)
    if source.endswith((".tar.gz", ".tgz")):
        return _without_ref("tarball", source, ref)
    raise InputError(
        f"release source '{source}'",
        "a folder, a .tar.gz or .tgz file with its .sha256, or a git URL",
        "none of them on the controller",
        "Correct mobius_release_source",
    )


def _is_bare(folder: str) -> bool:
    return all(os.path.exists(os.path.join(folder, name)) for name in ("HEAD", "objects", "refs"))


def _without_ref(kind: str, source: str, ref: str) -> str:
    if ref:
        raise InputError(
            f"mobius_release_ref '{ref}'",
            f"none, because the release source '{source}' is no git repository",
            "one",
            "Leave it out, or give the repository as mobius_release_source",
        )
    return kind


def git_environment() -> dict[str, str]:
    """The environment of git: it fails where it would ask a person, who is not there."""
    env = {**commands.environment(), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}  # a failure's cause is found by its English words
    asked = ["git", "config", "--get", "core.sshCommand"]
    if not {"GIT_SSH", "GIT_SSH_COMMAND"} & set(env) and commands.capture(asked, env=env).returncode:
        env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
    return env


def fetch(kind: str, source: str, ref: str, tree: str, shared: t.Sequence[str]) -> tuple[str, str | None]:
    """Put a source into a folder that is not there yet.

    :param shared: paths that all releases share, and that are left out of a folder.
    :returns: what it was, in words, and when it was committed, where git tells.
    """
    if kind == "git":
        return _clone(source, ref, tree)
    os.mkdir(tree)
    if kind == "tarball":
        artifacts.unpack(source, tree)
    else:
        for name, path in artifacts.walk(source, shared):
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            shutil.copy2(path, os.path.join(tree, name), follow_symlinks=False)
    return source, None


def _clone(source: str, ref: str, tree: str) -> tuple[str, str]:
    if ref.startswith("-"):
        raise InputError("mobius_release_ref", "a branch, tag or commit", repr(ref), "Correct it")
    env = git_environment()

    def git(*words: str, folder: str = tree) -> str:
        return commands.run(["git", *words], folder, "release source", env)

    git("clone", "--quiet", "--", source[4:] if source.startswith("git+") else source, tree, folder="/")
    git("checkout", "--quiet", "--detach", _wanted(ref, git), "--")
    if os.path.isfile(os.path.join(tree, ".gitmodules")):
        git("submodule", "--quiet", "update", "--init", "--recursive")
    commit = git("rev-parse", "HEAD").strip()
    return f"{source}@{commit}", clock.from_epoch(int(git("show", "--no-patch", "--format=%ct", "HEAD")))


def _wanted(ref: str, git: t.Callable[..., str]) -> str:
    """What to check out for a ref: a branch of the repository, a tag, or a commit.

    :raises InputError: when a branch and a tag have that name, and are different commits.
    """
    if not ref:
        return "HEAD"
    names = git("for-each-ref", "--format=%(refname)").split()
    branch, tag = f"refs/remotes/origin/{ref.removeprefix('refs/heads/')}", f"refs/tags/{ref}"
    if branch not in names:
        return ref
    if tag in names and len({git("rev-parse", f"{name}^{{commit}}") for name in (branch, tag)}) > 1:
        raise InputError(
            f"mobius_release_ref '{ref}'",
            "the name of one commit",
            "a branch and a tag of that name",
            f"Write refs/heads/{ref} or refs/tags/{ref}",
        )
    return branch


def require_whole(tree: str, source: str, shared: t.Sequence[str]) -> None:
    """Refuse a source of which a part lies elsewhere, and links that no host would take.

    :param source: how the source is called in the message.
    :raises InputError: for what Git LFS or a submodule keeps and is not there, and for links that lead out of the source.
    """
    for path in _submodules(tree):
        folder = os.path.join(tree, path)
        if not os.path.isdir(folder) or not os.listdir(folder):
            raise InputError(
                f"release source '{source}'",
                f"the files of its submodule {path}",
                "none",
                "Fetch them: git submodule update --init --recursive",
            )
    names = dict(artifacts.walk(tree, shared))
    pointers = [name for name, path in names.items() if _is_pointer(path)]
    if pointers:
        raise InputError(
            f"release source '{source}'",
            "the content of files that Git LFS keeps",
            f"{len(pointers)} pointers in their place, the first {pointers[0]}",
            "Install git-lfs on the controller (git lfs install), or fetch them into the folder: git lfs pull",
        )
    artifacts.require_links(names, f"release source '{source}'")


def _submodules(tree: str) -> list[str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read(os.path.join(tree, ".gitmodules"), encoding="utf-8")
    except (configparser.Error, ValueError):
        return []
    paths = [os.path.normpath(parser[name]["path"]) for name in parser.sections() if parser[name].get("path")]
    return [path for path in paths if not os.path.isabs(path) and not path.startswith("..")]


def _is_pointer(path: str) -> bool:
    if os.path.islink(path) or os.path.getsize(path) > _POINTER_SIZE:
        return False
    with open(path, "rb") as stream:
        return stream.read(len(_POINTER)) == _POINTER
