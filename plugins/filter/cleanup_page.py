# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(cleanup_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.filter.status_page import table
from ansible_collections.mobius.ops.plugins.module_utils._core.wording import human_size
from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: cleanup_page
short_description: Lay out a clean-up of a host as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes tables for people of what M(mobius.ops.storage_cleanup) returned, and says in one word and one sentence what came of it.
positional: _input, state, check
options:
  _input:
    description: The result of M(mobius.ops.storage_cleanup), also of one that failed.
    type: dict
    required: true
  state:
    description: What was asked for.
    type: str
    default: planned
  check:
    description: Whether this is check mode.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what would go
  ansible.builtin.debug:
    msg: "{{ (cleanup_done | mobius.ops.cleanup_page('planned')).page }}"
"""

RETURN = r"""
_value:
  description:
    - C(page), the text; C(outcome), one word; C(good), whether it is a good one; C(message), a sentence or two.
  type: dict
"""

#: How the playbook may end.
OUTCOMES = ("planned", "cleaned", "restored", "purged", "not_cleaned")
#: Files that are shown.
SHOWN = 20
#: Why old files stay, in words.
REASONS = {
    "named": "a database or a JSON store names it",
    "unclear": "its name has no letter or digit to look for in the stores",
    "recent": "left alone for less than mobius_cleanup_grace",
    "hard_link": "it has a second name",
    "in_use": "a program has it open",
    "changed": "it changed meanwhile",
    "gone": "it is gone",
    "not_in_backup": "no verified backup holds it",
    "differs_from_backup": "the backup holds another content",
    "over_quota": "over mobius_cleanup_max_files or mobius_cleanup_max_bytes",
    "out_of_time": "over mobius_cleanup_limit",
    "kept": "mobius_cleanup_keep",
    "other_filesystem": "on another file system than the quarantine",
    "mount": "folders where something is mounted, not entered",
    "not_a_file": "a link, pipe, socket or device",
    "other_owner": "of another user than the folder",
    "denied": "the service's user may not",
    "no_birth_time": "no time of birth is kept",
    "taken": "another file has its name",
    "no_folder": "its folder is gone",
}


class Moved(t.TypedDict):
    """A file that moved, or would."""

    path: str
    bytes: int
    kind: str
    modified: str


class Run(t.TypedDict):
    """A run that has files in quarantine."""

    run: str
    files: int
    bytes: int
    expires: str


class Cleanup(t.TypedDict, total=False):
    """The result of M(mobius.ops.storage_cleanup): ``files`` and ``bytes`` of what stays by reason, archives by component."""

    archives: dict[str, str]
    files: int
    moved: list[Moved]
    left: dict[str, dict[str, int]]
    stay: dict[str, dict[str, int]]
    run: str
    quarantine: list[Run]
    message: str
    msg: str


def stays(counts: dict[str, dict[str, int]]) -> list[list[t.Any]]:
    """Rows of why files stay, the most first."""
    found = sorted(counts.items(), key=lambda one: (-one[1]["files"], one[0]))
    return [[count["files"], human_size(count["bytes"]), reason, REASONS.get(reason, "")] for reason, count in found]


def moved(done: Cleanup) -> list[str]:
    """A table of the files that moved, or would."""
    rows = [[one["path"], human_size(one["bytes"]), one["kind"], one["modified"]] for one in done["moved"][:SHOWN]]
    more = done["files"] - len(rows)
    return table(["file", "size", "kind", "modified"], rows) + ([f"  and {more} more"] if more > 0 else [])


def lines(done: Cleanup, state: str, dry: bool) -> list[str]:
    """The page of a clean-up that was not refused."""
    made: list[str] = []
    if done.get("archives"):
        made += ["Compared with " + ", ".join(sorted(set(done["archives"].values())))]
    if done["moved"]:
        title = {True: ("Would move back", "Would move into quarantine"), False: ("Moved back", "Moved into quarantine")}[dry]
        made += [title[state != "restored"], *moved(done)]
    if done["left"]:
        made += ["Stays", *table(["files", "size", "reason", ""], stays(done["left"]))]
    if done["stay"]:
        made += ["Stays in quarantine, although it has expired", *table(["files", "size", "reason", ""], stays(done["stay"]))]
    if done["quarantine"]:
        rows = [[run["run"], run["files"], human_size(run["bytes"]), run["expires"]] for run in done["quarantine"]]
        made += ["In quarantine", *table(["run", "files", "size", "expires"], rows)]
    return made or ["Nothing is in quarantine."]


def cleanup_page(done: Cleanup, state: str = "planned", check: bool = False) -> dict[str, object]:
    """The page, and what comes of it."""
    whole = "quarantine" in done
    page = "\n".join(lines(done, state, check or state == "planned")) if whole else "Nothing was moved."
    if done.get("msg") or not whole:
        message = task_result.cause(done, "The files could not be looked at.")
        return {"page": page, "outcome": "not_cleaned", "good": False, "message": message}
    more = ""
    if done["files"] and state == "planned":
        more = " Do it with -e mobius_cleanup_state=cleaned."
    elif done["run"]:
        more = (
            " The room is free once they expire. Undo it with -e mobius_cleanup_state=restored and mobius_cleanup_paths, "
            f"run {done['run']}."
        )
    return {"page": page, "outcome": "planned" if check else state, "good": True, "message": done["message"] + more}


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"cleanup_page": cleanup_page}
