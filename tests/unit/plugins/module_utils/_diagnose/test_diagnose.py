# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What follows on a remedy that did not help."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._diagnose import diagnose, remedies, rules
from ansible_collections.mobius.ops.plugins.module_utils._diagnose.rules import Cause

LOOP, BLOCKED = (Cause(name, rules.LIKELY, "It hangs.", (), "Restart it", "restart", 7) for name in ("loop", "blocking_call"))


@pytest.mark.parametrize(
    "cause, interrupt, left, done",
    [
        (LOOP, True, [()], "ended."),
        (LOOP, True, [(BLOCKED,), ()], "ended. It did not go on: It hangs. restarted."),
        (LOOP, False, [(BLOCKED,)], "restarted."),
        (BLOCKED, True, [(BLOCKED,)], "ended."),
    ],
)
def test_a_process_that_does_not_go_on_when_its_code_was_ended_is_restarted(monkeypatch, cause, interrupt, left, done):
    monkeypatch.setattr(remedies, "apply", lambda *words: "ended." if words[-1].interrupt else "restarted.")
    rest = list(left)
    monkeypatch.setattr(diagnose, "settled", lambda *words: rest.pop(0))
    allowed = remedies.Allowed(interrupt, [], 5.0, ["ffmpeg"])
    assert diagnose._mended(None, None, cause, None, allowed, 1.0) == (done, left[-1]) and not rest
