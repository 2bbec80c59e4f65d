# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work in the background, by real playbooks: live lines, the results of a plain module, and every way that it can be cut short."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import typing as t

import pytest
from support.remains import kill
from support.trial import Run, Trial
from support.waiting import HANG, wait_until

SECRET = "sekret-of-the-trial"


def writing(seconds: float = 0, size: int = 498_000_000, files: int = 5070, name: str = "writing") -> list[dict[str, t.Any]]:
    return [{"name": name, "bytes": size, "files": files, "seconds": seconds}]


@pytest.fixture
def trial(tmp_path):
    return Trial(tmp_path)


@pytest.fixture
def hold(tmp_path):
    """A file; work with this option does not end while it exists."""
    path = tmp_path / "hold"
    path.touch()
    return path


def shown(run: Run, hold: pathlib.Path, *hosts: str) -> Run:
    """Release the work once every host has shown a line, and wait for the end of the playbook."""
    for host in hosts or ("localhost",):
        wait_until(lambda host=host: run.progress(host) or run.process.poll() is not None, f"a line of {host}")
    hold.unlink()
    return run.end()


@pytest.fixture
def started(trial, tmp_path):
    """``started(...)``: a playbook whose work goes on, and the process that does it; all are ended after the test."""
    runs: list[tuple[Run, int]] = []
    pids = tmp_path / "pids"

    def begun(run: Run) -> list[str]:
        for path in (pids, tmp_path / "pids.end"):
            with contextlib.suppress(FileNotFoundError):
                if words := path.read_text().split():
                    return words
        assert run.process.poll() is None, run.output
        return []

    def start(*options: str, **work: t.Any) -> tuple[Run, int]:
        run = trial.start(*options, pid_file=str(pids), **{"steps": writing(10 * HANG), **work})
        runs.append((run, int(wait_until(lambda: begun(run), "the work begins")[0])))
        return runs[-1]

    yield start
    for run, pid in runs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        kill(pid)


@pytest.fixture
def public():
    """A folder that everybody may write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield pathlib.Path(folder)


def gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_lines_come_while_the_work_goes_on(trial, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    steps = [
        *writing(0.05, 0, 3000, "scanning"),
        {**writing()[0], "hold": str(first)},
        {**writing(0, 300_000_000, 0, "verifying")[0], "hold": str(second)},
    ]
    for path in (first, second):
        path.touch()
    run = trial.start(steps=steps)
    for path, name in ((first, "writing"), (second, "verifying")):
        wait_until(
            lambda name=name: len([line for line in run.progress() if f"work: {name} " in line.text and " left" in line.text]) >= 2,
            f"two lines while it is {name}",
        )
        assert not any(line.text.startswith("changed:") for line in run.lines)
        path.unlink()
    lines = run.end().progress()
    shown = [line.text for line in lines]
    assert shown[0].startswith("[localhost] work: writing ") and " of 498 MB (" in shown[0] and " of 5,070 files, " in shown[0], shown
    assert shown[0].endswith(" left") and "B/s" in shown[0]
    assert any("work: writing done: 498 MB, 5,070 files in " in line for line in shown), shown
    assert shown[-1].startswith("[localhost] work: verifying done: 300 MB in ") and not any("scanning" in line for line in shown)
    assert any(line.text.startswith("changed:") for line in run.lines)


@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_results_are_those_of_the_plain_module(trial, hold, pipelining):
    run = trial.start(
        "--diff",
        hosts={"plain": {"progress": "none"}, "quick": {}, "long": {"steps": writing(), "hold": str(hold)}},
        say="hello",
        many=200_000,
        env={"ANSIBLE_PIPELINING": pipelining},
    )
    shown(run, hold, "long")
    assert run.process.returncode == 0, run.output
    plain = trial.result("plain")
    assert plain["changed"] and plain["said"] == "hello" and plain["diff"] == {"before": "a\n", "after": "b\n"} and plain["warnings"]
    assert trial.result("quick") == plain, trial.result("quick")
    assert trial.result("long") == plain
    assert run.progress("long") and not run.progress("plain")
    assert run.output.count("+b") == 3 and trial.left() == []


def test_the_interpreter_that_was_found_is_in_the_result(trial):
    trial.start(
        hosts={"plain": {"progress": "none"}, "long": {"steps": writing(1.2)}},
        variables={"ansible_python_interpreter": "auto_silent"},
        env={"PATH": "/usr/bin:/bin"},
    ).end()
    assert trial.result("long") == trial.result("plain") and trial.result("long")["ansible_facts"]["discovered_interpreter_python"]


@pytest.mark.parametrize("end", ["fail", "crash"])
def test_failures_are_those_of_the_plain_module(trial, hold, end):
    run = trial.start(hosts={"plain": {"progress": "none"}, "quick": {}, "long": {"steps": writing(), "hold": str(hold)}}, end=end)
    shown(run, hold, "long")
    results = [trial.result(host) for host in ("plain", "quick", "long")]
    assert all(result["failed"] and not result["changed"] for result in results)
    if end == "fail":
        assert results[0]["msg"] == "the trial: expected an end, found another one. Try again." and results[0]["files"] == [1, 2]
        for result in results:
            result.pop("exception", None)
        assert results[0] == results[1] == results[2]
    else:
        assert all("a mistake in the module" in json.dumps(result) for result in results)
    assert not any("done" in line.text for line in run.progress("long")) and trial.left() == []


def test_check_mode(trial, hold):
    hosts = {"plain": {"progress": "none"}, "long": {"steps": writing(), "hold": str(hold)}}
    shown(trial.start("--check", "--diff", hosts=hosts), hold, "long")
    assert trial.result("long") == trial.result("plain") and trial.result("long")["check"] is True


def test_quick_work_is_quiet(tmp_path):
    run = Trial(tmp_path, patience=HANG).start(steps=writing(0.5)).end()
    assert not run.progress()


def test_no_lines_when_none_are_wanted(trial, started, hold):
    run, _pid = started(steps=writing(1), progress="none", hold=str(hold))
    assert trial.left() == []
    hold.unlink()
    assert not run.end().progress() and trial.result()["changed"]


def test_hosts_work_at_the_same_time(trial, hold):
    """No host's work ends before every host has shown a line."""
    hosts = [f"host{number}" for number in range(4)]
    run = shown(trial.start(hosts={host: {} for host in hosts}, steps=writing(), hold=str(hold)), hold, *hosts)
    assert all(trial.result(host)["changed"] for host in hosts) and trial.left() == [], run.output


