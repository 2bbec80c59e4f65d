# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The figures of a host: real processes, sockets, limits and mounts."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._observe import host_metrics
from ansible_collections.mobius.ops.plugins.module_utils._observe import thresholds as observe_thresholds

FIELDS = {"metric", "subject", "value", "unit", "status", "warning", "critical", "todo"}
#: What may be on any machine is normal.
CALM = {name: [10**9, 10**9] for name in ("cpu_pct", "memory_pct", "swap_pct", "load_per_core", "fds_pct")}
ALWAYS = ["cpu_pct", "memory_pct", "swap_pct", "load_per_core", "fds_pct", "uptime_s"]


def collect(thresholds=None, **request):
    """What a short look returns."""
    return host_metrics.collect({"window": 0.05, "thresholds": observe_thresholds.merge(thresholds), **request})


def figure(result, metric, subject=""):
    """The one metric of a name and a subject."""
    [found] = [row for row in result["metrics"] if (row["metric"], row["subject"]) == (metric, subject)]
    return found


@contextlib.contextmanager
def program(code, **options):
    """A Python program that runs until the end of the block; it must print a line when it is ready."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, **options) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def mounted(folder, options):
    """A small file system in memory; skipped where nobody may mount one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield str(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_what_is_always_told_and_its_shape():
    result = collect()
    assert [row["metric"] for row in result["metrics"]] == ALWAYS
    assert all(set(row) == FIELDS for row in result["metrics"])
    assert all(isinstance(row["value"], float) and row["status"] != "unknown" for row in result["metrics"])
    assert (figure(result, "cpu_pct")["warning"], figure(result, "cpu_pct")["critical"], figure(result, "cpu_pct")["unit"]) == (70, 90, "%")
    assert all(bool(row["todo"]) == (row["status"] != "normal") for row in result["metrics"])
    assert result["status"] == observe_thresholds.worst(row["status"] for row in result["metrics"])


def test_thresholds_default_to_the_table():
    assert figure(host_metrics.collect({"window": 0.05}), "memory_pct")["warning"] == 80


def test_without_psutil_the_package_is_named(monkeypatch):
    monkeypatch.setattr(host_metrics, "psutil", None)
    with pytest.raises(StateError, match=r"psutil on the target, found none\. Install the package python3-psutil there"):
        collect()


@pytest.mark.parametrize("window", [0, -1, None])
def test_a_window_of_nothing_is_refused(window):
    with pytest.raises(InputError, match="a window above 0 seconds"):
        collect(window=window)


def test_one_figure_that_fails_does_not_cost_the_others(monkeypatch):
    monkeypatch.setattr(host_metrics.psutil, "virtual_memory", lambda: 1 / 0)
    result = collect(CALM)
    broken = figure(result, "memory_pct")
    assert (broken["value"], broken["status"], broken["todo"]) == (None, "unknown", "It could not be measured: division by zero.")
    assert figure(result, "uptime_s")["status"] == "normal" and result["status"] == "unknown"
    assert host_metrics.summary(result) == "Host unknown: memory_pct unknown. It could not be measured: division by zero."


def test_cpu_is_that_of_the_window():
    with contextlib.ExitStack() as stack:
        for _core in range(os.cpu_count()):
            stack.enter_context(program("print('ready', flush=True)\nwhile True: pass"))
        busy = figure(collect({"cpu_pct": [20, 40]}, window=0.6), "cpu_pct")
    assert (busy["status"], busy["value"] > 40) == ("critical", True)
    assert "ps aux --sort=-%cpu" in busy["todo"]


def test_memory_is_what_cannot_be_had(monkeypatch, tmp_path):
    monkeypatch.setattr(host_metrics, "CGROUP", str(tmp_path / "none"))
    with open("/proc/meminfo") as stream:
        facts = {line.split(":")[0]: int(line.split()[1]) for line in stream}
    told = figure(collect(), "memory_pct")["value"]
    assert told == pytest.approx(100 - facts["MemAvailable"] / facts["MemTotal"] * 100, abs=5)


@pytest.mark.parametrize(
    "most, used, cache, expected",
    [("1000000", "950000", "100000", 85.0), ("max", "950000", "0", None), ("0", "1", "0", None), (str(10**18), "1", "0", None)],
)
def test_memory_of_a_container_is_held_against_its_limit(monkeypatch, tmp_path, most, used, cache, expected):
    for name, text in (("memory.max", most), ("memory.current", used), ("memory.stat", f"anon 5\ninactive_file {cache}\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(host_metrics.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 100, "available": 90}))
    monkeypatch.setattr(host_metrics, "CGROUP", str(tmp_path))
    assert figure(collect(), "memory_pct")["value"] == (expected or 10.0)


def test_swap_is_what_the_kernel_lists():
    with open("/proc/swaps") as stream:
        sizes = [[int(word) for word in line.split()[2:4]] for line in list(stream)[1:]]
    used, size = sum(row[1] for row in sizes), sum(row[0] for row in sizes)
    assert figure(collect(), "swap_pct")["value"] == pytest.approx(100 * used / size if size else 0, abs=5)


@pytest.mark.parametrize("average, status", [(1.5, "normal"), (1.6, "warning"), (3.1, "critical")])
def test_load_is_of_five_minutes_for_each_core(monkeypatch, average, status):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, average * psutil.cpu_count(), 99.0))
    load = figure(collect(), "load_per_core")
    assert (load["value"], load["status"], load["unit"]) == (average, status, "")


@pytest.mark.parametrize(
    "text, value, status",
    [
        ("1024\t0\t9223372036854775807", 0.0, "normal"),
        ("800 0 1000", 80.0, "warning"),
        ("901 0 1000", 90.1, "critical"),
        ("nonsense", None, "unknown"),
        ("1 0 0", None, "unknown"),
    ],
)
def test_open_files_of_the_system(monkeypatch, tmp_path, text, value, status):
    (tmp_path / "file-nr").write_text(text + "\n")
    monkeypatch.setattr(host_metrics, "FILE_NR", str(tmp_path / "file-nr"))
    files = figure(collect(), "fds_pct")
    assert (files["value"], files["status"]) == (value, status)
    assert "lsof" in files["todo"] or status in ("normal", "unknown")


def test_open_files_of_the_service():
    code = "kept = [open('/dev/null') for _ in range(20)]\nprint('ready', flush=True)\ninput()"
    with program(code, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 64))) as process:
        files = figure(collect(pid=process.pid), "fds_pct", "service")
    assert (files["status"], 71 < files["value"] < 85) == ("warning", True)


