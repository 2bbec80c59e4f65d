#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: health_check
short_description: Send probes to several endpoints at once and judge the answers
version_added: 0.1.0
description:
  - Sends every check O(requests) times, all at the same time, and holds error rate and latency against the thresholds
    of the runbook's table of key metrics.
  - With O(wait_for), it repeats until the service is well, for readiness.
  - Whatever a server sends, a check ends at its timeout, and no more of the answer than some megabytes is taken.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.attributes
  - mobius.ops.checks
options:
  url:
    description: One more check, of this URL, with the defaults of O(checks).
    type: str
  root:
    description:
      - The folder that holds everything of the application on the target, as in M(mobius.ops.layout).
      - When it is given, the values of its C(.env) are replaced by asterisks in the results, which quote answers.
    type: path
  service:
    description:
      - Name of the service below O(root) that is checked. When it refused a connection because it had ended, the message begins with the
        exception that ended it.
    type: str
  requests:
    description: How often each check is sent.
    type: int
    default: 1
  thresholds:
    description: Rows of the table of key metrics to use instead of the default ones; metric to C([warning, critical]).
    type: dict
    default: {}
  release:
    description: The id of the release that should answer; it replaces C({release}) in the checks.
    type: str
  wait_for:
    description:
      - Seconds within which all checks must pass; V(0) checks once.
      - When they do not in time, the module fails unless O(fail_on=never); RV(ready) tells it.
    type: float
    default: 0
  successes:
    description: With O(wait_for), how many rounds in a row must pass.
    type: int
    default: 1
  fail_on:
    description: The status from which on the module fails; V(never) only reports.
    type: str
    choices: [warning, critical, never]
    default: critical
attributes:
  check_mode:
    support: full
    details: Sends the checks, and never changes anything itself.
  diff_mode:
    support: none
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Is the API well?
  mobius.ops.health_check:
    url: http://127.0.0.1:5001/health

- name: Ten requests to each endpoint
  mobius.ops.health_check:
    requests: 10
    headers:
      Origin: https://mobius.example.com
    checks:
      - name: health
        url: http://127.0.0.1:5001/health
        json: ["status == 'ok'"]
      - name: uploads
        url: http://127.0.0.1:5001/uploads/
        status: [200, 404]

- name: Through the public address, with a certificate that lasts
  mobius.ops.health_check:
    thresholds:
      certificate_days: [30, 10]
    checks:
      - name: public
        url: https://mobius.example.com/
        redirects: 2
        attempts: 3
        backoff: 1
        token: "{{ vault_probe_token }}"

- name: Ready after five rounds in a row
  mobius.ops.health_check:
    url: http://127.0.0.1:5001/health
    wait_for: 60
    successes: 5
"""

RETURN = r"""
status:
  description:
    - The worst of error rate, latency and days left of certificates; V(normal), V(warning), V(critical) or V(unknown).
  returned: always
  type: str
results:
  description:
    - One sample a request, with C(check), C(outcome) (V(ok), V(slow), V(failed), V(error)), C(kind), C(status), C(ms),
      C(error), and the body's beginning as C(evidence) when it was wrong.
    - C(certificate_days) are the days that are left of the server's certificate, C(attempts) how many it took, and C(earlier) why
      those before failed.
    - The kinds of C(failed) are V(refused), V(timeout), V(closed), V(status), V(body), V(assertion), V(redirect), V(too_large) and, for
      a certificate that has expired or is for another host, V(tls). Those of C(error) are V(dns), V(tls), V(proxy) and V(request).
  returned: always
  type: list
  elements: dict
endpoints:
  description: The results by check.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Name of the check.
      type: str
    requests:
      description: How many were sent.
      type: int
    outcomes:
      description: How many of them were C(ok), C(slow), C(failed) and C(error).
      type: dict
    status:
      description: As RV(status), of this check.
      type: str
    error_rate_pct:
      description: As RV(error_rate_pct), of this check. So are C(p50_ms), C(p95_ms), C(p99_ms) and C(max_ms).
      type: float
    certificate_days:
      description: The fewest days that are left of a certificate, or null without HTTPS.
      type: float
    evidence:
      description: At most three of the samples that were not ok, with C(outcome), C(kind), C(status), C(evidence), C(error) and C(ms).
      type: list
      elements: dict
ready:
  description: Whether the checks passed often enough in time.
  returned: with O(wait_for)
  type: bool
error_rate_pct:
  description: Percentage of failed samples among those that could be measured.
  returned: always
  type: float
p50_ms:
  description: Median latency in milliseconds.
  returned: always
  type: float