def test_module_defaults_of_the_group_apply(trial):
    defaults = {"group/mobius.trial.all": {"say": "by default", "progress": "none"}}
    run = trial.start(play={"module_defaults": defaults}, steps=writing(0.5)).end()
    assert trial.result()["said"] == "by default" and not run.progress()


@pytest.mark.parametrize("how", [{"async": int(HANG), "poll": 1}, {"async": int(HANG), "poll": 0}])
def test_async_of_the_task_is_left_to_ansible(trial, how, wait_until):
    run = trial.start(task=how, steps=writing(0.8), say="hello").end()
    if how["poll"]:
        assert trial.result()["said"] == "hello" and trial.result()["changed"], run.output
    else:
        assert trial.result()["ansible_job_id"]
        wait_until(lambda: "hello" in (trial.jobs / trial.result()["ansible_job_id"]).read_text())
    assert not run.progress() and not any(name.startswith("mobius") for name in trial.left())


def test_the_record_lies_in_the_async_dir_and_is_nobody_elses(trial, started):
    started(say="hello", word=SECRET)
    names = wait_until(lambda: [name for name in trial.left() if name.endswith(".json")])
    record = trial.jobs / names[0]
    assert wait_until(lambda: json.loads(record.read_text())["phases"][-1]["bytes"]) and trial.jobs.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in trial.jobs.iterdir()} == {0o600}


def test_the_default_async_dir_is_in_the_home_of_the_user(trial, started, tmp_path):
    run, pid = started(variables={"ansible_async_dir": "~/.ansible_async"}, env={"HOME": str(tmp_path / "home")})
    assert wait_until(lambda: list((tmp_path / "home" / ".ansible_async").glob("mobius.ops-*.json")))
    wait_until(run.progress)
    os.kill(pid, signal.SIGKILL)
    run.end()
    assert trial.result()["failed"] and not list((tmp_path / "home" / ".ansible_async").iterdir())


@pytest.mark.parametrize("early", [True, False])
def test_killed_work_is_noticed_at_once(tmp_path, started, early):
    trial = Trial(tmp_path, patience=10 * HANG if early else 0.3)  # longer than the test waits
    run, pid = started()
    if not early:
        wait_until(run.progress)
    os.kill(pid, signal.SIGKILL)
    run.end()
    msg = trial.result()["msg"]
    how = "it was ended by SIGKILL" if early else "its process is gone"
    assert msg.startswith("the work in the background") and f": expected that it leaves a result, found that {how}. " in msg, msg
    assert "Look who ended it" in msg and trial.result()["failed"] and trial.left() == []


def test_a_cut_connection_is_made_again(trial, started, hold):
    run, _pid = started(steps=writing(), say="hello", hold=str(hold), variables={"ansible_connection": "mobius.trial.cut"})
    wait_until(run.progress)
    trial.cut.write_text("down")
    wait_until(lambda: "the target cannot be asked (the line is cut)" in run.output)
    trial.cut.unlink()
    hold.unlink()
    run.end()
    assert trial.result()["said"] == "hello" and not trial.result()["failed"] and trial.left() == []


