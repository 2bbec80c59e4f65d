"""Which release served when."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._logs import serving
from ansible_collections.mobius.ops.plugins.module_utils._target import history, incidents
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def test_records_as_the_collection_writes_them(tmp_path):
    layout = Layout(str(tmp_path))
    for folder in ("state", "incidents"):
        (tmp_path / folder).mkdir()
    history.record(layout, "active", "a test", release="v1")
    record = incidents.open_incident(layout, {"title": "x", "severity": 2, "env": "test", "release": "v1"})
    past, now = serving.Past(layout), clock.now().timestamp()
    assert past.release(now + 1) == "v1" and past.release(now - 3600) == past.release(None) == ""
    assert past.incident([(now - 60, now + 60)]) == record["id"] and past.incident([(now - 9000, now - 8000)]) == ""


def test_the_times_of_slots():
    begin = clock.parse("2026-11-26T00:00:00Z").timestamp()
    assert serving.spans({"2026-11-26": 0b101, "": 1}) == [(begin, begin + 600), (begin + 1200, begin + 1800)]
