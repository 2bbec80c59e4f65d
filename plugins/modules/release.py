#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Prepare, activate, verify, fail, roll back and prune releases
version_added: 0.1.0
description:
  - Keeps the releases of a MOBIUS host and their records. The live release is the one that the C(current) link names.
  - With O(service), activating and rolling back restart that service and wait until it is ready. When a release does not
    become ready after V(active), the one before it serves again before the module fails.
  - Only one switch runs at a time on a target; another one waits.
  - Before anything changes, its intent is written to C(state/switch.json), and removed after the last step. When a call was killed
    in between, the next one with V(active), V(rolled_back) or V(settled) finishes that switch first. The same call finishes it and says so.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.attributes
  - mobius.ops.checks
options:
  state:
    description:
      - V(prepared) unpacks O(artifact) as a release, after its checksum was verified.
      - V(active) makes O(release_id) the live release.
      - V(verified) marks a release as good, so that a rollback may go to it. V(failed) marks it as bad.
      - V(rolled_back) makes an earlier release live; O(release_id), or the newest verified one older than the live one. A rollback that
        was interrupted is finished, and that is all when it leads to the same release, or O(release_id) is not given.
      - V(settled) finishes a rollback that was interrupted, takes back an activation that was, and does nothing else. With O(release_id),
        the activation of that release is left to V(active). When it cannot be finished, RV(finished) says why, and it is dropped.
      - V(pruned) removes old releases and the dependencies that only they used.
    type: str
    choices: [prepared, active, verified, failed, rolled_back, settled, pruned]
    required: true
  release_id:
    description:
      - The release. Needed but for V(rolled_back), V(settled) and V(pruned). With V(verified) and V(failed), the live one by default.
    type: str
  version:
    description: The version that the record keeps.
    type: str
    default: ""
  source:
    description: Where the release came from, for the record.
    type: str
    default: ""
  artifact:
    description: The artifact's path on the target, for V(prepared).
    type: path
  sha256:
    description: The artifact's SHA-256, for V(prepared).
    type: str
  npm_ci_args:
    description: Arguments of C(npm ci), which installs the dependencies of a lock file once.
    type: list
    elements: str
    default: [--omit=dev]
  dependencies:
    description:
      - Dependencies that M(mobius.ops.release_artifact) has packed, for a target that reaches no package registry. They are unpacked,
        once for the files that npm reads, and C(npm ci) does not run.
      - Compiled ones are for the operating system and the processor of the controller.
    type: dict
    version_added: 0.1.0
    suboptions:
      path:
        description: Their archive on the target. Not looked at when they are installed already.
        type: path
        required: true
      sha256:
        description: Its SHA-256.
        type: str
        required: true
      runtime:
        description:
          - The machine and Node that they were packed for, as M(mobius.ops.release_artifact) returns it. By default this host's.
          - Compiled dependencies for another machine or another module ABI of Node are refused.
        type: str
        version_added: 0.1.0
  asset_folders:
    description:
      - Folders of a release whose files have names that change with their content.
      - Each release that is kept also offers the others' files, as hard links; none is replaced.
    type: list
    elements: str
    default: [client/build/assets, client/build/static]
  migration:
    description: Which kind of data migration the release brings. A watch does not roll back a V(forward_only) one by itself.
    type: str
    choices: [none, reversible, forward_only]
    default: none
  backup:
    description: The backup that was taken before the release, for its record.
    type: str
  service:
    description: Name of the service to restart, as M(mobius.ops.node_service) knows it. Only the link changes without it.
    type: str
  ready_timeout:
    description: Seconds within which the service has to become ready.
    type: float
    default: 60
  drain_timeout:
    description:
      - Seconds within which long requests and renders must have ended before an instance is stopped; without a proxy requests are not
        seen, and renders are waited for only. By default as the service was set up with (O(mobius.ops.node_service#module:drain_timeout)).
      - With V(rolled_back), a live release that does not answer its checks within two seconds is not waited for.
    type: float
    version_added: 0.1.0
  drain_force:
    description: Whether what has not ended by then is cut. By default as the service was set up with.
    type: bool
    version_added: 0.1.0
  watch:
    description:
      - With V(active), the watch that begins as soon as the release serves, in this call. So it guards the release whatever becomes of
        the caller; Ctrl-C and the end of the session do not end the call then.
      - Takes the options O(mobius.ops.monitor#module:env) to O(mobius.ops.monitor#module:drain_timeout) of M(mobius.ops.monitor);
        O(mobius.ops.monitor#module:env) is needed. Checks, headers and service are those of this call. Mistakes are found before the
        switch.
      - Without it no watch begins.
    type: dict
    version_added: 0.1.0
  why:
    description: The reason of a rollback or a failure, for the records.
    type: str
    default: ""
  retire:
    description:
      - With V(rolled_back), where two instances stand behind a proxy, stop the instance that was gone back from.
      - Meant for a rollback that no watch follows; a watch does it at its end.
      - It is given ten seconds to finish what it has begun. With longer work it stays, and the next deploy waits for it and stops it; with
        O(drain_force) that work is cut.
    type: bool
    default: false
    version_added: 0.1.0
  keep:
    description:
      - How many verified releases V(pruned) keeps. It never removes the live release or the rollback target.
      - While somebody holds the deploy lock it removes nothing.
    type: int
    default: 5
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: V(rolled_back) without O(release_id) goes back one more release each time, but for one that was interrupted, which it finishes.
seealso:
  - module: mobius.ops.release_info
  - module: mobius.ops.release_artifact
"""

EXAMPLES = r"""
- name: Unpack the artifact
  mobius.ops.release:
    root: /opt/mobius
    state: prepared
    release_id: 1.4.0-5f1d2c3b
    version: 1.4.0
    artifact: /opt/mobius/state/incoming/1.4.0-5f1d2c3b.tar.gz
    sha256: "{{ artifact.sha256 }}"

- name: Put it into service
  mobius.ops.release:
    root: /opt/mobius
    state: active
    release_id: 1.4.0-5f1d2c3b
    service: mobius
    checks:
      - url: http://127.0.0.1:5001/health
        json: ["status == 'ok'", "release == '{release}'"]

- name: Go back to the release before
  mobius.ops.release:
    root: /opt/mobius
    state: rolled_back
    service: mobius
    why: Uploads fail
    checks:
      - url: http://127.0.0.1:5001/health
"""

RETURN = r"""
release:
  description: The record of the release that was worked on; see M(mobius.ops.release_info) for its fields.
  returned: success, but for O(state=pruned)
  type: dict
previous:
  description: The id of the release that was live before, if any.
  returned: success
  type: str
target:
  description: The id of the release that was rolled back to, or that a rollback would go to now.
  returned: success
  type: str
downtime:
  description: Seconds between the stop of the old release and the readiness of the new one.
  returned: when a service was restarted
  type: float
watch:
  description: The watch that has begun, as M(mobius.ops.monitor) returns it with RV(mobius.ops.monitor#module:verdict) and the rest.
  returned: with O(watch)
  type: dict
  version_added: 0.1.0
finished:
  description: A sentence on a switch that was interrupted and that this call has finished; in check mode, would finish.
  returned: when there was one
  type: str
  sample: finished the rollback of 1.4.0-5f1d2c3b to 1.3.9-0d1e2f3a that was interrupted
  version_added: 0.1.0
retired:
  description: The release whose instance was stopped by O(retire), if any.
  returned: O(state=rolled_back), when it went back
  type: str
cut:
  description:
    - Work that was not waited for any longer, C(requests) (a number) and C(renders) (a list of names). A name is the id of the render
      where the command of its program tells it.
  returned: when a service was switched
  type: dict
  version_added: 0.1.0
cut_text:
  description: The same as a sentence, empty when nothing was cut.
  returned: when a service was switched
  type: str
  version_added: 0.1.0
work:
  description: What the live release works on, in the form of RV(cut); the rollback would wait for it.
  returned: O(state=rolled_back) in check mode
  type: dict
  version_added: 0.1.0
removed:
  description: Ids of the removed releases.
  returned: O(state=pruned)
  type: list
  elements: str
serving:
  description: Whether a good release serves now.
  returned: when a release did not become ready
  type: bool
evidence:
  description: The last lines that the service printed.
  returned: when a release did not become ready
  type: list
  elements: str
log:
  description:
    - Where all that it printed is found, an absolute path or a command; of an instance that was tried on a copy, what is kept of it.
  returned: with a service, when it was switched or a release did not become ready
  type: str
write_attempts:
  description:
    - Where the application tried to write outside its shared folders, by what it printed since its start. A warning; nothing fails for it.
    - C(folder), C(paths) (at most three, relative to the application's folder), C(error), C(message), and C(line), the entry for
      C(mobius_shared_folders) that helps, or an empty text.
  returned: with a service, when it was switched or a release did not become ready
  type: list
  elements: dict
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import interrupt
from ansible_collections.mobius.ops.plugins.module_utils._deploy import release_states
from ansible_collections.mobius.ops.plugins.module_utils._watch import request as watch_request

#: Options of dependencies that the controller has packed.
SHIPPED = {"path": {"type": "path", "required": True}, "sha256": {"type": "str", "required": True}, "runtime": {"type": "str"}}


class Work(release_states.Releases):
    """One call of the module."""

    def active(self) -> tuple[bool, dict[str, object]]:
        """Switch, and begin the watch: what serves is guarded, wherever the caller is interrupted."""
        if not self.params["watch"]:
            return super().active()
        options = {**self.params["watch"], "service": self.params["service"] or ""}
        spec = watch_request.definition(self.store.layout, arguments.checked("watch", arguments.WATCH, options), self.checks)
        with interrupt.undeterred():
            changed, facts = super().active()
            return (changed, facts) if self.check_mode else (True, {**facts, "watch": watch_request.begin(self.store.layout, spec)})


def held(work: Work) -> release_states.Held:
    """What is live, and the status of each release."""
    return {"live": work.store.live(), "releases": {record["id"]: record["status"] for record in work.store.all()}}


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Bring about the state."""
    work = Work(params, check_mode)
    before = held(work)
    changed, result = getattr(work, params["state"])()
    after = held(work)
    if check_mode and changed:
        after = release_states.expected(before, params["state"], result)
    target = work.store.target()
    result = {"previous": before["live"], **result, "target": target["id"] if target else None}
    if params["state"] == "rolled_back":
        result["target"] = result["release"]["id"]
    return arguments.Answer(changed, result, {"before": before, "after": after})


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "state": {
                "type": "str",
                "required": True,
                "choices": ["prepared", "active", "verified", "failed", "rolled_back", "settled", "pruned"],
            },
            "release_id": {"type": "str"},
            "version": {"type": "str", "default": ""},
            "source": {"type": "str", "default": ""},
            "artifact": {"type": "path"},
            "sha256": {"type": "str"},
            "npm_ci_args": {"type": "list", "elements": "str", "default": ["--omit=dev"]},
            "dependencies": {"type": "dict", "options": SHIPPED},
            "asset_folders": {"type": "list", "elements": "str", "default": ["client/build/assets", "client/build/static"]},
            "migration": {"type": "str", "choices": ["none", "reversible", "forward_only"], "default": "none"},
            "backup": {"type": "str"},
            "service": {"type": "str"},
            "checks": arguments.CHECKS,
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
            "ready_timeout": {"type": "float", "default": 60},
            "drain_timeout": {"type": "float"},
            "drain_force": {"type": "bool"},
            "why": {"type": "str", "default": ""},
            "retire": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 5},
            "watch": {"type": "dict"},
        },
        required_if=[("state", "prepared", ["release_id", "artifact", "sha256"]), ("state", "active", ["release_id"])],
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
