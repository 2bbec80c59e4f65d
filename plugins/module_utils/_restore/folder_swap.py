# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Folders of components that change places, all or none, and back again from any state between.

Each file system has one private work folder, ``.restore-<token>``: ``new/`` holds what was staged, ``old/`` what was
replaced, ``found/`` what somebody else put in the place of either meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import typing as t

from .._core import clock, file_metadata, foreign, fs, immutable, mounts, walk
from .._core.errors import StateError
from .._core.kinds import Attributes, Entry
from .._target.layout import COMPONENTS, KEPT, QUARANTINE, WORK, Layout, is_work
from .._target.restore_journal import Journal

#: Belongs to a file system and not to what is in it.
_FOREIGN = ("lost+found",)


@dataclasses.dataclass
class Swap:
    """One component's folder, and where its old and its new content lie."""

    component: str
    #: The folder, and the private work folder on the same file system.
    target: str
    work: str
    #: A folder is renamed. One that is a mount point cannot be: its entries are, one by one.
    mounted: bool = False
    existed: bool = False
    #: Names of the entries of a mount point, before and after; and what its folder was like.
    old: list[str] = dataclasses.field(default_factory=list)
    new: list[str] = dataclasses.field(default_factory=list)
    before: Attributes = dataclasses.field(default_factory=lambda: t.cast(Attributes, {}))

    def __post_init__(self) -> None:
        #: How the work folder is reached: by a descriptor while it is held, for the user of a mount point may exchange the path.
        self.place = self.work

    @property
    def staged(self) -> str:
        """Where the new content is put together."""
        return os.path.join(self.place, "new", self.component)

    @property
    def replaced(self) -> str:
        """Where the old content lies after the swap."""
        return os.path.join(self.place, "old", self.component)

    def look(self) -> None:
        """Note what is there; the new content is staged by now."""
        self.existed = os.path.lexists(self.target)
        if self.mounted:
            self.old = sorted(map(os.path.basename, _entries(self.target)))
            self.new = sorted(name for name in os.listdir(self.staged) if name not in _FOREIGN)
            self.before = file_metadata.facts(self.target)

    def moves(self) -> list[tuple[str, str, str]]:
        """Each place that changes, where its new content is staged and its old content goes; ``""`` when there is none."""
        if not self.mounted:
            return [(self.target, self.staged, self.replaced if self.existed else "")]
        old, new = set(self.old), set(self.new)
        return [
            (
                os.path.join(self.target, name),
                os.path.join(self.staged, name) if name in new else "",
                os.path.join(self.replaced, name) if name in old else "",
            )
            for name in sorted(old | new)
        ]


def facts(swaps: list[Swap]) -> dict[str, object]:
    """What a journal keeps of the components' folders, as they are now."""
    for swap in swaps:
        swap.look()
    return {"swaps": [dataclasses.asdict(swap) for swap in swaps]}


def swaps_of(journal: Journal) -> list[Swap]:
    """The components' folders that a journal tells of."""
    return [
        Swap(
            each["component"],
            each["target"],
            each["work"],
            each["mounted"],
            each["existed"],
            each["old"],
            each["new"],
            each["before"],
        )
        for each in journal.facts["swaps"]
    ]


def plan(layout: Layout, components: list[str]) -> list[Swap]:
    """How each component's folder can be replaced; it writes nothing.

    :raises StateError: when it cannot be done as a whole.
    """
    token, swaps = f"{clock.stamp()}-{secrets.token_hex(4)}", []
    for component in components:
        target = layout.component(component)
        mounted, below = mounts.inside(target)
        if below:
            raise StateError(
                f"component {component}",
                f"no file system mounted inside of {target}",
                f"one at {below[0]}",
                "Unmount it while this runs, or keep what is in it outside of the component",
            )
        base = target if mounted else layout.shared
        for path in [base, target, *(_entries(target) if mounted else ())]:
            held = immutable.of(path)
            if held:
                raise StateError(f"component {component}", f"that {held.path} can be changed", f"the attribute {held.kind}", held.todo)
        swaps.append(Swap(component, target, os.path.join(base, WORK + token), mounted))
    return swaps


def _entries(mounted: str) -> list[str]:
    """What changes places in a folder that is a mount point."""
    return [
        os.path.join(mounted, name)
        for name in os.listdir(mounted)
        if name not in _FOREIGN and not (name.startswith((WORK, KEPT, QUARANTINE)) and is_work(name, os.lstat(os.path.join(mounted, name))))
    ]


def prepare(swaps: list[Swap], stack: contextlib.ExitStack) -> None:
    """Make the work folders, which nobody else can enter, and hold them open until the stack is closed.

    :raises StateError: when a mount point's user puts something else in the place of one.
    """
    for work in dict.fromkeys(swap.work for swap in swaps):
        with _same_time(os.path.dirname(work)):
            os.mkdir(work, 0o700)
        descriptor = _hold(work, swaps, stack, "Find out which program changes that folder, and run this again")
        file_metadata.without_defaults(descriptor)
        for name in ("new", "old", "found"):
            os.mkdir(name, 0o700, dir_fd=descriptor)


def held(journal: Journal, stack: contextlib.ExitStack) -> list[Swap]:
    """The components' folders that a journal tells of, their work folders held open until the stack is closed.

    :raises StateError: when one is gone, or when a mount point's user has put something else in its place.
    """
    swaps = swaps_of(journal)
    for work in dict.fromkeys(swap.work for swap in swaps):
        if not os.path.lexists(work):
            raise StateError(
                "a restore that was interrupted",
                f"its folder {work}",
                "none",
                "Mount the file system that was there and run this again; if it is lost, see 'A way out of each phase' in "
                "docs/architecture.md",
            )
        _hold(
            work,
            swaps,
            stack,
            f"Find this user's folder with new, old and found in {os.path.dirname(work)}, put it back as {work}, and run this again",
        )
    return swaps


