"""A result of the module log_report, for what lays it out."""

from __future__ import annotations

import typing as t


def error(**more: t.Any) -> dict[str, t.Any]:
    """A group of errors."""
    return {
        "template": "render <id> failed",
        "count": 40,
        "sources": {"/l/app.log": 40},
        "sample": "render 7 failed",
        "first": "2026-11-26T08:00:00Z",
        "last": "2026-11-26T09:00:00Z",
        "release": "v2",
        "first_release": "v1",
        "incident": "INC-20261126-1",
        "upload": False,
        "new": True,
        **more,
    }


def result(**more: t.Any) -> dict[str, t.Any]:
    """Everything that the module tells, of one log."""
    answered = {"source": "/l/app.log", "route": "GET /api/projects/:id", "status": "500", "count": 4}
    points = [
        {"when": f"2026-11-26T{hour:02}:00:00Z", "requests": 40 + hour, "failed": hour % 3, "refused": 1, "errors": hour % 5}
        for hour in range(24)
    ]
    return {
        "message": "2 error templates.",
        "host": "web1",
        "lines": 1000,
        "sampled": True,
        "report": "/opt/mobius/reports/logs.html",
        "period": {"since": "", "first": "2026-11-26T00:00:00Z", "last": "2026-11-26T23:00:00Z"},
        "sources": [
            {
                "source": "/l/app.log",
                "lines": 1000,
                "looked_at": 100,
                "exact": False,
                "malformed": 1,
                "requests": 900,
                "failed": 7,
                "refused": 12,
                "errors": 40,
            }
        ],
        "errors": [error(), error(template="upload failed", count=3, new=False, upload=True, incident="", release="v1")],
        "error_groups": 13,
        "new_errors": ["render <id> failed"],
        "failures": [answered],
        "writes": [{**answered, "status": "201"}],
        "routes": [
            {
                "source": "/l/app.log",
                "route": "GET /api/projects/:id",
                "requests": 900,
                "timed": 90,
                "slow": 3,
                "exact": False,
                "p50_ms": 12.0,
                "p95_ms": 1500.0,
                "p99_ms": 2000.0,
                "max_ms": 2500.0,
            }
        ],
        "slowest": [{"ms": 2500.0, "route": "GET /api/projects/:id", "about": "2026-11-26T08:00:00Z", "source": "/l/app.log"}],
        "rates": {"step": 3600, "points": points},
        "clients": [{"source": "/l/app.log", "client": "10.0.0.x", "writes": 3}],
        "uploads": {"errors": [error(template="upload failed")], "failures": [answered]},
        "read": [
            {
                "path": "/l/app.log.1.gz",
                "source": "/l/app.log",
                "form": "text",
                "bytes": 1_500_000,
                "long_lines": 0,
                "trouble": "broken gzip",
            }
        ],
        "passed": [{"path": "/l/b.log", "why": "not a regular file"}],
        **more,
    }
