#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: host_metrics
short_description: Measure a host and hold its figures against the table of key metrics
version_added: 0.1.0
description:
  - Measures CPU, memory, swap, load, open files, uptime, disks and inodes, listening ports, the clock, and the memory of a service, in
    one task, and says of each figure whether it is normal and what to do when it is not.
  - A figure that cannot be had is V(unknown) and says why; the others are told all the same.
  - Needs the Python library psutil on the target, the package C(python3-psutil). mobius.ops.setup installs it.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.reads_only
options:
  root:
    description:
      - The folder that holds everything of the application on the target, as in M(mobius.ops.layout).
      - The file systems of the root, of each folder below C(shared), and of C(backups) are measured, each once.
    type: path
  mounts:
    description:
      - Further paths whose file systems are measured. One that is not there is V(unknown).
      - Without these and O(root), the file system of V(/) is measured.
    type: list
    elements: path
    default: []
  service:
    description:
      - The name of a service that M(mobius.ops.node_service) defined below O(root); its memory, open files and restarts are told
        while it runs.
      - None when it is empty.
    type: str
    default: ""
  ports:
    description: TCP ports that somebody should listen on. One that nobody listens on is V(critical).
    type: list
    elements: int
    default: []
  window:
    description: Seconds over which the use of the CPU is measured; the module takes as long.
    type: float
    default: 1
  thresholds:
    description:
      - Rows of the table of key metrics to use instead of the default ones; metric to C([warning, critical]), and above is worse.
      - By default C(cpu_pct) (70, 90), C(memory_pct) (80, 90), C(disk_pct) (80, 95), as in the runbook; C(swap_pct) (50, 80),
        C(inodes_pct) (80, 95), C(load_per_core) (1.5, 3), C(fds_pct) (70, 90), C(clock_offset_s) (5, 300).
    type: dict
    default: {}
  clock_reference:
    description:
      - The time on the controller in seconds since 1970, taken just before, such as C(now().timestamp()). The clock is compared
        with it; the time that Ansible takes to reach the target, mostly less than a second, is a part of the difference.
      - The clock is not looked at when it is not given.
    type: float
  fail_on:
    description: The status from which on the module fails; V(never) only reports. V(unknown) fails with both others.
    type: str
    choices: [warning, critical, never]
    default: never
seealso:
  - module: mobius.ops.health_check
  - module: mobius.ops.node_service_info
"""

EXAMPLES = r"""
- name: How is the host?
  mobius.ops.host_metrics:
    root: /opt/mobius
    service: mobius
    ports: [5001]
    clock_reference: "{{ now().timestamp() }}"
  register: host

- name: Say what is worst
  ansible.builtin.debug:
    msg: "{{ host.summary }}"

- name: Stop here when a disk is fuller than 90 %
  mobius.ops.host_metrics:
    mounts: [/, /srv]
    thresholds: {disk_pct: [80, 90]}
    fail_on: critical
"""

RETURN = r"""
status:
  description: The worst status of all metrics; V(normal), V(unknown), V(warning) or V(critical), in this order.
  returned: success, or when it failed because of O(fail_on)
  type: str
summary:
  description: What is worst and what to do about it, in a sentence or two.
  returned: success, or when it failed because of O(fail_on)
  type: str
  sample: "Host critical: disk_pct / 96.2 % (critical above 95). Make room on /, which is 96.2 % full: …"
metrics:
  description: Each figure.
  returned: success, or when it failed because of O(fail_on)
  type: list
  elements: dict
  contains:
    metric:
      description:
        - C(cpu_pct); C(memory_pct), what is not available to programs, of the host or of the container's own limit where that is
          nearer; C(swap_pct); C(load_per_core), of five minutes; C(fds_pct), open files of the system or, with the subject
          V(service), of the service's main process, against the limit; C(uptime_s) of the host; C(clock_offset_s), above 0 when it
          is ahead of the controller.
        - C(disk_pct) as C(df) tells it, and C(inodes_pct), with the mount point as subject. C(port_listening), 1 or 0, with the
          port as subject. C(service_rss_bytes) with all that the service started, what they share counted for each;
          C(service_restarts).
      type: str
    subject:
      description: What the figure is of, when there are several such.
      type: str
    value:
      description: The figure; none when it could not be measured.
      type: float
    unit:
      description: V(%), V(s), V(bytes) or empty.
      type: str
    status:
      description: V(normal), V(warning), V(critical) or V(unknown).
      type: str
    warning:
      description: What is above this is a warning; none where there is no such limit.
      type: float
    critical:
      description: What is above this is critical; none where there is no such limit.
      type: float
    todo:
      description: What to do about it, or why it could not be measured; empty when it is normal.
      type: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._observe import host_metrics, thresholds
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Measure, and change nothing."""
    if params["service"] and not params["root"]:
        raise InputError(f"service {params['service']}", "the root that it was set up below", "none", "Give root")
    layout = Layout(params["root"]) if params["root"] else None
    service = service_registry.load(layout, params["service"]).status() if layout and params["service"] else None
    mounts = [*(host_metrics.places(layout) if layout else []), *params["mounts"]] or ["/"]
    found = host_metrics.collect(
        {
            "window": params["window"],
            "mounts": mounts,
            "ports": params["ports"],
            "clock_reference": params["clock_reference"],
            "pid": service["pid"] if service else None,
            "restarts": service["restarts"] if service else None,
            "thresholds": thresholds.merge(params["thresholds"]),
        }
    )
    summary = host_metrics.summary(found)
    result = {**found, "summary": summary}
    if found["status"] in thresholds.FAILING[params["fail_on"]]:
        raise StateError(summary.rstrip("."), facts=result)
    return arguments.Answer(False, result)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path"},
            "mounts": {"type": "list", "elements": "path", "default": []},
            "service": {"type": "str", "default": ""},
            "ports": {"type": "list", "elements": "int", "default": []},
            "window": {"type": "float", "default": 1},
            "thresholds": {"type": "dict", "default": {}},
            "clock_reference": {"type": "float"},
            "fail_on": {"type": "str", "choices": ["warning", "critical", "never"], "default": "never"},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
