# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The records of ``_target.records``, and the checks in them, for mypy: at run time each of them is a dictionary.

What a record has to be like is checked when it is read, by the shapes there; a test compares both.
Fields of a second class may be missing, in a record of an older version for one.
"""

from __future__ import annotations

import typing as t

from .._core.kinds import Exit


class _Check(t.TypedDict):
    name: str
    url: str


class Check(_Check, total=False):
    """A health check in its full form (``_observe.probe.normalize``); times in seconds, but ``max_ms`` in milliseconds."""

    method: str
    headers: dict[str, str]
    body: str | None
    status: list[int]
    contains: str
    json: list[str]
    timeout: float
    max_ms: float | None
    redirects: int
    attempts: int
    backoff: float
    ca: str | None
    client_cert: str | None
    client_key: str | None
    proxy: str | None
    validate_certs: bool
    secrets: list[str]


class JobCheck(Check):
    """The question for running jobs, and the expression that finds them in the answer."""

    jobs: str


class _ProxySettings(t.TypedDict):
    host: str
    port: int
    certificate: str
    max_body: int
    max_connections: int
    timeout: float
    url: str


class ProxySettings(_ProxySettings, total=False):
    """The proxy in front of two instances; ``max_body`` in megabytes, times in seconds."""

    check_port: int | None
    held_routes: list[str]


class _Service(t.TypedDict):
    name: str
    manager: str
    command: list[str]
    working_dir: str
    environment: dict[str, str]
    env_file: str
    port: int
    host: str
    user: str | None
    console_log: str
    stop_timeout: float
    restart_delay: float
    restart_limit: int
    restart_window: float
    writable: list[str]


class WorkRules(t.TypedDict, total=False):
    """How a service's work is known, and how long it is waited for, in seconds."""

    drain_timeout: float
    drain_force: bool
    drain_quiet: float
    job_programs: list[str] | None
    job_id_pattern: str | None


class Limits(t.TypedDict, total=False):
    """The limits of a unit, in the words of systemd."""

    memory_max: str | None
    memory_high: str
    cpu_quota: str
    cpu_weight: str
    io_weight: str
    tasks_max: str


class TwoInstances(t.TypedDict, total=False):
    """The ports of two instances, what they may share, and the proxy in front of them."""

    slots: list[int] | None
    state: str
    proxy: ProxySettings | None


class ServiceSpec(_Service, WorkRules, TwoInstances, Limits, total=False):
    """The definition of a service; times in seconds."""

    app: str | None
    not_while: str | None
    boot_unit: str | None
    privileged_port: bool
    unit: str | None


class Started(t.TypedDict, total=False):
    """What a start of a service used: names of variables, settings, the digest of its unit, and the process that it became."""

    names: list[str]
    settings: dict[str, object]
    unit: str
    process: list[int | None] | None


class Supervised(t.TypedDict, total=False):
    """What the supervisor of a service noted; empty where there is none."""

    state: str
    pid: int | None
    ticks: int | None
    restarts: int
    supervisor_pid: int | None
    supervisor_ticks: int | None
    started: str | None
    console_from: int
    app_path: str
    last_exit: Exit | None


class Migrated(t.TypedDict, total=False):
    """A release's migration: its commands, the seconds that they may take, how far it is, and the hosts that the data is shared with."""

    up: list[str]
    down: list[str]
    timeout: float
    state: str
    when: str
    others: list[str]


class _Release(t.TypedDict):
    id: str
    sequence: int
    status: str
    created: str
    activated: str | None
    verified: str | None
    migration: str


class Release(_Release, total=False):
    """The record of a release."""

    backup: str | None
    failed_reason: str | None
    version: str | None
    sha256: str | None
    source: str | None
    committed: str | None
    migrated: Migrated | None


class _Watch(t.TypedDict):
    id: str
    env: str
    root: str
    service: str | None
    checks: list[Check]
    log_file: str
    metrics_file: str
    auto_rollback: bool
    duration: float
    interval: float
    retry_interval: float
    failure_threshold: int


class WatchSpec(_Watch, total=False):
    """The definition of a watch; times in seconds, but those in ``…_ms``."""

    unit: str | None
    initial_delay: float
    ready_timeout: float
    keep: int
    requests: int
    drain_timeout: float
    thresholds: dict[str, object] | None
    metrics_interval: float
    error_threshold: int
    restart_limit: int
    error_rate_pct: float
    latency_pct: float
    latency_floor_ms: float
    window_failures: int
    window_rounds: int
    memory_mb: float
    recovery_threshold: int
    fleet: str | None


class Lock(t.TypedDict):
    """The record of a deploy lock; ``expiry`` in seconds, ``at`` in seconds since the boot."""

    owner: str
    reason: str
    env: str
    host: str
    process: str
    since: str
    heartbeat: str
    expires: str
    token: str
    boot: str
    expiry: float
    at: float


class _SharedFolder(t.TypedDict):
    path: str
    component: str


class SharedFolder(_SharedFolder, total=False):
    """A folder that all releases share; in its full form (``_target.shared_folders.normalize``) it has all fields."""

    folder: str
    create: list[str]


class _Event(t.TypedDict):
    when: str
    what: str


class Event(_Event, total=False):
    """An event of the history; ``elapsed`` in seconds, ``target`` the release that was gone back to."""

    who: str
    why: str
    env: str
    release: str | None
    previous: str | None
    verdict: str | None
    incident: str | None
    archive: str | None
    safety_backup: str | None
    log_file: str | None
    metrics_file: str | None
    watch: str | None
    serving: str | None
    report: str | None
    committed: str | None
    sha256: str | None
    migration: str | None
    target: str | None
    elapsed: float


class IncidentEvent(_Event, total=False):
    """An event of an incident; ``severity`` 1 to 4, ``level`` of an escalation from 1."""

    who: str
    why: str
    title: str
    summary: str
    affected: str
    done: str
    severity: int
    level: int
    channels: list[str]
    reached: list[str]
    itself: bool


class _Noted(t.TypedDict):
    when: str


class Noted(_Noted, total=False):
    """When, by whom and why something was noted."""

    who: str
    why: str


class Incident(t.TypedDict, total=False):
    """The record of an incident."""

    id: str
    path: str
    env: str
    release: str | None
    opened: str
    opened_by: str
    evidence: dict[str, object] | None
    acknowledged: Noted | None
    cause: str | None
    fleet: str | None
    rollback: str | None
    events: list[IncidentEvent]
    title: str
    summary: str
    severity: int
    severity_name: str
    status: str
    escalation: str
    channel: str
    resolved: str | None
    respond_by: str


class _Phase(t.TypedDict):
    number: int


class Phase(_Phase, total=False):
    """A phase of work in the background."""

    name: str
    bytes: int
    files: int
    total_bytes: int
    total_files: int
    seconds: float


class Progress(t.TypedDict):
    """How far work in the background is, and the process that does it."""

    pid: int
    ticks: int | None
    phases: list[Phase]
