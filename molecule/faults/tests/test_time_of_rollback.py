"""Going back takes as long with two gigabytes of uploads as with ten megabytes: releases are switched, files are left alone."""
from __future__ import annotations

import statistics

#: Megabytes of uploads, real ones.
SMALL, LARGE = 10, 2000
#: Rollbacks go to and fro between two releases; each kind of uploads is there for both ways.
ORDER = (SMALL, LARGE, LARGE, SMALL, SMALL, LARGE)
UPLOADS, ASIDE = "/opt/mobius/shared/uploads", "/opt/mobius/aside"


def switched(cluster, box, release):
    """Roll all hosts back to a release; for how long one of them held requests, and how much of it was the application's start-up."""
    start = len(box.history())
    result = cluster.operator.run("rollback", mobius_release_id=release)
    assert (result.status, result.outcome) == (0, "rolled_back"), result.output
    (event,) = [event for event in box.history()[start:] if event["what"] == "rolled_back"]
    return event["held"], event["ready_after"]


def test_rollback_takes_the_same_time_with_gigabytes_of_uploads(cluster, good, capsys):
    box, found = cluster.boxes[0], {SMALL: [], LARGE: []}
    assert cluster.deploy("timed").outcome == "deployed"
    (live,) = cluster.live()
    try:
        for megabytes in found:
            box.run(f"mkdir -p {ASIDE} && head -c {megabytes}M /dev/urandom >{ASIDE}/{megabytes} && sync {ASIDE}/{megabytes}")
            assert int(box.run(f"du -m {ASIDE}/{megabytes} | cut -f1")) >= megabytes
        for number, megabytes in enumerate(ORDER):
            box.run(f"mv {ASIDE}/{megabytes} {UPLOADS}/ && chown mobius: {UPLOADS}/{megabytes}")
            assert box.run(f"ls {UPLOADS}/{megabytes}")
            found[megabytes].append(switched(cluster, box, (good, live)[number % 2]))
            box.run(f"mv {UPLOADS}/{megabytes} {ASIDE}/")
    finally:
        box.run(f"rm -rf {ASIDE} {UPLOADS}/{SMALL} {UPLOADS}/{LARGE}")
    own = {megabytes: [round(held - ready, 2) for held, ready in times] for megabytes, times in found.items()}
    with capsys.disabled():
        for megabytes, times in found.items():
            print(f"\n  {megabytes} MB of uploads: a rollback held requests for {[held for held, _ready in times]} s, "
                  f"without the application's own start-up {own[megabytes]}", end="")
    small, large = (statistics.median(own[megabytes]) for megabytes in (SMALL, LARGE))
    assert max(own[SMALL] + own[LARGE]) < 5
    assert abs(large - small) <= 0.1 * small + 0.3, "0.3 s for a busy machine"
