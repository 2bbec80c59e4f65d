# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The types of records and the shapes by which records are checked say the same, so that they cannot drift apart."""

from __future__ import annotations

import types
import typing as t

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup.external_state import ExternalState
from ansible_collections.mobius.ops.plugins.module_utils._core.kinds import Exit
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke.smoke_types import Canary
from ansible_collections.mobius.ops.plugins.module_utils._target import journal_types, record_types, records, shapes
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
    "event of an incident": (records.INCIDENT.shape["events?"][0], record_types.IncidentEvent),
    "acknowledgement": (records._BY, record_types.Noted),
    "progress": (records.PROGRESS, record_types.Progress),
    "phase": (records.PROGRESS["phases"][0], record_types.Phase),
    "last exit": (records.STATUS.shape["last_exit?"][0], Exit),
    "event": (records.EVENT, record_types.Event),
}
#: Types of which an empty one stands for a record that is not there, or that is told before all of it is known.
PARTIAL = {"supervisor", "start", "state of a watch", "external state"}

#: Fields of types that no shape checks.
UNCHECKED = {
    "service": set(record_types.Limits.__annotations__),
    "state of a watch": {"host", "restarts"},
    "incident": {
        "id",
        "path",
        "env",
        "release",
        "opened",
        "opened_by",
        "title",
        "summary",
        "severity",
        "severity_name",
        "status",
        "escalation",
        "channel",
        "resolved",
        "respond_by",
    },
    "event": {"env", "elapsed", "serving", "target"},
}
#: Types that are parts of others, or of a record that is checked only to be an object.
PARTS = {record_types.WorkRules, record_types.Limits, record_types.TwoInstances, record_types.Migrated}
#: Fields whose shape allows more than their type: the reader fills in a null, or this version writes no null and only whole numbers.
NARROWER = {
    ("shared folder", "folder"),
    ("shared folder", "create"),
    ("state of a watch", "rounds"),
    ("state of a watch", "samples"),
    *(("phase", field) for field in ("bytes", "files", "total_bytes", "total_files")),
}
#: Shape of one value -> how a type writes it.
WRITTEN = {
    **dict.fromkeys((str, shapes.text, shapes.moment, shapes.day), "str"),
    **dict.fromkeys((int, shapes.count, shapes.wide), "int"),
    shapes.number: "float",
    bool: "bool",
    None: "None",
}


def written(shape: t.Any) -> str:
    """How a type writes a shape; empty for an object with named fields, and for any object or list."""
    if isinstance(shape, tuple):
        parts = [written(each) for each in shape]
        return " | ".join(parts) if all(parts) else ""
    if isinstance(shape, list):
        return f"list[{written(shape[0])}]" if written(shape[0]) else ""
    if isinstance(shape, dict):
        return f"dict[str, {written(shape[str])}]" if str in shape and written(shape[str]) else ""
    return WRITTEN.get(shape, "")


def annotated(value: t.Any) -> str:
    """How a type writes the kind of a field."""
    return getattr(value, "__forward_arg__", None) or {str: "str", int: "int", t.Optional[str]: "str | None"}[value]


def check_fields(name: str, shape: t.Any, kind: t.Any) -> None:
    fields = {field.rstrip("?") for field in shape}
    assert fields - set(kind.__annotations__) == set(), "the type lacks a field"
    assert set(kind.__annotations__) - fields == UNCHECKED.get(name, set()), "the shape lacks a field"
    if name not in PARTIAL:
        required = {field for field in shape if not field.endswith("?")}
        assert set(kind.__required_keys__) == required, "one of them requires a field that may be missing in the other"


def check_kinds(name: str, shape: t.Any, kind: t.Any) -> None:
    for field, each in shape.items():
        plain = field.rstrip("?")
        if written(each) and (name, plain) not in NARROWER:
            assert annotated(kind.__annotations__[plain]) == written(each), f"{plain} is of another kind"


@pytest.mark.parametrize("name", PAIRS)
def test_a_type_has_the_fields_of_its_shape(name):
    check_fields(name, *PAIRS[name])


@pytest.mark.parametrize("name", PAIRS)
def test_a_field_has_the_same_kind_in_the_type_and_the_shape(name):
    check_kinds(name, *PAIRS[name])


@pytest.mark.parametrize("module", [record_types, journal_types], ids=["record_types", "journal_types"])
def test_every_type_is_compared(module):
    kinds = [each for name, each in vars(module).items() if hasattr(each, "__required_keys__") and not name.startswith("_")]
    compared = [kind for _shape, kind in PAIRS.values()]
    assert [each.__name__ for each in kinds if each.__module__ == module.__name__ and each not in compared and each not in PARTS] == []


@pytest.mark.parametrize("name", PAIRS)
def test_a_field_that_is_missing_in_the_shape_is_found(name):
    shape, kind = PAIRS[name]
    for missing in shape:
        with pytest.raises(AssertionError, match="the shape lacks a field"):
            check_fields(name, {field: each for field, each in shape.items() if field != missing}, kind)


@pytest.mark.parametrize("name", PAIRS)
def test_a_field_that_is_missing_in_the_type_is_found(name):
    shape, kind = PAIRS[name]
    for missing in (field.rstrip("?") for field in shape):
        annotations = {field: each for field, each in kind.__annotations__.items() if field != missing}
        with pytest.raises(AssertionError, match="the type lacks a field"):
            check_fields(name, shape, types.SimpleNamespace(__annotations__=annotations, __required_keys__=kind.__required_keys__))


@pytest.mark.parametrize("name", sorted(set(PAIRS) - PARTIAL))
def test_a_field_that_only_one_of_them_requires_is_found(name):
    shape, kind = PAIRS[name]
    for field in shape:
        other = field[:-1] if field.endswith("?") else field + "?"
        with pytest.raises(AssertionError, match="one of them requires"):
            check_fields(name, {other if each == field else each: shape[each] for each in shape}, kind)


def test_a_field_of_another_kind_is_found():
    shape, kind = PAIRS["lock"]
    with pytest.raises(AssertionError, match="expiry is of another kind"):
        check_kinds("lock", {**shape, "expiry": str}, kind)
