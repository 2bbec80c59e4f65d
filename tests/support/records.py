# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A root with every record that the collection keeps, and every module that reads one."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._backup import external_state
from ansible_collections.mobius.ops.plugins.module_utils._cleanup import journal
from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, fs
from ansible_collections.mobius.ops.plugins.module_utils._deploy import assets
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import canaries
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import state
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._people import plan
from ansible_collections.mobius.ops.plugins.module_utils._people import service as people_service
from ansible_collections.mobius.ops.plugins.module_utils._schedule import record as schedule_record
from ansible_collections.mobius.ops.plugins.module_utils._schedule import series as schedule_series
from ansible_collections.mobius.ops.plugins.module_utils._service import definition, ongoing_work
from ansible_collections.mobius.ops.plugins.module_utils._service import node_service as service_node_service
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock as target_deploy_lock
from ansible_collections.mobius.ops.plugins.module_utils._target import history, incidents, restore_journal, shared_folders
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders as watch_folders
from ansible_collections.mobius.ops.plugins.module_utils._watch import latency_baseline
from ansible_collections.mobius.ops.plugins.module_utils._watch import watcher as watch_watcher
from ansible_collections.mobius.ops.plugins.modules import (
    alert_response,
    backup,
    backup_drill,
    backup_info,
    backup_prune,
    backup_restore,
    canary,
    deploy_lock,
    host_metrics,
    incident,
    incident_info,
    layout,
    log_report,
    maintenance,
    monitor,
    node_service,
    node_service_info,
    notify,
    preflight,
    release,
    release_info,
    release_migration,
    storage_cleanup,
    upkeep_info,
    watch_report,
)
from support import module_args

WATCH = {
    "service": "mobius",
    "duration": 60.0,
    "interval": 60.0,
    "retry_interval": 1.0,
    "initial_delay": 0.0,
    "failure_threshold": 3,
    "error_threshold": 5,
    "restart_limit": 3,
    "recovery_threshold": 2,
    "auto_rollback": True,
    "ready_timeout": 1.0,
    "env": "local",
    "requests": 1,
    "metrics_interval": 0.0,
    "thresholds": {},
    "keep": 0,
}
DOWN = [{"name": "h", "url": "http://127.0.0.1:1/", "timeout": 1}]
PEOPLE: dict[str, t.Any] = {"contacts": {"channels": {"mail": {}, "room": {}}}, "oncall": {}, "escalation": {"2": [{"notify": ["mail"]}]}}
SETUP = {"name": "mobius", "manager": "process", "command": ["true"], "host": "127.0.0.1"}


def release_of(store: ReleaseStore, name: str, status: str = "verified") -> None:
    """A release that is newer than all others, and serves."""
    os.makedirs(store.layout.release(name))
    store.save(store.new_record(id=name, version=name, source="test", sha256="0" * 64, status=status, activated="2026-01-01T00:00:00Z"))
    history.record(store.layout, "active", release=name, previous=store.live())
    store.point(name)


def fill(place: Layout, service: service_node_service.Service, checks: list[dict[str, t.Any]]) -> None:
    """Write every record but those of running processes."""
    shared_folders.save(place, shared_folders.normalize(None))
    fs.write_json(external_state.kept(place), external_state.normalize(None, "mobius", True))
    ongoing_work.save_check(service, {**checks[0], "jobs": "jobs"})
    fs.write_json(latency_baseline._path(place), {"release": "r1", "when": "2026-01-01T00:00:00Z", "checks": {"h": [1.0, 2.0]}})
    fs.write_json(canaries._path(place), {"created": "2026-01-01T00:00:00Z", "release": "r1", "values": {"a": 1}, "uploaded": {}})
    fs.write_json(place.path("state", "drill.json"), {"scratch": os.path.join(place.root, ".drill-20260101_000000-00000000")})
    assets.own(place, "r2", ["client"])
    incidents.open_incident(place, {"title": "It is down", "severity": 2, "env": "local", "evidence": {"console": ["a line"]}})
    maintained(place)
    page(place)


def maintained(place: Layout) -> None:
    """Let maintenance have run."""
    past = state.Past({"weekly": "2026-01-01T00:00:00Z"}, samples=(state.Used("2026-01-01", "/", 1, 2),))
    state.save(place, past.with_step("cost", "done", ["a"], {"storage_bytes": 1.0}))


def page(place: Layout) -> None:
    """Page the open incidents through a channel that has no URL, so that nothing is sent."""
    plan.configure(place, {**PEOPLE, "env": "local", "host": "h", "link": "", "urls_file": ""}, {"room": "json://127.0.0.1:1"}, False)
    people_service.escalated(place, send=lambda *words: "")


