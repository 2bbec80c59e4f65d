"""`kill -9` of ansible-playbook at random moments of a deploy to three hosts, then the same command again, under traffic.

MOBIUS_KILLS sets the number of kills, MOBIUS_KILL_CHANCE seeds their random moments: each is a place in the output of a whole deploy.
SIGKILL hits the controller's whole process group: playbook, workers and the SSH connections that they opened. A module that runs on a
host continues there.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import threading
import time

from support.traffic import Traffic
from support.waiting import HANG, wait_until

COUNT, CHANCE = int(os.environ.get("MOBIUS_KILLS") or 3), os.environ.get("MOBIUS_KILL_CHANCE") or "2026"
#: Requests a second on each host.
RATE = 20


class Deploy:
    """A deploy that runs, and what it has printed so far, each line with its time since the start."""

    def __init__(self, cluster, what):
        self.begun = time.monotonic()
        self.run = cluster.operator.start("deploy", **what)
        self.said = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.run.stdout:
            self.said.append((time.monotonic() - self.begun, line))

    def moment(self, seconds):
        """A moment of this run as a number of lines and the seconds since the last of them, so that slower runs have it too."""
        before = [at for at, _line in self.said if at <= seconds]
        return len(before), seconds - (before[-1] if before else 0)

    def killed_at(self, lines, seconds):
        """Kill it at a moment; whether it still ran, and its last task."""
        wait_until(lambda: len(self.said) >= lines or self.run.poll() is not None, f"it prints {lines} lines", 10 * HANG)
        time.sleep(seconds)
        running = self.run.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.run.pid, signal.SIGKILL)
        self.run.wait()
        self.reader.join(5)  # for the last lines; an SSH connection that is kept open for later runs may hold the pipe longer
        tasks = re.findall(r"TASK \[(?:[\w.]+ : )?(.*?)\]", "".join(line for _at, line in self.said))
        return running, tasks[-1] if tasks else "before its first task"


def answered_since(loads, marks):
    """The releases that have answered on each host since the marks; each has answered."""
    for load, mark in zip(loads, marks):
        wait_until(lambda load=load, mark=mark: any(sample.release for sample in load.samples[mark:]), f"{load.host} answers")
    return [{sample.release for sample in load.samples[mark:] if sample.release} for load, mark in zip(loads, marks)]


def check_converged(cluster, version):
    """Every host serves the version, verified, and nothing is left of what was killed; the release."""
    (live,) = cluster.live()
    assert live.startswith(f"{version}-") and cluster.answers() == {live}
    for box in cluster.boxes:
        assert box.record(live)["status"] == "verified" and not box.locked()
        assert box.run("ls -A /opt/mobius/releases | grep ing-") == "", "nothing half-done is left"
    return live


def test_killed_at_random_moments_the_same_command_converges_and_the_site_is_never_down(cluster, good, capsys):
    chance, old, killed = random.Random(CHANCE), good, 0
    whole = Deploy(cluster, cluster.source("whole"))
    assert whole.run.wait() == 0
    whole.reader.join(5)
    length = whole.said[-1][0]
    (old,) = cluster.live()
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Traffic(80, cluster.key, RATE, host=box.address)) for box in cluster.boxes]
        for number in range(1, COUNT + 1):
            what, marks = cluster.source(f"kill{number}"), [len(load.samples) for load in loads]
            after = chance.uniform(0, length)
            running, task = Deploy(cluster, what).killed_at(*whole.moment(after))
            killed += running
            between = [box.live() for box in cluster.boxes]
            begun = time.monotonic()
            again = cluster.operator.run("deploy", **what)
            where = f"kill {number} of {COUNT}, at {after:.1f} of {length:.0f} s ({task})"
            assert again.outcome in ("deployed", "unchanged"), f"{where}: {again.output}"
            live = check_converged(cluster, f"kill{number}")
            assert set(between) <= {old, live}, where
            for answers in answered_since(loads, marks):
                assert answers <= {old, live}, where
            with capsys.disabled():
                print(
                    f"\n  {where}: {between.count(live)} of 3 hosts were switched; again: {again.outcome} in "
                    f"{time.monotonic() - begun:.0f} s, {sum(len(load.failed()) for load in loads)} requests failed",
                    flush=True,
                )
            old = live
    with capsys.disabled():
        for box, load in zip(cluster.boxes, loads):
            print(f"  {box.name}: {load.figures()}")
        print(f"  {killed} of {COUNT} deploys were killed in the midst")
    for load in loads:
        assert load.failed() == []
        assert sorted(load.acknowledged) == list(range(load.acknowledged[0], load.acknowledged[0] + len(load.acknowledged)))
