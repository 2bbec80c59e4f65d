# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The types of records and the shapes by which records are checked say the same, so that they cannot drift apart."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup.external_state import ExternalState
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke.smoke_types import Canary
from ansible_collections.mobius.ops.plugins.module_utils._target import journal_types, record_types, records
from ansible_collections.mobius.ops.plugins.module_utils._watch.watch_types import WatchState

#: Shape -> its type.
PAIRS: dict[str, tuple[t.Any, t.Any]] = {
    "check": (records.CHECK, record_types.Check),
    "question for jobs": (records.BUSY.shape, record_types.JobCheck),
    "release": (records.RELEASE.shape, record_types.Release),
    "service": (records.SERVICE.shape, record_types.ServiceSpec),
    "proxy": (records._PROXY, record_types.ProxySettings),
    "supervisor": (records.STATUS.shape, record_types.Supervised),
    "start": (records.STARTED.shape, record_types.Started),
    "watch": (records.WATCH.shape, record_types.WatchSpec),
    "state of a watch": (records.WATCHED.shape, WatchState),
    "lock": (records.LOCK.shape, record_types.Lock),
    "shared folder": (records.SHARED.shape[0], record_types.SharedFolder),
    "external state": (records.EXTERNAL.shape, ExternalState),
    "canary": (records.CANARY.shape, Canary),
    "restore": (records.JOURNAL.shape, journal_types.RestoreFacts),
    "swap": (records.SWAP, journal_types.Swap),
    "switch": (records.SWITCH.shape, journal_types.SwitchFacts),
    "incident": (records.INCIDENT.shape, record_types.Incident),
    "progress": (records.PROGRESS, record_types.Progress),
    "event": (records.EVENT, record_types.Event),
}
#: Types of which an empty one stands for a record that is not there, or that is told before all of it is known.
PARTIAL = {"supervisor", "start", "state of a watch", "external state"}


@pytest.mark.parametrize("name", PAIRS)
def test_a_type_has_the_fields_of_its_shape(name):
    shape, kind = PAIRS[name]
    required = {field for field in shape if not field.endswith("?")}
    assert {field.rstrip("?") for field in shape} - set(kind.__annotations__) == set()
    if name not in PARTIAL:
        assert required - kind.__required_keys__ == set(), "a record without them is refused, so they are always there"
        assert {field for field in kind.__required_keys__ if field + "?" in shape} == set(), "a record without them is read"


def test_a_field_that_only_one_of_them_has_is_found(monkeypatch):
    shape, kind = PAIRS["lock"]
    monkeypatch.setitem(PAIRS, "lock", ({**shape, "other": str}, kind))
    with pytest.raises(AssertionError):
        test_a_type_has_the_fields_of_its_shape("lock")