def test_memory_of_the_service_is_that_of_its_children_too():
    grow = "kept = b'x' * (40 << 20)"
    code = f"import os, time\nif os.fork() == 0:\n    {grow}\n    print('ready', flush=True)\n    time.sleep(86400)\ninput()"
    with program(code) as process:
        told = figure(collect(pid=process.pid, restarts=2), "service_rss_bytes")
        main = psutil.Process(process.pid)
        alone = main.memory_info().rss
        for child in main.children():
            child.kill()
    assert isinstance(told["value"], int) and told["value"] > alone + (40 << 20)
    assert (told["unit"], told["status"], told["warning"], told["critical"]) == ("bytes", "normal", None, None)


def test_a_service_that_has_ended_is_unknown():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        result = collect(pid=process.pid, restarts=3)
    for row in (figure(result, "fds_pct", "service"), figure(result, "service_rss_bytes")):
        assert (row["value"], row["status"]) == (None, "unknown") and str(process.pid) in row["todo"]
    assert (figure(result, "service_restarts")["value"], figure(result, "service_restarts")["status"]) == (3, "normal")


def test_ports(free_port):
    silent = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_port = server.getsockname()[1]
        result = collect(CALM, ports=[open_port, silent])
    listening, missing = figure(result, "port_listening", str(open_port)), figure(result, "port_listening", str(silent))
    assert (listening["value"], listening["status"], listening["todo"]) == (1, "normal", "")
    assert (missing["value"], missing["status"]) == (0, "critical") and "mobius.ops.restart" in missing["todo"]
    assert f"port_listening {silent} nobody listens" in host_metrics.summary(result)


