"""The benchmark of backups runs, tells wrong results from right ones, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.remains import processes_of
from support.waiting import HANG, wait_until

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "tests" / "bench"
DRIVER = [sys.executable, str(BENCH / "backup.py")]
TINY = ["--size", "2", "--files", "60", "--rounds", "1"]


def load(name: str):
    """A part of the benchmark."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


facts, report, tree = load("facts"), load("report"), load("tree")


def bench(tmp_path: Path, *words: str, **options) -> subprocess.CompletedProcess:
    """A run that keeps its files below *tmp_path*."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return subprocess.run([*DRIVER, *TINY, "--scratch", str(scratch), *words], capture_output=True, text=True, check=False, **options)


def test_a_tiny_run_measures_everything(tmp_path):
    done = bench(tmp_path, "--lanes", "ours,isal,zip", "--json", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["medians"]) == list(report.TITLES)
    for operation, lanes in result["medians"].items():
        for lane in lanes:
            assert lanes[lane]["wall"] > 0 and lanes[lane]["cpu"] > 0, operation
            assert 1e6 < lanes[lane]["peak"] < 200e6 and 1e6 < lanes[lane]["size"] < 2e6, operation
        assert "ours" in lanes, operation
    assert ("isal" in result["medians"]["full"]) != ("left out: this collection, isal" in done.stderr)
    if shutil.which("zip") and shutil.which("unzip"):
        assert {target["target"] for target in result["targets"] if target["met"] is None and "isal" not in target["target"]} == set()
    else:
        assert "left out: zip -r, sha256sum" in done.stderr
    assert "| full backup | this collection, standard library |" in report.page(result)
    assert os.listdir(tmp_path / "scratch") == []


def test_only_what_was_asked_for_is_measured_and_profiled(tmp_path):
    done = bench(tmp_path, "--only", "ours:deep", "--profile", "40", "--json", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [run["operation"] for run in json.loads((tmp_path / "result.json").read_text())["runs"]] == ["deep"]
    assert "profile: verify every member" in done.stdout and "decompress" in done.stdout


def test_a_tool_that_is_missing_is_named(tmp_path):
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "sync", "sha256sum"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    done = bench(tmp_path, "--lanes", "ours,restic", "--only", "full", env={**os.environ, "PATH": str(tmp_path / "bin")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: restic (restic not installed)" in done.stdout


def test_a_wrong_restore_ends_the_benchmark(tmp_path):
    shutil.copytree(ROOT / "plugins", tmp_path / "broken" / "plugins")
    with open(tmp_path / "broken" / "plugins" / "module_utils" / "_restore" / "restore.py", "a", encoding="utf-8") as stream:
        stream.write(
            "\n\n_right = restore\n\n\ndef restore(layout, request, *rest, **options):\n"
            "    result = _right(layout, request, *rest, **options)\n"
            "    open(layout.env_file, 'a').write('# one line more')\n    return result\n"
        )
    done = bench(tmp_path, "--only", "ours:restore", "--collection", str(tmp_path / "broken"))
    assert done.returncode == 1
    assert "FAILED" in done.stderr and "config/.env: sha256 is" in done.stderr
    assert os.listdir(tmp_path / "scratch") == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(tmp_path, number, status):
    words = [*DRIVER, "--size", "300", "--lanes", "ours", "--scratch", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert "making a tree" in next(line for line in process.stderr if "left out" not in line)
        wait_until(lambda: list(tmp_path.glob("*/root/shared/uploads")), what="the tree is being made")
        process.send_signal(number)
        assert process.wait(timeout=HANG) == status
    wait_until(lambda: not processes_of(str(tmp_path)), "nobody can write again")
    assert os.listdir(tmp_path) == []


def test_the_same_seed_makes_the_same_tree(tmp_path):
    for place, seed in (("a", 5), ("b", 5), ("c", 6)):
        tree.change(str(tmp_path / place), tree.make(str(tmp_path / place), 1, 60, seed), 3)
    made = {place: facts.tree(str(tmp_path / place)) for place in "abc"}
    for one in made.values():  # folders' times, and what SQLite keeps of its versions
        one["data/mobius.db"].pop("sha256")
        one["data/mobius.db"].pop("mtime_ns")
        for name in one:
            if name.startswith("logs/"):  # appended to now
                one[name].pop("mtime_ns", None)
    assert made["a"] == made["b"] != made["c"]


def test_the_tree_is_as_it_is_described(tmp_path):
    entries = tree.make(str(tmp_path / "a"), 4, 200, 1)
    before = facts.tree(str(tmp_path / "a"))
    share = {kind: sum(entry["size"] for entry in entries if entry["kind"] == kind) / 4e6 for kind in ("media", "log")}
    assert share == {"media": pytest.approx(0.6, abs=0.02), "log": pytest.approx(0.2, abs=0.02)}
    changed = tree.change(str(tmp_path / "a"), entries, 1)
    after = facts.tree(str(tmp_path / "a"))
    different = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys() and len(different) == changed["files"] and "data/mobius.db" in different


def break_content(path: Path) -> None:
    (path / "f").write_text("othr")


def break_mode(path: Path) -> None:
    (path / "f").chmod(0o600)


def break_time(path: Path) -> None:
    os.utime(path / "f", (1, 1))


def break_link(path: Path) -> None:
    (path / "l").unlink()
    (path / "l").symlink_to("nowhere")


def take_away(path: Path) -> None:
    (path / "f").unlink()


def add(path: Path) -> None:
    (path / "more").mkdir()


def make_small(path: Path) -> None:
    path.mkdir()
    (path / "f").write_text("text")
    (path / "f").chmod(0o644)
    os.utime(path / "f", (9, 9))
    (path / "l").symlink_to("f")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (break_content, "f: sha256"),
        (break_mode, "f: mode"),
        (break_time, "f: mtime_ns"),
        (break_link, "l: target"),
        (take_away, "f is missing"),
        (add, "more is too much"),
    ],
)
def test_every_difference_is_seen(tmp_path, harm, said):
    for name in ("a", "b"):
        make_small(tmp_path / name)
    expected = facts.tree(str(tmp_path / "a"))
    assert facts.differences(expected, facts.tree(str(tmp_path / "b")), 0) == []
    harm(tmp_path / "b")
    assert any(line.startswith(said) for line in facts.differences(expected, facts.tree(str(tmp_path / "b")), 0))


def test_remarks_on_the_page_are_kept():
    result = {
        "date": "2026-01-01",
        "machine": {},
        "versions": {},
        "tree": "",
        "rounds": 1,
        "foreign": 0.0,
        "skipped": {},
        "medians": {},
        "titles": {"ours": "ours", "isal": "isal"},
    }
    first = report.page(result)
    assert report.page({**result, "date": "2026-02-02"}, first + report.REMARKS + "\nBecause.\n").endswith("\n## Remarks\n\nBecause.\n")


def test_the_table_of_deploys_holds_figures_against_their_limits(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    lines = load("deploys").table(
        {
            "medians": {"deploy, 1 host": 31.0, "deploy, 10 hosts": 50.0, "going back, 10 MB, shared": 0.02, "no-change, 10 hosts": 8.0},
            "cpu": {"deploy, 1 host": 5.5, "deploy, 10 hosts": 7.0, "no-change, 10 hosts": 1.25},
            "tasks": {"deploy": 40},
            "proxies": [],
        }
    )
    assert "| deploy, 1 host | 31.00 | 30 | NO | 5.50 | 6 | yes |" in lines
    assert "| deploy, 10 hosts | 50.00 |  |  | 7.00 | 6 | NO |" in lines
    assert "| no-change, 10 hosts | 8.00 |  |  | 1.25 | 1.5 | yes |" in lines
    assert "| going back, 10 MB, shared | 0.02 |  |  |  |  |  |" in lines
