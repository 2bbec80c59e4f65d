# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of maintenance is asked for, as plain JSON: a playbook and a timer on the target give the same object."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._core.errors import InputError
from .._target.layout import check_name

CADENCES = ("weekly", "monthly", "quarterly")
#: When the summary is sent: after each run; when a step failed or needs attention; not at all.
ALWAYS, ON_ATTENTION, NEVER = "always", "attention", "never"
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "")


@dataclasses.dataclass(frozen=True)
class Request:
    """A run. Times are seconds, sizes megabytes of a million bytes."""

    cadence: str
    env: str
    service: str = "mobius"
    #: Names of the steps to take; all steps of the cadence when it is empty.
    steps: tuple[str, ...] = ()
    #: Seconds for a step, and for one that reads or writes whole backups.
    step_timeout: float = 600
    long_timeout: float = 14400
    backup_dir: str = ""
    #: Hours.
    backup_max_age: float = 0
    sign_key: str = ""
    allowed_signers: str = ""
    signer: str = "mobius-backup"
    checks: tuple[dict[str, object], ...] = ()
    drill_checks: tuple[dict[str, object], ...] = ()
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    secret_headers: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    base_url: str = ""
    ready_timeout: float = 60
    #: Whether drills start the application, where, and with which further variables.
    drill_start: bool = True
    drill_scratch: str = ""
    drill_port: int = 0
    drill_environment: dict[str, object] = dataclasses.field(default_factory=dict)
    drill_allow_env: str = ""
    thresholds: dict[str, object] = dataclasses.field(default_factory=dict)
    log_files: tuple[str, ...] = ()
    log_units: tuple[str, ...] = ()
    log_slow_ms: float = 1000
    log_keep_days: int = 30
    #: Megabytes from which on a log that is still written to should have been rotated.
    log_max_mb: float = 100
    #: Days within which a full disk is worth an incident.
    disk_days: float = 30
    npm_environment: dict[str, object] = dataclasses.field(default_factory=dict)
    #: Days after which the lists of Debian's packages are too old to tell of patches.
    apt_days: float = 7
    #: Whether security patches of Debian are installed. Otherwise they are only reported.
    apply_patches: bool = False
    #: Files of certificates, and HOST:PORT where one is served.
    certificates: tuple[str, ...] = ()
    #: TCP ports that other hosts may reach.
    open_ports: tuple[int, ...] = (22, 80, 443)
    key_days: float = 365
    keys: tuple[str, ...] = ()
    #: Of systemd-analyze security, 0 to 10.
    unit_exposure: float = 7
    benchmark_requests: int = 50
    #: What a gigabyte costs for a month, and in what.
    storage_price: float = 0
    currency: str = "EUR"
    #: The day of the last training, and days after which the next one is due.
    trained: str = ""
    training_days: int = 100
    #: When people get the summary as a message, and which schedules, people and channels; the first level of severity 4 without names.
    summary: str = ALWAYS
    summary_to: tuple[str, ...] = ()
    #: What all hosts of a run share, so that they give an incident of the same cause the same id; empty for one host.
    fleet: str = ""

    @classmethod
    def read(cls, mapping: t.Mapping[str, t.Any]) -> Request:
        """The request of a JSON object; ``null`` stands for the default. Numbers and switches may be texts.

        :raises InputError: when a name is unknown, one is missing, or a value does not fit.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(mapping) - set(fields))
        if unknown:
            raise InputError(f"maintenance: {unknown[0]}", "one of " + ", ".join(fields), repr(unknown[0]), "Correct the name")
        given = {name: _value(name, str(fields[name].type), value) for name, value in mapping.items() if value is not None}
        for name in ("cadence", "env"):
            if not given.get(name):
                raise InputError(f"maintenance: {name}", "a text", "none", "Give it")
        return _checked(cls(**given))


def _checked(made: Request) -> Request:
    if made.cadence not in CADENCES:
        raise InputError("cadence", " or ".join(CADENCES), repr(made.cadence), "Correct mobius_cadence")
    if made.summary not in (ALWAYS, ON_ATTENTION, NEVER):
        raise InputError("summary", f"{ALWAYS}, {ON_ATTENTION} or {NEVER}", repr(made.summary), "Correct mobius_maintenance_summary")
    check_name(made.env, "env")
    check_name(made.service, "service name")
    for name in ("step_timeout", "long_timeout", "ready_timeout", "log_slow_ms", "log_max_mb", "log_keep_days", "benchmark_requests"):
        if getattr(made, name) <= 0:
            raise InputError(name, "a number above 0", f"{getattr(made, name):g}", "Correct it")
    if made.trained:
        try:
            datetime.date.fromisoformat(made.trained)
        except ValueError:
            raise InputError("trained", "a day such as 2026-11-27", repr(made.trained), "Correct mobius_maintenance_trained") from None
    return made


def _value(name: str, kind: str, value: t.Any) -> t.Any:
    try:
        return _READERS[kind](value)
    except (TypeError, ValueError):
        raise InputError(f"maintenance: {name}", _WORDS[kind], repr(value)[:80], "Correct it") from None


def _text(value: t.Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _switch(value: t.Any) -> bool:
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError
    return word in _TRUE


def _whole(value: t.Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError
    return int(value)


def _number(value: t.Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    found = float(value)
    if not abs(found) < 2**53:  # not a number, and infinity
        raise ValueError
    return found


def _mapping(value: t.Any) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError
    return dict(value)


def _list(of: t.Callable[[t.Any], t.Any]) -> t.Callable[[t.Any], tuple[t.Any, ...]]:
    def read(value: t.Any) -> tuple[t.Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise TypeError
        return tuple(map(of, value))

    return read


_READERS: dict[str, t.Callable[[t.Any], t.Any]] = {
    "str": _text,
    "bool": _switch,
    "int": _whole,
    "float": _number,
    "dict[str, object]": _mapping,
    "dict[str, str]": _mapping,
    "tuple[str, ...]": _list(_text),
    "tuple[int, ...]": _list(_whole),
    "tuple[dict[str, object], ...]": _list(_mapping),
}
_WORDS = {
    "str": "a text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "dict[str, object]": "an object",
    "dict[str, str]": "an object",
    "tuple[str, ...]": "a list of texts",
    "tuple[int, ...]": "a list of whole numbers",
    "tuple[dict[str, object], ...]": "a list of objects",
}
