# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wait until an instance has finished what it works on, before it is stopped.

The application's queue is in its memory: what waits there is lost when it stops. So new renders wait in the proxy while the
queue is worked off (``held_routes``); all else goes on until nothing is left, and only then everything is held for a moment.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._core.errors import ServiceError, StateError
from . import ongoing_work
from .node_service import Service
from .ongoing_work import Work
from .slots import SlottedService

#: A request that runs for so many seconds is a long one, whose end is awaited before others are held.
LONG = 2
#: Seconds that held requests wait for the short ones before them.
SHORT = 1.5
#: Seconds for which new renders are held at a time: who holds them may be killed.
RENEWED = 10.0
#: Seconds between two looks; an application that is asked is asked less often.
_LOOK, _ASK = 0.02, 0.25


class Drain(t.NamedTuple):
    """How long the work of an instance that ends is waited for."""

    #: Seconds.
    timeout: float
    #: Whether it is cut then; else nothing is switched.
    force: bool
    #: Whether an instance that does not answer its checks is waited for a moment only: its work will not end.
    unless_ill: bool = False
    #: Seconds for which there must be no work before it counts as done: between two renders that were asked for nothing runs for a moment.
    quiet: float = 0.0


def of_definition(service: Service) -> Drain:
    """What the service was set up with. One that an earlier version has defined without a proxy waits for nothing."""
    spec = service.spec
    return Drain(spec.get("drain_timeout", 0.0), spec.get("drain_force", True), quiet=spec.get("drain_quiet", 0.0))


def await_rest(
    service: Service,
    instance: Service,
    age: int,
    deadline: float,
    rules: Drain,
    quiet: float = 0.0,
    looked: t.Callable[[], None] = lambda: None,
) -> Work:
    """Wait until an instance works on nothing; what is left when it is to be cut.

    :param age: of requests that count, in seconds.
    :param deadline: by the monotonic clock.
    :param looked: called before each look.
    :raises StateError: when it does not come to rest in time and nothing may be cut.
    """
    since, pause = None, _ASK if ongoing_work.is_asked(service) else _LOOK
    while True:
        looked()
        work = ongoing_work.of(service, instance, age)
        since = None if work else since or time.monotonic()
        if since and time.monotonic() - since >= quiet:
            return work
        if not since and time.monotonic() > deadline:
            if rules.force:
                return work
            raise StateError(
                f"instance {instance.name}",
                f"to come to rest within {rules.timeout:g} s",
                str(work),
                "Try again later, raise mobius_drain_timeout, or set mobius_drain_force to cut them",
            )
        time.sleep(pause)


def rest(service: Service, instance: Service, rules: Drain) -> Work:
    """Wait until an instance that nobody sends new work has finished; what is left when it is to be cut.

    :raises StateError: when it does not in time.
    """
    return await_rest(service, instance, 0, time.monotonic() + rules.timeout, rules, rules.quiet)


@contextlib.contextmanager
def held(service: SlottedService, instance: Service, longest: float, rules: Drain) -> t.Iterator[Work]:
    """While the block runs new requests wait, and none is at the instance; it gets what is cut.

    :param longest: seconds that the block may take.
    :raises StateError: when the instance never comes to rest; nothing waits then.
    """
    try:
        left = _quiet_moment(service, instance, longest, time.monotonic() + rules.timeout, rules)
    except BaseException:
        with contextlib.suppress(ServiceError):
            service.proxy.release()  # one that is frozen does both when it goes on
        raise
    try:
        yield left
    finally:
        service.proxy.release()


def _quiet_moment(service: SlottedService, instance: Service, longest: float, deadline: float, rules: Drain) -> Work:
    """Hold all requests in a moment in which nothing is cut; what is cut all the same."""
    while True:
        await_rest(service, instance, LONG, deadline, rules, rules.quiet, _renders_holder(service))
        service.proxy.hold(longest + SHORT)
        try:
            return await_rest(service, instance, 0, time.monotonic() + min(SHORT, rules.timeout), rules._replace(force=False))
        except StateError:
            if rules.force and time.monotonic() > deadline:
                return ongoing_work.of(service, instance)
            service.proxy.release()


def _renders_holder(service: SlottedService) -> t.Callable[[], None]:
    """Keeps requests for new renders waiting as long as it is called again and again."""
    until = [0.0]

    def hold() -> None:
        settings = service.spec["proxy"]
        if settings and settings.get("held_routes") and time.monotonic() > until[0] - RENEWED / 2:
            service.proxy.hold(RENEWED, "renders")
            until[0] = time.monotonic() + RENEWED

    return hold
