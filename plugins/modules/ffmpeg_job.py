#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: ffmpeg_job
short_description: List, await, stop or kill the ffmpeg jobs of a service
version_added: 0.1.0
description:
  - A job is an C(ffmpeg) process that an instance of the service has started, by itself or by a program of its own. What a deploy waits
    for (M(mobius.ops.node_service), O(mobius.ops.node_service#module:drain_timeout)) is found in the same way.
  - A job is V(stuck) when between two looks it used no processor time, wrote no bytes, and its output got no longer; V(stopped) when
    it got SIGSTOP and has not gone on; V(slow) when it used less than a tenth of one processor; else it is V(working).
  - A job is ended by SIGTERM, and SIGCONT in case that it was stopped. ffmpeg then finishes its file, so that the part that was made can
    be played. Each such file is decoded, with the rights of the service's user. With O(state=killed) a job that goes on after
    O(stop_timeout) gets SIGKILL. What it leaves of an mp4 cannot be played.
  - Signals go to the very process that was looked at, by its id and the time of its start, never by a name or pattern.
  - The application learns that its ffmpeg has failed. MOBIUS then fails the render that it belongs to, and goes on with the next one.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.progress
  - mobius.ops.shared.attributes
attributes:
  check_mode:
    support: full
    details: Looks at the jobs, and waits for none and ends none.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  service:
    description: The name of a service that M(mobius.ops.node_service) defined below O(root).
    type: str
    default: mobius
  programs:
    description: The names of programs that are jobs, as the kernel has them (C(/proc/PID/comm), 15 letters at most).
    type: list
    elements: str
    default: [ffmpeg]
  state:
    description:
      - V(listed) tells the jobs that run. V(drained) waits until those that O(jobs) and O(only) mean have ended.
      - V(stopped) ends jobs so that their files stay playable, and fails when one goes on. V(killed) ends such a one by force.
        Both need O(jobs) or O(only).
    type: str
    choices: [listed, drained, stopped, killed]
    default: listed
  jobs:
    description: Ids of renders, or of processes, that are meant; any when it is empty.
    type: list
    elements: str
    default: []
  only:
    description: What a job has to be found to be; anything when it is empty.
    type: list
    elements: str
    choices: [stuck, stopped, slow, working]
    default: []
  window:
    description:
      - Seconds between the two looks by which jobs are judged. Nothing is judged when it is 0.
      - With a short one a job that only waits for a moment is taken for V(stuck).
    type: float
    default: 10
  drain_timeout:
    description: Seconds within which V(drained) wants to see no job.
    type: float
    default: 900
  quiet:
    description: Seconds without a job after which V(drained) is content; an application may pause between two programs of one render.
    type: float
    default: 3
  stop_timeout:
    description: Seconds that a job has to end after SIGTERM.
    type: float
    default: 30
  look:
    description: Seconds that decoding each file of a job that was ended may take; they are not looked at when 0.
    type: float
    default: 60
  why:
    description: The reason, for the history.
    type: str
    default: ""
seealso:
  - module: mobius.ops.ffmpeg_info
  - module: mobius.ops.node_service
"""

EXAMPLES = r"""
- name: What renders, and does it get on?
  mobius.ops.ffmpeg_job:
    root: /opt/mobius
  register: renders

- name: End what is stuck, by force if it takes that
  mobius.ops.ffmpeg_job:
    root: /opt/mobius
    state: killed
    only: [stuck, stopped]
    why: renders wait behind it

- name: Wait for a render
  mobius.ops.ffmpeg_job:
    root: /opt/mobius
    state: drained
    jobs: [7f2c1a]
    drain_timeout: 1800
"""

RETURN = r"""
jobs:
  description: The jobs that ran, those in the worst state first.
  returned: success, or when a job goes on
  type: list
  elements: dict
  contains:
    pid:
      description: Its process id.
      type: int
    ticks:
      description: When the process started, in clock ticks since boot.
      type: int
    name:
      description: The render's id where it can be told (C(mobius_job_id_pattern)), else the program and its process.
      type: str
    verdict:
      description: V(stuck), V(stopped), V(slow) or V(working); empty when it was not judged.
      type: str
    port:
      description: The port of the instance that it works for.
      type: int
    release:
      description: The release that the instance runs.
      type: str
    parent:
      description: The id of the process that has started it.
      type: int
    parent_command:
      description: That process's command.
      type: str
    command:
      description: Its own command.
      type: str
    age:
      description: Seconds that it has run.
      type: float
    state:
      description: The state of its process, as C(ps) has it.
      type: str
    waits_in:
      description: The function of the kernel that it waits in; empty when it does not.
      type: str
    cpu_s:
      description: Seconds of processor time so far.
      type: float
    cpu_pct:
      description: Percent of one processor during the window.
      type: float
    written_per_s:
      description: Bytes that it wrote a second during the window; none where the kernel does not tell.
      type: int
    speed:
      description: Seconds of output that it made a second during the window; none without C(-progress) into a file.
      type: float
    out_s:
      description: Seconds of output so far; none without C(-progress) into a file.
      type: float
    outputs:
      description: The files that it writes.
      type: list
      elements: dict
      contains:
        path:
          description: The path of the file.
          type: str
        size:
          description: Its size in bytes.
          type: int
ended:
  description: The jobs that were ended.
  returned: O(state=stopped) and O(state=killed)
  type: list
  elements: dict
  contains:
    name:
      description: As in RV(jobs).
      type: str
    pid:
      description: As in RV(jobs).
      type: int
    how:
      description: V(stopped) after SIGTERM, V(killed) after SIGKILL, V(gone) when it had ended before, V(runs) when it goes on.
      type: str
    seconds:
      description: Seconds that it took.
      type: float
    results:
      description: The files that it wrote.
      type: list
      elements: dict
      contains:
        path:
          description: The path of the file.
          type: str
        size:
          description: Its size in bytes.
          type: int
        kept:
          description: Whether the application has not removed it meanwhile.
          type: bool
        error:
          description: Why it cannot be decoded; empty when it can.
          type: str
message:
  description: What there is, or what was done, in a sentence or two.
  returned: success
  type: str
  sample: "2 ffmpeg jobs run: 1 stuck (7f2c1a), 1 working."
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._jobs import ending
from ansible_collections.mobius.ops.plugins.module_utils._jobs import listing as jobs_listing
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._service.node_service import Service
from ansible_collections.mobius.ops.plugins.module_utils._target import history, progress
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Look, and wait or end what is meant."""
    if params["state"] in ("stopped", "killed") and not params["jobs"] and not params["only"]:
        raise InputError(
            f"state {params['state']}", "jobs or only to say which jobs are meant", "neither", "Name them, or give only: [stuck]"
        )
    layout, meter = Layout(params["root"]), progress.meter(params)
    layout.require()
    service = service_registry.load(layout, params["service"])
    judged = params["only"] or params["state"] == "listed"
    meter.phase("looking at the jobs")
    found = jobs_listing.listed(service, params["programs"])
    seen = jobs_listing.watched(found, params["window"] if judged else 0.0)
    meant = ending.chosen(seen, params["jobs"], params["only"])
    if params["state"] == "listed" or check_mode:
        return arguments.Answer(bool(meant) and params["state"] in ("stopped", "killed"), {"jobs": meant, "message": told(meant)})
    if params["state"] == "drained":
        return drained(service, params, meter, meant)
    wanted = {(job["pid"], job["ticks"]) for job in meant}
    meter.phase(f"ending {len(wanted)}")
    ended = [
        ending.end(service, job, params["stop_timeout"], params["state"] == "killed", params["look"])
        for job in found
        if (job.pid, job.ticks) in wanted
    ]
    return finished(layout, params, meant, ended)


def drained(service: Service, params: arguments.Params, meter: progress.Meter, meant: list[jobs_listing.Watched]) -> arguments.Answer:
    """Wait. :raises StateError: when a job goes on."""
    pids = {(job["pid"], job["ticks"]) for job in meant}
    names = {job["name"] for job in meant}
    chosen = bool(params["jobs"] or params["only"])
    left = ending.drain(
        service,
        params["programs"],
        lambda job: not chosen or (job.pid, job.ticks) in pids or job.name in names,
        params["drain_timeout"],
        meter,
        params["quiet"],
    )
    if left:
        raise StateError(
            "ffmpeg jobs",
            f"none within {params['drain_timeout']:g} s",
            ", ".join(job.name for job in left),
            "Wait longer, or look with mobius.ops.ffmpeg whether one is stuck",
            {"jobs": meant},
        )
    said = f"{len(meant)} ffmpeg job{'' if len(meant) == 1 else 's'} ended by themselves."
    return arguments.Answer(False, {"jobs": meant, "message": said})


def finished(layout: Layout, params: arguments.Params, meant: list[jobs_listing.Watched], ended: list[ending.Ended]) -> arguments.Answer:
    """What became of the jobs. :raises StateError: when one goes on."""
    result = {
        "jobs": meant,
        "ended": [
            {"name": one.job.name, "pid": one.job.pid, "how": one.how, "seconds": one.seconds, "results": list(one.results)}
            for one in ended
        ],
    }
    done = [one for one in ended if one.how in ("stopped", "killed")]
    if done:
        history.record(layout, "jobs_ended", params["why"], jobs=[f"{one.job.name} {one.how}" for one in done])
    left = [one.job.name for one in ended if one.how == "runs"]
    if left:
        todo = "Use state killed" if params["state"] == "stopped" else "It waits in the kernel, for a disk say: look at dmesg"
        raise StateError(
            f"job {left[0]}",
            f"to end within {params['stop_timeout']:g} s",
            f"that it goes on, as {len(left)} of {len(ended)} do",
            todo,
            result,
        )
    return arguments.Answer(bool(done), {**result, "message": outcome(ended)})


def told(jobs: list[jobs_listing.Watched]) -> str:
    """The jobs that run, in a sentence."""
    if not jobs:
        return "No ffmpeg job runs."
    counted = []
    for verdict in jobs_listing.VERDICTS:
        names = [job["name"] for job in jobs if job["verdict"] == verdict]
        if names:
            counted.append(f"{len(names)} {verdict}" + (f" ({', '.join(names[:5])})" if verdict in ("stuck", "stopped") else ""))
    runs = f"{len(jobs)} ffmpeg job{' runs' if len(jobs) == 1 else 's run'}"
    return f"{runs}: {', '.join(counted)}." if counted else f"{runs}."


def outcome(ended: list[ending.Ended]) -> str:
    """What became of the jobs, in a sentence or two."""
    if not ended:
        return "No ffmpeg job was meant, so none was ended."
    parts = [
        f"{count} {word}"
        for word, how in (("stopped", "stopped"), ("killed", "killed"), ("had ended before", "gone"))
        for count in [sum(one.how == how for one in ended)]
        if count
    ]
    broken = [one for job in ended for one in job.results if one["error"]]
    text = f"ffmpeg jobs: {', '.join(parts)}."
    if not broken:
        return text
    return f"{text} {len(broken)} of their files cannot be played, {broken[0]['path']} first ({broken[0]['error'].rstrip('.')})."


def main() -> None:
    """Run as an Ansible module."""
    names = {"type": "list", "elements": "str", "default": []}
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "root": arguments.ROOT,
                "service": {"type": "str", "default": "mobius"},
                "programs": {**names, "default": ["ffmpeg"]},
                "state": {"type": "str", "choices": ["listed", "drained", "stopped", "killed"], "default": "listed"},
                "jobs": names,
                "only": {**names, "choices": list(jobs_listing.VERDICTS)},
                "window": {"type": "float", "default": 10},
                "drain_timeout": {"type": "float", "default": 900},
                "quiet": {"type": "float", "default": 3},
                "stop_timeout": {"type": "float", "default": 30},
                "look": {"type": "float", "default": 60},
                "why": {"type": "str", "default": ""},
                **arguments.PROGRESS,
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
