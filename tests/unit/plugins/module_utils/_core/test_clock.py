# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Times: UTC, and what is written can be read."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.module_utils._core import clock

ZONES = [datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=9))]
MOMENTS = st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.sampled_from(ZONES))


@given(MOMENTS)
def test_what_is_written_is_read_back(moment):
    whole = moment.replace(microsecond=0)
    assert clock.parse(clock.iso(moment)) == whole
    assert clock.from_stamp(clock.stamp(moment)) == whole


def test_another_zone_is_written_in_utc():
    tokyo = datetime.datetime(2026, 11, 24, 1, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=9)))
    assert clock.iso(tokyo) == "2026-11-23T16:00:00Z"
    assert clock.stamp(tokyo) == "20261123_160000"
    assert clock.from_epoch(0) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["", "2026-11-23", "2026-11-23 16:00:00", "yesterday"])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError):
        clock.parse(text)
    with pytest.raises(ValueError):
        clock.from_stamp(text)


def test_now_has_no_microseconds_and_a_zone():
    assert clock.now().microsecond == 0
    assert clock.now().utcoffset() == datetime.timedelta(0)
