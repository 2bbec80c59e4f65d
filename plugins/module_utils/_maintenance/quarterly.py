# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runbook's quarterly tasks but the benchmark: a whole backup and its restore, the security audit, cost, and the training note."""

from __future__ import annotations

import collections
import datetime
import os

from .._backup import create as backup_create
from .._backup.backup_types import Made
from .._core import clock, wording
from .._core.errors import OpsError
from .._core.html_page import count
from .._target import history, restore_journal
from .._target.layout import expand_components
from .._target.releases import ReleaseStore
from . import audit, monthly, storage
from .findings import Cause, Context, Found, judged

#: Days of a quarter, and the growth of the storage from which on it is told.
QUARTER, GROWN = 92, 1.25


def full_restore(context: Context) -> Found:
    """A backup of everything, in which every file is read anew, and its drill."""
    request, layout = context.request, context.layout
    with restore_journal.locked(layout):
        restore_journal.refuse_interrupted(layout)
        made = backup_create.create(
            layout,
            backup_create.Request(
                request.env,
                expand_components(["all"]),
                context.backups,
                full_every=0,
                sign_key=request.sign_key or None,
                why="quarterly maintenance",
            ),
            context.meter,
        )
    found = monthly.drilled(context, made["archive"])
    lines = [
        f"backup {os.path.basename(made['archive'])}: {count(made['entries'], 'entry').replace('entrys', 'entries')}, "
        f"{wording.human_size(made['size'])}, {made['elapsed']:.1f} s",
        *made["warnings"],
        *found.evidence,
    ]
    figures = {**found.figures, "full_backup_bytes": float(made["size"]), "full_backup_s": float(made["elapsed"])}
    causes = [*found.causes, *_shrunk(made)]
    if found.status == "done":
        return judged(
            [],
            causes,
            f"A backup of {wording.human_size(made['size'])} was made in {made['elapsed']:.1f} s. {found.text}",
            evidence=lines,
            figures=figures,
        )
    return Found(found.status, found.text, tuple(lines), tuple(causes), figures)


def _shrunk(made: Made) -> list[Cause]:
    names = ", ".join(one["component"] for one in made["shrunk"])
    text = f"The backup holds less than a tenth of what the one before held of {names}. Look whether all folders are mounted."
    return [Cause("backup_shrunk", 2, text, (made["archive"],))] if names else []


def security_audit(context: Context) -> Found:
    """All parts of the audit."""
    causes: list[Cause] = []
    lines: list[str] = []
    problems: list[str] = []
    for part in audit.PARTS:
        context.meter.phase(part.__name__.replace("_", " "))
        try:
            found, seen = part(context)
        except (OpsError, OSError) as error:
            problems.append(f"{part.__name__.replace('_', ' ').capitalize()} could not be looked at: {error}")
            continue
        causes += found
        lines += seen
    return judged(
        problems,
        causes,
        "Modes, certificates, ports, units, logs and keys are as they should be.",
        evidence=lines,
        figures={"findings": float(len(causes))},
    )


def cost(context: Context) -> Found:
    """What the storage takes and costs, beside the last run."""
    request, sizes = context.request, storage.parts(context)
    total = sum(sizes.values())
    figures = {"storage_bytes": float(total), **{f"{name}_bytes": float(size) for name, size in sizes.items()}}
    prices = {
        name: f", {size / 1e9 * request.storage_price:.2f} {request.currency} a month" if request.storage_price else ""
        for name, size in {**sizes, "": total}.items()
    }
    lines = [f"{name}: {wording.human_size(size)}{prices[name]}" for name, size in sizes.items() if size]
    if request.storage_price:
        figures[f"cost_{request.currency}"] = round(total / 1e9 * request.storage_price, 2)
    kept = context.past.steps.get("cost")
    before = kept.figures.get("storage_bytes", []) if kept else []
    largest = next(iter(sizes))
    told = (
        f"The storage takes {wording.human_size(total)}{prices['']}; the largest part is {largest}, {wording.human_size(sizes[largest])}."
    )
    grown = bool(before) and total > GROWN * before[-1][1]
    more = [f"{told} That is a quarter more than in the last run: look at what is kept."]
    return judged(more if grown else [], [], told, evidence=lines, figures=figures)


def training(context: Context) -> Found:
    """What changed for those who operate, and whether a training is due."""
    request, layout = context.request, context.layout
    since = clock.iso(clock.now() - datetime.timedelta(days=QUARTER))
    events = [event for event in history.events(layout, 5000) if event["when"] >= since]
    kinds = collections.Counter(event["what"] for event in events)
    titles = collections.Counter(str(event.get("why")) for event in events if event["what"] == "incident")
    lines = [f"incident: {title}, {number} times" if number > 1 else f"incident: {title}" for title, number in titles.most_common(10)]
    lines += [f"release {one['id']}, {one['status']}" for one in ReleaseStore(layout).all()[:5]]
    lines += [f"{number} x {kind.replace('_', ' ')}" for kind, number in kinds.most_common(10)]
    operators = sorted({event["who"] for event in events if event["who"]})
    lines += [f"operators: {', '.join(operators[:20])}"] if operators else []
    note = (
        f"In {QUARTER} days there were {count(kinds['incident'], 'incident')}, {count(kinds['rolled_back'], 'rollback')} and "
        f"{count(kinds['drill'], 'drill')}: go through them with the team."
    )
    if not request.trained:
        return Found("done", f"{note} No day of a training is noted; set mobius_maintenance_trained to be reminded.", tuple(lines))
    days = (clock.now().date() - datetime.date.fromisoformat(request.trained)).days
    due = days > request.training_days
    return judged(
        [f"The last training was {days} days ago, and one is due every {request.training_days} days. {note}"] if due else [],
        [],
        f"The last training was {days} days ago. {note}",
        evidence=lines,
        figures={"since_training_days": float(days)},
    )
