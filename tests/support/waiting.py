"""Waiting for what processes do in their own time."""
from __future__ import annotations

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
