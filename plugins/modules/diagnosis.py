#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: diagnosis
short_description: Name the cause why the service does not do its work, and mend it
version_added: 0.1.0
description:
  - Looks for some seconds at processes, ports, checks, disks, inodes, folders, open files, memory, renders and what the service printed.
    Then it names the causes that this speaks for, each with its evidence, how sure it is, and the next command. A cause that follows
    from another one is not named.
  - The runbook's "Common Issues and Solutions" and "System Diagnostics".
  - With O(fix) the cause is mended, when there is one, and it can be mended by a restart, by SIGCONT, by setting folders' owner and mode
    again, or by ending a render. When two causes compete, nothing is done.
  - Each folder of the application is tried by making and removing a file of one byte as the service's user.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.fleet
  - mobius.ops.checks
  - mobius.ops.shared.attributes
options:
  name:
    description: The service's name.
    type: str
    default: mobius
  programs:
    description: Names of programs that are renders.
    type: list
    elements: str
    default: [ffmpeg]
  window:
    description: Seconds for which processes and renders are watched.
    type: float
    default: 3
  inspect:
    description:
      - Whether Node's inspector may be opened in a process whose event loop hangs in JavaScript, to name the function, the line and
        the request. It listens on 127.0.0.1 for less than a second, in which any local user could run code in the process.
    type: bool
    default: false
  heap_snapshot:
    description:
      - Whether a snapshot of the memory of the process that has most of it is made, for Chrome's developer tools. The process does nothing
        else meanwhile. It is made only where twice the memory of the process is free, and as much on disk.
      - It has all that the process knows, secrets too. Only root can read it. It lies in C(state/heap) below the root until it is removed.
      - Only with O(inspect).
    type: bool
    default: false
  fix:
    description: Whether the cause is mended.
    type: bool
    default: false
  interrupt:
    description:
      - Whether a loop is ended by an exception instead of a restart, through the inspector. The request that it works on is lost, and no
        other one.
      - Only with O(fix) and O(inspect).
    type: bool
    default: false
  ready_timeout:
    description: Seconds within which the service must be ready after a restart.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    details: Nothing is mended, and no inspector is opened; folders are tried all the same.
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: mobius.ops.node_service_info
  - module: mobius.ops.ffmpeg_job
"""

EXAMPLES = r"""
- name: Why does it not answer?
  mobius.ops.diagnosis:
    root: /opt/mobius
    env: production
    checks:
      - url: http://127.0.0.1:5001/health
    inspect: true
  register: diagnosed

- name: Say it
  ansible.builtin.debug:
    msg: "{{ diagnosed.message }}"
"""

RETURN = r"""
causes:
  description: What was found, the surest first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: >-
        V(port_taken), V(dependency_missing), V(disk_full), V(inodes_full), V(folder_not_writable), V(files_exhausted), V(stopped), V(loop),
        V(blocking_call), V(memory), V(job_stuck), V(job_stopped), V(slow), V(crash_loop) or V(not_running).
      type: str
    confidence:
      description: V(certain), V(likely) or V(possible).
      type: str
    text:
      description: The cause in a sentence.
      type: str
    evidence:
      description: What speaks for it.
      type: list
      elements: str
    todo:
      description: What to do next.
      type: str
    remedy:
      description: How O(fix) mends it; empty when it does not.
      type: str
    pid:
      description: The process that it is about; 0 when it is about none.
      type: int
stack:
  description: Where the JavaScript of a hung event loop is; C(place), C(frames), C(request), C(seconds).
  returned: with O(inspect), when an event loop hangs
  type: dict
heap:
  description:
    - The memory of the process in bytes, when it grows; C(used) by objects of JavaScript, C(whole), the heap that they are in, and
      C(outside), what the process has beside that.
  returned: with O(inspect), when the cause is V(memory)
  type: dict
heap_snapshot:
  description: The path of the snapshot that was made.
  returned: with O(heap_snapshot), when it was made
  type: str
evidence:
  description: All that was seen.
  returned: success
  type: dict
well:
  description: Whether nothing was found, and every check passes.
  returned: success
  type: bool
fixed:
  description: What was done, in a sentence; empty when nothing was.
  returned: success
  type: str
after:
  description: The causes that are left after it was mended, in the same form as RV(causes).
  returned: when something was mended
  type: list
  elements: dict
incident:
  description: The id of the incident that was opened when something was mended.
  returned: when something was mended
  type: str
message:
  description: The cause and the next command, in some sentences.
  returned: success
  type: str
  sample: The event loop of process 4711 hangs in JavaScript. It is in slow (src/api/index.js:12:7), for GET /api/slow.
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv, interrupt
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import diagnose, remedies
from ansible_collections.mobius.ops.plugins.module_utils._observe import health as observe_health
from ansible_collections.mobius.ops.plugins.module_utils._observe import probe
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Look, name, and mend when that is asked for."""
    if params["window"] <= 0:
        raise InputError("window", "a number above 0", f"{params['window']:g}", "Correct it")
    if params["interrupt"] and not (params["inspect"] and params["fix"]):
        raise InputError("interrupt", "fix and inspect with it", "it alone", "Set mobius_fix and mobius_diagnose_inspect to true too")
    if params["heap_snapshot"] and not params["inspect"]:
        raise InputError("heap_snapshot", "inspect with it", "it alone", "Set mobius_diagnose_inspect to true too")
    layout = Layout(params["root"])
    layout.require()
    service, redactor = service_registry.load(layout, params["name"]), dotenv.Redactor(layout.env_file)
    live = ReleaseStore(layout).live()
    checks = observe_health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
    checks = probe.of_release(checks, live, redactor.secrets)
    allowed = remedies.Allowed(params["interrupt"], checks, params["ready_timeout"], params["programs"])
    asked = diagnose.Request(
        params["env"],
        params["window"],
        params["inspect"] and not check_mode,
        params["fix"] and not check_mode,
        params["heap_snapshot"] and not check_mode,
        params["fleet"],
    )
    with interrupt.interruptible("the diagnosis"):
        found = diagnose.diagnose(layout, service, asked, allowed)
    result = {**dataclasses.asdict(found), "evidence": found.evidence.facts(), "message": found.message()}
    inside = result.pop("inside")
    result.update(stack=inside["stack"], heap=inside["heap"], not_inspected=inside["refused"], heap_snapshot=inside["snapshot"] or None)
    return arguments.Answer(bool(found.fixed), redactor.value({name: value for name, value in result.items() if value is not None}))


def main() -> None:
    """Run as an Ansible module."""
    flag = {"type": "bool", "default": False}
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "env": arguments.ENV,
                "name": {"type": "str", "default": "mobius"},
                "checks": arguments.CHECKS,
                "headers": arguments.HEADERS,
                "secret_headers": arguments.SECRET_HEADERS,
                "programs": {"type": "list", "elements": "str", "default": ["ffmpeg"]},
                "window": {"type": "float", "default": 3},
                "inspect": flag,
                "heap_snapshot": flag,
                "fix": flag,
                "interrupt": flag,
                "ready_timeout": {"type": "float", "default": 60},
                "fleet": arguments.FLEET,
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
