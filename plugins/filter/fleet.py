# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a deploy knows of all its hosts, for the one decision that they share."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: fleet
positional: hostvars
short_description: What became of a deploy on each of its hosts
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Reads what the tasks of the role C(mobius.ops.deploy) have left in the variables of each host, and says which hosts are the
    reason to go back. It is made for that role.
options:
  _input:
    description: All hosts of the play, as C(ansible_play_hosts_all) has them.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of the hosts.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Tell which hosts made the fleet go back
  ansible.builtin.debug:
    msg: "{{ (ansible_play_hosts_all | mobius.ops.fleet(hostvars)).culprits }}"
"""

RETURN = r"""
_value:
  description:
    - V(wanting), the hosts that the release is to come to. V(ahead), those that have it already, live and verified. V(behind), those of
      the former that went back or were never switched, once it was looked what is live. V(back_to), the release that the first of these
      has now, or an empty text. V(migrates), the host that migrates the data of
      all, or an empty text; see M(mobius.ops.release_migration). V(broken), whether a task failed or was not reached on one of them.
    - V(failed), a dictionary of host and reason. V(went_back), hosts whose watch went back. V(lost), hosts that nobody reaches any more.
      V(culprits), the last three together.
    - V(reporter), the host that writes the incident of all. V(incident), the incident of the fleet, or an empty text.
    - V(stuck), hosts that could not go back. V(down), whether any is known to serve nothing.
  type: dict
"""


class Fleet(t.TypedDict):
    """A deploy over all hosts of its play; see RETURN."""

    wanting: list[str]
    ahead: list[str]
    behind: list[str]
    back_to: str
    migrates: str
    broken: bool
    failed: dict[str, str]
    went_back: list[str]
    lost: list[str]
    culprits: list[str]
    reporter: str
    incident: str
    stuck: list[str]
    down: bool


class Watch(t.TypedDict, total=False):
    """What is known of the end of a host's watch."""

    verdict: str | None
    trigger: str | None
    incident: str | None
    lost: bool


def fleet(hosts: list[str], hostvars: t.Any) -> Fleet:
    """The state of a deploy over all hosts of its play."""
    hostvars = {host: hostvars[host] for host in hosts}  # each access makes Ansible collect all variables of the host again
    wanting = [host for host in hosts if hostvars[host].get("deploy_wanted")]
    watches = {host: _watch(hostvars[host]) for host in wanting}
    failed = {host: str(hostvars[host].get("deploy_failure")) for host in hosts if hostvars[host].get("deploy_failed_here")}
    went_back = [host for host in wanting if watches[host].get("verdict") == "rolled_back"]
    # Who goes back says so first. A host that nobody reaches has no say.
    present = [host for host in wanting if hostvars[host].get("deploy_present")]
    lost = [host for host in wanting if watches[host].get("lost") or (present and host not in present)]
    ahead = [host for host in hosts if host not in wanting and hostvars[host].get("deploy_wanted") is not None]
    behind = [host for host in wanting if host in went_back or _is_behind(hostvars[host])]
    incidents = [_facts(_facts(hostvars[host], "deploy_incident"), "incident").get("id") for host in wanting]
    incidents += [watches[host].get("incident") for host in went_back]
    return {
        "wanting": wanting,
        "ahead": ahead,
        "behind": behind,
        "back_to": _back_to(hostvars[behind[0]]) if behind else "",
        "migrates": next((host for host in wanting if _has_migrated(hostvars[host])), "" if ahead else next(iter(wanting), "")),
        "broken": any(hostvars[host].get("deploy_rescued") for host in wanting),
        "failed": failed,
        "went_back": went_back,
        "lost": lost,
        "culprits": [host for host in hosts if host in failed or host in went_back or host in lost],
        "reporter": next((host for host in present if host in failed), next((host for host in present if host not in lost), "")),
        "incident": str(next((found for found in incidents if found), "")),
        "stuck": [
            host for host in wanting if any(_facts(hostvars[host], name).get("msg") for name in ("deploy_went_back", "deploy_unmigrated"))
        ],
        "down": any(not hostvars[host].get("deploy_serving", True) and host not in went_back for host in failed),
    }


def _facts(found: t.Any, name: str) -> t.Any:
    return found.get(name) or {}


def _is_behind(variables: t.Any) -> bool:
    """Whether another release is live, by what was looked at before and what came of going back."""
    after, back = _facts(variables, "deploy_after"), _facts(variables, "deploy_went_back")
    release = _facts(variables, "deploy_artifact").get("release_id")
    return after.get("live", release) != release or bool(back.get("changed") and not back.get("msg"))


def _back_to(variables: t.Any) -> str:
    """The release that a host has gone back to, or has kept."""
    return str(
        _facts(_facts(variables, "deploy_went_back"), "release").get("id")
        or _facts(_facts(variables, "monitor_watch"), "rollback").get("to")
        or _facts(variables, "deploy_before").get("live")
        or ""
    )


def _has_migrated(variables: t.Any) -> bool:
    """Whether a host's own record tells of the release's migration, whatever became of it."""
    release = _facts(variables, "deploy_artifact").get("release_id")
    return any(record.get("migrated") and record["id"] == release for record in _facts(variables, "deploy_before").get("releases", []))


def _watch(variables: t.Any) -> Watch:
    """What is known of the end of a host's watch: what was followed, or what was found when it was stopped."""
    watch: Watch = _facts(variables, "monitor_watch")
    ended = _facts(variables, "deploy_watch_end")
    if _facts(ended, "watch").get("release") == _facts(variables, "deploy_artifact").get("release_id", ""):
        return {**watch, "verdict": ended.get("verdict"), "trigger": ended.get("trigger"), "incident": ended.get("incident")}
    return watch


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Its name."""
        return {"fleet": fleet}
