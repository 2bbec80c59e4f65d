#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_prune
short_description: Removes old archives, and keeps the last, and one a day, week and month
version_added: 0.1.0
description:
  - Keeps an archive when at least one rule does, and removes the others with their C(.sha256) and C(.sha256.sig), the oldest
    first. Only archives C(dhash_<env>_<YYYYMMDD_HHMMSS>.zip) and C(dhash_<env>_<YYYYMMDD_HHMMSS>_safety.zip) of the one O(env) are
    looked at.
  - A rule that keeps one a day keeps the newest archive of each of the last so many days that have one, and likewise for
    weeks (of ISO 8601, from Monday) and months. Days without an archive do not count. An archive's time is the one in its
    name, in UTC. One archive can be the one of its day, its week and its month.
  - Only a verified archive counts, so a damaged one never takes the place of a good one. One that is not verified (without
    sidecar, damaged, or with O(allowed_signers) without a right signature) is not removed. It is listed in RV(unsound), and
    there is a warning, until a person has removed it.
  - Archives that hold different components are counted apart, so that one of the logs alone never takes the place of one of
    everything. The safety backups of restores are counted apart as well, by the same rules, so that what a restore replaced never takes
    the place of what it restored.
  - Never removed, whatever the rules say, are the newest verified archive of each such set of components, and those that the record
    of the live release or of the rollback target names. The newest is the one that was published last, by the history of O(root), also
    when a clock was wrong.
  - The last archive from before a component shrank (see RV(mobius.ops.backup#module:shrunk)) stays as long as an archive that names it.
  - An archive whose name is dated in the future (the clock was wrong) is neither counted nor removed, and there is a warning.
  - Files that a killed run left (a sidecar or signature without its archive) are removed too, and archives that were kept aside as
    C(*.zip.incomplete), when there is a newer verified archive of the same components.
options:
  dest:
    description:
      - The folder with the archives. C(<root>/backups) when it is not given.
    type: path
  keep_last:
    description:
      - Keep so many, the newest.
    type: int
    default: 0
  keep_daily:
    description:
      - Keep the newest of each of the last so many days that have one.
    type: int
    default: 0
  keep_weekly:
    description:
      - Keep the newest of each of the last so many weeks that have one.
    type: int
    default: 0
  keep_monthly:
    description:
      - Keep the newest of each of the last so many months that have one.
    type: int
    default: 0
  verify:
    description:
      - V(all) compares every archive with its sidecar before it counts. That reads all of them.
      - V(newest) reads archives from the newest on until one of each set of components is verified. Of the others only
        structure, manifest and the presence of the sidecar are looked at, so that a flipped bit in one of them is not seen.
    type: str
    choices: [all, newest]
    default: all
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Fails, with nothing removed, when there are archives and none is verified, all four numbers are 0 or one is less than 0, the host
    was not set up, the folder is missing, a restore runs or was interrupted, or another run removes archives in the same folder.
  - A run that was killed leaves whole archives and at most a sidecar without one, which the next run removes.
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.signatures
  - mobius.ops.shared.progress
  - mobius.ops.shared.attributes
seealso:
  - module: mobius.ops.backup
  - module: mobius.ops.backup_info
author:
  - MOBIUS operations (@mobius-ops)
"""

EXAMPLES = r"""
- name: Keep the last 7, and one for each of 7 days, 4 weeks and 12 months
  mobius.ops.backup_prune:
    root: /opt/mobius
    env: production
    keep_last: 7
    keep_daily: 7
    keep_weekly: 4
    keep_monthly: 12

- name: See what the same would remove if only the last 3 were kept
  mobius.ops.backup_prune:
    root: /opt/mobius
    env: production
    keep_last: 3
  check_mode: true
  diff: true
"""

RETURN = r"""
kept:
  description: The archives that stay, newest first, each with the rules that keep it.
  returned: success
  type: list
  elements: dict
  sample:
    - archive: /opt/mobius/backups/dhash_production_20261123_160000.zip
      created: '2026-11-23T16:00:00Z'
      size: 1048576
      reasons: [last, daily 2026-11-23, weekly 2026-W48, monthly 2026-11, newest verified]
removed:
  description: The archives that were removed, or would be in check mode, newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - archive: /opt/mobius/backups/dhash_production_20260901_160000.zip
      created: '2026-09-01T16:00:00Z'
      size: 1048576
unsound:
  description: The archives that are not verified, newest first, with their status and the reason. They stay.
  returned: success
  type: list
  elements: dict
  sample:
    - archive: /opt/mobius/backups/dhash_production_20261001_160000.zip
      created: '2026-10-01T16:00:00Z'
      size: 1048576
      status: unverified
      reason: no sidecar
held:
  description: >-
    Files that no rule keeps and that stay, because they or their folder are immutable or append-only (C(chattr)); with the command that
    releases each. They are no failure, and all others go.
  returned: success
  type: list
  elements: dict
  sample:
    - path: /opt/mobius/backups/dhash_production_20260901_160000.zip
      reason: it is immutable
      release: chattr -i /opt/mobius/backups/dhash_production_20260901_160000.zip
swept:
  description: Other files that were removed because they belong to no archive any more.
  returned: success
  type: list
  elements: str
  sample: [/opt/mobius/backups/dhash_production_20260801_160000.zip.sha256]
freed:
  description: How many bytes all removed files had.
  returned: success
  type: int
  sample: 1048643
message:
  description: What was done, in words.
  returned: success
  type: str
  sample: 1 archive removed (1.0 MB), 12 kept
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._backup import asked
from ansible_collections.mobius.ops.plugins.module_utils._backup import ordering as backup_ordering
from ansible_collections.mobius.ops.plugins.module_utils._backup import retention as backup_retention
from ansible_collections.mobius.ops.plugins.module_utils._target import progress
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def listing(planned: backup_retention.Plan, after: bool) -> str:
    """One line an archive for the diff, newest first."""
    lines = [(facts["archive"], ", ".join(facts["reasons"])) for facts in planned.kept]
    lines += [(facts["archive"], facts["status"]) for facts in planned.unsound]
    lines += [(held["path"], held["reason"]) for held in planned.held]
    if not after:
        lines += [(facts["archive"], "no rule keeps it") for facts in planned.removed]
        lines += [(path, "belongs to no archive") for path in planned.swept]
    return "".join(f"{os.path.basename(path)}  ({why})\n" for path, why in sorted(lines, reverse=True))


def warnings(planned: backup_retention.Plan) -> list[str]:
    """One for each archive that a person has to look at."""
    return [
        *[
            f"{facts['archive']} is {facts['status']} ({facts['reason'].rstrip('.')}). It is neither counted nor removed: "
            "look at it, then delete it by hand."
            for facts in planned.unsound
        ],
        *[f"{archive} is dated in the future. {backup_ordering.ADVICE}." for archive in planned.future],
        *[
            f"{held['path']} stays, although no rule keeps it: {held['reason']}. Release it with '{held['release']}' when it may go."
            for held in planned.held
        ],
    ]


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Remove what the rules give up, or tell what that would be."""
    layout = Layout(params["root"])
    layout.require()
    request = asked.prune_request(params, layout)
    return asked.prune(layout, request, progress.meter(params), lambda planned: told(planned, check_mode), check_mode)


def told(planned: backup_retention.Plan, check_mode: bool) -> arguments.Answer:
    """Whether it changes something, the result, and the diff."""
    result = {
        "kept": planned.kept,
        "removed": planned.removed,
        "unsound": planned.unsound,
        "swept": planned.swept,
        "held": planned.held,
        "freed": planned.freed,
        "message": asked.sentence(planned, check_mode),
        "warnings": warnings(planned),
    }
    diff = {"before": listing(planned, False), "after": listing(planned, True)}
    return arguments.Answer(bool(planned.removed or planned.swept), result, diff)


def main() -> None:
    """Module entry point."""
    arguments.execute(
        AnsibleModule(
            argument_spec={"root": arguments.ROOT, "env": arguments.ENV, **arguments.PRUNE, **arguments.PROGRESS}, supports_check_mode=True
        ),
        run,
    )


if __name__ == "__main__":
    main()
