# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attributes immutable and append-only of real files. Root needs CAP_LINUX_IMMUTABLE for it, and a file system that has them."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

import pytest


class Attributes:
    """Gives files attributes, and takes all of them away in the end."""

    def __init__(self, probe: t.Any) -> None:
        self._given: list[str] = []
        probe.write_bytes(b"")
        if not shutil.which("chattr"):
            pytest.skip("chattr is not installed (e2fsprogs)")
        done = self._run("+i", str(probe))
        if done.returncode:
            pytest.skip("chattr +i does not work here: it needs root with CAP_LINUX_IMMUTABLE, and a file system that has it")
        self._run("-i", str(probe))

    def give(self, path: t.Any, attribute: str) -> None:
        """``give(path, "+i")``, or ``+a``."""
        self._given.append(str(path))
        done = self._run(attribute, str(path))
        assert done.returncode == 0, done.stderr

    def obey(self, command: str) -> None:
        """Do what a message says."""
        program, *words = command.split()
        assert program == "chattr", command
        done = self._run(*words)
        assert done.returncode == 0, done.stderr

    def close(self, top: t.Any) -> None:
        """Release everything below a folder; what was renamed or removed too."""
        if self._given:
            self._run("-R", "-f", "-i", "-a", str(top))

    @staticmethod
    def _run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["chattr", *words], check=False, capture_output=True, text=True)
