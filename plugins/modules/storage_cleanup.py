#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: storage_cleanup
short_description: Move old uploads, logs, temporary files and renders into quarantine, put them back, or remove them
version_added: 0.1.0
description:
  - Takes a file only when it is old by O(clock), no SQLite database and no JSON file of the component C(database) names it, and a
    verified backup holds it with the same content under the same path. The stores are looked at again right before each move.
  - A file goes into O(quarantine) by one rename, with its content, owner, mode and times. After O(expiry_days) the next clean-up removes
    it, when the backup still holds it and no store names it again.
  - Follows no link, crosses no mount point, and works with the rights of the user to whom the folders belong. Files with a second name, and
    files that a program has open or that change meanwhile, stay. RV(left) counts them by reason.
  - A run that is killed leaves each file either in its place or in quarantine and in a record. The next run mends the record.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.signatures
  - mobius.ops.shared.progress
  - mobius.ops.shared.attributes
attributes:
  check_mode:
    support: full
    details: Looks as the run does, and tells the same files and bytes.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(planned) tells what V(cleaned) would do. V(cleaned) removes what has expired in quarantine and moves old files there.
        V(restored) moves files of O(paths) back, and replaces nothing. V(purged) removes what has expired, and nothing more.
    type: str
    choices: [planned, cleaned, restored, purged]
    default: planned
  kinds:
    description:
      - V(uploads) are files in the component C(uploads), V(logs) those in C(logs). V(renders) are files in C(generated), and in
        C(uploads) below one of O(render_folders). V(temporary) are files in C(uploads), C(generated) and C(database) that fit one of
        O(temporary).
    type: list
    elements: str
    choices: [uploads, logs, temporary, renders]
    default: [uploads, logs, temporary, renders]
  days:
    description: Age in days from which on an upload is old.
    type: float
    default: 30
  log_days:
    description: The same for logs.
    type: float
    default: 30
  temporary_days:
    description: The same for temporary files.
    type: float
    default: 2
  render_days:
    description: The same for renders.
    type: float
    default: 30
  clock:
    description:
      - Which time of a file is its age. V(mtime) is when its content changed, and a restore keeps it. V(ctime) makes a restored
        backup look new. V(atime) counts reads, as far as the file system does. V(btime) is the time of birth, which not every file
        system keeps.
    type: str
    choices: [mtime, ctime, atime, btime]
    default: mtime
  grace:
    description:
      - Seconds that a file must have been left alone, by its C(ctime), whatever O(clock) says. A row that names a new file may not be
        committed yet.
    type: float
    default: 3600
  keep:
    description: Patterns of component and path of files that stay, such as V(uploads/MobiusGames/*). V(*) stands for C(/) too.
    type: list
    elements: str
    default: []
  temporary:
    description:
      - Patterns of the names of temporary files, and of folders in which all files are temporary. In C(database) only folders count.
    type: list
    elements: str
    default: ['*.tmp', '*.part', '*.partial', .source-upload-tmp]
  render_folders:
    description: Names of folders in C(uploads) in which renders are, each in a folder with the name of its job.
    type: list
    elements: str
    default: [render-jobs]
  max_bytes:
    description: Bytes that a run moves at most. A file that does not fit lets smaller ones pass. The oldest files come first.
    type: int
    default: 10737418240
  max_files:
    description: Files that a run moves at most.
    type: int
    default: 10000
  quarantine:
    description:
      - The folder of the quarantine, by default C(quarantine) below O(root). Files of a component on another mount go into C(.quarantine)
        at the top of that component, because only a rename is one step.
    type: path
  expiry_days:
    description: Days after which a file in quarantine is removed by the next run with V(cleaned) or V(purged).
    type: float
    default: 7
  paths:
    description:
      - What V(restored) puts back. Component and path of a file, such as V(uploads/a.png), a pattern of such, or the name of a run.
    type: list
    elements: str
    default: []
  dest:
    description: The folder of the backups, by default C(backups) below O(root).
    type: path
  verify:
    description:
      - How a backup is verified before it counts. V(checksum) compares the archive with its sidecar; V(deep) also reads every member.
    type: str
    choices: [checksum, deep]
    default: checksum
  limit:
    description: Seconds that a run may take to look at the files, and to move them. What is left then waits for the next run.
    type: float
    default: 900
  why:
    description: The reason, for the history.
    type: str
    default: ""
seealso:
  - module: mobius.ops.backup
  - module: mobius.ops.backup_prune
"""

EXAMPLES = r"""
- name: What could go?
  mobius.ops.storage_cleanup:
    root: /opt/mobius
    env: production

- name: Move uploads older than 90 days into quarantine, 50 GB at most
  mobius.ops.storage_cleanup:
    root: /opt/mobius
    env: production
    state: cleaned
    kinds: [uploads]
    days: 90
    max_bytes: "{{ '50 GB' | human_to_bytes }}"

- name: Put one back
  mobius.ops.storage_cleanup:
    root: /opt/mobius
    env: production
    state: restored
    paths: [uploads/images-1700000000000-1.png]
"""

RETURN = r"""
files:
  description: How many files moved, or would.
  returned: success
  type: int
bytes:
  description: Their bytes.
  returned: success
  type: int
moved:
  description: The first hundred of them.
  returned: success
  type: list
  elements: dict
  sample: [{path: uploads/old.png, bytes: 52428, kind: uploads, modified: '2026-09-01T16:00:00Z'}]
left:
  description:
    - Old files that stay, by reason. V(named) by a store, V(unclear) because the name has no letter or digit to look for, V(recent)
      within O(grace), V(hard_link), V(in_use), V(changed) since it was looked at, V(gone), V(not_in_backup), V(differs_from_backup),
      V(over_quota), V(out_of_time), V(kept) by O(keep), V(other_filesystem) than the quarantine, V(mount) for folders, V(not_a_file),
      V(other_owner), V(denied), V(no_birth_time).
    - With O(state=restored) files that stay in quarantine, as V(taken) when there is another file, V(no_folder), V(changed).
  returned: success, or when a file cannot be put back
  type: dict
  sample: {named: {files: 12, bytes: 52428800}}
purged:
  description: Files of the quarantine that were removed, or would be, and their bytes.
  returned: success
  type: dict
  sample: {files: 3, bytes: 52428}
stay:
  description: Files that have expired in quarantine and stay there, by reason as in RV(left).
  returned: success
  type: dict
run:
  description: Name of this run, for O(paths); empty when nothing moved into quarantine.
  returned: success
  type: str
  sample: 20261127_093000-3f9a1c
quarantine:
  description: The runs that have files in quarantine afterwards, oldest first, with C(run), C(when), C(expires), C(files) and C(bytes).
  returned: success
  type: list
  elements: dict
archives:
  description: By component, the backup that was compared with.
  returned: O(state=planned) and O(state=cleaned)
  type: dict
mended:
  description: Entries of killed runs whose files had not moved.
  returned: success
  type: int
message:
  description: What was done, or would be, in a sentence or two.
  returned: success
  type: str
  sample: "120 files (1.2 GB) moved into quarantine; 14 old files stay."
"""

import datetime

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._cleanup import cleanup, held, journal, plan, rules
from ansible_collections.mobius.ops.plugins.module_utils._core import clock, wording
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import progress
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout, check_name

#: Files that are named in a result.
SHOWN = 100


def request_of(params: arguments.Params, layout: Layout) -> plan.Request:
    """What the options ask for. :raises InputError: when one has a wrong value."""
    if params["state"] == "restored" and not params["paths"]:
        raise InputError("state restored", "paths to say which files are meant", "none", "Name files, a pattern, or a run")
    days = {"uploads": params["days"], "logs": params["log_days"], "temporary": params["temporary_days"], "renders": params["render_days"]}
    wanted = rules.Rules(
        kinds=params["kinds"], days=days, **{name: params[name] for name in ("clock", "grace", "keep", "temporary", "render_folders")}
    )
    source = held.Source(
        check_name(params["env"], "env"),
        params["dest"] or layout.backups,
        params["verify"],
        signature.policy(params["allowed_signers"], params["signer"]),
    )
    request = plan.Request(
        wanted,
        source,
        params["quarantine"] or layout.quarantine,
        wanted=tuple(params["paths"]),
        **{name: params[name] for name in ("max_bytes", "max_files", "expiry_days", "limit", "why")},
    )
    request.check(layout)
    return request


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Look, and do what is asked for."""
    layout, meter, state = Layout(params["root"]), progress.meter(params), params["state"]
    layout.require()
    request = request_of(params, layout)
    dry = check_mode or state == "planned"
    if state == "restored":
        done = cleanup.restore(layout, request, dry)
    elif state == "purged":
        done = cleanup.purge(layout, request, dry, meter)
    else:
        done = cleanup.clean(layout, request, dry, meter)
    result = facts(done, request, state, dry)
    if state == "restored" and done.left.counts:
        reason, (files, _size) = next(iter(done.left.counts.items()))
        raise StateError(
            f"{files} file{'' if files == 1 else 's'} in quarantine",
            "to go back",
            WHY.get(reason, reason),
            f"{len(done.files)} went back. Move what is in the way, then run it again",
            result,
        )
    lines = {"before": "".join(f"{one.shown}\n" for one in done.files), "after": ""}
    diff = {"before": lines["after"], "after": lines["before"]} if state == "restored" else lines
    return arguments.Answer(state != "planned" and bool(done.files or done.purged or done.mended), result, diff)


#: Why a file stays in quarantine that was to go back.
WHY = {
    "taken": "another file with its name",
    "no_folder": "that its folder is gone",
    "changed": "that it was changed in quarantine",
    "gone": "that it is gone",
    "denied": "that the service's user may not",
    "other_filesystem": "another file system in its place",
}


def facts(done: cleanup.Done, request: plan.Request, state: str, dry: bool) -> dict[str, object]:
    """The result."""
    age = datetime.timedelta(days=request.expiry_days)
    return {
        "files": len(done.files),
        "bytes": cleanup.size_of(done.files),
        "left": done.left.facts(),
        "stay": done.stay.facts(),
        "moved": [
            {"path": one.shown, "bytes": one.size, "kind": one.kind, "modified": clock.from_epoch(one.mtime_ns / 1e9)}
            for one in done.files[:SHOWN]
        ],
        "purged": {"files": len(done.purged), "bytes": cleanup.size_of(done.purged)},
        "run": done.run,
        "archives": done.archives,
        "quarantine": [described(each, age) for each in done.quarantine],
        "mended": done.mended,
        "message": sentence(done, state, dry),
    }


def described(one: journal.Run, age: datetime.timedelta) -> dict[str, object]:
    """A run that has files in quarantine."""
    return {
        "run": one.run,
        "when": one.when,
        "expires": clock.iso(clock.parse(one.when) + age),
        "files": len(one.entries),
        "bytes": cleanup.size_of(one.entries),
    }


def sentence(done: cleanup.Done, state: str, dry: bool) -> str:
    """What was done, or would be."""
    would, parts = "would be " if dry else "", []
    if state == "restored":
        return f"{counted(done.files)} {would}moved back."
    if state != "purged":
        parts.append(f"{counted(done.files)} {would}moved into quarantine" if done.files else "no file may go")
    if done.purged or state == "purged":
        parts.append(f"{counted(done.purged)} {would}removed from quarantine")
    stay = sum(files for files, _size in done.left.counts.values())
    if stay:
        parts.append(f"{stay} old {'file stays' if stay == 1 else 'files stay'}")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def counted(entries: list[journal.Entry]) -> str:
    """Files and their bytes, in words."""
    return f"{len(entries)} file{'' if len(entries) == 1 else 's'} ({wording.human_size(cleanup.size_of(entries))})"


def main() -> None:
    """Run as an Ansible module."""
    days = {"type": "float", "default": 30}
    names = {"type": "list", "elements": "str", "default": []}
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "env": arguments.ENV,
                "state": {"type": "str", "choices": ["planned", "cleaned", "restored", "purged"], "default": "planned"},
                "kinds": {**names, "choices": list(rules.KINDS), "default": list(rules.KINDS)},
                "days": days,
                "log_days": days,
                "temporary_days": {"type": "float", "default": 2},
                "render_days": days,
                "clock": {"type": "str", "choices": ["mtime", "ctime", "atime", "btime"], "default": "mtime"},
                "grace": {"type": "float", "default": 3600},
                "keep": names,
                "temporary": {**names, "default": ["*.tmp", "*.part", "*.partial", ".source-upload-tmp"]},
                "render_folders": {**names, "default": ["render-jobs"]},
                "max_bytes": {"type": "int", "default": 10 * 1024**3},
                "max_files": {"type": "int", "default": 10_000},
                "quarantine": {"type": "path"},
                "expiry_days": {"type": "float", "default": 7},
                "paths": names,
                "dest": {"type": "path"},
                "verify": {"type": "str", "choices": ["checksum", "deep"], "default": "checksum"},
                "limit": {"type": "float", "default": 900},
                "why": {"type": "str", "default": ""},
                **arguments.SIGNATURES,
                **arguments.PROGRESS,
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
