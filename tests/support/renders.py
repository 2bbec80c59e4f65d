"""A service that starts jobs of the real ffmpeg."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import types
import typing as t
from pathlib import Path

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._jobs import listing
from support.waiting import wait_until

#: Starts a program for each line of JSON that it is told.
SERVICE = """import json, subprocess, sys
for line in sys.stdin:
    subprocess.Popen(json.loads(line), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""


def encoder_of(pid: int) -> int:
    """The ffmpeg below a process that has opened its clip; 0 while there is none.

    The number of its open files would not tell: just after its start it has those of its parent, or a library.
    """
    for job in processes.started_by(pid, ["ffmpeg"]):
        with contextlib.suppress(OSError):
            if any(os.readlink(entry.path).endswith(".mp4") for entry in os.scandir(f"/proc/{job}/fd")):
                return job
    return 0


class Renders:
    """A service of one instance, and what it starts."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder, self.process = folder, process
        status = {"pid": process.pid, "release": "r1"}
        self.service = types.SimpleNamespace(
            spec={"job_programs": [], "user": None}, port=5001, name="mobius", status=lambda: status, instances=lambda: [self.service]
        )

    def start(self, *words: str) -> listing.Job:
        """Let the service start ffmpeg."""
        before = {job.pid for job in self.jobs()}
        line = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *words]
        self.process.stdin.write(json.dumps(line) + "\n")
        return wait_until(lambda: next((job for job in self.jobs() if job.pid not in before), None))

    def encode(self, name: str = "out.mp4", *options: str, seconds: int = 600) -> listing.Job:
        """An encode that takes as long as its clip, of which the first part has been written."""
        path = self.folder / name
        job = self.start(
            "-re",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=320x240:rate=25",
            "-t",
            str(seconds),
            "-c:v",
            "libx264",
            "-g",
            "5",
            "-tune",
            "zerolatency",
            *options,
            str(path),
        )
        wait_until(lambda: path.exists() and path.stat().st_size > 0)
        return job

    def waits(self) -> listing.Job:
        """A job that waits for input, and does not hear SIGTERM."""
        pipe = self.folder / "input.mp4"
        os.mkfifo(pipe)
        self._held = os.open(pipe, os.O_RDWR)
        job = self.start("-i", str(pipe), "-f", "null", "-")
        wait_until(lambda: "pipe" in getattr(listing.sample(job), "waits_in", ""))
        return job

    def jobs(self) -> list[listing.Job]:
        """What runs."""
        return listing.listed(self.service, ["ffmpeg"])


@contextlib.contextmanager
def renders(folder: Path) -> t.Iterator[Renders]:
    """A service that starts ffmpeg; it and its programs end with the block."""
    process = subprocess.Popen([sys.executable, "-c", SERVICE], stdin=subprocess.PIPE, text=True, bufsize=1, start_new_session=True)
    try:
        yield Renders(folder, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdin.close()
        process.wait()
