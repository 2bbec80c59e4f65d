# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runbook's weekly tasks: patterns in logs, disks, backups, dependencies, rotation."""

from __future__ import annotations

import os
import statistics
import typing as t

from .._backup import catalog as backup_catalog
from .._backup import purposes as backup_purposes
from .._backup import signature
from .._backup.backup_types import BackupFacts
from .._core import wording
from .._core.html_page import count
from .._logs import files as log_files
from .._logs import run as logs_run
from .._observe import host_metrics, thresholds
from . import packages, storage
from .findings import Cause, Context, Found, judged, listed, many

#: A backup that is smaller than this part of the median of those before has shrunk.
SHRUNK = 0.5
#: Backups that are compared with, and how many there have to be.
_BEFORE, _LEAST = 8, 3


def log_patterns(context: Context) -> Found:
    """Which errors there are, and which the last run did not find."""
    facts = logs_run.read_and_report(_asked(context), keep=True)
    before, errors = context.before("log_patterns"), facts["errors"]
    first = "log_patterns" not in context.past.steps
    new = [one for one in errors if (one["new"] if first else one["template"] not in before)]
    said = f"{many(new, 'error template')} new in the logs: {listed([wording.cut(one['template'], 60) for one in new])}."
    causes = [Cause("log_errors", 0, said, tuple(one["template"] for one in new))] if new else []
    requests, failed = sum(one["requests"] for one in facts["sources"]), sum(one["failed"] for one in facts["sources"])
    figures = {"error_lines": float(sum(one["count"] for one in errors)), "error_templates": float(facts["error_groups"])}
    if requests:
        figures["requests_failed_pct"] = round(failed / requests * 100, 3)
    lines = [f"{one['count']} x {wording.cut(one['template'], 110)}" + (" (new)" if one in new else "") for one in errors[:10]]
    lines += [f"{wording.cut(one['route'], 60)}: {one['count']} x {one['status']}" for one in facts["failures"][:5]]
    # nothing read is no evidence that nothing is wrong
    unread = [f"{one['path']}: {one['why']}." for one in facts["passed"][:1]] if not facts["lines"] else []
    sentences = [f"No line of a log was found. {' '.join(unread)}".strip()] if not facts["lines"] else []
    return judged(
        sentences,
        causes,
        f"{facts['message']} No error template is new.",
        evidence=lines,
        figures=figures,
        seen=tuple(one["template"] for one in errors),
    )


def _asked(context: Context) -> dict[str, object]:
    """The parameters of the report of logs."""
    request = context.request
    return {
        "root": context.layout.root,
        "service": request.service,
        "files": list(request.log_files) or None,
        "units": list(request.log_units) or None,
        "since": "",
        "slow_ms": request.log_slow_ms,
        "detail": "auto",
        "processes": 1,
        "max_mb": 20000,
        "keep_days": request.log_keep_days,
        "rows": 50,
        "addresses": "masked",
        "page": False,
        "explain": False,
    }


def disk_space(context: Context) -> Found:
    """How full the file systems are, beside the table of key metrics."""
    table = thresholds.merge(context.request.thresholds)
    metrics = host_metrics.disks([*host_metrics.places(context.layout), context.backups], table)
    bad = [one for one in metrics if one["status"] != "normal"]
    causes = [
        Cause(
            f"{one['metric']}_{one['status']}",
            {"critical": 2, "warning": 3}.get(one["status"], 0),
            f"{host_metrics.told(one)[:1].upper()}{host_metrics.told(one)[1:]}. {one['todo']}",
            (one["subject"],),
        )
        for one in bad
    ]
    full = max((one["value"] for one in metrics if one["metric"] == "disk_pct" and one["value"] is not None), default=None)
    figures = {} if full is None else {"disk_full_pct": float(full)}
    for disk in storage.disks(context)[:1]:
        figures["disk_used_bytes"] = float(disk.used)
    return judged(
        [],
        causes,
        f"The fullest file system is {full:.3g} % full." if full is not None else "No file system was found.",
        evidence=[host_metrics.told(one) for one in metrics],
        figures=figures,
    )


def backup_integrity(context: Context) -> Found:
    """Whether every archive is what it was, is new enough, and has not shrunk."""
    request, layout = context.request, context.layout
    policy = signature.policy(request.allowed_signers or None, request.signer)
    past = backup_purposes.Past(layout)
    described = backup_catalog.describe(backup_catalog.find(context.backups, request.env, layout), "deep", policy, context.meter, past)
    corrupt = [one for one in described if one["status"] == "corrupt"]
    rest = [one for one in described if one["status"] != "corrupt"]
    causes = (
        [
            Cause(
                "backup_corrupt",
                2,
                f"{many(corrupt, 'archive')} corrupt: "
                f"{listed([os.path.basename(one['archive']) for one in corrupt])}. Make a new backup: mobius.ops.backup.",
                tuple(one["archive"] for one in corrupt),
            )
        ]
        if corrupt
        else []
    )
    verdict = backup_catalog.verdict(rest, request.backup_max_age)
    if not verdict["well"]:
        lost = [one["archive"] for one in rest if one["shrunk"]]
        name = "backup_shrunk" if lost else "backup_missing"
        causes.append(Cause(name, 2, verdict["message"], tuple(lost) or (context.backups,)))
    smaller = _smaller(rest)
    causes += [smaller] if smaller and not any(one.name == "backup_shrunk" for one in causes) else []
    figures = {"backups": float(len(described)), "backups_bytes": float(sum(one["size"] or 0 for one in described))}
    if rest and rest[0]["size"]:
        figures["newest_backup_bytes"] = float(rest[0]["size"])
    lines = [
        f"{os.path.basename(one['archive'])}: {one['status']}, {wording.human_size(one['size'] or 0)}"
        + (f", {one['reason']}" if one["reason"] else "")
        for one in described
    ]
    return judged(
        [], causes, f"Every member of {count(len(described), 'archive')} was read: {verdict['message']}", evidence=lines, figures=figures
    )


