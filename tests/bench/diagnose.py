# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make bench-diagnose`: every cause made for real, many times: is it named, how soon, and is the service well after `mobius_fix`?

Each bed is an application root of its own with the sample application, on a small file system of its own; several work at the same time,
so every diagnosis also has a busy machine. A run makes one cause, calls the module ``diagnosis`` in a process of its own as Ansible does,
then calls it once more with ``fix``, and looks at ``/health`` all the time. What a person has to mend is mended by the benchmark then.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import datetime
import io
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = os.environ.get("MOBIUS_COLLECTIONS", str(ROOT / ".build" / "collections"))
sys.path[:0] = [str(ROOT / "tests"), COLLECTIONS]

from measure import prefer  # noqa: E402
from support.causes import CAUSES, Cause, Patient, recover  # noqa: E402
from support.proxied import KEY, ProxiedRoot, install_modules  # noqa: E402
from support.remains import end_all  # noqa: E402
from support.waiting import wait_until  # noqa: E402

from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, processes  # noqa: E402
from ansible_collections.mobius.ops.plugins.module_utils._target import shared_folders  # noqa: E402
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import COMPONENTS  # noqa: E402

#: Seconds: to the verdict; to function, line and request of a hung loop; from the interruption to an answer.
VERDICT, STACK, INTERRUPT = 15.0, 2.0, 3.0
#: What stands for an answer that did not come.
NEVER = 99.0
#: Bytes and inodes of a bed's file system.
SIZE, INODES = "size=128m", "nr_inodes=4000"
#: First word of a remedy -> what the table says.
DID = {
    "": "refuses",
    "The": "ends the code",
    "mobius": "restarts",
    "Process": "SIGCONT",
    "Owner": "owner, mode",
    "Ended": "ends the render",
}
#: What is kept of the evidence of a wrong verdict.
KEPT = ("status", "restarts", "exception", "failed", "fault", "silent", "processes", "jobs")
PAGE = ROOT / "docs" / "diagnose-benchmark.md"


@dataclasses.dataclass
class Run:
    """What came of one run."""

    cause: str
    number: int
    wanted: str
    found: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    place: str = ""
    request: str = ""
    stack_seconds: float = 0.0
    #: What was mended, or why not; seconds to the end of that call, and from the first sign of the remedy to the first answer.
    fixed: str = ""
    fix_seconds: float = 0.0
    well_seconds: float = 0.0
    restarts: int = 0
    #: Seconds of processors of the first call, and of all the run.
    cpu: float = 0.0
    wall: float = 0.0
    wrong: list[str] = dataclasses.field(default_factory=list)


