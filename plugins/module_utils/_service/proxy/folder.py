# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder of the proxy: configuration, Lua and map belong to who sets the host up; the service's user has only the socket's folder.

HAProxy runs what the configuration and the Lua file say, and root writes, compares and checks them. So nothing in that folder is the
service's user's, but for ``run/``. Earlier versions gave the whole folder to that user: ``take`` takes it back.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import typing as t

from ..._core import accounts, commands, foreign, fs
from ..._core.errors import StateError
from .. import supervisor
from .config import CONFIG, HOLD_LUA, LUA, MAP, OLD_SOCKET, RUN, SOCKET

#: Seconds in which HAProxy checks a configuration.
PATIENCE = 60.0


class ProxyFolder:
    """The folder of one proxy.

    :param path: below the application's root, which belongs to who sets the host up.
    :param user: the user that the proxy runs as; the one of this process by default.
    """

    def __init__(self, path: str, user: str | None) -> None:
        self.path = path
        self.user = user

    def _account(self) -> tuple[int, int]:
        """The user and group that the proxy runs as."""
        account = accounts.named(self.user)
        return account.uid, account.gid

    def users(self) -> set[int]:
        """Who the proxy may run as."""
        users = {0, os.geteuid()}
        with contextlib.suppress(KeyError):  # the service's user does not exist any more
            users.add(pwd.getpwnam(self.user).pw_uid if self.user else os.geteuid())
        return users

    def read(self, name: str) -> str:
        """The text of a file, empty when there is none that only this user can have written."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), foreign.folder(self.path) as place:
            return foreign.read_own(name, place)
        return ""

    def write(self, name: str, text: str) -> None:
        """Put a file in place."""
        fs.write_text(os.path.join(self.path, name), text)

    def is_taken(self) -> bool:
        """Whether the folder is as this version has it."""
        with contextlib.suppress(OSError), foreign.folder(self.path) as place, foreign.folder(os.path.join(self.path, RUN)):
            return foreign.trusted(place)
        return False

    def take(self) -> None:
        """Make the folder this user's and ``run/`` the proxy's. What someone else has put there is removed, and followed nowhere.

        The socket of a proxy that runs there since an earlier version stays.
        """
        uid, gid = self._account()
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
        try:
            with foreign.folder(self.path) as place:
                foreign.settle(place, os.geteuid(), gid, 0o750)  # from here on nobody else changes a name in it
                self._clean(place)
                with contextlib.suppress(FileExistsError):
                    os.mkdir(RUN, 0o700, dir_fd=place)
                with foreign.folder(self.path, RUN) as run:
                    foreign.settle(run, uid, gid, 0o700)
        except NotADirectoryError as error:
            raise StateError(self.path, "a folder, and a folder run in it", "something else", "Move it away") from error

    def _clean(self, place: int) -> None:
        with os.scandir(place) as entries:
            status = ((entry.name, os.stat(entry.name, dir_fd=place, follow_symlinks=False)) for entry in entries)
            others = [name for name, found in status if not self._stays(name, found)]
        for name in others:
            folder = foreign.clear(name, place)  # its name is free at once, however much there is in it
            if folder:
                with contextlib.suppress(StateError):  # its owner goes on filling it; the next setup tries again
                    commands.capture(["rm", "-rf", "--one-file-system", "--", os.path.join(self.path, folder)], timeout=PATIENCE)

    def _stays(self, name: str, status: os.stat_result) -> bool:
        mine = status.st_uid == os.geteuid()
        if name in (CONFIG, LUA, MAP):
            return mine and stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if name == OLD_SOCKET and stat.S_ISSOCK(status.st_mode):
            return True
        return mine or (name == RUN and stat.S_ISDIR(status.st_mode))

    def free_socket(self) -> None:
        """Before a start: whatever is in the socket's place, a proxy could not put its own there."""
        with contextlib.suppress(FileNotFoundError), foreign.folder(self.path, RUN) as run:
            foreign.clear(os.path.basename(SOCKET), run)

    def finish(self) -> None:
        """Let a watch of an earlier version, which still runs, find the socket where it was."""
        old = os.path.join(self.path, OLD_SOCKET)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(old).st_mode):
                fs.atomic_symlink(SOCKET, old)

    def check(self, argv: list[str], text: str, live: str) -> str:
        """Let HAProxy check a configuration, as the user that it will run as, on files that only this one can write; why it refuses it.

        :param argv: what checks the file :data:`CONFIG` in its working folder.
        :param live: the line of the map that it starts with.
        """
        folder = os.path.join(os.path.dirname(self.path), ".proxy-check")
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        os.mkdir(folder, 0o700)
        try:
            for name, content in ((CONFIG, text), (LUA, HOLD_LUA), (MAP, live)):
                fs.write_text(os.path.join(folder, name), content)
            with foreign.folder(folder) as place:
                foreign.settle(place, os.geteuid(), self._account()[1], 0o750)
            return self._checked(argv, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _checked(self, argv: list[str], folder: str) -> str:
        account: dict[str, t.Any] = supervisor.account(self.user) if not os.geteuid() else {}
        if account:  # all of its groups: one of them may be there for the certificate
            account["extra_groups"] = os.getgrouplist(str(self.user), account["group"])
        environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}  # the user can read it
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv,
            cwd=folder,
            env=environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **account,
        )
        in_time, printed = commands.ended(process, PATIENCE)
        if not in_time:
            return f"no end of its check within {PATIENCE:g} s"
        return commands.ending(subprocess.CompletedProcess(argv, process.returncode, "", printed)) if process.returncode else ""