def scheduled(place: Layout) -> None:
    """Let the host have done a job by itself, and looked at its disks."""
    jobs = {name: schedule_record.Planned("daily", 86400.0, "2026-01-01T00:00:00Z", {}) for name in ("backup", "metrics")}
    schedule_record.save(place, schedule_record.Schedule("local", "mobius", "none", jobs))
    schedule_record.note(
        place,
        schedule_record.Run(
            "backup",
            "2026-01-01T00:00:00Z",
            99999999,
            7,
            "2026-01-01T00:00:01Z",
            "backed_up",
            "a.zip.",
            True,
            1.0,
            0,
            "2026-01-01T00:00:01Z",
        ),
    )
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    schedule_series.keep(place, at, "running", 1.0, [{"metric": "disk_used_bytes", "subject": "/", "value": 7}], 90)


def quarantine(place: Layout) -> None:
    """Let a file be in quarantine."""
    journal.make_quarantine(place.quarantine, accounts.own())
    path = os.path.join(place.quarantine, journal.FILES, "r-1")
    fs.write_text(path, "a file")
    entry = journal.Entry("r-1", "uploads", "a.png", "uploads", 6, os.stat(path).st_mtime_ns, "0" * 64, "none.zip")
    journal.save(place, journal.Run("r", "2026-01-01T00:00:00Z", place.quarantine, (entry,)))


def hold(place: Layout) -> None:
    """Let somebody hold the deploy lock."""
    target_deploy_lock.DeployLock(place).hold(
        {"owner": "ada", "reason": "test", "env": "local", "host": "laptop", "process": "", "expiry": 1e6}
    )


def root(place: Layout) -> str:
    """A root of which nothing runs, with every record; the archive of a backup in it."""
    for folder in place.folders():
        os.makedirs(folder, exist_ok=True)
    store = ReleaseStore(place)
    release_of(store, "r1")
    release_of(store, "r2")
    params = {
        **SETUP,
        "port": 1,
        "user": None,
        "environment": None,
        "stop_timeout": 1.0,
        "restart_delay": 1.0,
        "restart_limit": 3,
        "restart_window": 60.0,
        "proxy_port": None,
        "drain_timeout": 1.0,
        "drain_force": False,
        "job_programs": [],
    }
    service = service_registry.service_for(place, definition.build_spec(place, params))
    service.save()
    fs.write_json(
        os.path.join(service.folder, "status.json"),
        {
            "state": "failed",
            "restarts": 3,
            "pid": 99999999,
            "ticks": 7,
            "supervisor_pid": 99999998,
            "supervisor_ticks": 8,
            "console_from": 0,
            "started": "2026-01-01T00:00:00Z",
            "last_exit": {"when": "2026-01-01T00:00:00Z", "how": "exit status 3"},
            "app_path": "bound",
        },
    )
    fs.write_json(
        os.path.join(service.folder, "started.json"), {"names": ["A"], "settings": {"command": ["true"]}, "unit": "0", "process": [7, 8]}
    )
    checks = health.normalize_all(DOWN)
    fill(place, service, checks)
    watcher = watch_watcher.Watcher(watch_folders.create(place, {**WATCH, "checks": checks}))
    watcher.record.save(status="finished", verdict="healthy", pid=99999997)
    watcher.record.metrics("round", round=1, outcome="ok", release="r2", restarts=0, fault="", evidence=[], memory_mb=1.0, checks=[])
    archive = in_process(backup, {"root": place.root, "env": "local"})["archive"]
    begun = restore_journal.Journal.begin(
        place,
        archive=archive,
        env="local",
        components=["uploads"],
        sign_key=None,
        made=None,
        service=None,
        wanted=False,
        previous=None,
        target=None,
    )
    begun.update(safety={}, since=0, swaps=[])
    fs.write_json(
        place.path("state", "responses.json"),
        [
            {
                "when": "2026-01-01T00:00:00Z",
                "alert": "Down",
                "cause": "loop",
                "actions": ["restart"],
                "outcome": "mended",
                "incident": "INC-1",
            }
        ],
    )
    quarantine(place)
    scheduled(place)
    hold(place)
    return str(archive)


def in_process(module: t.Any, args: dict[str, t.Any], check: bool = False) -> dict[str, t.Any]:
    """The result of a module that runs in this process; whatever it raises comes out of it."""
    output = io.StringIO()
    with module_args.given({**args, "_ansible_check_mode": check}), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        module.main()
    result: dict[str, t.Any] = json.loads(output.getvalue())
    return result


