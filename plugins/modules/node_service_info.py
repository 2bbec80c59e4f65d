#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: node_service_info
short_description: Tell how a Node service is, in words an operator needs
version_added: 0.1.0
description:
  - Reads the state of a service that M(mobius.ops.node_service) defined, and sends it O(checks) when there are some.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.reads_only
  - mobius.ops.checks
options:
  name:
    description: The service's name.
    type: str
    default: mobius
  thresholds:
    description: Rows of the table of key metrics to use instead of the default ones; metric to C([warning, critical]).
    type: dict
    default: {}
  releases:
    description: Also return what M(mobius.ops.release_info) returns, as RV(releases). One call costs less than two.
    type: bool
    default: false
  events:
    description: How many of the newest events of the history RV(releases) has.
    type: int
    default: 10
  stores:
    description:
      - Also look whether the JSON files in which the application keeps its state are whole, as RV(torn_stores).
      - 16 MB of them are parsed, of the rest the two ends are looked at. It waits up to 5 seconds for a file that is just written.
    type: bool
    default: false
    version_added: 0.1.0
seealso:
  - module: mobius.ops.node_service
  - module: mobius.ops.release_info
"""

EXAMPLES = r"""
- name: How is the service?
  mobius.ops.node_service_info:
    root: /opt/mobius
    checks:
      - url: http://127.0.0.1:5001/health
  register: service

- name: Say it
  ansible.builtin.debug:
    msg: "{{ service.message }}"
"""

RETURN = r"""
releases:
  description: What M(mobius.ops.release_info) returns.
  returned: with O(releases)
  type: dict
well:
  description:
    - Whether it runs, from the live release, without restarts in the last minute, and every check passes.
    - A live release that was never verified is not well either, unless a watch runs. Nor is a host with RV(findings), or one on which a
      switch between releases was interrupted.
  returned: success
  type: bool
message:
  description: A sentence or two on how it is and, when it is not well, what to do.
  returned: success
  type: str
  sample: mobius runs (process 4711, port 5001, up 3 h, release 1.4.0-5f1d2c3b).
status:
  description: As M(mobius.ops.node_service) returns it, with C(pid), C(port), C(uptime), C(restarts), C(last_exit), C(release), C(console).
  returned: success
  type: str
restart_needed:
  description: Names of settings and variables that changed after its process was started; see M(mobius.ops.node_service).
  returned: success
  type: list
  elements: str
restart_message:
  description: RV(restart_needed) in a sentence, with what to do; empty when it is not needed.
  returned: success
  type: str
app_path:
  description: How its process gets to RV(app_folder), as M(mobius.ops.node_service) returns it.
  returned: success
  type: str
app_folder:
  description: The folder in which the application sees its release.
  returned: success
  type: str
shared_folders:
  description:
    - The folders that all releases share, as the host was set up; C(path) in the release, C(component) that backs it up, C(place) below the
      root, and whether it C(exists). Empty on a host that an earlier version has set up.
  returned: success
  type: list
  elements: dict
slots:
  description: What the two instances do, by port (C(status), C(release), C(serves)).
  returned: with a proxy
  type: dict
torn_stores:
  description:
    - A sentence for each JSON file in C(shared/data) that is no JSON document, with what to do. They do not count for RV(well), because the
      process that runs has its state in memory. The next start would lose it.
  returned: with O(stores)
  type: list
  elements: str
findings:
  description: Records of the host that are damaged, each with what to do; what they say is missing in the other values.
  returned: success
  type: list
  elements: str
health:
  description: What the checks said; C(status), C(error_rate_pct), C(p50_ms), C(p95_ms), and the samples as C(results).
  returned: success
  type: dict
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv, wording
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._observe import health as observe_health
from ansible_collections.mobius.ops.plugins.module_utils._observe import probe, release_facts, thresholds
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import json_stores, records, shared_folders, switch_journal
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Read and probe, and change nothing."""
    layout = Layout(params["root"])
    layout.require()
    findings = records.Findings()
    more: dict[str, object] = {"releases": release_facts.of(layout, params["events"])} if params["releases"] else {}
    if params["stores"]:
        more["torn_stores"] = json_stores.torn(layout)
    try:
        return arguments.Answer(False, {**look(layout, params, findings), **more})
    except IntegrityError as error:  # of what all the rest needs: the definition of the service, or what its supervisor noted
        findings.add(error)
        folders = findings.without(lambda: shared_folders.described(layout), [])
        return arguments.Answer(False, {**unknown(params["name"], findings), "shared_folders": folders, **more})


def unknown(name: str, findings: records.Findings) -> dict[str, object]:
    """What can be told of a service whose own records are damaged."""
    return {
        "status": "unknown",
        "pid": None,
        "port": None,
        "uptime": 0,
        "restarts": 0,
        "last_exit": None,
        "release": None,
        "console": "",
        "well": False,
        "message": f"{name} cannot be looked at. {' '.join(findings.told)}",
        "findings": findings.told,
        "restart_needed": [],
        "restart_message": "",
        "app_path": "",
        "app_folder": "",
        "health": {**observe_health.summarize([], thresholds.merge({})), "results": []},
    }


def look(layout: Layout, params: arguments.Params, findings: records.Findings) -> dict[str, object]:
    """How the service is; damaged records of others go to the findings."""
    service, store = service_registry.load(layout, params["name"]), ReleaseStore(layout, findings)
    live = findings.without(store.live, None)
    redactor = dotenv.Redactor(layout.env_file)
    checks = observe_health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
    checks = probe.of_release(checks, live, redactor.secrets)
    facts = service.status()
    samples = redactor.value(observe_health.sample_all(checks)) if checks and facts["pid"] else []
    health = {**observe_health.summarize(samples, thresholds.merge(params["thresholds"])), "results": samples}
    unguarded = findings.without(lambda: watch_control.unguarded(layout, store.get(live) if live else None), False)
    well, message = wording.service_message(service.name, facts, live, observe_health.first_fault(samples), unguarded)
    unfinished = (switch_journal.unfinished(layout) or {}).get("message")
    if unfinished:  # it comes first: its command also starts what is down
        well, message = False, f"{unfinished} {message}"
    lacking = findings.without(service.restart_needed, [])
    restart = wording.restart_needed(lacking)
    shared = findings.without(lambda: shared_folders.described(layout), [])
    return {
        **facts,
        "health": health,
        "well": well and not findings.told,
        "findings": findings.told,
        "message": " ".join(filter(None, [message, restart, *findings.told])),
        "restart_needed": lacking,
        "restart_message": restart,
        "app_path": service.way_now(),
        "app_folder": service.spec["app"],
        "shared_folders": shared,
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "name": {"type": "str", "default": "mobius"},
            "checks": arguments.CHECKS,
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
            "thresholds": {"type": "dict", "default": {}},
            "releases": {"type": "bool", "default": False},
            "events": {"type": "int", "default": 10},
            "stores": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
