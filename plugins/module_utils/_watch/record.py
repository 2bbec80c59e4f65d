# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a watch writes down: its state, its log, its metrics. Pieces that a full disk refuses do not end the watch."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import threading
import typing as t

from .._core import clock, dotenv, foreign, fs, wording
from .._core.errors import OpsError
from .._incidents import opening
from .._logs import run as logs_run
from .._service.node_service import Service
from .._target import history, incident_log, incidents, records
from .._target.record_types import Release, WatchSpec
from .folders import WatchFolder
from .watch_types import WatchState, WatchSummary

#: Megabytes of logs that are read for new errors, beside what the last report has read; and templates that are named.
_LOG_MB, _TEMPLATES = 200, 10
#: Seconds that the verdict waits for pages.
PAGED_WITHIN = 5.0


class Record:
    """The files of one watch. Values of the application's ``.env`` are hidden in all of them."""

    def __init__(self, folder: WatchFolder, spec: WatchSpec, state: WatchState) -> None:
        self.folder, self.spec, self.state = folder, spec, state
        self.redactor = dotenv.Redactor(folder.layout.env_file)
        self.paging: threading.Thread | None = None

    @contextlib.contextmanager
    def best_effort(self) -> t.Iterator[None]:
        """What cannot be written down must not end the watch: it decides from memory."""
        try:
            yield
        except (OSError, OpsError) as error:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"{clock.iso()} not written: {error}\n")

    def log(self, level: str, text: str) -> None:
        """One line of the log that operators follow."""
        with self.best_effort():
            fs.append_line(self.spec["log_file"], f"{clock.iso()} {level} {wording.one_line(self.redactor.text(text))}")

    def metrics(self, what: str, **facts: t.Any) -> None:
        """One line of the metrics file: a ``round``, a look at the ``host``, or a ``mark``."""
        line = {"when": clock.iso(), "what": what, **self.redactor.value(facts)}
        with self.best_effort():
            fs.append_line(self.spec["metrics_file"], json.dumps(line, sort_keys=True))

    def mark(self, name: str, level: str, text: str) -> None:
        """Something that happened to the watch, in log and metrics."""
        self.log(level, text)
        self.metrics("mark", mark=name, text=text)

    def save(self, **facts: t.Any) -> None:
        """Add facts to the state and put it on disk."""
        self.state.update(t.cast(WatchState, facts))
        with self.best_effort():
            self.folder.save_state(
                {**self.state, "trigger": self.redactor.text(self.state["trigger"]), "recent": self.redactor.value(self.state["recent"])}
            )

    def new_errors(self) -> list[str]:
        """Error templates that the logs have only since the release was put into service, as lines; those of the watch are noted once."""
        with self.best_effort():
            release = self.release()
            rows = logs_run.first_seen(
                self.folder.layout, self.spec["service"] or "", (release and release.get("activated")) or self.state["started"], _LOG_MB
            )
            known = {one["template"] for one in self.state.get("new_errors") or []}
            found = [{name: row[name] for name in ("template", "count", "first")} for row in rows[:_TEMPLATES]]
            for one in found:
                if one["template"] not in known:
                    self.mark("new_error", "WARN", f"an error that is new since the deploy, {one['count']} times: {one['template']}")
            self.save(new_errors=found)
        return [f"{one['count']} times since {one['first']}: {one['template']}" for one in self.state.get("new_errors") or []]

    def release(self) -> Release | None:
        """The record of the release that is watched; ``None`` when there is none that can be read."""
        path = os.path.join(self.folder.layout.releases, self.state["release"] or "", ".release.json")
        found: Release | None = records.Findings().without(lambda: records.read(path, records.RELEASE), None)
        return found

    def incident(
        self, severity: int, title: str, summary: str, service: Service | None, cause: str = "", rolled_back: bool = False, **more: t.Any
    ) -> None:
        """Open an incident with the evidence at hand, then let it gather the rest.

        :param cause: a key of the cause; that of the release by default.
        :param rolled_back: whether the release was rolled back, to one that was found healthy.
        """
        layout, release, errors = self.folder.layout, self.release(), self.new_errors()
        with self.best_effort():
            record = incidents.open_incident(
                layout,
                {
                    "title": title,
                    "severity": severity,
                    "env": self.spec["env"],
                    "release": self.state["release"],
                    "summary": summary,
                    "cause": cause or incidents.of_release(self.state["release"]),
                    "fleet": self.spec.get("fleet") or "",
                    "rollback": rolled_back,
                    "reached": [incident_log.STABILITY] if rolled_back else [],
                    "evidence": {
                        "trigger": summary,
                        "samples": self.state["recent"],
                        "log_file": self.spec["log_file"],
                        "metrics_file": self.spec["metrics_file"],
                        "backup": release.get("backup") if release else None,
                        "application_log": foreign.tail(os.path.join(layout.component("logs"), "app.log"), 20),
                        "console": service.evidence() if service else [],
                        **({"new_errors": errors} if errors else {}),
                        **more,
                    },
                },
            )
            self.log("WARN", f"incident {record['id']} (severity {severity}) is open: {title}")
            self.save(incident=record["id"])
            opening.complete(layout, record)
            self.paging = threading.Thread(target=self._page, args=(record["id"],))  # a channel that hangs delays no round
            self.paging.start()

    def _page(self, incident_id: str) -> None:
        missed = opening.page(self.folder.layout)
        if missed:
            self.log("WARN", f"nobody was paged for {incident_id}: {missed}")

    def paged(self) -> None:
        """Wait until the last incident was paged, for some seconds only. The process itself ends after that in any case."""
        if self.paging:
            self.paging.join(PAGED_WITHIN)

    def rotate(self, keep: int) -> int:
        """Remove logs, metrics and state of all but the newest *keep* watches of this environment, this one among them; how many."""
        removed = 0
        for watch in sorted(os.listdir(os.path.dirname(self.folder.path)))[:-keep] if keep > 0 else []:
            shutil.rmtree(os.path.join(os.path.dirname(self.folder.path), watch), ignore_errors=True)
        for prefix in ("monitor", "metrics"):
            mine = re.compile(re.escape(f"{prefix}-{self.spec['env']}-") + r"\d{8}_\d{6}\.\w+")
            names = sorted(name for name in os.listdir(self.folder.layout.monitor_logs) if mine.fullmatch(name))
            for name in names[:-keep] if keep > 0 else []:
                with self.best_effort():
                    os.unlink(self.folder.layout.path("monitor_logs", name))
                    removed += 1
        return removed

    def note(self, verdict: str, trigger: str, samples: WatchSummary) -> None:
        """The watch into the history."""
        history.record(
            self.folder.layout,
            "watch",
            self.redactor.text(trigger),
            verdict=verdict,
            release=self.state["release"],
            elapsed=(clock.now() - clock.parse(self.state["started"])).total_seconds(),
            samples=samples,
            log_file=self.spec["log_file"],
            metrics_file=self.spec["metrics_file"],
            incident=self.state["incident"],
            watch=self.folder.id,
        )