def no_sentence(result: dict[str, t.Any]) -> str:
    """What is wrong with the message of a module that failed; empty when nothing is, or when it did not fail."""
    message = result.get("msg") or ""
    bad = result.get("failed") and ("\n" in message or ": " not in message or "Error(" in message or "exception" in result)
    return f"no sentence: {message}" if bad else ""


def newest(root: str) -> str:
    """The id of an incident."""
    return max(name for name in os.listdir(os.path.join(root, "incidents")) if name.endswith(".json"))[: -len(".json")]


def calls(root: str, port: int, archive: str) -> dict[str, tuple[t.Any, dict[str, t.Any], bool]]:
    """Name -> module, arguments, and whether it may only be run in check mode: it would change much or start processes."""
    env = "local"
    watched = {"root": root, "env": env, "checks": DOWN, "requests": 1}
    return {
        "release_info": (release_info, {"root": root}, False),
        "node_service_info": (node_service_info, {"root": root}, False),
        "backup_info": (backup_info, {"root": root, "env": env}, False),
        "watch_report": (watch_report, {"root": root}, False),
        "watch followed": (monitor, {"root": root, "state": "followed"}, False),
        "watch stopped": (monitor, {"root": root, "state": "stopped", "env": env}, False),
        "watch started": (monitor, {**watched, "state": "started"}, True),
        "baseline": (monitor, {**watched, "state": "baseline"}, True),
        "lock held": (
            deploy_lock,
            {"root": root, "state": "held", "owner": "x", "env": env, "host": "h", "process": "p", "reason": "t"},
            True,
        ),
        "lock free": (deploy_lock, {"root": root, "state": "free", "token": "x"}, False),
        "preflight": (preflight, {"root": root, "env": env, "encoders": [], "programs": {}, "lock": True}, False),
        "host_metrics": (host_metrics, {"root": root, "service": "mobius", "window": 0.01}, False),
        "layout": (layout, {"root": root}, True),
        "maintenance": (maintenance, {"root": root, "request": {"cadence": "quarterly", "env": env, "steps": ["training"]}}, False),
        "logs": (log_report, {"root": root, "page": True}, True),
        "setup": (node_service, {"root": root, **SETUP, "port": port}, True),
        "stop": (node_service, {"root": root, "name": "mobius", "state": "stopped"}, True),
        "roll back": (release, {"root": root, "state": "rolled_back", "service": "mobius", "checks": DOWN, "ready_timeout": 0.1}, True),
        "prune": (release, {"root": root, "state": "pruned"}, True),
        "migration": (release_migration, {"root": root, "release_id": "r2"}, True),
        "backup": (backup, {"root": root, "env": env}, True),
        "settle": (backup_restore, {"root": root, "env": env}, False),
        "settle, look": (backup_restore, {"root": root, "env": env}, True),
        "restore": (backup_restore, {"root": root, "env": env, "archive": archive, "safety_backup": False}, True),
        "backup_prune": (backup_prune, {"root": root, "env": env, "keep_last": 1}, True),
        "drill": (backup_drill, {"root": root, "env": env}, True),
        "canary": (canary, {"root": root, "base_url": "http://127.0.0.1:1", "leave": [{"url": "/x"}], "look": [{"url": "/x"}]}, True),
        "cleanup": (storage_cleanup, {"root": root, "env": env, "kinds": ["logs"]}, True),
        "cleanup purged": (storage_cleanup, {"root": root, "env": env, "state": "purged", "kinds": ["logs"]}, False),
        "cleanup restored": (storage_cleanup, {"root": root, "env": env, "state": "restored", "paths": ["uploads/a.png"]}, True),
        "incident": (incident, {"root": root, "env": env, "title": "x", "severity": 3}, True),
        "acknowledge": (incident, {"root": root, "env": env, "state": "acknowledged", "id": newest(root)}, True),
        **{
            f"incident {state}": (incident, {"root": root, "env": env, "state": state, "id": newest(root), "why": "t"}, True)
            for state in ("updated", "escalated", "resolved", "reopened")
        },
        "incidents": (incident_info, {"root": root, "show": "all"}, False),
        "incident shown": (incident_info, {"root": root, "id": newest(root)}, False),
        "alert": (alert_response, {"root": root, "env": env, "alert": "Down", "window": 0.1}, True),
        "escalate": (notify, {"root": root}, False),
        "upkeep": (upkeep_info, {"root": root, "window": 0}, False),
        "outbox": (notify, {"root": root, "state": "listed"}, False),
        "contacts": (notify, {"root": root, "state": "configured", "env": env, "host": "h", **PEOPLE}, True),
    }
