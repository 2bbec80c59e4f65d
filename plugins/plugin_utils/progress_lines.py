# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operator reads while long work goes on: one line now and then, from the phases of the work's record."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.module_utils._target.record_types import Phase

#: Seconds between two lines, for work that goes on for less than so many seconds.
PACE = ((60, 5), (300, 10))
SELDOM = 30
#: The span of seconds over which a rate is taken.
SPAN = 30
#: What an operator reads for the name of a phase.
WORDS = {
    "look": "looking through",
    "write": "writing",
    "verify": "verifying",
    "extract": "unpacking",
    "compare": "comparing",
    "hash": "reading",
    "database": "checking databases",
    "application": "trying the application",
    "swap": "changing places",
    "": "at work",
}
UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1))


def pause(elapsed: float) -> float:
    """Seconds until the next line of work that has gone on for so many."""
    return next((seconds for limit, seconds in PACE if elapsed < limit), SELDOM)


def _word(phase: Phase) -> str:
    before, colon, name = phase.get("name", "").rpartition(": ")
    return before + colon + WORDS.get(name, name)


def _in_unit(size: float, unit: float) -> str:
    return f"{size / unit:.1f}" if unit > 1 and 0 < size < 10 * unit else f"{size / unit:.0f}"


def amount(size: float, total: float = 0) -> str:
    """``96 MB``, or ``312 of 498 MB``; both in the unit of the total."""
    name, unit = next(((name, unit) for name, unit in UNITS if max(size, total) >= unit), UNITS[-1])
    return f"{_in_unit(size, unit)}{f' of {_in_unit(total, unit)}' if total else ''} {name}"


def span(seconds: float) -> str:
    """``2 s``, ``1 min 40 s`` or ``2 h 5 min``."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")


class Lines:
    """The lines of one piece of work, and when the next one is due."""

    def __init__(self) -> None:
        self._shown: set[int] = set()
        self._seen: list[tuple[int, float, int]] = []  # phase, seconds in it, bytes

    def of(self, phases: list[Phase]) -> list[str]:
        """A last line for each phase that ended since and was shown, and a line for the one that goes on."""
        last = phases[-1]
        lines = [*self._ended(phases[:-1]), self._going(last)]
        self._shown.add(last["number"])
        self._seen = [seen for seen in self._seen if seen[0] == last["number"]][-20:]
        self._seen.append((last["number"], last.get("seconds", 0), last.get("bytes", 0)))
        return lines

    def end(self, phases: list[Phase], failed: bool) -> list[str]:
        """The last lines of work that ended; when it failed, its last phase did not get to its end."""
        return self._ended(phases[:-1] if failed else phases)

    def _ended(self, phases: list[Phase]) -> list[str]:
        found = [phase for phase in phases if phase["number"] in self._shown]
        self._shown -= {phase["number"] for phase in found}
        return [self._done(phase) for phase in found]

    def _done(self, phase: Phase) -> str:
        parts = [amount(phase["bytes"])] if phase.get("bytes") else []
        parts += [f"{phase['files']:,} files"] if phase.get("files") else []
        took = f"in {span(phase.get('seconds', 0))}"
        rate = [f"{amount(phase['bytes'] / phase['seconds'])}/s"] if phase.get("bytes") and phase.get("seconds") else []
        done = f"{_word(phase) if phase.get('name') else 'work'} done"
        return f"{done}: {', '.join(parts)} {', '.join([took, *rate])}" if parts else f"{done} {took}"

    def _going(self, phase: Phase) -> str:
        name, size, total = _word(phase), phase.get("bytes", 0), phase.get("total_bytes", 0)
        files, all_files = phase.get("files", 0), phase.get("total_files", 0)
        parts, rate = [], self._rate(phase)
        if size or total:
            parts.append(amount(size, total) + (f" ({min(100, 100 * size // total)} %)" if total else ""))
        if files or all_files:
            parts.append(f"{files:,}{f' of {all_files:,}' if all_files else ''} files")
        if not parts:
            parts.append(f"for {span(phase['seconds'])}" if phase.get("seconds") else "")
        if rate or ((size or total) and phase.get("seconds", 0) >= 3):
            parts.append(f"{amount(rate)}/s" if rate else "0 MB/s")
        if rate and total > size:
            parts.append(f"{span((total - size) / rate)} left")
        return f"{name} {', '.join(parts)}".strip()

    def _rate(self, phase: Phase) -> float:
        """Bytes a second: of late, or of the whole phase when it began only now."""
        now = phase.get("seconds", 0)
        before = [seen for seen in self._seen if seen[0] == phase["number"] and 3 <= now - seen[1] <= SPAN]
        _number, since, size = before[0] if before else (0, 0.0, 0)
        return (phase.get("bytes", 0) - size) / (now - since) if now > since else 0