class Bed:
    """A root with its service."""

    def __init__(self, number: int, folder: Path, modules: str, manager: str, user: str, nice: int) -> None:
        self.nice = nice
        self.folder = folder / f"bed{number}"
        self.folder.mkdir(mode=0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,{SIZE},{INODES}", "mobius-bench", str(self.folder)], check=True)
        root = ProxiedRoot(self.folder, "restart", modules)
        self.name = f"mobius-bench{number}"
        root.params["environment"]["NODE_OPTIONS"] = f"--inspect-port=127.0.0.1:{root.public + 1}"
        account = accounts.named(user)
        for component in COMPONENTS:
            shared_folders.complete(root.layout.component(component), shared_folders.load(root.layout), component)
        for path, folders, files in os.walk(root.layout.path("shared")):
            for each in [path, *(os.path.join(path, name) for name in folders + files)]:
                os.chown(each, account.uid, account.gid)
        os.chown(root.layout.env_file, 0, account.gid)
        os.chmod(root.layout.env_file, 0o640)
        root.define(
            name=self.name,
            manager=manager,
            user=user,
            stop_timeout=10,
            restart_delay=1.0,
            restart_limit=10,
            restart_window=60,
            drain_timeout=30,
            job_programs=["ffmpeg"],
        )
        root.checks[0]["json"] = ["status == 'ok'"]
        root.service = lambda: self.service  # type: ignore[method-assign]
        self.patient = Patient(str(self.folder), {"Origin": "http://localhost:5001", "X-Mobius-API-Key": KEY}, self.name)
        self.service = self.patient.service
        root.verified("r1")
        wait_until(self.patient.answers, "the bed is ready")

    def close(self) -> None:
        """Remove it."""
        with contextlib.suppress(Exception):
            self.patient.cured()
            self.service.discard()
        end_all(str(self.folder))
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False)

    def module(self, **options: t.Any) -> dict[str, t.Any]:
        """Call the module in a process of its own."""
        params = {
            "root": str(self.folder),
            "env": "production",
            "name": self.name,
            "headers": self.patient.headers,
            "checks": [{"url": f"http://127.0.0.1:{self.patient.port}/health", "timeout": 5.0, "status": [200]}],
            "inspect": True,
            **options,
        }
        done = subprocess.run(
            [sys.executable, __file__, "--call", "--nice", str(self.nice)],
            input=json.dumps(params),
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode:
            return {"error": done.stderr[-2000:], "causes": []}
        return t.cast("dict[str, t.Any]", json.loads(done.stdout))


class Pulse:
    """Looks all the time whether a service answers."""

    def __init__(self, bed: Bed) -> None:
        self.bed, self.over, self.well = bed, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self.over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self.well and not self.over.wait(0.1):
            if self.bed.patient.answers(0.3):
                self.well = time.monotonic()


def call() -> int:
    """The module, with the parameters on standard input, as Ansible calls it; its answer on standard output."""
    from support import module_args

    from ansible_collections.mobius.ops.plugins.module_utils._diagnose import inspector
    from ansible_collections.mobius.ops.plugins.modules import diagnosis

    look, began, said = inspector.look, [0.0], io.StringIO()

    def looks(*words: t.Any, **options: t.Any) -> t.Any:
        began[0] = time.monotonic() if options.get("interrupt") else 0.0
        return look(*words, **options)

    inspector.look = looks
    with module_args.given(json.load(sys.stdin)), contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        diagnosis.main()
    result = json.loads(said.getvalue())
    result["refused"] = result["msg"] if result.get("failed") else None
    names = ("refused", "causes", "stack", "not_inspected", "fixed", "after", "message", "evidence")
    json.dump({**{name: result.get(name) for name in names}, "cpu": sum(os.times()[:4]), "interrupted": began[0]}, sys.stdout)
    return 0


def one(bed: Bed, cause: Cause, number: int) -> Run:
    """Make a cause, have it named and mended, and end it."""
    patient, run, start = bed.patient, Run(cause.name, number, cause.verdict), time.monotonic()
    recover(patient)
    try:
        cause.make(patient, number)
        began = time.monotonic()
        told = bed.module()
        run.seconds, run.cpu = time.monotonic() - began, told.get("cpu", 0.0)
        named(run, cause, told, number)
        if cause.verdict:
            mended(bed, run, cause)
    except AssertionError as error:
        run.wrong.append(f"not made: {error}")
    try:
        recover(patient)
    except AssertionError as error:
        run.wrong.append(f"not well again: {error}")
    run.wall = time.monotonic() - start
    return run


def named(run: Run, cause: Cause, told: dict[str, t.Any], number: int) -> None:
    """Whether it was the right verdict, and the right place."""
    run.found = [each["name"] for each in told["causes"] or ()]
    if told.get("error"):
        run.wrong.append(f"failed: {told['error'][-300:]}")
    if run.found[:1] != ([cause.verdict] if cause.verdict else []):
        run.wrong.append(f"named {run.found or told.get('message')}: {evidence(told)}")
    if run.seconds > VERDICT:
        run.wrong.append(f"late: {run.seconds:.1f} s")
    if cause.place:
        stack = told.get("stack") or {}
        run.place, run.request, run.stack_seconds = stack.get("place", ""), stack.get("request", ""), stack.get("seconds", 0.0)
        if not run.place.startswith(cause.place) or run.request != f"GET /api/projects?page={number}":
            run.wrong.append(f"wrong place {run.place or told.get('not_inspected')}, request {run.request}")
        if run.stack_seconds > STACK:
            run.wrong.append(f"place late: {run.stack_seconds:.1f} s")


def evidence(told: dict[str, t.Any]) -> str:
    """What was seen, in a line."""
    seen = told.get("evidence") or {}
    return json.dumps({name: seen.get(name) for name in KEPT}, default=str)[:1500]


def mended(bed: Bed, run: Run, cause: Cause) -> None:
    """Call it with ``fix``, and see what it does."""
    pid, before = bed.patient.pid, bed.service.status()["restarts"] or 0
    began = time.monotonic()
    with Pulse(bed) as pulse:
        told = bed.module(fix=True, interrupt=cause.interrupt)
        run.fix_seconds = time.monotonic() - began
        run.fixed = told.get("fixed") or told.get("refused") or told.get("error") or ""
        if cause.remedy and told.get("fixed"):
            with contextlib.suppress(AssertionError):
                wait_until(lambda: pulse.well, "an answer", 10)
    run.restarts = (bed.service.status()["restarts"] or 0) - before
    if not cause.remedy:
        if told.get("fixed") or f"cause {cause.verdict}" not in run.fixed:
            run.wrong.append(f"remedy: {run.fixed}")
        return
    if not (told.get("fixed") or "").startswith(cause.remedy):
        run.wrong.append(f"remedy: {run.fixed}: {evidence(told)}")
    elif told.get("after") or not bed.patient.answers(5):
        run.wrong.append(f"not well: {[each['text'] for each in told.get('after') or ()]}")
    if cause.interrupt:
        run.well_seconds = pulse.well - told["interrupted"] if pulse.well and told.get("interrupted") else NEVER
        if run.well_seconds > INTERRUPT or bed.patient.pid != pid or run.restarts:
            run.wrong.append(
                f"interruption: /health after {run.well_seconds:.1f} s, {run.restarts} restarts, process {pid} {bed.patient.pid}"
            )


def measured(beds: list[Bed], wanted: list[tuple[Cause, int]], tell: t.Callable[[Run], None]) -> None:
    """All runs; those that burn a processor one after the other."""
    waiting: queue.SimpleQueue[tuple[Cause, int]] = queue.SimpleQueue()
    for each in wanted:
        waiting.put(each)
    burning = threading.Lock()

    def work(bed: Bed) -> None:
        while True:
            try:
                cause, number = waiting.get_nowait()
            except queue.Empty:
                return
            with burning if cause.burns else contextlib.nullcontext():
                run = one(bed, cause, number)
            tell(run)

    with concurrent.futures.ThreadPoolExecutor(len(beds)) as pool:
        try:
            for done in [pool.submit(work, bed) for bed in beds]:
                done.result()
        finally:
            with contextlib.suppress(queue.Empty):
                while True:
                    waiting.get_nowait()


def without(runs: list[Run], *words: str) -> int:
    """How many runs have nothing wrong that begins so."""
    return sum(not any(wrong.startswith(words) for wrong in run.wrong) for run in runs)


def spread(values: list[float]) -> str:
    """Median and worst."""
    return f"{statistics.median(values):.1f} | {max(values):.1f}" if values else " | "


def table(runs: list[Run], causes: list[Cause]) -> list[str]:
    """A row a cause."""
    head = (
        "cause",
        "verdict",
        "right",
        "in time",
        "verdict after s, median",
        "worst",
        "place after s, worst",
        "`mobius_fix`",
        "well",
        "all of it after s, median",
        "worst",
    )
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---:|---:|---:|---:|---|---|---:|---:|"]
    for cause in causes:
        mine = [run for run in runs if run.cause == cause.name]
        if not mine:
            continue
        right = without(mine, "named", "failed", "not made", "wrong place")
        soon, well = without(mine, "late", "place late"), without(mine, "remedy", "not well", "interruption")
        did = DID[cause.remedy.partition(" ")[0]] if cause.verdict else ""
        place = f"{max(run.stack_seconds for run in mine):.2f}" if cause.place else ""
        lines.append(
            f"| {cause.name} | {'`' + cause.verdict + '`' if cause.verdict else 'well'} | {right} of {len(mine)} | {soon} | "
            f"{spread([run.seconds for run in mine])} | {place} | {did} | {f'{well} of {len(mine)}' if cause.verdict else ''} | "
            f"{spread([run.fix_seconds for run in mine]) if cause.verdict else ' | '} |"
        )
    return lines


def summary(runs: list[Run]) -> list[str]:
    """The figures of all causes."""
    interrupted = [run for run in runs if run.well_seconds]
    refused = ("cause", "the service", "process", "port")
    wrong = [run for run in runs if without([run], "remedy") == 0 and not run.fixed.startswith(refused)]
    named, soon = without(runs, "named", "failed", "not made", "wrong place"), without(runs, "late", "place late")
    lines = [
        f"{len(runs)} runs: the right verdict in {named}, in time in {soon}; {len(wrong)} wrong remedies. Load of the machine at the "
        f"end: {os.getloadavg()[1]:.0f} on {os.cpu_count()} processors."
    ]
    if interrupted:
        soon = [run for run in interrupted if run.well_seconds <= INTERRUPT]
        never, restarts = sum(run.well_seconds >= NEVER for run in interrupted), sum(run.restarts for run in interrupted)
        middle = statistics.median(run.well_seconds for run in interrupted)
        lines += [
            "",
            f"Of {len(interrupted)} loops that were interrupted, {len(soon)} answered /health with 200 within {INTERRUPT:g} s "
            f"from the moment that the remedy began, in the middle after {middle:.1f} s; {never} did not answer at all. There were "
            f"{restarts} restarts.",
        ]
    return lines


def installed(folder: Path) -> str:
    """The dependencies of the sample application, where every user can read them."""
    shutil.copytree(install_modules(str(ROOT / ".build" / "bench-diagnose")), folder / "deps" / "node_modules", symlinks=True)
    return str(folder / "deps" / "node_modules")


def favour(folder: str, nice: int) -> None:
    """Give what runs below a folder a priority, all the time: each start of a service is a session of its own."""
    known: set[int] = set()
    while True:
        for pid in set(processes.pids()) - known:
            if (processes.working_dir(pid) or "").startswith(folder):
                prefer(pid, nice)
                known.add(pid)
        time.sleep(0.3)


def on_this_machine(options: argparse.Namespace, causes: list[Cause]) -> list[Run]:
    """All of it here."""
    folder = Path(tempfile.mkdtemp(prefix="mobius-diagnose-"))
    folder.chmod(0o755)
    beds: list[Bed] = []
    if options.nice:
        # a little only: one that hangs would take a processor from the diagnosis
        threading.Thread(target=favour, args=(str(folder), options.nice // 4), daemon=True).start()
    before = {(run.cause, run.number) for run in read(Path(options.runs))}
    wanted = [
        (cause, number)
        for number in range(options.repeat)
        for cause in causes
        if (cause.name, number) not in before and number < (options.repeat if cause.often else max(1, options.repeat // 4))
    ]
    total, done, began = len(wanted), [0], time.monotonic()

    def tell(run: Run) -> None:
        done[0] += 1
        with open(options.runs, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(dataclasses.asdict(run)) + "\n")
        print(
            f"{done[0]}/{total} {time.monotonic() - began:.0f} s  {run.cause} #{run.number}: {', '.join(run.found) or 'nothing'} after "
            f"{run.seconds:.1f} s; {'; '.join(run.wrong) or 'right'}",
            flush=True,
        )

    try:
        modules = options.modules or installed(folder)
        for number in range(min(options.beds, total)):
            print(f"bed {number + 1} of {options.beds}", flush=True)
            beds.append(Bed(number, folder, modules, options.manager, options.user, options.nice))
        measured(beds, wanted, tell)
    finally:
        for bed in beds:
            bed.close()
        shutil.rmtree(folder, ignore_errors=True)
    return read(Path(options.runs))


def booted(inside: list[str]) -> bool:
    """Whether a host has booted."""
    said = subprocess.run([*inside, "systemctl", "is-system-running"], capture_output=True, text=True, check=False).stdout
    return said.strip() in ("running", "degraded")


def on_a_systemd_host(options: argparse.Namespace) -> list[Run]:
    """The same in a container with systemd."""
    image = subprocess.run([ROOT / "tools" / "systemd-image"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]
    modules = install_modules(str(ROOT / ".build" / "bench-diagnose"))
    os.environ["CONTAINERS_CONF"] = str(ROOT / "tools" / "containers.conf")
    name = f"mobius-diagnose-{os.getpid()}"
    runs = Path(options.runs)
    runs.touch()
    site = next(str(Path(path)) for path in sys.path if os.path.isdir(os.path.join(path, "ansible", "module_utils")))
    subprocess.run(
        [
            "podman",
            "run",
            "--detach",
            "--name",
            name,
            "--network",
            "none",
            "--systemd=always",
            "--privileged",
            "--cgroup-parent=/mobius-diagnose",
            "--cpu-shares",
            str(round(1024 * 1.25 ** (-options.nice // 2))),
            "--volume",
            f"{ROOT}:/srv/ops:ro",
            "--volume",
            f"{modules}:/srv/modules:ro",
            "--volume",
            f"{site}:/srv/site:ro",
            "--volume",
            f"{runs.parent}:/srv/runs",
            image,
            "/lib/systemd/systemd",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        inside = ["podman", "exec", name]
        wait_until(lambda: booted(inside), "the host boots")
        subprocess.run(
            [
                *inside,
                "sh",
                "-ec",
                "useradd --system --no-create-home mobius; mkdir -p /srv/c/ansible_collections/mobius; "
                "ln -s /srv/ops /srv/c/ansible_collections/mobius/ops; mkdir /opt/deps; "
                "cp -a /srv/modules /opt/deps/node_modules",
            ],
            check=True,
        )
        words = [
            "--repeat",
            str(options.repeat),
            "--beds",
            str(options.beds),
            "--manager",
            "systemd",
            "--user",
            "mobius",
            "--nice",
            str(options.nice),
            "--runs",
            f"/srv/runs/{runs.name}",
            "--modules",
            "/opt/deps/node_modules",
        ]
        for each in options.only or ():
            words += ["--only", each]
        variables = ["PYTHONPATH=/srv/site", "MOBIUS_COLLECTIONS=/srv/c", "PYTHONDONTWRITEBYTECODE=1", "TMPDIR=/opt"]
        subprocess.run(
            [
                "podman",
                "exec",
                *(word for each in variables for word in ("--env", each)),
                name,
                "python3",
                "/srv/ops/tests/bench/diagnose.py",
                *words,
            ],
            check=False,
        )
    finally:
        subprocess.run(["podman", "rm", "--force", "--time", "0", name], check=False, stdout=subprocess.DEVNULL)
    return read(runs)


def read(path: Path) -> list[Run]:
    """Runs that were kept."""
    return [Run(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def write(where: str, lines: list[str]) -> None:
    """Put a section of the page in its place."""
    marker = f"<!-- {where} -->"
    text = PAGE.read_text(encoding="utf-8")
    head, _marker, rest = text.partition(marker + "\n")
    _old, _end, tail = rest.partition("<!-- end -->\n")
    day = datetime.datetime.now(datetime.timezone.utc).date()
    PAGE.write_text(f"{head}{marker}\nMeasured on {day}.\n\n" + "\n".join(lines) + f"\n<!-- end -->\n{tail}", encoding="utf-8")


def main() -> int:
    """Measure; the exit status is 0 when every run was right in every way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=20, help="how often each cause is made")
    parser.add_argument("--only", action="append", metavar="WORDS", help="causes whose name has these words")
    parser.add_argument("--beds", type=int, default=4, help="how many at the same time")
    parser.add_argument("--systemd", action="store_true", help="on a systemd host in a container")
    parser.add_argument("--write", action="store_true", help="write the table into docs/diagnose-benchmark.md")
    parser.add_argument("--runs", help="where each run is kept, a line of JSON each; those that are there are not made again")
    parser.add_argument("--nice", type=int, default=0, help="priority (autogroup), on a machine that has other work too")
    for name, default in (("--manager", "process"), ("--user", "nobody"), ("--modules", "")):
        parser.add_argument(name, default=default, help=argparse.SUPPRESS)
    parser.add_argument("--call", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        prefer(os.getpid(), options.nice)
        return call()
    if os.geteuid():
        parser.error("file systems of a size of their own need root: run it with sudo")
    causes = [cause for cause in CAUSES if not options.only or any(word in cause.name for word in options.only)]
    where = "systemd" if options.systemd else options.manager
    if not options.runs:
        options.runs = str(ROOT / ".build" / f"diagnose-{where}.jsonl")
        Path(options.runs).unlink(missing_ok=True)
    prefer(os.getpid(), options.nice)
    runs = on_a_systemd_host(options) if options.systemd else on_this_machine(options, causes)
    lines = [*table(runs, causes), "", *summary(runs)]
    print("\n".join(lines))
    if options.write:
        write(where, lines)
    return 0 if runs and not any(run.wrong for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
