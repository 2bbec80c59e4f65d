# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a rollback ended on a host: in one word, and in sentences."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import write_attempts

DOCUMENTATION = r"""
name: rollback_end
short_description: How a rollback ended on a host, in one word and in sentences
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Derives the outcome from what the tasks of the role C(mobius.ops.rollback) have left. It is made for that role.
options:
  _input:
    description:
      - What the tasks have left; C(rollback_facts) of the role. A fact of a task that did not run is an empty dictionary.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Tell how the rollback ended
  ansible.builtin.debug:
    msg: "{{ (rollback_facts | mobius.ops.rollback_end).message }}"
"""

RETURN = r"""
_value:
  description:
    - V(outcome), one word, as C(mobius_outcome) has it. V(message), sentences for people. V(lost), the hosts that were not reached and what
      to do about them, as sentences, or an empty text. V(writes), where the application tried to write outside of its shared folders, a
      sentence each.
  type: dict
"""

#: Every outcome.
OUTCOMES = ("rolled_back", "unchanged", "planned", "incomplete", "failed")


class Done(write_attempts.Watched, total=False):
    """The result of what went back, M(mobius.ops.release) or M(mobius.ops.backup_restore); ``downtime`` in seconds."""

    changed: bool
    previous: str | None
    downtime: float | None
    finished: str
    cut_text: str
    safety_backup: str | None


@dataclasses.dataclass(frozen=True)
class Rollback:
    """What is known of a rollback on a host. Dictionaries are results of tasks, empty when the task did not run."""

    #: The release to go to, and the one that an earlier run had gone to which left its lock behind.
    to: str
    killed_for: str
    #: The release was named by the operator.
    named: bool
    check_mode: bool
    #: Some task failed on some host; why it failed on this one; where tasks failed; which hosts do not answer.
    rescued: bool
    failure: str | None
    failed: list[str]
    lost_hosts: list[str]
    incident: str
    #: What went back: the release alone, or with the data of an archive.
    done: Done
    archive: str
    smoke: write_attempts.Watched

    def outcome(self) -> str:
        """In one word."""
        if self.rescued:
            return "failed"
        if self.lost_hosts:
            return "incomplete"
        if self.check_mode:
            return "planned"
        return "rolled_back" if self.done.get("changed") else "unchanged"

    def message(self) -> str:
        """In sentences: what happened, what serves, what to do."""
        incident = f"Incident {self.incident}." if self.incident else ""
        return " ".join(filter(None, (self._story(), self.lost(), incident, write_attempts.warning(self.writes(), self.failure))))

    def _story(self) -> str:
        if self.failure is not None:
            return f"{self.failure.rstrip('.')}."
        if self.rescued:
            where = f"on {', '.join(self.failed)}" if self.failed else "elsewhere"
            did = self._did() if self.done.get("changed") else "nothing was changed here."
            return f"{did} The rollback failed {where}, so it was not smoke-tested here."
        return self._did()

    def _did(self) -> str:
        """What was done here."""
        previous, cut = self.done.get("previous"), self.done.get("cut_text") or ""
        if not self.done.get("changed"):
            said = f"release {self.to} serves already; nothing was changed."
            if self.killed_for == self.to and not self.named:
                said += " An earlier run of this rollback was cut short after its switch. To go back one more release, run it again."
        elif previous == self.to:
            said = f"release {self.to} stays; {self._data()}."
        else:
            went, downtime = "would go" if self.check_mode else "went", self.done.get("downtime")
            took = "" if self.check_mode or downtime is None else f", downtime {downtime} s"
            first = f"{self.done['finished']}: " if "finished" in self.done else ""
            said = f"{first}{went} from {previous or 'no release'} to {self.to}{took}; {self._data()}."
        return f"{said} {cut}" if cut else said

    def _data(self) -> str:
        """What became of the stored data."""
        if self.done.get("safety_backup"):
            return f"data restored from {self.archive}, what it replaced is in {self.done['safety_backup']}"
        return "stored data stays as it is" if self.done.get("cut_text") else "data untouched"

    def lost(self) -> str:
        """Hosts that were not reached, and what to do about them."""
        if not self.lost_hosts:
            return ""
        back = f"When back, run the same again with -e mobius_release_id={self.to}: that puts it right."
        return f"Not reached: {', '.join(self.lost_hosts)}. {back}"

    def writes(self) -> list[str]:
        """Where the application tried to write outside of its shared folders."""
        return write_attempts.sentences(self.done, self.smoke)


def rollback_end(facts: dict[str, t.Any]) -> dict[str, object]:
    """How a rollback ended."""
    rollback = Rollback(**facts)
    return {"outcome": rollback.outcome(), "message": rollback.message(), "lost": rollback.lost(), "writes": rollback.writes()}


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Its name."""
        return {"rollback_end": rollback_end}
