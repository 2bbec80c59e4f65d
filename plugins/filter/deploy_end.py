# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a deploy ended on a host: in one word, and in sentences."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mobius.ops.plugins.filter.fleet import Fleet
from ansible_collections.mobius.ops.plugins.plugin_utils import task_result, write_attempts

DOCUMENTATION = r"""
name: deploy_end
positional: fleet
short_description: How a deploy ended on a host, in one word and in sentences
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Derives the outcome of M(mobius.ops.release) and the watch that follows it from what the tasks of the role C(mobius.ops.deploy) have
    left. It is made for that role.
options:
  _input:
    description:
      - What the tasks have left; C(deploy_facts) of the role. A fact of a task that did not run is an empty dictionary.
    type: dict
    required: true
  fleet:
    description: What P(mobius.ops.fleet#filter) returns. Without it there are no sentences.
    type: dict
"""

EXAMPLES = r"""
- name: Tell how the deploy ended
  ansible.builtin.debug:
    msg: "{{ (deploy_facts | mobius.ops.deploy_end(deploy_fleet)).message }}"
"""

RETURN = r"""
_value:
  description:
    - V(outcome), one word, as C(mobius_outcome) has it. V(cuts), what was cut by the switch, by going back and by the watch, with
      C(cut_text) and C(cut). V(writes), where the application tried to write outside of its shared folders, a sentence each.
    - With O(fleet) also V(message), sentences for people, and V(mixed), how the hosts differ and come together again, or an empty text.
  type: dict
"""

#: Every outcome.
OUTCOMES = ("deployed", "unchanged", "planned", "rolled_back", "frozen", "degraded", "inconclusive", "failed")
#: Outcomes whose sentences do not name the log of the application.
GOOD = ("unchanged", "planned", "deployed")


class Live(t.TypedDict, total=False):
    """A look at the releases, or why there is none."""

    msg: str
    live: str | None


class Record(t.TypedDict, total=False):
    """The release that serves."""

    id: str


class Switched(write_attempts.Watched, total=False):
    """The result of M(mobius.ops.release), and what a watch tells of going back; ``downtime`` in seconds."""

    msg: str
    changed: bool
    finished: str
    release: Record
    to: str
    downtime: float | None
    cut_text: str
    log: str


class Watch(write_attempts.Watched, total=False):
    """The result of M(mobius.ops.monitor)."""

    verdict: str | None
    trigger: str | None
    incident: str | None
    rollback: Switched | None


