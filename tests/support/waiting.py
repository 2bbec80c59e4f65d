"""Waiting for what processes do in their own time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t

#: Scales every limit of the tests; on a machine that is slower than any seen so far: ``MOBIUS_TEST_PATIENCE=3 make test``.
PATIENCE = float(os.environ.get("MOBIUS_TEST_PATIENCE", "1"))
#: Seconds that only a hang reaches, also for a whole playbook on a machine that does twenty other things.
HANG = int(300 * PATIENCE)


def wait_until(condition: t.Callable[[], t.Any], what: str = "", timeout: float = HANG) -> t.Any:
    """Poll until the condition holds, and return its value. The test fails when it takes *timeout* seconds, which only a hang does."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not happen within {timeout} s: {what or condition}"
        time.sleep(0.02)


@contextlib.contextmanager
def when(happens: t.Callable[[], t.Any], then: t.Callable[[], t.Any]) -> t.Iterator[None]:
    """Do something as soon as a condition holds, while the block runs; the test fails when that was never so."""
    over, done = threading.Event(), threading.Event()

    def look() -> None:
        while not over.is_set() and not done.is_set():
            with contextlib.suppress(OSError, ValueError):  # what is looked at is not there yet, or just being written
                if happens():
                    then()
                    done.set()
            time.sleep(0.02)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()
    assert done.is_set(), "the moment never came"
