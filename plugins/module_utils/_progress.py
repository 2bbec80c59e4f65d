# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a long operation is: phases, each of so many bytes and files."""
from __future__ import annotations

import threading


class Meter:
    """Counts what was done; this one tells nobody. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.name = ""
        self.total_bytes = self.total_files = 0
        self.bytes = self.files = 0

    def phase(self, name: str, total_bytes: int = 0, total_files: int = 0) -> None:
        """Begin a phase; the counts start anew."""
        with self._lock:
            self.name, self.total_bytes, self.total_files = name, total_bytes, total_files
            self.bytes = self.files = 0

    def add(self, size: int = 0, files: int = 0) -> None:
        """So many bytes and files more are done."""
        with self._lock:
            self.bytes += size
            self.files += files