@dataclasses.dataclass(frozen=True)
class Deploy:
    """What is known of a deploy on a host. Dictionaries are results of tasks, empty when the task did not run."""

    #: The release that was to be deployed, and the one that was live at the beginning.
    release: str
    before: str | None
    #: It was live, verified and well already; and its process is restarted for settings that it lacks.
    is_live: bool
    applies: bool
    #: Settings that its process lacks, and what to do about it.
    restart_needed: list[str]
    restart_message: str
    #: Why it failed here, or on another host; none when nothing failed.
    failure: str | None
    forward_only: bool
    migrates: bool
    check_mode: bool
    backup: str | None
    #: Seconds that it is watched.
    duration: t.Any
    #: An unfinished switch that was settled first; the restart; the last look at what serves, without a lock.
    settled: Switched
    applied: t.Mapping[str, object]
    final: Live
    switch: Switched
    smoke: write_attempts.Watched
    watch: Watch
    #: The end of a watch that was stopped, going back, and what was live before and after that.
    watch_end: write_attempts.Watched
    after: Live
    went_back: Switched
    left: Live
    #: What became of pruning old releases.
    pruned: t.Mapping[str, object]
    page: str

    def outcome(self) -> str:
        """In one word."""
        if "msg" in self.applied or self.replaced() or self._unseen():
            return "failed"
        if self.is_live:
            return "unchanged"
        if self.failure is not None:
            if self.forward_only and self.after.get("live") == self.release:
                return "frozen"
            return "rolled_back" if self._is_back() else "failed"
        if self.check_mode:
            return "planned"
        verdict = str(self.watch.get("verdict") or "inconclusive")
        if verdict != "healthy":
            return verdict
        return "deployed" if self._serves(self.release) else "failed"

    def replaced(self) -> bool:
        """Whether another release serves than the one that was there already when this run began."""
        return self.is_live and not self._serves(self.release)

    def _unseen(self) -> bool:
        """Whether what serves is not known, of a release that was there already."""
        return self.is_live and "live" not in self.final and "msg" in self.final

    def _serves(self, release: str | None) -> bool:
        """Whether the last look found this release, or could not be had."""
        return bool(self.final.get("live", release) == release)

    def _now(self, left: str | None) -> str:
        """What serves now, when it is not what this run has left: another run is over already that began after the lock was free."""
        if self._serves(left):
            return ""
        live = self.final["live"]
        return f" {f'Release {live}' if live else 'No release'} serves now: another run changed that after this one."

    def _is_back(self) -> bool:
        switched = self.switch.get("changed") and self.after.get("live") != self.release
        return "msg" not in self.went_back and bool(self.went_back.get("changed") or switched)

    def cuts(self) -> list[Switched]:
        """What was cut because it was not waited for any longer."""
        return [facts for facts in (self.switch, self.went_back, self.watch.get("rollback") or {}) if facts.get("cut_text")]

    def writes(self) -> list[str]:
        """Where the application tried to write outside of its shared folders."""
        return write_attempts.sentences(self.watch, self.watch_end, self.smoke, self.switch)

    def message(self, fleet: Fleet) -> str:
        """In sentences: what happened, what serves, what to do."""
        said = [self._story(fleet), *(facts["cut_text"] for facts in self.cuts())]
        if self.settled.get("finished"):
            said.append(f"Before that: {self.settled['finished'].rstrip('.')}.")
        failure, log = self.failure or "", self.switch.get("log")
        if log and log not in failure and self.outcome() not in GOOD:
            said.append(f"The log of the application: {log}.")
        if "msg" in self.pruned:
            said.append(f"WARNING: old releases could not be pruned: {task_result.cause(self.pruned)}")
        said += [write_attempts.warning(self.writes(), failure), f"Page: {self.page}" if self.page else ""]
        return " ".join(filter(None, said))

    def _story(self, fleet: Fleet) -> str:
        """The sentences that differ by the outcome."""
        outcome, name = self.outcome(), f"release {self.release}"
        if "msg" in self.applied:
            return (
                f"{name} is live and verified already, and could not be restarted with the current {', '.join(self.restart_needed)}: "
                f"{task_result.cause(self.applied)}"
            )
        if self._unseen():
            return f"{name} was live and verified when this run began, and what serves now is not known: {task_result.cause(self.final)}"
        if self.replaced():
            return (
                f"{name} was live and verified when this run began, and another run has replaced it: {self.final.get('live') or 'none'} "
                f"serves now. Run the same deploy again, when {self.release} is the one that is wanted."
            )
        if outcome == "unchanged":
            return f"{name} is live and verified already; {self._kept()}{self.mixed(fleet)}"
        if outcome == "planned":
            return (
                f"{name} would replace {self.before or 'nothing'} after a backup and be watched for {self.duration} s; nothing was changed."
            )
        if outcome == "deployed":
            return (
                f"{name} is live and verified (before: {self.before or 'none'}, downtime {self.switch.get('downtime') or 0} s, "
                f"backup {self.backup or 'none'})."
            )
        if self.failure is not None:
            return self._failed(fleet, self.failure.rstrip("."))
        return self._watched(fleet)

    def _kept(self) -> str:
        if self.applies:
            return (
                f"it {'would be' if self.check_mode else 'was'} restarted without a lost request, so that it has the current "
                f"{', '.join(self.restart_needed)}."
            )
        return "nothing was changed." + (
            f" This deploy does not apply changed settings. {self.restart_message}" if self.restart_message else ""
        )

    def _failed(self, fleet: Fleet, failure: str) -> str:
        """Where a task failed."""
        outcome = self.outcome()
        if outcome == "frozen":
            stays = " and still serves" if self._serves(self.release) else ""
            return (
                f"release {self.release} is bad and its migration is forward-only, so it was not rolled back{stays}: "
                f"{failure}. A person decides; incident {fleet['incident']}.{self._now(self.release)}"
            )
        back = (self.went_back.get("release") or {}).get("id") or self.after.get("live")
        left = self.left.get("live", back) if outcome == "failed" else back
        said = [f"release {self.release} was rolled back to {back}: {failure}." if outcome == "rolled_back" else f"{failure}."]
        if "msg" in self.went_back:
            said.append(task_result.cause(self.went_back))
        if self.left.get("live") == self.release and self._serves(self.release):
            said.append(f"Release {self.release} is bad and still serves.")
        return " ".join([*said, f"Incident {fleet['incident'] or 'none'}."]) + (self._now(left) if self.after else "") + self.mixed(fleet)

    def _watched(self, fleet: Fleet) -> str:
        """Where the watch decided."""
        outcome, incident, trigger = self.outcome(), self.watch.get("incident") or "none", self.watch.get("trigger") or ""
        if outcome == "rolled_back":
            to = t.cast(Switched, self.watch["rollback"])["to"]
            return f"release {self.release} was rolled back to {to}: {trigger}. Incident {incident}.{self._now(to)}{self.mixed(fleet)}"
        if outcome == "frozen":
            return (
                f"release {self.release} is bad and was not rolled back: {trigger}. A person decides; incident {incident} tells why, "
                f"mobius.ops.status what serves.{self._now(self.release)}"
            )
        if not self._serves(self.release):
            return self._overtaken(trigger)
        return (
            f"release {self.release} is live and not verified: {trigger or 'too little was measured'}. Watch it again with "
            "mobius.ops.monitor, or go back with mobius.ops.rollback."
        )

    def _overtaken(self, trigger: str) -> str:
        """Another run has put another release into service since the switch."""
        verified = "verified" if self.watch.get("verdict") == "healthy" else "not verified"
        return (
            f"release {self.release} was put into service and {verified}, and another run has replaced it: {self.final['live'] or 'none'} "
            f"serves now{f' ({trigger})' if trigger else ''}. Run the same deploy again, when {self.release} is the one that is wanted."
        )

    def mixed(self, fleet: Fleet) -> str:
        """Some hosts had the release before this run and keep it, and others have another one now."""
        if not fleet["ahead"] or not fleet["behind"]:
            return ""
        return (
            f" The fleet is mixed: release {self.release} serves on {', '.join(fleet['ahead'])} and not on {', '.join(fleet['behind'])}"
            f"{', and its migration was not undone' if self.migrates else ''}. Mend the cause and run the same deploy again, or send all "
            f"to one release with mobius.ops.rollback -e mobius_release_id={fleet['back_to'] or 'ID'}."
        )


def deploy_end(facts: dict[str, t.Any], fleet: Fleet | None = None) -> dict[str, object]:
    """How a deploy ended; with the fleet also in sentences."""
    deploy = Deploy(**facts)
    ended: dict[str, object] = {"outcome": deploy.outcome(), "cuts": deploy.cuts(), "writes": deploy.writes()}
    return ended if fleet is None else {**ended, "message": deploy.message(fleet), "mixed": deploy.mixed(fleet)}


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Its name."""
        return {"deploy_end": deploy_end}