p95_ms:
  description: 95th percentile of the latency in milliseconds.
  returned: always
  type: float
p99_ms:
  description: 99th percentile of the latency in milliseconds.
  returned: always
  type: float
max_ms:
  description: Longest latency in milliseconds.
  returned: always
  type: float
"""

import contextlib
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, OpsError, ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._observe import health, probe, thresholds
from ansible_collections.mobius.ops.plugins.module_utils._observe.samples import Endpoint, Figures, Sample
from ansible_collections.mobius.ops.plugins.module_utils._service import readiness
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


class _Result(Figures):
    results: list[Sample]
    endpoints: list[Endpoint]


class Result(_Result, total=False):
    """What the module returns; ``ready`` where it has waited."""

    ready: bool


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Probe and judge."""
    given = params["checks"] + ([{"url": params["url"]}] if params["url"] else [])
    if not given or params["requests"] < 1 or params["successes"] < 1:
        raise InputError(
            "health check",
            "a url or some checks, and 1 or more requests and successes",
            f"{len(given)} checks, {params['requests']} requests and {params['successes']} successes",
            "Correct them",
        )
    table = thresholds.merge(params["thresholds"])
    full = health.normalize_all(given, params["headers"], params["secret_headers"])
    ready, reason = True, ""
    redactor = dotenv.Redactor(Layout(params["root"]).env_file if params["root"] else os.devnull)
    checks = probe.of_release(full, params["release"], redactor.secrets)
    samples: list[Sample] = []
    if params["wait_for"] > 0:
        ready, samples, reason = health.wait_for(checks, params["wait_for"], params["successes"])
    if ready:  # else the round that was not well is the one that tells why
        samples = health.sample_all(checks, params["requests"])
    samples, reason = redactor.value(samples), redactor.text(reason)
    endpoints = health.endpoints(samples, table)
    figures = health.summarize(samples, table)
    result: Result = {
        **figures,
        "status": thresholds.worst([figures["status"], *(one["status"] for one in endpoints)]),
        "results": samples,
        "endpoints": endpoints,
    }
    if params["wait_for"] > 0:
        result["ready"] = ready
    todo = health.remedy(samples, checks) or "Look at the results by endpoint"
    error = unwell(params, result, reason, todo, cause(params, samples, redactor))
    if error:
        raise error
    return arguments.Answer(False, result)


def cause(params: arguments.Params, samples: list[Sample], redactor: dotenv.Redactor) -> str:
    """Why the service ended that refused a connection, for the beginning of a message; empty when it did not, or is not known here."""
    with contextlib.suppress(OpsError, OSError):
        service = service_registry.load(Layout(params["root"]), params["service"]) if params["root"] and params["service"] else None
        found = readiness.end_of(service, samples, redactor) if service else ""
        return f"{found} (log: {service.log}); " if service and found else ""
    return ""


def unwell(params: arguments.Params, result: Result, reason: str, todo: str, ended: str) -> ServiceError | None:
    """Why the module fails, if it does."""
    if reason and params["fail_on"] != "never":
        return ServiceError("health check", f"all checks to pass {params['successes']} times in a row", ended + reason, todo, result)
    if result["status"] not in thresholds.FAILING[params["fail_on"]]:
        return None
    faults = sum(sample["outcome"] != "ok" for sample in result["results"])
    days = min((one["certificate_days"] for one in result["endpoints"] if one["certificate_days"] is not None), default=None)
    ill = [one["check"] for one in result["endpoints"] if one["status"] == result["status"]]
    worst = f" of {', '.join(ill)}" if 0 < len(ill) < len(result["endpoints"]) else ""
    return ServiceError(
        "health check",
        "status normal or warning" if params["fail_on"] == "critical" else "status normal",
        f"{ended}{result['status']}{worst}: {faults} of {len(result['results'])} requests not ok, "
        f"first {health.first_fault(result['results']) or 'none'}, error rate {result['error_rate_pct']} %, "
        f"p95 {'unknown' if result['p95_ms'] is None else result['p95_ms']} ms"
        + ("" if days is None else f", {days:g} days left of a certificate"),
        todo,
        result,
    )


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "checks": arguments.CHECKS,
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
            "url": {"type": "str"},
            "root": {"type": "path"},
            "service": {"type": "str"},
            "requests": {"type": "int", "default": 1},
            "thresholds": {"type": "dict", "default": {}},
            "release": {"type": "str"},
            "wait_for": {"type": "float", "default": 0},
            "successes": {"type": "int", "default": 1},
            "fail_on": {"type": "str", "choices": ["warning", "critical", "never"], "default": "critical"},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