def _hold(work: str, swaps: list[Swap], stack: contextlib.ExitStack, todo: str) -> int:
    try:
        descriptor = stack.enter_context(foreign.folder(work))
        own = os.fstat(descriptor).st_uid == os.geteuid()
    except OSError:
        own = False
    if not own:
        raise StateError(f"work folder {work}", "a folder of this user", "something else", todo)
    if os.stat(os.path.dirname(work)).st_uid != os.geteuid():  # its user may exchange the path at any moment
        for swap in swaps:
            if swap.work == work:
                swap.place = f"/proc/{os.getpid()}/fd/{descriptor}"
                stack.callback(setattr, swap, "place", work)
    return descriptor


def require_movable(swaps: list[Swap]) -> None:
    """:raises StateError: when somebody who is not root could not move a folder, which changes its entry ``..``."""
    if os.geteuid() == 0:
        return
    for swap in swaps:
        swap.look()
        for target, staged, replaced in swap.moves():
            for path in filter(None, [staged, replaced and target]):
                if os.path.isdir(path) and not os.path.islink(path) and not os.access(path, os.W_OK):
                    raise StateError(
                        f"component {swap.component}",
                        "folders that this user may move",
                        f"{os.path.basename(path)} without write permission",
                        "Run this as root (mobius_become)",
                    )


def exchange(journal: Journal, swaps: list[Swap], entries: dict[str, Entry]) -> None:
    """Let old and new change places. After an error the caller has to :func:`undo`.

    :param journal: it has the :func:`facts` already; the entries of a mount point may have changed since.
    :param entries: what the folders of components shall be like; for those that stay because they are mount points.
    """
    for swap in swaps:
        if swap.mounted:
            os.mkdir(swap.replaced, 0o700)
    if any(swap.mounted for swap in swaps):
        journal.update(**facts(swaps))
    journal.enter("swapping")
    for swap in swaps:
        for target, staged, replaced in swap.moves():
            if replaced:
                os.rename(target, replaced)
            if staged:
                os.rename(staged, target)
        if swap.mounted:
            with foreign.folder(swap.replaced) as descriptor:
                file_metadata.dress(swap.before, descriptor)
            with foreign.folder(swap.target) as descriptor:
                file_metadata.dress(entries[swap.component], descriptor)
    _sync(swaps)


def undo(journal: Journal, swaps: list[Swap], keep: bool = False) -> None:
    """Put back what was there, from any state that a swap can have been in; the journal is ``staging`` again.

    :param swaps: of this journal, :func:`held`.
    :param keep: keep aside what was restored: the application may have written to it.
    """
    if keep:
        with contextlib.suppress(OSError):  # a full disk keeps nobody from undoing
            journal.update(keep=True)
    journal.enter("swapping")
    for swap in reversed(swaps):
        for target, staged, replaced in reversed(swap.moves()):
            _put_back(target, staged, replaced, os.path.join(swap.place, "found", f"{swap.component}-{os.path.basename(target)}"))
        if swap.mounted:
            with foreign.folder(swap.target) as descriptor:
                file_metadata.dress(swap.before, descriptor)
    _sync(swaps)
    journal.enter("staging")


def _put_back(target: str, staged: str, replaced: str, aside: str) -> None:
    ours = bool(staged) and not os.path.lexists(staged)
    if os.path.lexists(target):
        if ours:
            os.rename(target, staged)
        elif replaced and os.path.lexists(replaced):  # somebody made it since
            os.rename(target, aside)
    if replaced and os.path.lexists(replaced):
        os.rename(replaced, target)


def _sync(swaps: list[Swap]) -> None:
    for work, place in dict.fromkeys((swap.work, swap.place) for swap in swaps):
        for folder in (os.path.join(place, "new"), os.path.join(place, "old"), os.path.dirname(work)):
            fs.fsync_dir(folder)
    for swap in swaps:
        for folder in (swap.staged, swap.replaced) if swap.mounted else ():
            fs.fsync_dir(folder)


def sweep(layout: Layout, kept: t.Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Remove the work folders of restores that have ended.

    :param kept: work folders to keep, under another name, but for what is of no use. One in which somebody else's
        folders were put is kept anyway.
    :returns: where those are that were kept; and a sentence for each that could not be removed.
    """
    found: list[str] = []
    stuck: list[str] = []
    for base in dict.fromkeys([layout.shared] + [layout.component(name) for name in COMPONENTS]):
        for name in sorted(os.listdir(base)) if os.path.isdir(base) else []:
            work = os.path.join(base, name)
            if not name.startswith(WORK) or not is_work(name, os.lstat(work)):
                continue
            with _same_time(base):
                if work in kept or _filled(work, "found"):
                    found.append(os.path.join(base, KEPT + name[len(WORK) :]))
                    os.rename(work, found[-1])
                else:
                    walk.remove(work)
                    stuck += filter(None, [immutable.stays(work)])
    return found, stuck


@contextlib.contextmanager
def _same_time(folder: str) -> t.Iterator[None]:
    """What is done in the folder leaves its time as it is: it may be a component's."""
    before = os.stat(folder)
    yield
    with contextlib.suppress(PermissionError):
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def _filled(work: str, name: str) -> bool:
    with contextlib.suppress(OSError), foreign.folder(work, name) as descriptor:
        return bool(os.listdir(descriptor))
    return False
