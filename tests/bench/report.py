"""Medians, ratios and targets of a benchmark, as a table for a terminal and as a page."""

from __future__ import annotations

import json
import statistics
import typing as t

REFERENCE = "zip"
TITLES = {
    "full": "full backup",
    "changed": "backup after 1 % changed",
    "checksum": "verify checksum, one archive",
    "several": "verify checksums, 4 archives",
    "deep": "verify every member",
    "restore": "verified restore",
    "safe": "verified restore, with safety backup",
}
#: What an operation is compared to, when the reference has none of that name.
AGAINST = {"changed": "full", "safe": "restore"}
#: Operations that write; what it takes until that is on disk is of interest.
WRITING = ("full", "changed", "restore", "safe")
#: Lane, operation, figure, most that is allowed. Figures but for the peak are ratios to the reference.
TARGETS = (
    ("ours", "full", "wall", 0.30),
    ("isal", "full", "wall", 0.15),
    ("ours", "changed", "wall", 0.10),
    ("isal", "changed", "wall", 0.10),
    ("ours", "checksum", "wall", 0.30),
    ("ours", "several", "wall", 0.30),
    ("ours", "deep", "wall", 0.40),
    ("isal", "deep", "wall", 0.40),
    ("ours", "restore", "wall", 0.43),
    ("isal", "restore", "wall", 0.43),
    ("ours", "", "peak", 100e6),
    ("isal", "", "peak", 100e6),
)
FIGURES = ("wall", "cpu", "peak", "sync", "foreign", "size")
Rows = dict[str, dict[str, dict[str, float]]]


def medians(runs: list[dict[str, t.Any]]) -> Rows:
    """Operation -> lane -> figure, each the median over the rounds."""
    grouped: dict[tuple[str, str], list[dict[str, t.Any]]] = {}
    for run in runs:
        grouped.setdefault((run["operation"], run["lane"]), []).append(run)
    rows: Rows = {}
    for (operation, lane), found in grouped.items():
        row = {figure: statistics.median(run[figure] for run in found) for figure in FIGURES}
        row["durable"] = statistics.median(run["wall"] + run["sync"] for run in found)
        rows.setdefault(operation, {})[lane] = row
    return {operation: rows[operation] for operation in TITLES if operation in rows}


def reference(rows: Rows, operation: str) -> dict[str, float] | None:
    """What an operation is compared to."""
    for name in (operation, AGAINST.get(operation, "")):
        if REFERENCE in rows.get(name, {}):
            return rows[name][REFERENCE]
    return None


def ratio(rows: Rows, operation: str, lane: str, figure: str) -> float | None:
    """A figure as a part of the reference's."""
    against = reference(rows, operation)
    return rows[operation][lane][figure] / against[figure] if against and against[figure] else None


def targets(rows: Rows, titles: dict[str, str]) -> list[dict[str, t.Any]]:
    """Each target, what was measured, and whether it is met; ``None`` where nothing was measured."""
    found = []
    for lane, operation, figure, limit in TARGETS:
        if figure == "peak":
            peaks = [row[lane]["peak"] for row in rows.values() if lane in row]
            measured = max(peaks, default=None)
            text = f"peak memory of all operations, {titles[lane]}"
        else:
            measured = ratio(rows, operation, lane, figure) if lane in rows.get(operation, {}) else None
            text = f"{TITLES[operation]}, {'size' if figure == 'size' else 'time'}, {titles[lane]}"
        found.append(
            {"target": text, "figure": figure, "limit": limit, "measured": measured, "met": None if measured is None else measured <= limit}
        )
    return found


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def table(rows: Rows, titles: dict[str, str]) -> list[list[str]]:
    """The measured rows; the first is the head."""
    found = [["operation", "by", "wall s", "CPU s", "ratio wall", "ratio CPU", "durable s", "ratio durable", "peak MB", "size MB"]]
    for operation, lanes in rows.items():
        for lane, title in titles.items():
            if lane in lanes:
                row = lanes[lane]
                ratios = {figure: number(ratio(rows, operation, lane, figure)) for figure in ("wall", "cpu", "durable")}
                durable = [number(row["durable"]), ratios["durable"]] if operation in WRITING else [number(None)] * 2
                found.append(
                    [
                        TITLES[operation],
                        title,
                        number(row["wall"]),
                        number(row["cpu"]),
                        ratios["wall"],
                        ratios["cpu"],
                        *durable,
                        number(row["peak"] / 1e6, 0),
                        number(row["size"] / 1e6, 1),
                    ]
                )
    return found


