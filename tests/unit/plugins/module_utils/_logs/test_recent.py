# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ends of logs: slow routes and errors of the last minutes."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._logs import recent
from ansible_collections.mobius.ops.plugins.module_utils._logs.serving import Past
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

NOW = int(time.time())


@pytest.fixture
def look(tmp_path):
    (tmp_path / "root").mkdir()

    def run(*lines, name="app.log", moment=NOW - 900):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
        past = Past(Layout(str(tmp_path / "root")))
        return recent.look([str(tmp_path / "*.log")], moment, 2000, past, lambda text: text.replace("secret", "***"))

    return run


def line(ago, text):
    return f"{clock.from_epoch(NOW - ago)} {text}"


def test_slow_routes_and_errors_of_the_last_minutes(look):
    found = look(
        line(5000, "GET /old 200 9000ms"),
        line(4000, "ERROR old trouble"),
        *(line(100 - number, f"GET /api/projects/{number} 200 {3000 + number}ms") for number in range(8)),
        *(line(50, "GET /health 200 2ms") for _number in range(12)),
        line(20, "ERROR render 17 failed with secret"),
        line(10, "ERROR render 18 failed with secret"),
    )
    (slow,) = found.routes
    assert (slow.route, slow.requests) == ("GET /api/projects/:id", 8) and slow.median == pytest.approx(3000, rel=0.05)
    assert (found.timed, found.slow, found.errors) == (20, 8, ("2 lines: render <n> failed with ***",))


def test_only_the_end_of_a_long_log_is_read(look, monkeypatch):
    monkeypatch.setattr(recent, "TAIL", 3000)
    found = look(
        *(line(900 - number, "GET /first 200 5000ms") for number in range(500)),
        *(line(90 - number // 10, "GET /last 200 5000ms") for number in range(100)),
    )
    assert [one.route for one in found.routes] == ["GET /last"] and 50 < found.timed < 100


def test_logs_that_are_old_or_gone_tell_nothing(look, tmp_path):
    assert look(line(100, "GET / 200 5000ms"), moment=NOW + 900) == recent.Recent()
    os.unlink(tmp_path / "app.log")
    os.symlink("/etc/passwd", tmp_path / "x.log")
    assert (
        recent.look([str(tmp_path / "*.log"), str(tmp_path / "none" / "*.log")], 0, 2000, Past(Layout(str(tmp_path / "root"))), str)
        == recent.Recent()
    )
