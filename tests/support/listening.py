# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server of bare connections, for answers that no HTTP server would give."""

from __future__ import annotations

import socket
import threading


class Listener:
    """Talks to everybody who connects, each in a thread of its own, until :attr:`listener` is closed."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Take connections."""
        while True:
            try:
                line, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(line,), daemon=True).start()

    def talk(self, line: socket.socket) -> None:
        """What is said on one connection."""
        raise NotImplementedError
