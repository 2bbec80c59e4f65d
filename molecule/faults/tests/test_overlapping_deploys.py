"""Two controllers deploy at the same time: one a new version, the other the version that is live. What they report is what serves.

MOBIUS_OVERLAPS sets how often; the second one begins at another moment of the first each time.
"""

from __future__ import annotations

import os
import threading

import pytest
from support.playbooks import Operator
from support.waiting import HANG, wait_until

COUNT = int(os.environ.get("MOBIUS_OVERLAPS") or 10)
GOOD = ("deployed", "unchanged")
#: Moments of the first deploy, by what can be seen on the hosts.
MOMENTS = {
    "at the same time": lambda cluster, version: True,
    "when it has the lock": lambda cluster, version: cluster.boxes[0].locked(),
    "when it is prepared": lambda cluster, version: cluster.boxes[-1].releases(version),
    "when the first host is switched": lambda cluster, version: cluster.boxes[0].live().startswith(f"{version}-"),
    "when all are switched": lambda cluster, version: all(box.live().startswith(f"{version}-") for box in cluster.boxes),
}


class Run:
    """A deploy by a controller of its own, in the background."""

    def __init__(self, cluster, who, what):
        self.operator, self.version = Operator(cluster.operator.inventory.name), what["mobius_version"]
        self.operator.inventory = cluster.operator.inventory
        self.result = None
        self.thread = threading.Thread(target=self.work, args=({**what, "mobius_operator": who, "mobius_lock_wait": int(20 * HANG)},))
        self.thread.start()

    def work(self, what):
        self.result = self.operator.run("deploy", **what)

    @property
    def good(self):
        return self.result.status == 0


@pytest.mark.parametrize("number", range(COUNT))
def test_what_two_deploys_at_a_time_report_is_what_serves(cluster, good, number, capsys):
    moment = list(MOMENTS)[number % len(MOMENTS)]
    base = cluster.source(f"base{number}")
    before = cluster.operator.run("deploy", **base)
    assert before.outcome == "deployed", before.output
    ada = Run(cluster, "ada", cluster.source(f"new{number}"))
    wait_until(lambda: ada.result or MOMENTS[moment](cluster, ada.version), moment, 10 * HANG)
    bob = Run(cluster, "bob", base)
    for run in (ada, bob):
        run.thread.join()
    said = f"{moment}: ada {ada.result.outcome}, bob {bob.result.outcome}"
    outputs = f"{said}\n{ada.result.output}\n{bob.result.output}"
    (live,) = cluster.live()
    assert cluster.answers() == {live} and not any(box.locked() for box in cluster.boxes), outputs
    for run in (ada, bob):
        assert run.good == (run.result.outcome in GOOD), outputs
    # who says that all is well is right, unless the other one replaced it after that, and says so
    last = [run for run in (ada, bob) if live.startswith(f"{run.version}-")]
    assert len(last) == 1 and last[0].good, outputs
    for run in (ada, bob):
        assert run is last[0] or not run.good or last[0].result.outcome == "deployed", outputs
    with capsys.disabled():
        print(f"\n  {said}; {live} serves on all hosts", flush=True)
