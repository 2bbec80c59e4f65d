"""Going back takes as long with two gigabytes of uploads as with ten megabytes: releases are switched, files are left alone."""
from __future__ import annotations

import statistics

#: Real bytes, written once each.
SMALL, LARGE = 10, 2000
ROUNDS = 3
FILLER = "/opt/mobius/shared/uploads/filler"


def seconds_back(cluster, box, one, other):
    """Roll back between two releases; what one host noted of each switch."""
    start = len(box.history())
    for _round in range(ROUNDS):
        for target in (other, one):
            result = cluster.operator.run("rollback", mobius_release_id=target)
            assert (result.status, result.outcome) == (0, "rolled_back"), result.output
    found = [event["held"] for event in box.history()[start:] if event["what"] == "rolled_back" and "held" in event]
    assert len(found) == 2 * ROUNDS
    return found


def test_rollback_takes_the_same_time_with_gigabytes_of_uploads(cluster, good, capsys):
    box, found = cluster.boxes[0], {}
    assert cluster.deploy("timed").outcome == "deployed"
    (live,) = cluster.live()
    try:
        for megabytes in (SMALL, LARGE):
            box.run(f"head -c {megabytes}M /dev/urandom >{FILLER} && chown mobius: {FILLER} && sync {FILLER}")
            assert int(box.run(f"du -m {FILLER} | cut -f1")) >= megabytes
            found[megabytes] = seconds_back(cluster, box, live, good)
    finally:
        box.run(f"rm -f {FILLER}")
    small, large = (statistics.median(found[megabytes]) for megabytes in (SMALL, LARGE))
    with capsys.disabled():
        print(f"\n  requests were held, with {SMALL} MB: {found[SMALL]}, median {small:.2f} s; with {LARGE} MB: {found[LARGE]}, median {large:.2f} s")
    assert max(found[SMALL] + found[LARGE]) < 5
    assert abs(large - small) <= 0.1 * small + 0.2, "0.2 s for a busy machine"