def target_table(rows: Rows, titles: dict[str, str]) -> list[list[str]]:
    """The targets; the first row is the head."""
    found = [["target", "at most", "measured", "met"]]
    for target in targets(rows, titles):
        scale, digits, unit = (1e6, 0, " MB") if target["figure"] == "peak" else (1, 3, "")
        measured = None if target["measured"] is None else target["measured"] / scale
        shown = number(measured, digits) + (unit if measured is not None else "")
        met = {True: "yes", False: "NO", None: "not measured"}[target["met"]]
        found.append([target["target"], f"{target['limit'] / scale:g}{unit}", shown, met])
    return found


def plain(cells: list[list[str]], words: int) -> str:
    """A table for a terminal: the first *words* columns to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for position, row in enumerate(cells):
        if position and row[0] != cells[position - 1][0] and words > 1:
            lines.append("")
        lines.append(
            "  ".join(
                cell.ljust(width) if column < words else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))
            ).rstrip()
        )
    return "\n".join(lines)


def markdown(cells: list[list[str]], words: int) -> str:
    """A table of a page."""
    rule = ["---" if column < words else "---:" for column in range(len(cells[0]))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [cells[0], rule, *cells[1:]])


def notes(facts: dict[str, t.Any]) -> list[str]:
    """What a reader needs to know to believe the numbers."""
    found = [f"{key}: {value}" for key, value in facts["machine"].items()]
    found.append("versions: " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    found.append(f"tree: {facts['tree']}")
    found.append(f"{facts['rounds']} round{'s' if facts['rounds'] != 1 else ''}, interleaved, the order rotated; medians")
    if facts["foreign"] > 0.1:
        found.append(f"other processes of the machine took {facts['foreign']:.1f} cores meanwhile: the numbers are noisy")
    found += [f"left out: {title} ({reason})" for title, reason in facts["skipped"].items()]
    return found


def terminal(facts: dict[str, t.Any]) -> str:
    """The whole report for a terminal."""
    rows, titles = facts["medians"], facts["titles"]
    parts = [plain(table(rows, titles), 2), plain(target_table(rows, titles), 1), "\n".join(notes(facts))]
    return "\n\n".join(parts)


PAGE = """# Backups: the benchmark

Written by `make bench-backup ARGS=--write`, {date}. A second run elsewhere gives other seconds; the ratios are what to compare.

{notes}

## Measured

Each row is a fresh process: start of the interpreter included, the Ansible task around it not. Ratios are to `zip -r` and
`sha256sum`, `sha256sum -c`, `unzip -t`, `sha256sum -c` and `unzip`; of a backup after 1 % changed to a whole `zip -r`. The tree and the
archives were in memory. "Durable" adds the time until all that was written is on disk (`sync -f`): this collection ends only
then, and so do backups of restic and borg; the others leave it to the kernel. A backup of this collection is also read back and
verified before it ends.
The peak is that of the largest process; less than about 22 MB cannot be told apart. Each result was checked outside of the
measured time: archives by other readers, restored trees file by file.

{table}

## Targets

{targets}
"""


#: What follows this heading is written by people and kept.
REMARKS = "\n## Remarks\n"


def page(facts: dict[str, t.Any], before: str = "") -> str:
    """The whole report as a page, with the remarks of the page that was there before."""
    rows, titles = facts["medians"], facts["titles"]
    _measured, heading, remarks = before.partition(REMARKS)
    return (
        PAGE.format(
            date=facts["date"],
            notes="\n".join(f"- {note}" for note in notes(facts)),
            table=markdown(table(rows, titles), 2),
            targets=markdown(target_table(rows, titles), 1),
        )
        + heading
        + remarks
    )


def as_json(facts: dict[str, t.Any]) -> str:
    """The whole report for programs, one run a line."""
    head = json.dumps({key: value for key, value in facts.items() if key != "runs"}, indent=1)
    return head[:-2] + ',\n "runs": [\n  ' + ",\n  ".join(json.dumps(run) for run in facts["runs"]) + "\n ]\n}\n"
