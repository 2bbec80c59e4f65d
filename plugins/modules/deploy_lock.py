#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_lock
short_description: One deployer at a time
version_added: 0.1.0
description:
  - Takes, renews, gives back or removes the lock of a root, C(state/lock) below it. Whoever changes releases or data there holds it.
  - A lock that was not renewed for its O(expiry) can be taken over. Age is counted by the kernel's clock since boot, so setting the
    time changes nothing; after a reboot of the target only the time since then counts.
  - As a task of a playbook it also takes over, at once, a lock of an earlier C(ansible-playbook) of the same user on the same
    controller that has ended without giving it back, for instance by C(kill -9).
  - What expires while its holder still works is found out when the holder renews it by its O(token), so do that before a step that counts.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.attributes
options:
  state:
    description:
      - V(held) takes the lock. With O(token) it renews that one lock, and fails when it was lost. The same run of
        C(ansible-playbook) may take it again; that renews it.
      - V(available) takes nothing. It fails when somebody else holds the lock, with the message of V(held).
      - V(free) gives back the lock with that O(token). Nothing happens when nobody holds it; somebody else's is left, and the task fails.
      - V(forced) removes the lock whoever holds it, and writes who, whose and O(reason) into the history. With O(token) only that one.
    type: str
    choices: [held, available, free, forced]
    default: held
  env:
    description: The environment's name, for the record. The lock itself is one a root, and so one an environment.
    type: str
    default: ""
  owner:
    description: Who holds it, for people. The operator that the history would name, by default.
    type: str
  reason:
    description: Why it is held, or removed, in a few words. Needed with V(forced).
    type: str
    default: ""
  expiry:
    description: Seconds without a renewal after which others may take it over. More than the longest step between two renewals.
    type: float
    default: 900
  wait:
    description: Seconds to wait for a lock that somebody else holds.
    type: float
    default: 0
  token:
    description: The lock's token, as RV(lock) had it.
    type: str
  host:
    description: Where the holder works. Set by the collection itself to the controller's name.
    type: str
  process:
    description: The holder's process. Set by the collection itself.
    type: str
    default: ""
  gone:
    description: Token of a lock whose process is known to have ended. Set by the collection itself.
    type: str
attributes:
  check_mode:
    support: full
    details: Takes nothing, and does not fail because somebody else holds the lock; it warns and returns that lock.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: V(held) renews each time. V(free) and V(forced) change nothing when nobody holds the lock.
"""

EXAMPLES = r"""
- name: Be the only one, within ten minutes
  mobius.ops.deploy_lock:
    root: /opt/mobius
    env: production
    reason: moving uploads to the new disk
    wait: 600
  register: mine

- name: Give it back
  mobius.ops.deploy_lock:
    root: /opt/mobius
    state: free
    token: "{{ mine.lock.token }}"
"""

RETURN = r"""
lock:
  description:
    - The lock as it is now (V(held)), as it was (V(available), V(free) and V(forced)), or the one that is in the way. None without one.
    - One whose record is damaged has C(fault), a sentence, and nothing else.
  returned: always
  type: dict
  contains:
    owner:
      description: Who holds it.
      type: str
    reason:
      description: Why.
      type: str
    env:
      description: The environment.
      type: str
    host:
      description: The controller.
      type: str
    process:
      description: The holder's process there.
      type: str
    since:
      description: When it was taken, ISO 8601 UTC.
      type: str
    heartbeat:
      description: When it was renewed last, ISO 8601 UTC.
      type: str
    expires:
      description: From when others may take it over, ISO 8601 UTC.
      type: str
    expired:
      description: Whether they may already.
      type: bool
    token:
      description: Names this lock.
      type: str
waited:
  description: Seconds that were waited for it.
  returned: with O(state=held)
  type: float
reclaimed:
  description: The stranded lock of somebody else, or of an earlier run, that was taken over.
  returned: with O(state=held)
  type: dict
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock, history, tenancy
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Take, renew, give back or remove the lock."""
    layout = Layout(params["root"])
    layout.require()
    lock, state = deploy_lock.DeployLock(layout), params["state"]
    if state == "free" and not params["token"]:
        raise InputError("deploy lock", "the token of the lock that is to be given back", "none", "Give the token that taking it returned")
    if state == "forced" and not params["reason"].strip():
        raise InputError("deploy lock", "a reason for its removal", "none", "Give one with -e mobius_why=REASON")
    if state in ("held", "available"):
        tenancy.require_env(layout, params["env"])
    before = lock.look()
    if state == "available":
        lock.check_hold(_wish(params))
        return arguments.Answer(False, {"lock": before})
    changed, result = (_plan if check_mode else _apply)(lock, params, before)
    after = result["lock"] if state == "held" else None if changed else before
    return arguments.Answer(changed, result, {"before": {"lock": before}, "after": {"lock": after}})


def _wish(params: arguments.Params) -> deploy_lock.Wish:
    return {
        "owner": params["owner"] or history.who(),
        "reason": params["reason"],
        "env": params["env"],
        "host": params["host"] or deploy_lock.here(),
        "process": params["process"],
        "expiry": params["expiry"],
        "token": params["token"],
        "gone": params["gone"],
    }


def _apply(lock: deploy_lock.DeployLock, params: arguments.Params, before: deploy_lock.Shown | None) -> tuple[bool, dict[str, object]]:
    if params["state"] == "held":
        held = lock.hold(_wish(params), params["wait"])
        return held["changed"], {name: value for name, value in held.items() if name != "changed"}
    if params["state"] == "free":
        return lock.free(params["token"]), {"lock": before}
    removed, warnings = lock.force(params["reason"], params["token"])
    return removed is not None, {"lock": removed, "warnings": warnings}


def _plan(lock: deploy_lock.DeployLock, params: arguments.Params, before: deploy_lock.Shown | None) -> tuple[bool, dict[str, object]]:
    """What would be done. Somebody else's lock is told, and is no failure: nothing is changed here anyway."""
    if params["state"] == "forced":
        lock.check_force(before, params["token"])
        return before is not None, {"lock": before}
    if params["state"] == "free":
        return before is not None and before.get("token") == params["token"], {"lock": before}
    told: list[str] = []
    try:
        lock.check_hold(_wish(params))
    except StateError as error:
        told = [str(error)]
    return not told, {"lock": before, "waited": 0.0, "reclaimed": None, "warnings": told}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "state": {"type": "str", "choices": ["held", "available", "free", "forced"], "default": "held"},
            "env": {"type": "str", "default": ""},
            "owner": {"type": "str"},
            "reason": {"type": "str", "default": ""},
            "expiry": {"type": "float", "default": 900},
            "wait": {"type": "float", "default": 0},
            "token": {"type": "str", "no_log": False},
            "host": {"type": "str"},
            "process": {"type": "str", "default": ""},
            "gone": {"type": "str"},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
