# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The drill: a backup is restored beside the live data, compared, opened and started, and the proof of it is kept.

Every drill that begins ends with a verdict in the history and in a report, also when it fails or is stopped.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ..._backup import catalog as backup_catalog
from ..._backup.archive import extract as archive_extract
from ..._backup.archive import paths as archive_paths
from ..._backup.archive.reader import Archive
from ..._core import accounts, clock, dotenv, sparse
from ..._core.errors import InputError, OpsError, ServiceError, StateError
from ..._observe import health, probe
from ..._service import readiness
from ..._service import registry as service_registry
from ..._service.scratch import app as scratch_app
from ..._service.scratch import folder as scratch_folder
from ..._service.scratch import instance as scratch_instance
from ..._target import history, progress
from ..._target.layout import Layout
from ..._target.record_types import Check
from ..._target.releases import ReleaseStore
from .. import external_state as external_restore
from . import compare as drill_compare
from . import plan as drill_plan
from . import report
from .drill_types import Application, DrillFacts, Step
from .plan import Request

STEPS = ("verify", "extract", "compare", "database", "application")
#: How often each check is sent once the instance is ready.
REQUESTS = 3
#: Bytes beside data and code: logs, temporary files, the folders themselves.
_MARGIN = 64 * 1024 * 1024


class Drill:
    """One run. ``facts`` is the result, and what the report shows."""

    def __init__(self, layout: Layout, request: Request, meter: progress.Meter) -> None:
        self.layout = layout
        self.request = request
        self.meter = meter
        self.stack = contextlib.ExitStack()
        self.began = time.monotonic()
        self.scratch: Layout | None = None
        self.restored = ""
        self.instance: scratch_instance.Instance | None = None
        self.facts: DrillFacts = {
            "env": request.env,
            "host": os.uname().nodename,
            "who": history.who(),
            "started": clock.iso(),
            "archive": request.archive,
            "verdict": "passed",
            "step": "",
            "reason": "",
            "notes": [],
            "differences": [],
            "evidence": [],
            "databases": [],
            "application": None,
            "steps": [],
            "files": 0,
            "links": 0,
            "folders": 0,
            "bytes": 0,
        }

    def run(self, swept: list[str]) -> DrillFacts:
        """All steps, or as far as they go; then everything is cleared away and the result is kept."""
        self.facts["swept"] = swept
        with scratch_folder.limited(self.request.timeout) as quiet:
            try:
                with self.stack:
                    for name in STEPS:
                        self._step(name)
                quiet()
            except Exception as error:  # whatever it is, it is the drill's verdict
                quiet()
                self._failed(error)
            self._clear()
            self._conclude()
        return self.facts

    def _step(self, name: str) -> None:
        step: Step = {"name": name, "status": "failed"}
        self.facts["steps"].append(step)
        self.facts["step"] = name
        began = time.monotonic()
        try:
            step["status"] = getattr(self, name)() or "passed"
        finally:
            step["elapsed"] = round(time.monotonic() - began, 3)
        self.facts["step"] = ""

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, OpsError):
            reason = str(error)
        elif isinstance(error, OSError) and error.strerror:
            reason = f"{error.filename or 'the system'}: {error.strerror}."
        else:
            reason = f"{type(error).__name__}: {error}"
        more = getattr(error, "facts", {})
        self.facts["verdict"], self.facts["reason"] = "failed", reason
        self.facts["evidence"], self.facts["differences"] = more.get("evidence", []), more.get("differences", [])

    @property
    def _place(self) -> Layout:
        """Where the drill works, from its second step on."""
        return t.cast(Layout, self.scratch)

    # --- the steps, in their order

    def verify(self) -> None:
        """The sidecar, the signature where one is asked for, the environment, and every member."""
        self.facts["archive"] = path = drill_plan.choose(self.layout, self.request)
        self.archive = self.stack.enter_context(Archive(path))
        manifest = self.archive.manifest
        self.facts["created"], self.facts["release"] = manifest.get("created"), manifest.get("release")
        self.facts["components"], self.facts["size"] = manifest["components"], os.stat(path).st_size
        self.facts["sha256"], self.facts["status"] = backup_catalog.check_sidecar(self.archive, False, self.request.policy)
        if manifest["env"] not in (self.request.env, self.request.allow_env):
            raise InputError(
                f"archive {path}",
                f"a backup of env {self.request.env}",
                f"one of env {manifest['env']}",
                f"To drill it here on purpose, set allow_env to {manifest['env']}",
            )
        self.archive.verify(meter=self.meter)

    def extract(self) -> None:
        """The restore, into a folder of its own."""
        store, entries = ReleaseStore(self.layout), self.archive.entries
        release, note = drill_plan.pick_release(store, self.facts["release"])
        self.release = release if self.request.service else None
        self.facts["notes"] += [note] if note and self.request.service else []
        needed = sum(sparse.needed(entry) + 4096 for entry in entries) + scratch_app.size_of_code(self.layout, self.release) + _MARGIN
        self.scratch = scratch_folder.make(self.layout, self.request.scratch, needed)
        self.restored = self.scratch.path("restored")
        os.mkdir(self.restored)
        os.chmod(self.restored, 0o755)  # the folder around it keeps others out
        files = [entry for entry in entries if entry["type"] == "file"]
        self.meter.phase("extract", sum(entry["size"] for entry in files), len(files))
        # A database stays the single file that the archive holds, whose content is compared; the application asks for WAL itself.
        stored = [entry.copy() for entry in entries]
        for entry in stored:
            entry.pop("journal_mode", None)
        archive_extract.extract(self.archive, stored, self.restored, self.meter)

    def compare(self) -> None:
        """What is on the disk now, with the manifest."""
        entries = self.archive.entries
        self.meter.phase("compare", sum(entry["size"] for entry in entries), sum(entry["type"] != "dir" for entry in entries))
        found, facts = drill_compare.compare(entries, self.restored, self.meter), self.facts
        facts["files"], facts["links"], facts["folders"], facts["bytes"] = found["files"], found["links"], found["folders"], found["bytes"]

    def database(self) -> None:
        """Every SQLite database is opened and read, and a dump of external state is restored to a place for drills."""
        self.meter.phase("database")
        deadline = self.began + self.request.timeout
        account = accounts.owner_of(self.layout.component("database"))
        scratch_folder.let_in(self._place, account)
        opener = account if account.drops else accounts.stranger()
        files = {
            archive_paths.to_disk(entry["path"])
            for entry in self.archive.entries
            if not entry.get("sqlite") and not entry["path"].startswith("database/")
        }
        self.facts["databases"] = drill_compare.databases(self.restored, opener, deadline, self.meter, files)
        self.facts["notes"] += external_restore.tried(self.layout, self.restored, self.request.environment)

    def application(self) -> str:
        """The application is started on the restored data and asked how it is."""
        if not self.request.service:
            return "skipped"
        self.meter.phase("application")
        service = service_registry.load_deployed(self.layout, self.request.service)
        if not self.release:
            raise StateError(f"root {self.layout.root}", "a release to start", "none", "Deploy one, or leave the application out")
        self.facts["notes"] += scratch_folder.furnish(self.layout, self._place, self.restored, service.spec["user"])
        scratch_app.copy_release(self.layout, self._place, self.release)
        port = self.request.port or scratch_app.spare_port()
        spec = scratch_app.build_spec(self.layout, self._place, service.spec, self.release, port, self.request.environment)
        checks = drill_plan.redirect(self.request.checks, self.request.base_url, service.spec, port)
        self.instance = instance = scratch_instance.instance_for(self._place, spec, self.request.ready_timeout * 2 + 60)
        instance.require_port()
        told: Application = {"release": self.release, "port": port, "isolation": "unknown", "checks": []}
        self.facts["application"] = told
        self._start(instance, told, checks)
        return "passed"

    def _start(self, instance: scratch_instance.Instance, told: Application, checks: list[Check]) -> None:
        try:
            instance.start()
            told["ready_after"] = readiness.ready(instance, checks, self.release, self.request.ready_timeout)
            pid = instance.status()["pid"]
            told["isolation"] = instance.require_isolation(pid) if pid else "unknown"
            if told["isolation"] in ("user_only", "none"):
                self.facts["notes"].append(
                    "nothing kept the application from writing to live data "
                    + ("but the rights of its user" if told["isolation"] == "user_only" else "if it looks for it")
                )
            told["checks"] = samples = health.sample_all([probe.fill(check, self.release) for check in checks], REQUESTS)
            if health.outcome(samples) not in ("ok", "slow", "no_data"):
                raise ServiceError(
                    f"release {self.release} on restored data",
                    "every check to pass",
                    health.first_fault(samples),
                    "Read its last lines in the report",
                )
            if not instance.status()["pid"]:
                raise ServiceError(
                    f"release {self.release} on restored data", "to go on running", "that it ended", "Read its last lines in the report"
                )
        except OpsError as error:
            error.facts = {"evidence": instance.evidence(), **error.facts}
            raise

    # --- the end

    def _clear(self) -> None:
        """Nothing of the drill runs or lies about any more; else it has failed."""
        secrets, facts = self._redactor(), self.facts
        try:
            if self.instance:
                self.instance.stop()
            if self.scratch:
                scratch_folder.remove(self.layout, self.scratch)
        except Exception as error:
            if self.facts["verdict"] == "passed":
                self.facts["step"] = "clear"
                self._failed(error)
            else:
                self.facts["notes"].append(str(error))
        facts["reason"], facts["evidence"] = secrets.value(facts["reason"]), secrets.value(facts["evidence"])
        facts["notes"], facts["application"] = secrets.value(facts["notes"]), secrets.value(facts["application"])

    def _redactor(self) -> dotenv.Redactor:
        """Hides what the live ``.env`` and the restored one keep secret."""
        made = dotenv.Redactor(self.layout.env_file)
        for env_file in [os.path.join(self.restored, "config", ".env"), self.scratch.env_file] if self.scratch else []:
            with contextlib.suppress(OSError):
                made.add(dotenv.Redactor(env_file).secrets)
        return made

    def _conclude(self) -> None:
        facts = self.facts
        times = {step["name"]: step["elapsed"] or 0.0 for step in facts["steps"]}
        facts["steps"] += [{"name": name, "status": "not_reached", "elapsed": None} for name in STEPS[len(facts["steps"]) :]]
        facts["elapsed"] = round(time.monotonic() - self.began, 3)
        facts["recovery_time"] = None
        if facts["verdict"] == "passed":
            facts["recovery_time"] = round(sum(times[name] for name in ("verify", "extract", "application")), 3)
        facts["ended"] = clock.iso()
        facts["report"] = facts["report_json"] = ""
        try:
            report.write(self.layout, facts)
        except OSError as error:
            facts["notes"].append(f"the report could not be written: {error.strerror}")
        report.note(self.layout, facts, times)


def drill(layout: Layout, request: Request, meter: progress.Meter | None = None) -> DrillFacts:
    """Run one. :raises OpsError: only when it could not even begin; else the result has the verdict."""
    drill_plan.require(layout, request)
    with scratch_folder.alone(layout):
        return Drill(layout, request, meter or progress.Meter()).run(scratch_folder.sweep(layout))


def plan(layout: Layout, request: Request) -> DrillFacts:
    """What check mode tells: the archive is verified where it is; nothing is written."""
    drill_plan.require(layout, request)
    made = Drill(layout, request, progress.Meter())
    with made.stack:
        made.verify()
        entries = made.archive.entries
    release, note = drill_plan.pick_release(ReleaseStore(layout), made.facts["release"])
    return {
        **made.facts,
        "verdict": "planned",
        "notes": [note] if note and request.service else [],
        "swept": [],
        "application": {"release": release} if request.service else None,
        "elapsed": round(time.monotonic() - made.began, 3),
        "files": sum(entry["type"] == "file" for entry in entries),
        "bytes": sum(entry["size"] for entry in entries),
        "recovery_time": None,
        "report": "",
        "report_json": "",
    }
