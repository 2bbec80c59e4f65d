# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The baseline that latencies are held against."""

from __future__ import annotations

import time

from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._watch import latency_baseline


def test_it_is_measured_kept_and_read(host, web):
    web.answers["/health"] = (200, "{}")
    checks = health.normalize_all([{"name": "health", "url": web.base + "/health"}])
    taken = latency_baseline.take(host.layout, checks, "r1")
    assert taken["release"] == "r1" and len(taken["checks"]["health"]) == latency_baseline.ANSWERS
    assert latency_baseline.read(host.layout) == taken["checks"]
    assert latency_baseline.figures(taken["checks"])["health"]["requests"] == latency_baseline.ANSWERS


def test_a_service_that_is_not_well_is_no_measure_and_not_asked_for_long(host, web, monkeypatch):
    web.answers["/health"] = (500, "")
    monkeypatch.setattr(latency_baseline, "PATIENCE", HANG)
    taken = latency_baseline.take(host.layout, health.normalize_all([{"name": "health", "url": web.base + "/health"}]), "r1")
    assert taken["checks"] == {"health": []} and len(web.seen) == 20
    assert latency_baseline.figures(taken["checks"]) == {"health": {"p50_ms": None, "requests": 0}}


def test_an_old_one_or_none_says_nothing(host, monkeypatch):
    assert latency_baseline.read(host.layout) == {}
    old = {"release": "r1", "when": clock.from_epoch(time.time() - 90000), "checks": {"a": [1]}}
    fs.write_json(host.layout.path("state", "baseline.json"), old)
    assert latency_baseline.read(host.layout) == {}
