# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of retention, as properties of any set of archives."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.module_utils._backup import catalog as backup_catalog
from ansible_collections.mobius.ops.plugins.module_utils._backup.retention import Keep, reasons
from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
#: Moments within some years; whole hours, so that days with several archives turn up.
MOMENTS = st.sets(st.integers(0, 3 * 365 * 24), max_size=40).map(
    lambda hours: [START + datetime.timedelta(hours=hour) for hour in sorted(hours)]
)
#: The same, crowded: several a day.
CROWDED = st.sets(st.integers(0, 30 * 24), max_size=60).map(
    lambda hours: [START + datetime.timedelta(hours=hour) for hour in sorted(hours)]
)
KEEPS = st.builds(Keep, *(st.integers(0, 9),) * 4)


def backups(moments):
    return [
        backup_catalog.Backup(backup_catalog.file_name("production", clock.stamp(moment)), "production", clock.stamp(moment))
        for moment in moments
    ]


def kept(found, keep):
    """The archives that stay."""
    why = reasons(found, keep)
    return {backup.archive for backup in found if backup.archive in why}


def at(*texts):
    """Archives of ``YYYY-MM-DD HH``."""
    return backups(datetime.datetime.strptime(text, "%Y-%m-%d %H").replace(tzinfo=datetime.timezone.utc) for text in texts)


def plain(found, keep):
    """The rules once more, as one would say them: group, take the newest of each group, take the last groups."""
    moments = {backup.archive: clock.from_stamp(backup.stamp) for backup in found}
    result = set(sorted(moments, key=moments.get)[len(moments) - min(keep.last, len(moments)) :])
    groups = (
        (keep.daily, lambda moment: moment.date()),
        (keep.weekly, lambda moment: moment.date() - datetime.timedelta(moment.weekday())),
        (keep.monthly, lambda moment: (moment.year, moment.month)),
    )
    for number, group in groups:
        newest = {}
        for archive in sorted(moments, key=moments.get):
            newest[group(moments[archive])] = archive
        result |= {newest[name] for name in sorted(newest, reverse=True)[:number]}
    return result


@given(st.one_of(MOMENTS, CROWDED), KEEPS)
def test_it_is_what_the_rules_say(moments, keep):
    assert kept(backups(moments), keep) == plain(backups(moments), keep)


@given(CROWDED, KEEPS, st.randoms())
def test_the_order_of_a_listing_does_not_matter(moments, keep, random):
    found = backups(moments)
    shuffled = list(found)
    random.shuffle(shuffled)
    assert reasons(found, keep) == reasons(shuffled, keep)


@given(st.one_of(MOMENTS, CROWDED), KEEPS)
def test_a_second_run_removes_nothing(moments, keep):
    found = backups(moments)
    stay = kept(found, keep)
    left = [backup for backup in found if backup.archive in stay]
    assert reasons(left, keep) == {archive: why for archive, why in reasons(found, keep).items() if archive in stay}


@given(st.one_of(MOMENTS, CROWDED), KEEPS, KEEPS)
def test_who_keeps_more_keeps_no_other_less(moments, keep, more):
    greater = Keep(
        *(max(pair) for pair in zip((keep.last, keep.daily, keep.weekly, keep.monthly), (more.last, more.daily, more.weekly, more.monthly)))
    )
    assert kept(backups(moments), keep) <= kept(backups(moments), greater)


@given(st.one_of(MOMENTS, CROWDED), KEEPS, st.integers(0, 59))
def test_an_archive_that_is_found_damaged_takes_none_with_it(moments, keep, index):
    """What stood in its shadow comes forward, and nothing else changes: so it can be left out at any time."""
    found = backups(moments)
    if found:
        damaged = found[index % len(found)]
        assert kept(found, keep) - {damaged.archive} <= kept([backup for backup in found if backup != damaged], keep)


@given(st.one_of(MOMENTS, CROWDED), KEEPS, st.integers(1, 2000))
def test_what_was_given_up_never_comes_back(moments, keep, hours):
    found = backups(moments)
    later = backups([(moments[-1] if moments else START) + datetime.timedelta(hours=hours)])
    assert kept(found + later, keep) <= kept(found, keep) | {later[0].archive}


@given(CROWDED, KEEPS)
def test_never_more_than_the_sum_and_always_the_newest(moments, keep):
    found = backups(moments)
    stay = kept(found, keep)
    assert len(stay) <= keep.last + keep.daily + keep.weekly + keep.monthly
    if found and any((keep.last, keep.daily, keep.weekly, keep.monthly)):
        assert found[-1].archive in stay


def test_days_without_an_archive_do_not_count():
    found = at("2026-03-01 05", "2026-03-01 20", "2026-05-09 01", "2026-07-20 02", "2026-07-20 03")
    assert kept(found, Keep(daily=3)) == {found[1].archive, found[2].archive, found[4].archive}


def test_weeks_are_those_of_iso_8601():
    """2027-01-01 is a Friday of week 53 of 2026, which began on 2026-12-28; 2027-01-04 is a Monday."""
    found = at("2026-12-27 23", "2026-12-28 00", "2027-01-01 12", "2027-01-03 23", "2027-01-04 00")
    assert reasons(found, Keep(weekly=9)) == {
        found[4].archive: ["weekly 2027-W01"],
        found[3].archive: ["weekly 2026-W53"],
        found[0].archive: ["weekly 2026-W52"],
    }


def test_one_archive_can_be_kept_by_all_rules():
    [only] = at("2026-11-23 16")
    assert reasons([only], Keep(1, 1, 1, 1)) == {only.archive: ["last", "daily 2026-11-23", "weekly 2026-W48", "monthly 2026-11"]}


@pytest.mark.parametrize(
    "keep, words",
    [
        (Keep(), "retention: expected a number above 0 in one of keep_last, keep_daily, keep_weekly and keep_monthly, found 0 in all"),
        (Keep(last=-1, daily=3), "keep_last: expected 0 or more archives, found -1"),
        (Keep(monthly=-12), "keep_monthly: expected 0 or more archives, found -12"),
    ],
)
def test_keeps_that_are_refused(keep, words):
    with pytest.raises(InputError, match=words):
        keep.require()
