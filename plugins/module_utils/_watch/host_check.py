# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The look at the host that a watch takes now and then (runbook: "Check system metrics every 15 minutes")."""

from __future__ import annotations

import time

from .._core.errors import OpsError
from .._observe import host_metrics, thresholds
from .._service.node_service import Service
from .record import Record
from .watch_types import Process


class HostLook:
    """Looks at once, and then each ``metrics_interval`` seconds of the watch's definition; never with 0."""

    def __init__(self, record: Record, service: Service | None) -> None:
        self.record, self.service = record, service
        self.interval = record.spec.get("metrics_interval", 0)
        self.next = time.monotonic() if self.interval > 0 else float("inf")
        self.critical: set[tuple[str, str]] = set()
        self.told = False

    def take(self, facts: Process) -> None:
        """Look when it is time. What is critical twice in a row opens one incident: it is no matter of the release, so nothing is rolled
        back for it. Once may be the deploy itself, which has just used the processor.

        :param facts: what the service's status says.
        """
        if time.monotonic() < self.next:
            return
        self.next += self.interval
        try:
            found = host_metrics.collect(
                {
                    "window": 1.0,
                    "mounts": host_metrics.places(self.record.folder.layout),
                    "pid": facts.get("pid"),
                    "restarts": facts.get("restarts"),
                    "thresholds": thresholds.merge(self.record.spec.get("thresholds")),
                }
            )
        except (OpsError, OSError) as error:
            self.record.log("WARN", f"host metrics unknown: {error}")
            return
        self.record.metrics("host", **found)
        self.record.save(host=found["status"])
        faulty = [metric for metric in found["metrics"] if metric["status"] in ("warning", "critical")]
        told = "; ".join(
            " ".join(str(part) for part in (each["metric"], each["subject"], each["value"], each["unit"], each["status"]) if part != "")
            for each in faulty
        )
        self.record.log("WARN" if faulty else "INFO", f"host metrics {found['status']}" + (f": {told}" if told else ""))
        critical = {(metric["metric"], metric["subject"]) for metric in faulty if metric["status"] == "critical"}
        before, self.critical = self.critical, critical
        if before & self.critical and not self.told:
            self.told = True
            self.record.incident(
                3,
                "The host is short of something",
                f"{told}. " + " ".join(metric["todo"] for metric in faulty),
                self.service,
                cause="host",
                host=found["metrics"],
            )
