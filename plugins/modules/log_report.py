#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: log_report
short_description: Report errors, slow routes, failed requests and writes from the logs of a service
version_added: 0.1.0
description:
  - Reads text logs of applications, pino's JSON lines, access logs in the combined form of nginx and in the HTTP form of HAProxy, and the
    journal of systemd, also when they are rotated or packed with gzip. Each file's form is found by its first lines.
  - Groups error lines by template. Numbers, ids, addresses and paths are masked. Each group has its count, the first and the last time,
    the release that served then, and the incident that covers one of its times.
  - Reads only what is new since the run before, when O(since) is empty. What was counted is kept by day in C(state/logs.json) below
    O(root). Rotation, truncation and copies that rotate are recognized.
  - Secrets of C(.env) are replaced by asterisks, control characters by a mark, and addresses of clients are masked.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
options:
  files:
    description:
      - Absolute paths, with wildcards in the last part only. Links, and files with a second name, are not read.
      - C(<root>/shared/logs/*.log*) when it is not given, and the file that an adopted service prints to.
    type: list
    elements: str
  units:
    description:
      - Units of systemd whose journal is read, such as V(mobius.service).
      - Those of O(service) when it is not given. None where the collection's own process manager runs it, whose logs are files.
    type: list
    elements: str
  service:
    description: The name of a service that M(mobius.ops.node_service) defined below O(root).
    type: str
    default: mobius
  page:
    description:
      - Whether a page with charts is written to C(<root>/reports/logs.html), mode 0640. The controller draws it, with the Python package
        C(pygal).
    type: bool
    default: false
  since:
    description:
      - Lines of before are left out. A time such as V(2026-11-27T08:00:00Z), a time ago such as V(90m), V(24h) or V(7d), or V(deploy), the
        time when the live release was put into service.
      - The report of earlier runs is neither used nor changed then.
      - When it is empty, everything that is kept counts.
    type: str
    default: ""
  slow_ms:
    description: Milliseconds from which on a request is slow.
    type: float
    default: 1000
  detail:
    description:
      - With V(exact) each request is looked at for its route and time. With V(sampled) each tenth block of an access log or of JSON lines
        is. Lines, errors, failed requests and writes are exact in each case.
      - With V(auto) it is a sample when more than 256 MB are new.
    type: str
    choices: [auto, exact, sampled]
    default: auto
  processes:
    description: How many processes read at a time.
    type: int
    default: 1
  max_mb:
    description: Megabytes that one run reads at most, unpacked. The next run goes on with the rest.
    type: int
    default: 20000
  keep_days:
    description: Days after which what was counted is dropped.
    type: int
    default: 30
  rows:
    description: Rows of each list of the result at most.
    type: int
    default: 50
  addresses:
    description: Whether clients are told by their V(masked) address, which leaves the network, or by their V(full) one.
    type: str
    choices: [masked, full]
    default: masked
  explain:
    description:
      - Whether the lines are also compared with the greps of the runbook, C(error) in any case, C(response.*time), and C(POST), C(PUT) or
        C(DELETE). All files are read once more for that.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what it would do without changing the target.
    support: full
    details: Reports the same, does not note how far it has read, and writes no page.
  diff_mode:
    description: Returns what it changed, or would change, when in diff mode.
    support: none
seealso:
  - module: mobius.ops.incident
  - module: mobius.ops.watch_report
"""

EXAMPLES = r"""
- name: What is wrong since the last deploy?
  mobius.ops.log_report:
    root: /opt/mobius
    since: deploy
  register: logs

- name: Read nginx and the journal, too
  mobius.ops.log_report:
    root: /opt/mobius
    files: [/opt/mobius/shared/logs/*.log*, /var/log/nginx/access.log*]
    units: [mobius.service]
    processes: 2
"""

RETURN = r"""
message:
  description: What there is to say, in a sentence or two.
  returned: success
  type: str
  sample: "3 templates of errors in 1,204 lines, 1 of them new since the last deploy; 12 of 1,150 requests failed."
period:
  description: The begin of the period as asked for, and the first and last time that was found; empty where there is none.
  returned: success
  type: dict
sources:
  description: Each log with its lines, those looked at in detail, malformed ones, requests, failed (5xx), refused (4xx), and error lines.
  returned: success
  type: list
  elements: dict
errors:
  description: >-
    Templates of errors, the most frequent first, each with C(template), C(count), C(sources), C(sample), C(first), C(last), C(release) and
    C(first_release), C(incident), C(upload) and C(new).
  returned: success
  type: list
  elements: dict
error_groups:
  description: How many templates there are.
  returned: success
  type: int
new_errors:
  description: Templates that were seen for the first time since the last deploy.
  returned: success
  type: list
  elements: str
failures:
  description: Requests that were answered by 4xx or 5xx, by C(source), C(route) and C(status), with C(count).
  returned: success
  type: list
  elements: dict
routes:
  description: >-
    Requests by C(source) and C(route), with C(requests), C(timed), C(slow), C(p50_ms), C(p95_ms), C(p99_ms), C(max_ms). Each percentile is
    within 5 %. Not C(exact) when they are of a sample.
  returned: success
  type: list
  elements: dict
slowest:
  description: The slowest requests that were looked at, with C(ms), C(route), C(source), and C(about), their time to ten minutes.
  returned: success
  type: list
  elements: dict
rates:
  description: C(requests), C(failed), C(refused) and C(errors) over time, in C(points) of C(step) seconds.
  returned: success
  type: dict
writes:
  description: Requests that were to change something (POST, PUT, PATCH, DELETE) by C(source), C(route) and C(status), with C(count).
  returned: success
  type: list
  elements: dict
clients:
  description: Who made these, by C(source) and C(client), with C(writes).
  returned: success
  type: list
  elements: dict
uploads:
  description: C(errors) and C(failures) that are about uploads.
  returned: success
  type: dict
read:
  description: The files that were read in this run, with their form, bytes, lines that were too long, and what is wrong with them.
  returned: success
  type: list
  elements: dict
passed:
  description: What was not read, C(path) and C(why).
  returned: success
  type: list
  elements: dict
explained:
  description: >-
    For C(errors), C(times) and C(writes), how many lines the grep and the report find, and up to O(rows) lines of each kind of difference.
  returned: when O(explain) is set
  type: dict
report:
  description: Path of the page; empty when it could not be written, and then C(report_trouble) says why.
  returned: when O(page) is set
  type: str
  sample: /opt/mobius/reports/logs.html
host:
  description: The name of the host.
  returned: success
  type: str
lines:
  description: Lines of all logs.
  returned: success
  type: int
sampled:
  description: Whether routes and times of this run are of a sample.
  returned: success
  type: bool
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._logs import run as logs_run


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Read and report. What was counted is kept, which changes nothing that others see."""
    return arguments.Answer(False, logs_run.read_and_report(params, keep=not check_mode))


def main() -> None:
    """Run as an Ansible module."""
    names = {"type": "list", "elements": "str"}
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "files": names,
                "units": names,
                "service": {"type": "str", "default": "mobius"},
                "page": {"type": "bool", "default": False},
                "since": {"type": "str", "default": ""},
                "slow_ms": {"type": "float", "default": 1000},
                "detail": {"type": "str", "choices": ["auto", "exact", "sampled"], "default": "auto"},
                "processes": {"type": "int", "default": 1},
                "max_mb": {"type": "int", "default": 20000},
                "keep_days": {"type": "int", "default": 30},
                "rows": {"type": "int", "default": 50},
                "addresses": {"type": "str", "choices": ["masked", "full"], "default": "masked"},
                "explain": {"type": "bool", "default": False},
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
