# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The baseline that latencies are held against."""
from __future__ import annotations

import time

from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils import _baseline, _clock, _files, _health


def test_it_is_measured_kept_and_read(host, web):
    web.answers["/health"] = (200, "{}")
    checks = _health.normalize_all([{"name": "health", "url": web.base + "/health"}])
    taken = _baseline.take(host.layout, checks, "r1")
    assert taken["release"] == "r1" and len(taken["checks"]["health"]) == _baseline.ANSWERS
    assert _baseline.read(host.layout) == taken["checks"]
    assert _baseline.figures(taken["checks"])["health"]["requests"] == _baseline.ANSWERS


def test_a_service_that_is_not_well_is_no_measure_and_not_asked_for_long(host, web, monkeypatch):
    web.answers["/health"] = (500, "")
    monkeypatch.setattr(_baseline, "PATIENCE", HANG)
    taken = _baseline.take(host.layout, _health.normalize_all([{"name": "health", "url": web.base + "/health"}]), "r1")
    assert taken["checks"] == {"health": []} and len(web.seen) == 20
    assert _baseline.figures(taken["checks"]) == {"health": {"p50_ms": None, "requests": 0}}


def test_an_old_one_or_none_says_nothing(host, monkeypatch):
    assert _baseline.read(host.layout) == {}
    old = {"release": "r1", "when": _clock.from_epoch(time.time() - 90000), "checks": {"a": [1]}}
    _files.write_json(host.layout.path("state", "baseline.json"), old)
    assert _baseline.read(host.layout) == {}
