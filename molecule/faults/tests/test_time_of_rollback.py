"""A rollback with two gigabytes of uploads does the same as one with ten megabytes: it switches releases and leaves the files alone."""

from __future__ import annotations

#: Megabytes of uploads, real ones.
SMALL, LARGE = 10, 2000
#: Rollbacks go to and fro between two releases; each kind of uploads is there for both ways.
ORDER = (SMALL, LARGE, LARGE, SMALL)
#: Read last before the rollback, so that the file system notes the next time that it is read.
LONG_AGO = "2001-01-01"
HOST, UPLOADS, ASIDE = "/opt/mobius", "/opt/mobius/shared/uploads", "/opt/mobius/aside"


def switched(cluster, box, release):
    """Roll all hosts back to a release; for how long one of them held requests, and how much of it was the application's start-up."""
    start = len(box.history())
    result = cluster.operator.run("rollback", mobius_release_id=release)
    assert (result.status, result.outcome) == (0, "rolled_back"), result.output
    (event,) = [event for event in box.history()[start:] if event["what"] == "rolled_back"]
    return event["held"], event["ready_after"]


def seen(box, path):
    """Inode, size, links, owner, and when it was last read, written or changed: what a copy, a move, a link or a backup would alter."""
    return box.run(f'stat -c "%i %s %h %U %x %y %z" {path}')


def test_rollback_leaves_gigabytes_of_uploads_alone(cluster, good, capsys):
    box, found = cluster.boxes[0], {SMALL: [], LARGE: []}
    assert cluster.deploy("timed").outcome == "deployed"
    (live,) = cluster.live()
    try:
        for megabytes in found:
            box.run(f"mkdir -p {ASIDE} && head -c {megabytes}M /dev/urandom >{ASIDE}/{megabytes} && sync {ASIDE}/{megabytes}")
            assert int(box.run(f"du -m {ASIDE}/{megabytes} | cut -f1")) >= megabytes
        box.run(f"touch -a -d {LONG_AGO} {ASIDE}/{SMALL} && head -c 1 {ASIDE}/{SMALL} >/dev/null")
        assert LONG_AGO not in seen(box, f"{ASIDE}/{SMALL}"), "this file system does not note when a file is read"
        for number, megabytes in enumerate(ORDER):
            path = f"{UPLOADS}/{megabytes}"
            box.run(f"mv {ASIDE}/{megabytes} {UPLOADS}/ && chown mobius: {path} && touch -a -d {LONG_AGO} {path}")
            before, used = seen(box, path), int(box.run(f"du -sm --exclude=releases {HOST} | cut -f1"))
            assert LONG_AGO in before
            found[megabytes].append(switched(cluster, box, (good, live)[number % 2]))
            assert seen(box, path) == before
            assert int(box.run(f"du -sm --exclude=releases {HOST} | cut -f1")) - used < SMALL, "no copy of them was made"
            box.run(f"mv {path} {ASIDE}/")
    finally:
        box.run(f"rm -rf {ASIDE} {UPLOADS}/{SMALL} {UPLOADS}/{LARGE}")
    with capsys.disabled():
        for megabytes, times in found.items():
            print(
                f"\n  {megabytes} MB of uploads: a rollback held requests for {[held for held, _ready in times]} s, "
                f"without the application's own start-up {[round(held - ready, 2) for held, ready in times]}",
                end="",
            )
