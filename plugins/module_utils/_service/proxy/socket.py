# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the proxy is told, and answers, over its socket. The service's user owns the socket's folder and may answer in the proxy's place.

So it has to be a socket that the proxy's user listens on, and what it answers is bounded in size and time. Nothing but ports, ages and
names that are compared is taken from an answer.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import time

from ..._core import foreign
from .config import OLD_SOCKET, RUN, SOCKET

#: Bytes of an answer at most; one session takes half a kilobyte in the longest one.
LIMIT = 32 * 1024 * 1024
_PEER = struct.Struct("3i")


def tell(folder: str, commands: tuple[str, ...], users: set[int], patience: float) -> str:
    """What the proxy answers.

    :param folder: the proxy's.
    :param users: who may listen on the socket.
    :param patience: seconds for all of it.
    :raises OSError: when there is no such socket, another user listens on it, or it answers too much or too late.
    """
    deadline = time.monotonic() + patience
    address = _address(folder)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as admin:
            admin.settimeout(patience)
            # Its path may be longer than the 107 bytes that one may have; and it is this socket, whatever its name stands for by now.
            admin.connect(f"/proc/self/fd/{address}")
            _pid, uid, _gid = _PEER.unpack(admin.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
            if uid not in users:
                raise PermissionError(errno.EPERM, f"user {uid} listens on it, who is not the proxy's", SOCKET)
            admin.sendall((";".join(commands) + "\n").encode())
            return _answer(admin, deadline)
    finally:
        os.close(address)


def _answer(admin: socket.socket, deadline: float) -> str:
    said = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "timed out")
        admin.settimeout(left)
        chunk = admin.recv(65536)
        if not chunk:
            return said.decode("utf-8", "replace")
        said += chunk
        if len(said) > LIMIT:
            raise OSError(errno.EMSGSIZE, f"more than {LIMIT} bytes of an answer", SOCKET)


def _address(folder: str) -> int:
    """A descriptor of the socket, which is not opened by that; of a proxy that an earlier version has started, in the place of then."""
    with foreign.folder(folder) as place:
        try:
            with foreign.folder(os.path.join(folder, RUN)) as run:
                return _socket(os.path.basename(SOCKET), run)
        except FileNotFoundError:
            return _socket(OLD_SOCKET, place)


def _socket(name: str, at: int) -> int:
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.ENOTSOCK, "not a socket", name)