def test_a_connection_cut_before_the_first_answer_begins_nothing_twice(trial, started, tmp_path):
    trial.cut.write_text("answer")
    run, _pid = started(steps=writing(0.8), say="hello", variables={"ansible_connection": "mobius.trial.cut"})
    run.end()
    assert not trial.cut.exists() and trial.result()["said"] == "hello" and trial.left() == []
    assert len((tmp_path / "pids.end").read_text().splitlines()) == 1 and not (tmp_path / "pids").exists()


def test_a_host_that_cannot_be_reached_is_unreachable(trial):
    trial.cut.write_text("down")
    run = trial.start(variables={"ansible_connection": "mobius.trial.cut"}).end()
    assert "unreachable=1" in run.output and "the line is cut" in run.output


def test_a_connection_that_stays_cut_fails_and_the_work_goes_on(tmp_path, started, hold):
    trial = Trial(tmp_path, lost_after=1)
    run, pid = started(steps=writing(), say="hello", hold=str(hold), variables={"ansible_connection": "mobius.trial.cut"})
    wait_until(run.progress)
    trial.cut.write_text("down")
    wait_until(lambda: "fatal:" in run.output)
    trial.cut.unlink()
    run.end()
    done = trial.result()
    assert done["failed"] and not gone(pid)
    assert "expected an answer within 1 s, found none (the line is cut). The work goes on on the target: its record is " in done["msg"]
    record = done["msg"].partition("its record is ")[2].partition(",")[0]
    assert json.loads(pathlib.Path(record).read_text(encoding="utf-8"))["pid"] == pid
    hold.unlink()
    wait_until(lambda: gone(pid))
    with open(record + ".out", encoding="utf-8") as stream:
        assert json.loads(stream.read().rstrip("\0"))["said"] == "hello"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("first", [True, False], ids=["first call", "later call"])
def test_the_work_goes_on_when_the_controller_is_ended(tmp_path, started, hold, number, first):
    trial = Trial(tmp_path, patience=10 * HANG if first else 0.3)
    run, pid = started(steps=writing(), say="hello", hold=str(hold))
    if not first:
        wait_until(run.progress)
    for _time in range(10):  # ansible-playbook may miss an interruption that comes while it starts a worker: a person repeats it
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(run.process.pid, number)
            run.process.wait(HANG / 10)
            break
    run.end()
    assert not gone(pid)
    hold.unlink()
    wait_until(lambda: gone(pid))
    assert (tmp_path / "pids.end").exists()
    if not first:  # of a first call Ansible's own worker, which newer cores leave behind, may have taken the result
        result = next(name for name in trial.left() if name.endswith(".out"))
        assert json.loads((trial.jobs / result).read_text().rstrip("\0"))["said"] == "hello"


def test_work_that_ends_just_when_the_first_call_stops_waiting(tmp_path):
    trial = Trial(tmp_path, patience=0.1)
    hosts = {f"host{number}": {"steps": writing(0.06 + number / 200)} for number in range(14)}
    trial.start(hosts=hosts, say="hello", many=200_000).end()
    assert [trial.result(f"host{number}").get("said") for number in range(14)] == ["hello"] * 14 and trial.left() == []


def test_without_a_place_for_the_record_the_module_runs_as_ever(trial, tmp_path):
    (tmp_path / "file").touch()
    run = trial.start(variables={"ansible_async_dir": str(tmp_path / "file" / "jobs")}, steps=writing(0.5), say="hello").end()
    assert trial.result()["said"] == "hello" and trial.result()["changed"] and not run.progress()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("long", [False, True])
def test_become(tmp_path, public, long):
    trial, hold = Trial(tmp_path, patience=0.3 if long else HANG), public / "hold"
    hold.touch()
    run = trial.start(
        play={"become": True, "become_user": "nobody", "become_method": "su", "become_flags": "-s /bin/sh"},
        variables={"ansible_async_dir": str(public), "ansible_python_interpreter": "/usr/bin/python3"},
        steps=writing(),
        hold=str(hold) if long else None,
    )
    if long:
        wait_until(lambda: run.progress() or run.process.poll() is not None)
    hold.unlink()
    run.end()
    assert trial.result()["user"] == 65534, run.output
    assert bool(run.progress()) == long and list(public.iterdir()) == []


def test_nothing_secret_in_output_and_result(trial, hold):
    run = shown(trial.start("-vvv", steps=writing(), word=SECRET, hold=str(hold), env={"ANSIBLE_INJECT_INVOCATION": "1"}), hold)
    assert run.progress() and SECRET not in run.output and "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in run.output
    assert '"progress_file": null' in run.output or "progress_file: null" in run.output
