"""Copies this checkout to a real ansible_collections/mobius/ops folder.

ansible-test, ansible-lint and antsibull-docs want one; a link will not do. Only
files that git knows or would add are copied, only when they changed, and what
is gone here goes there too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {".git", ".build", ".venv", ".ansible", "node_modules", "__pycache__"}
KEPT = (".git", "tests/output", ".ansible")  # of the tree itself


def files(root: Path = ROOT) -> list[str]:
    """The collection's files, as paths below root."""
    command = ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=False) if (root / ".git").exists() else None
    if listed is not None and listed.returncode == 0:
        found = [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    else:  # an unpacked archive: no git here
        found = []
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in SKIPPED]
            found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return [name for name in found if os.path.lexists(root / name)]


def same(source: Path, target: Path) -> bool:
    """Whether target is an up-to-date copy of source."""
    try:
        ours, theirs = source.lstat(), target.lstat()
    except OSError:
        return False
    if source.is_symlink() or target.is_symlink():
        return source.is_symlink() and target.is_symlink() and os.readlink(source) == os.readlink(target)
    return (ours.st_mtime_ns, ours.st_size, ours.st_mode) == (theirs.st_mtime_ns, theirs.st_size, theirs.st_mode)


def copy(destination: Path) -> Path:
    """Brings destination/ansible_collections/mobius/ops up to date and returns it."""
    tree = destination / "ansible_collections" / "mobius" / "ops"
    tree.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for name in wanted:
        source, target = ROOT / name, tree / name
        if same(source, target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            shutil.copy2(source, target, follow_symlinks=False)
        except FileNotFoundError:  # someone's editor replaced it meanwhile
            continue
    remove_others(tree, set(wanted))
    if not (tree / ".git").exists():  # else ansible-test asks our own git, which ignores .build
        subprocess.run(["git", "init", "-q", str(tree)], check=True)
    return tree


def remove_others(tree: Path, wanted: set[str]) -> None:
    """Removes the files of tree that are not wanted, then folders left empty."""
    for folder, _folders, names in os.walk(tree, topdown=False):
        below = os.path.relpath(folder, tree)
        if any(below == kept or below.startswith(kept + os.sep) for kept in KEPT):
            continue
        for name in names:
            if os.path.normpath(os.path.join(below, name)) not in wanted:
                os.unlink(os.path.join(folder, name))
        if folder != str(tree) and not os.listdir(folder):
            os.rmdir(folder)


if __name__ == "__main__":
    print(copy(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / ".build" / "tree"))
