# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a service that was started has become ready: its process runs the release, and every check is well."""

from __future__ import annotations

import time
import typing as t

from .._core import addresses, dotenv, processes
from .._core.errors import ServiceError
from .._observe import health, node_exceptions, probe
from .._observe.samples import Sample
from .._target.record_types import Check
from . import write_attempts
from .node_service import Service

#: A service that ended this often while it was waited for will not become ready.
CRASHES = 3


def ready(service: Service, checks: list[Check], release_id: str | None, timeout: float) -> float:
    """Wait until the service runs, and every check is well; seconds that it took.

    :param checks: normalized checks; ``{release}`` in them is the release that has to answer. Without any, the port
        has to answer.
    :raises ServiceError: with what was found and the last lines that the service printed.
    """
    began = time.monotonic()
    redactor = dotenv.Redactor(service.spec["env_file"])
    filled = probe.of_release(checks, release_id, redactor.secrets)

    def give_up() -> str:
        facts = service.status()
        if facts["status"] in ("failed", "stopped", "killed") or facts["restarts"] >= CRASHES:
            last = facts["last_exit"]
            return f"the service {facts['status']}, ended {facts['restarts'] or 1} times" + (f" (last: {last['how']})" if last else "")
        return ""

    samples: list[Sample] = []
    if filled:
        well, samples, reason = health.wait_for(filled, timeout, give_up=give_up)
    else:
        well, reason = _port_answers(service, timeout, give_up)
    facts = service.status()
    if well and not facts["pid"]:
        well, reason = False, "its process does not run: another program answers the checks"
    elif well and release_id and facts["release"] not in (release_id, None):
        well, reason = False, f"release {facts['release']} answers instead"
    if not well:
        raise _refusal(service, release_id, reason, _cause(service, samples, redactor), health.remedy(samples, filled), redactor)
    return round(time.monotonic() - began, 2)


def _refusal(service: Service, release_id: str | None, reason: str, cause: str, remedy: str, redactor: dotenv.Redactor) -> ServiceError:
    """The error: the cause first, then what was found, what to set, and where to read on."""
    attempts = write_attempts.of(service)
    error = ServiceError(
        f"release {release_id or 'of service ' + service.name} on port {service.port}",
        "every readiness check to pass",
        f"{cause}; {reason}" if cause else reason,
        (remedy + ". " if remedy else "") + f"Its last lines are in this result and in {service.log}",
        {"evidence": redactor.value(service.evidence()), "log": service.log, "write_attempts": attempts},
    )
    error.then(write_attempts.told(attempts))
    return error


def _cause(service: Service, samples: list[Sample], redactor: dotenv.Redactor) -> str:
    """What the application printed about it, without secrets, which are hidden before anything is cut; empty when its answer says more."""
    facts, answered = service.status(), any(sample["status"] and sample["status"] < 500 for sample in samples)
    if answered and facts["pid"] and not facts["restarts"]:
        return ""
    ended, printed = not facts["pid"] or facts["restarts"], redactor.text(service.printed())
    return (node_exceptions.ending if ended else node_exceptions.last)(printed, service.place())


def end_of(service: Service, samples: list[Sample], redactor: dotenv.Redactor) -> str:
    """Why the application ended, when it refused a connection of some samples because it had; empty otherwise."""
    facts = service.status()
    if not any(sample["kind"] in ("refused", "closed") for sample in samples) or (facts["pid"] and not facts["restarts"]):
        return ""
    return node_exceptions.ending(redactor.text(service.printed()), service.place())


def _port_answers(service: Service, timeout: float, give_up: t.Callable[[], str]) -> tuple[bool, str]:
    deadline = time.monotonic() + timeout
    while not processes.port_answers(service.port, addresses.to_ask(service.spec["host"])):
        reason = give_up() or ("" if time.monotonic() < deadline else f"port {service.port} does not answer within {timeout:g} s")
        if reason:
            return False, reason
        time.sleep(0.1)
    return True, ""
