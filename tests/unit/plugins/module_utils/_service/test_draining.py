"""Work is waited for before an instance is stopped; new renders wait meanwhile; what is cut is told."""

from __future__ import annotations

import time
import types

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import ServiceError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._service import draining
from ansible_collections.mobius.ops.plugins.module_utils._service.ongoing_work import Work


class Proxy:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def hold(self, _seconds, key="hold"):
        self.told.append(key)

    def release(self):
        self.told.append("release")


class Busy:
    """A service of one instance, itself."""

    name, folder = "mobius@1", "/nowhere"

    def __init__(self, **spec):
        self.spec = {"drain_timeout": 0.1, "drain_force": False, "proxy": {"held_routes": []}, **spec}
        self.proxy = Proxy()


@pytest.fixture
def clock(monkeypatch):
    """A time that passes by a second with each look."""
    now = [100.0]
    monkeypatch.setattr(
        draining, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _seconds: now.__setitem__(0, now[0] + 1))
    )
    return now


def works_on(monkeypatch, *work):
    """What each look finds; the last one goes on."""
    looks = list(work)
    monkeypatch.setattr(draining.ongoing_work, "of", lambda *_words: looks.pop(0) if len(looks) > 1 else looks[0])


def rest(service):
    return draining.rest(service, service, draining.of_definition(service))


@pytest.mark.parametrize(
    "work, words", [(Work(1), "1 long requests and 0 renders"), (Work(0, ("a", "b")), r"0 long requests and 2 renders \(a, b\)")]
)
def test_work_that_does_not_end_is_not_cut(monkeypatch, work, words):
    works_on(monkeypatch, work)
    with pytest.raises(StateError, match=rf"come to rest within 0\.1 s, found {words}\. Try again later, raise mobius_drain_timeout"):
        rest(Busy())


def test_an_instance_is_at_rest_after_quiet_seconds_only(monkeypatch, clock):
    """Between two renders that wait in the application's queue nothing runs for a moment."""
    one = Work(0, ("a",))
    works_on(monkeypatch, one, Work(), one, one, Work())
    assert rest(Busy(drain_timeout=60, drain_quiet=3)) == Work()
    assert clock[0] == 107


def test_work_is_cut_when_that_was_asked_for_and_told(monkeypatch, clock):
    left = Work(1, ("a",))
    works_on(monkeypatch, left)
    assert rest(Busy(drain_force=True, drain_timeout=5)) == left
    assert clock[0] == 106


def test_a_definition_of_an_earlier_version_waits_for_nothing():
    service = Busy()
    service.spec = {}
    assert draining.of_definition(service) == draining.Drain(0, True)


def test_new_renders_wait_while_those_before_are_worked_off(monkeypatch, clock):
    service = Busy(drain_timeout=60, proxy={"held_routes": ["POST /api/render"]})
    works_on(monkeypatch, *[Work(0, ("a",))] * 12, Work())
    with draining.held(service, service, 5, draining.of_definition(service)) as cut:
        assert not cut
        assert service.proxy.told == ["renders"] * 3 + ["hold"]  # renewed, for who holds them may be killed
    assert service.proxy.told[-1] == "release"


def test_all_else_goes_on_as_long_as_a_render_runs(monkeypatch, clock):
    service = Busy(drain_timeout=5)
    works_on(monkeypatch, Work(0, ("a",)))
    with pytest.raises(StateError, match="come to rest within 5 s"), draining.held(service, service, 5, draining.of_definition(service)):
        pytest.fail("it is not at rest")
    assert service.proxy.told == ["release"]


def test_short_requests_that_do_not_end_are_let_go_and_held_again(monkeypatch, clock):
    service = Busy(drain_timeout=60)
    works_on(monkeypatch, Work(), Work(1), Work(1), Work(1), Work())
    with draining.held(service, service, 5, draining.of_definition(service)):
        assert service.proxy.told == ["hold", "release", "hold"]


def test_what_is_cut_after_its_time(monkeypatch, clock):
    service = Busy(drain_timeout=3, drain_force=True)
    works_on(monkeypatch, Work(0, ("a",)))
    with draining.held(service, service, 5, draining.of_definition(service)) as cut:
        assert cut == Work(0, ("a",))
    assert service.proxy.told == ["hold", "release"]


def test_a_proxy_that_does_not_hold_holds_nobody(monkeypatch):
    service = Busy()
    works_on(monkeypatch, Work())

    def refuse(*_words):
        raise ServiceError("the proxy", "to take it", "nothing")

    service.proxy.hold = refuse
    with pytest.raises(ServiceError), draining.held(service, service, 5, draining.Drain(time.monotonic(), False)):
        pytest.fail("nothing is held")
    assert service.proxy.told == ["release"]
