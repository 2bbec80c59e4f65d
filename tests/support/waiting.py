"""Waiting for what processes do in their own time."""
from __future__ import annotations

import contextlib
import threading
import time
import typing as t


def wait_until(condition: t.Callable[[], t.Any], timeout: float = 8.0, what: str = "") -> t.Any:
    """Poll until the condition holds; its value. The test fails when it does not come about within *timeout* seconds."""
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
