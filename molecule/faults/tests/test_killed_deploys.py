"""`kill -9` of ansible-playbook at random moments of a deploy to three hosts, then the same command again, under traffic.

MOBIUS_KILLS says how many times, MOBIUS_KILL_CHANCE what the moments hang on. SIGKILL hits the controller's whole process group:
playbook, workers and the SSH connections that they opened. A module that runs on a host goes on there.
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
from support.waiting import wait_until

COUNT, CHANCE = int(os.environ.get("MOBIUS_KILLS") or 3), os.environ.get("MOBIUS_KILL_CHANCE") or "2026"
#: Requests a second on each host.
RATE = 20


def killed_after(cluster, what, seconds):
    """Begin a deploy and kill it; whether it still ran, and its last task."""
    run = cluster.operator.start("deploy", **what)
    said = []
    reader = threading.Thread(target=lambda: said.extend(run.stdout))
    reader.start()
    time.sleep(seconds)
    running = run.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    reader.join(60)  # a connection that is kept open for later runs may hold the pipe for a while
    tasks = re.findall(r"TASK \[(?:[\w.]+ : )?(.*?)\]", "".join(said))
    return running, tasks[-1] if tasks else "before its first task"


def answered_since(loads, marks):
    """The releases that have answered on each host since the marks; each has answered."""
    for load, mark in zip(loads, marks):
        wait_until(lambda load=load, mark=mark: any(sample.release for sample in load.samples[mark:]))
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
    begun = time.monotonic()
    result = cluster.deploy("whole")
    whole = time.monotonic() - begun
    assert result.outcome == "deployed", result.output
    (old,) = cluster.live()
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Traffic(80, cluster.key, RATE, host=box.address)) for box in cluster.boxes]
        for number in range(1, COUNT + 1):
            what, marks = cluster.source(f"kill{number}"), [len(load.samples) for load in loads]
            after = chance.uniform(0, whole)
            running, task = killed_after(cluster, what, after)
            killed += running
            between = [box.live() for box in cluster.boxes]
            begun = time.monotonic()
            again = cluster.operator.run("deploy", **what)
            where = f"kill {number} of {COUNT}, after {after:.1f} of {whole:.0f} s ({task})"
            assert again.outcome in ("deployed", "unchanged"), f"{where}: {again.output}"
            live = check_converged(cluster, f"kill{number}")
            assert set(between) <= {old, live}, where
            for answers in answered_since(loads, marks):
                assert answers <= {old, live}, where
            with capsys.disabled():
                print(f"\n  {where}: {between.count(live)} of 3 hosts were switched; again: {again.outcome} in "
                      f"{time.monotonic() - begun:.0f} s, {sum(len(load.failed()) for load in loads)} requests failed", flush=True)
            old = live
    with capsys.disabled():
        for box, load in zip(cluster.boxes, loads):
            print(f"  {box.name}: {load.figures()}")
        print(f"  {killed} of {COUNT} deploys were killed in the midst")
    for load in loads:
        assert load.failed() == []
        assert sorted(load.acknowledged) == list(range(load.acknowledged[0], load.acknowledged[0] + len(load.acknowledged)))