def _smaller(described: t.Sequence[BackupFacts]) -> Cause | None:
    """Whether the newest archive is much smaller than those of the same components before it."""
    usual = [one for one in described if one["size"] and one["purpose"] != backup_purposes.SAFETY and not one["future"]]
    alike = [one["size"] or 0 for one in usual[1:] if one["components"] == usual[0]["components"]][:_BEFORE]
    if len(alike) < _LEAST or (usual[0]["size"] or 0) >= SHRUNK * statistics.median(alike):
        return None
    newest, size = os.path.basename(usual[0]["archive"]), wording.human_size(usual[0]["size"] or 0)
    return Cause(
        "backup_shrunk",
        2,
        f"Archive {newest} has {size}, and the median of the {len(alike)} archives before it is "
        f"{wording.human_size(statistics.median(alike))}. Look whether all folders are mounted and filled.",
        (usual[0]["archive"],),
    )


def dependencies(context: Context) -> Found:
    """Which dependencies have newer versions, and which are vulnerable. Nothing is installed."""
    release = os.path.realpath(context.layout.current)
    folders = packages.folders(release)
    if not folders:
        return Found("done", "No release with a lock file serves, so there is nothing to compare.")
    problems: list[str] = []
    outdated: list[packages.Outdated] = []
    vulnerable: list[packages.Vulnerable] = []
    for folder in folders:
        npm = packages.Npm(folder, context.request.npm_environment)
        outdated += packages.tried(npm.outdated, problems, [])
        vulnerable += packages.tried(npm.vulnerable, problems, [])
    new = [one for one in outdated if f"outdated:{one.name}:{one.latest}" not in context.before("dependencies")]
    cause = vulnerability(vulnerable)
    sentences = (
        [
            f"{many(new, 'newer version')} there that the last run did not know: {listed([one.told() for one in new])}. Raise them in "
            "package.json, test, and deploy."
        ]
        if new
        else []
    )
    seen = [f"outdated:{one.name}:{one.latest}" for one in outdated] + [f"vulnerable:{one.name}" for one in vulnerable]
    seen += sorted(context.before("dependencies")) if problems else []  # what could not be asked is still known
    return judged(
        [*sentences, *problems],
        [cause] if cause else [],
        f"{many(outdated, 'package', 'has have')} a newer version, known since the last run; none is known to be vulnerable.",
        evidence=[*(one.told() for one in vulnerable), *(one.told() for one in outdated)],
        figures={"outdated": float(len(outdated)), "vulnerable": float(len(vulnerable))},
        seen=tuple(seen),
    )


def vulnerability(vulnerable: list[packages.Vulnerable]) -> Cause | None:
    """The cause that vulnerable packages are."""
    if not vulnerable:
        return None
    grave = [one for one in vulnerable if one.severity in packages.GRAVE]
    names = listed([f"{one.name} ({one.severity})" for one in vulnerable])
    return Cause(
        "vulnerable_package",
        3 if grave else 0,
        f"{many(vulnerable, 'package')} known to be vulnerable: {names}. Run npm audit fix in the source, test, and deploy.",
        tuple(one.name for one in vulnerable),
    )


def log_rotation(context: Context) -> Found:
    """Whether logs are rotated: none that is written to is too large."""
    layout, request = context.layout, context.request
    patterns = list(request.log_files) or logs_run.files_of(layout, request.service)
    found, passed = log_files.find([*patterns, layout.path("monitor_logs", "*.log*")])
    limit = request.log_max_mb * 1e6
    large = sorted((one for one in found if one.size > limit and not one.rotated), key=lambda one: -one.size)
    rotated = {one.source for one in found if one.rotated}
    told = [f"{one.path} ({wording.human_size(one.size)}{'' if one.source in rotated else ', never rotated'})" for one in large]
    causes = (
        [
            Cause(
                "log_not_rotated",
                3,
                f"{many(large, 'log')} larger than "
                f"{request.log_max_mb:g} MB: {listed(told)}. Rotate by logrotate with copytruncate, or by the application.",
                tuple(one.path for one in large),
            )
        ]
        if large
        else []
    )
    total = sum(one.size for one in found)
    lines = [
        f"{one.path}: {wording.human_size(one.size)}{', rotated' if one.rotated else ''}"
        for one in sorted(found, key=lambda one: -one.size)[:15]
    ]
    lines += [f"{one.path}: {one.why}" for one in passed if one.why != "not there"]
    return judged(
        [],
        causes,
        f"{count(len(found), 'file')} of logs take {wording.human_size(total)}; none that is written to is larger "
        f"than {request.log_max_mb:g} MB.",
        evidence=lines,
        figures={"logs_bytes": float(total)},
    )
