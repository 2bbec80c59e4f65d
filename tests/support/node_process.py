# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Node process with a server whose event loop can be made to hang."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import typing as t
import urllib.request
from pathlib import Path

from ansible_collections.mobius.ops.plugins.module_utils._diagnose import inspector
from ansible_collections.mobius.ops.plugins.module_utils._observe import node_exceptions
from support.ports import free_port
from support.waiting import HANG, wait_until

SERVER = """
import http from 'node:http';
function spin(seconds) { const end = Date.now() + 1000 * seconds; while (Date.now() < end); }
http.createServer((req, res) => { if (req.url !== '/') spin(Number(req.url.split('=')[1])); res.end('ok'); })
  .listen(0, '127.0.0.1', function () { console.log(this.address().port); });
"""


class Node:
    """A Node process with a server."""

    def __init__(self, folder: Path) -> None:
        self.inspector = free_port()
        self.place = node_exceptions.Place([str(folder)])
        (folder / "app.mjs").write_text(SERVER)
        self.process = subprocess.Popen(
            [shutil.which("node"), f"--inspect-port=127.0.0.1:{self.inspector}", "app.mjs"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid, self.port = self.process.pid, int(self.process.stdout.readline())

    def get(self, path: str = "/", timeout: float = HANG) -> bytes:
        """What it answers; nothing when it does not."""
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout).read()
        return b""

    def hang(self, seconds: float = 1e6) -> None:
        """Let its event loop hang."""
        self.asked = threading.Thread(target=self.get, args=(f"/slow?x={seconds:.0f}",), daemon=True)
        self.asked.start()
        wait_until(lambda: not self.get(timeout=0.5))

    def look(self, **options: t.Any) -> inspector.Stack:
        """Where it is."""
        return inspector.look(self.pid, self.place, **options)
