#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: monitor
short_description: Watch a release, and roll it back by itself when it fails
version_added: 0.1.0
description:
  - Starts a watch on the target, detached. It goes on when the controller or its connection dies, keeps its state on
    disk after every round, and rolls back by itself.
  - A round is all O(checks), each O(requests) times. A check has failed in it when half or more of its requests failed.
  - The release is rolled back after O(failure_threshold) consecutive failed rounds, when the service was restarted O(restart_limit) times,
    when the error rate of a check is over O(error_rate_pct), and when its answers are more than O(latency_pct) slower than the
    baseline. For the last two, the latest five rounds have to prove it; how often that errs is in C(docs/watch-rules.md).
  - What is suspicious is looked at again after O(retry_interval). What this side could not measure never rolls back; it opens an incident.
  - Where systemd is the init and root starts the watch, systemd starts it again when it is killed, and after a reboot.
  - With O(state=watched) the controller shows each round live and waits for the verdict.
  - A release that is live but not yet verified is marked as verified by the verdict V(healthy).
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.fleet
  - mobius.ops.shared.attributes
  - mobius.ops.checks
options:
  env:
    description: The environment's name, for the names of log and metrics file. Needed to start a watch.
    type: str
  state:
    description:
      - V(watched) starts a watch, shows it live and returns its verdict. V(started) starts it and returns at once.
      - V(followed) shows the watch that runs, or the verdict of the last one. V(stopped) ends the one that runs.
      - V(baseline) measures how fast the live release answers now. A watch that begins within a day holds latencies against that.
    type: str
    choices: [watched, started, followed, stopped, baseline]
    default: watched
  service:
    description: Name of the service, as M(mobius.ops.node_service) knows it. Empty to watch the checks only.
    type: str
    default: mobius
  duration:
    description: Seconds that the window lasts.
    type: float
    default: 3600
  interval:
    description:
      - Seconds between the beginnings of two rounds.
      - In longer ones than 10 each check is asked once in 10 seconds, and when one fails the next round begins at once.
    type: float
    default: 60
  retry_interval:
    description: Seconds after which a failed round is confirmed.
    type: float
    default: 5
  initial_delay:
    description: Seconds before the first round.
    type: float
    default: 0
  failure_threshold:
    description: Consecutive failed rounds that cause a rollback. Source is the runbook, "When to Rollback".
    type: int
    default: 3
  error_threshold:
    description: Consecutive rounds that could not be measured that open an incident.
    type: int
    default: 5
  restart_limit:
    description: Restarts of the service within the window that count as a crash loop.
    type: int
    default: 3
  requests:
    description:
      - How often each check is sent in a round. Fewer are sent when the first ones take as long as the timeout.
      - Error rate and latency take some 60 requests to be judged; one a round leaves them to the rounds.
    type: int
    default: 30
  error_rate_pct:
    description: Percentage of failed requests of a check above which the release is rolled back; V(0) for never.
    type: float
    default: 5
  latency_pct:
    description: Percentage by which the median of a check may be over that of the baseline; V(0) for any.
    type: float
    default: 50
  latency_floor_ms:
    description: Milliseconds by which it has to be slower in any case.
    type: float
    default: 20
  window_failures:
    description: Failed rounds among the last O(window_rounds) that cause a rollback, in a row or not; V(0) for no such rule.
    type: int
    default: 0
  window_rounds:
    description: The rounds that O(window_failures) counts in.
    type: int
    default: 10
  memory_mb:
    description:
      - Megabytes (10^6 bytes) in memory of the service's main process that, in O(failure_threshold) rounds in a row, cause a rollback;
        V(0) for no such rule. FFmpeg children do not count.
    type: float
    default: 0
  metrics_interval:
    description: Seconds between two looks at the host, as M(mobius.ops.host_metrics) takes them; V(0) for none. They never roll back.
    type: float
    default: 900
  thresholds:
    description: Rows of the table of key metrics to use for the host instead of the default ones; metric to C([warning, critical]).
    type: dict
    default: {}
  recovery_threshold:
    description: Good rounds in a row after which an alarm is over.
    type: int
    default: 2
  keep:
    description: Of how many watches of this environment log and metrics are kept; V(0) for all.
    type: int
    default: 100
  auto_rollback:
    description: Whether to roll back. If not, an incident is opened and the watch goes on.
    type: bool
    default: true
  ready_timeout:
    description: Seconds within which the release that is rolled back to has to become ready.
    type: float
    default: 60
  drain_timeout:
    description:
      - Seconds that long requests and renders of the bad release are waited for before they are cut, when an instance of exclusive state is
        gone back from. One that does not answer its checks within two seconds is not waited for.
    type: float
    default: 30
  watch_id:
    description: The watch to follow; the latest by default.
    type: str
  offset:
    description: With V(followed), bytes of the log that are known already.
    type: int
    default: 0
  patience:
    description: With V(followed), seconds to wait on the target for something new.
    type: float
    default: 0
  progress:
    description:
      - What V(watched) and V(followed) show live. V(all) is every round, V(changes) only the rounds that are not well, V(none) nothing.
      - V(auto) is V(all) for up to three hosts, and V(changes) for more.
    type: str
    choices: [auto, all, changes, none]
    default: auto
  together:
    description:
      - A word that names what several hosts are watched for in one run, such as a release. When the watch of one of them goes back, or
        nobody can ask it any more, V(followed) ends on the others too, with the verdict V(elsewhere); their watches go on.
    type: str
  lost_after:
    description: Seconds after which V(followed) gives up a watch that cannot be asked. It goes on by itself.
    type: float
    default: 300
  why:
    description: With V(stopped), the reason for the record.
    type: str
    default: stopped by an operator