def test_disk_is_told_as_df_does_and_each_file_system_once(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    result = collect(mounts=[str(tmp_path), str(tmp_path / "link"), str(tmp_path)])
    [disk] = [row for row in result["metrics"] if row["metric"] == "disk_pct"]
    done = subprocess.run(["df", "--output=pcent,target", tmp_path], capture_output=True, text=True, check=True)
    percent, target = done.stdout.splitlines()[1].split()
    assert disk["subject"] == target
    assert disk["value"] == pytest.approx(float(percent.rstrip("%")), abs=1.1)  # df rounds up


def test_a_full_file_system(tmp_path):
    with mounted(tmp_path, "size=1m") as folder:
        with open(os.path.join(folder, "big"), "wb") as stream:
            stream.write(b"x" * 1000 * 1024)
        result = collect(CALM, mounts=[folder, "/"])
        disk = figure(result, "disk_pct", folder)
    assert (disk["status"], disk["value"]) == ("critical", pytest.approx(97.7, abs=0.5))
    assert disk["todo"].startswith(f"Make room on {folder}, which is 97.66 % full:")
    assert figure(result, "inodes_pct", folder)["status"] == "normal"
    assert figure(result, "disk_pct", "/")["value"] < 97 and result["status"] == "critical"
    assert f"disk_pct {folder} 97.66 % (critical above 95)" in host_metrics.summary(result)


def test_a_file_system_without_inodes(tmp_path):
    with mounted(tmp_path, "size=10m,nr_inodes=50") as folder:
        for number in range(44):
            (tmp_path / str(number)).touch()
        result = collect(mounts=[folder])
    assert figure(result, "disk_pct", folder)["status"] == "normal"
    assert figure(result, "inodes_pct", folder)["status"] == "warning"
    assert "inodes" in figure(result, "inodes_pct", folder)["todo"]


def test_a_file_system_that_counts_no_inodes_has_no_such_figure(tmp_path):
    with mounted(tmp_path, "size=1m,nr_inodes=0") as folder:
        metrics = [row["metric"] for row in collect(mounts=[folder])["metrics"]]
    assert "disk_pct" in metrics and "inodes_pct" not in metrics


@contextlib.contextmanager
def nobody():
    """Not root, for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_mount_that_may_not_be_looked_at_is_unknown(tmp_path):
    shut = tmp_path / "shut"
    (shut / "inside").mkdir(parents=True)
    shut.chmod(0)
    try:
        with nobody():
            result = collect(mounts=[str(shut / "inside"), "/"])
    finally:
        shut.chmod(0o700)
    disk = figure(result, "disk_pct", str(shut / "inside"))
    assert (disk["value"], disk["status"]) == (None, "unknown") and "Permission denied" in disk["todo"]
    assert figure(result, "disk_pct", "/")["value"] > 0


def test_a_path_that_is_not_there_is_unknown(tmp_path):
    disk = figure(collect(mounts=[str(tmp_path / "gone")]), "disk_pct", str(tmp_path / "gone"))
    assert (disk["status"], disk["todo"]) == ("unknown", f"It could not be measured: {tmp_path}/gone: No such file or directory.")


def test_a_file_server_that_is_lost_does_not_hold_up_the_rest(monkeypatch):
    found, done = host_metrics.look, threading.Event()
    monkeypatch.setattr(host_metrics, "PATIENCE", 0.2)
    monkeypatch.setattr(host_metrics, "look", lambda path: done.wait() if path == "/lost" else found(path))
    result = collect(mounts=["/lost", "/"])
    done.set()
    assert "expected its file system to answer within 0.2 s" in figure(result, "disk_pct", "/lost")["todo"]
    assert figure(result, "disk_pct", "/")["value"] > 0


@pytest.mark.parametrize("ahead, status", [(0, "normal"), (10, "warning"), (-10, "warning"), (400, "critical"), (-400, "critical")])
def test_clock_offset(monkeypatch, ahead, status):
    now = time.time()
    monkeypatch.setattr(host_metrics.time, "time", lambda: now)
    offset = figure(collect(clock_reference=now - ahead), "clock_offset_s")
    assert (offset["status"], offset["value"]) == (status, pytest.approx(ahead, abs=0.01))
    assert ("timedatectl" in offset["todo"]) == (status != "normal")


def test_a_clock_reference_that_is_none_of_a_clock():
    assert figure(collect(clock_reference="noon"), "clock_offset_s")["status"] == "unknown"
    assert "clock_offset_s" not in [row["metric"] for row in collect(clock_reference=None)["metrics"]]


def test_uptime(monkeypatch):
    def uptime():
        with open("/proc/uptime") as stream:
            return float(stream.read().split()[0])

    before = uptime()
    assert before - 2 < figure(collect(), "uptime_s")["value"] < uptime() + 2  # both round
    now = time.time()
    monkeypatch.setattr(host_metrics.time, "time", lambda: now)
    assert figure(collect(boot=now - 60), "uptime_s")["value"] == pytest.approx(60, abs=1)


def test_summary():
    assert host_metrics.summary({"status": "normal", "metrics": [{"status": "normal"}]}) == "Host normal."
    rows = [
        host_metrics.measured(metric, subject, lambda value=value: value, observe_thresholds.DEFAULTS)
        for metric, subject, value in (("cpu_pct", "", 71.0), ("disk_pct", "/srv", 96.0), ("memory_pct", "", 1.0))
    ]
    said = host_metrics.summary({"status": "critical", "metrics": [{**rows[0], "status": "critical"}, *rows[1:]]})
    assert said.startswith("Host critical: disk_pct /srv 96 % (critical above 95), and 1 more not normal. Make room on /srv,")


@pytest.mark.parametrize(
    "metric, value, text",
    [
        ("cpu_pct", 12.3, "12.3 %"),
        ("load_per_core", 0.5, "0.5"),
        ("uptime_s", 7300.0, "2 h"),
        ("clock_offset_s", -6.0, "-6 s"),
        ("service_rss_bytes", 1500, "1.5 kB"),
        ("service_restarts", 2, "2"),
        ("port_listening", 1, "listening"),
    ],
)
def test_values_as_people_read_them(metric, value, text):
    assert host_metrics.shown(host_metrics.measured(metric, "", lambda: value, {})) == text


def test_limits_that_do_not_tell(monkeypatch):
    def opened(path, **options):
        return io.StringIO("Max cpu time  unlimited  unlimited  seconds\n") if path.endswith("/limits") else open(path, **options)

    monkeypatch.setattr(processes, "open", opened, raising=False)
    assert "does not tell its limit" in figure(collect(pid=os.getpid()), "fds_pct", "service")["todo"]