attributes:
  check_mode:
    support: full
    details: Tells what would be watched.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each run starts one more watch; V(stopped) is idempotent.
"""

EXAMPLES = r"""
- name: Watch for an hour, and roll back when it fails
  mobius.ops.monitor:
    root: /opt/mobius
    env: production
    duration: 3600
    interval: 60
    checks:
      - name: health
        url: http://127.0.0.1:5001/health
        json: ["status == 'ok'"]

- name: Look at the watch that runs
  mobius.ops.monitor:
    root: /opt/mobius
    state: followed
"""

RETURN = r"""
verdict:
  description:
    - V(healthy), V(degraded) (it ended with failures, or with more than 5 % of the rounds slow or failed), V(rolled_back),
      V(frozen) (a rollback was needed and not possible; a person decides), V(inconclusive) (too little was measured, such as fewer than
      O(failure_threshold) rounds, or
      the watch was ended), V(elsewhere) (with O(together), another host's watch ended badly). Not set while the watch runs.
  returned: success
  type: str
trigger:
  description: What caused the verdict, in words.
  returned: success
  type: str
lost:
  description: Whether nobody could ask the watch any more. It goes on.
  returned: when that is so
  type: bool
samples:
  description:
    - Rounds by outcome (C(ok), C(slow), C(partial) (fewer than half of the requests failed), C(failed), C(error), C(no_data)),
      C(availability_pct) of the rounds that were measured, its C(uptime_status) by the runbook's table (O(thresholds), C(uptime_pct)), and
      C(p50_ms), C(p95_ms), C(p99_ms) of all answers, each within 5 %.
  returned: success
  type: dict
rollback:
  description: The rollback that was done; C(from), C(to), C(elapsed) and C(downtime) in seconds.
  returned: success
  type: dict
incident:
  description: The id of the incident that was opened.
  returned: success
  type: str
write_attempts:
  description:
    - Where the application tried to write outside its shared folders, as RV(mobius.ops.release#module:write_attempts).
  returned: success
  type: list
  elements: dict
log_file:
  description: The watch's log on the target.
  returned: success
  type: str
baseline:
  description: By check, the median C(p50_ms) and the number of C(requests) that latencies are held against; empty when there is none.
  returned: success
  type: dict
latency:
  description:
    - By check, V(judged), or with V(inconclusive) at its beginning why its latency could not be held against the baseline. Such a check was
      judged by everything else.
  returned: success, when the watch has ended
  type: dict
metrics_file:
  description: One JSON line a round, on the target.
  returned: success
  type: str
watch:
  description: The watch's id and its state. With V(stopped), the id of the watch that was ended, and the release of the last one.
  returned: success
  type: dict
lines:
  description: The new lines of the log.
  returned: success
  type: list
  elements: str
offset:
  description: Bytes of the log up to the last of C(lines).
  returned: success
  type: int
more:
  description: Whether the log has more lines already.
  returned: success
  type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders as watch_folders
from ansible_collections.mobius.ops.plugins.module_utils._watch import latency_baseline
from ansible_collections.mobius.ops.plugins.module_utils._watch import request as watch_request


def start(layout: Layout, params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Start a watch."""
    checks = health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
    spec = watch_request.definition(layout, {name: params[name] for name in arguments.WATCH}, checks)
    if check_mode:
        planned: dict[str, object] = {"verdict": None, "trigger": "", "watch": {"release": ReleaseStore(layout).live()}, "lines": []}
        return arguments.Answer(True, planned)
    return arguments.Answer(True, watch_request.begin(layout, spec))


def baseline(layout: Layout, params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Measure the live release, when there is one."""
    checks, live = health.normalize_all(params["checks"], params["headers"], params["secret_headers"]), ReleaseStore(layout).live()
    if check_mode or not live or not checks:
        return arguments.Answer(False, {"baseline": {}})
    return arguments.Answer(False, {"baseline": latency_baseline.figures(latency_baseline.take(layout, checks, live)["checks"])})


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Start, follow or stop."""
    layout = Layout(params["root"])
    layout.require()
    if params["state"] in ("watched", "started"):
        return start(layout, params, check_mode)
    if params["state"] == "baseline":
        return baseline(layout, params, check_mode)
    if params["state"] == "followed":
        return arguments.Answer(
            False, watch_request.told(watch_control.follow(layout, params["watch_id"], params["offset"], params["patience"]))
        )
    latest = watch_folders.latest(layout)
    stopped = latest.id if latest and latest.state()["status"] in watch_folders.GOING else None
    if stopped and not check_mode:
        watch_control.stop(layout, params["why"])
    state: t.Mapping[str, object] = latest.state() if latest else {}
    return arguments.Answer(
        bool(stopped),
        {
            "watch": {"id": stopped, "release": state.get("release")},
            **{name: state.get(name) for name in ("verdict", "trigger", "incident", "write_attempts")},
        },
        {},
    )


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "checks": arguments.CHECKS,
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
            "state": {"type": "str", "choices": ["watched", "started", "followed", "stopped", "baseline"], "default": "watched"},
            **arguments.WATCH,
            "watch_id": {"type": "str"},
            "offset": {"type": "int", "default": 0},
            "patience": {"type": "float", "default": 0},
            "progress": {"type": "str", "choices": ["auto", "all", "changes", "none"], "default": "auto"},
            "together": {"type": "str"},
            "lost_after": {"type": "float", "default": 300},
            "why": {"type": "str", "default": "stopped by an operator"},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
