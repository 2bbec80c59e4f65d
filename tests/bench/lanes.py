"""The ways to back up that are compared: for each operation its command, what it reads, and how its result is checked."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
FACTS = [sys.executable, "-I", str(HERE / "facts.py")]
#: Archives that are verified at once.
SEVERAL = 4
SECOND = 1_000_000_000
#: Operations, in the order in which they run, and what has to be there before.
NEEDS = {"full": "", "changed": "full", "checksum": "full", "several": "full", "deep": "full", "restore": "full", "safe": "restore"}


@dataclasses.dataclass
class Places:
    """Where things are: the tree, what it held before and after its change, and the scratch folder of a lane."""

    root: str
    folder: str
    before: str
    after: str
    #: The list that fits what the lane backed up last.
    state: str = ""

    @property
    def shared(self) -> str:
        """What is backed up."""
        return os.path.join(self.root, "shared")

    def path(self, *parts: str) -> str:
        """A path of the lane."""
        return os.path.join(self.folder, *parts)


@dataclasses.dataclass
class Step:
    """One measured command."""

    command: list[str]
    cwd: str
    #: What it reads: in memory before it starts.
    reads: list[str]
    #: Fails when the result is not right; it gets what the command said.
    check: t.Callable[[str], None]
    #: Tells how large what it made or read is.
    size: t.Callable[[], int]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def shell(line: str, **values: str) -> list[str]:
    """A shell command; each of *values* is quoted."""
    return ["bash", "-euo", "pipefail", "-c", line.format(**{name: shlex.quote(value) for name, value in values.items()})]


def weight(path: str) -> int:
    """Bytes of a file, or of all files of a folder."""
    if os.path.isfile(path):
        return os.stat(path).st_size
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _dirs, names in os.walk(path) for name in names)


def nothing(_said: str) -> None:
    """The exit status is the whole result."""


class Lane:
    """A way to back up. A method for each operation that it has gives the step."""

    name = title = ""
    tools: tuple[str, ...] = ()
    #: Arguments that make each tool tell its version.
    version = "--version"
    #: Time differences that its format cannot help.
    tolerance = 0
    #: Operations that it has and that are not of interest.
    without: tuple[str, ...] = ()

    def __init__(self, places: Places) -> None:
        self.places = places

    @property
    def operations(self) -> list[str]:
        """What it can do."""
        return [name for name in NEEDS if hasattr(self, name) and name not in self.without]

    @property
    def target(self) -> str:
        """Where a restore goes."""
        return self.places.path("target")

    @classmethod
    def lacks(cls, _collection: Path) -> str:
        """Why it cannot run here; "" when it can."""
        missing = [tool for tool in cls.tools if not shutil.which(tool)]
        return f"{' and '.join(missing)} not installed" if missing else ""

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The version of each tool."""
        found = {}
        for tool in cls.tools:
            said = subprocess.run([tool, cls.version], capture_output=True, text=True, check=False).stdout
            match = re.search(r"\bv?(\d+\.\d+(?:\.\d+)?)\b", said)
            found[tool] = match.group(1) if match else "unknown"
        return found

    def prepare(self, operation: str) -> None:
        """Make the folders that an operation expects; it is not measured."""
        if operation in ("full", "restore"):
            made = self.places.folder if operation == "full" else self.target
            shutil.rmtree(made, ignore_errors=True)
            os.makedirs(made)
        if operation in ("full", "changed"):
            self.places.state = self.places.before if operation == "full" else self.places.after

    def compare(self, kind: str, *rest: str, **options: t.Any) -> None:
        """Hold a result against what was backed up."""
        measure.run([*FACTS, kind, self.places.state, *rest], **options)

    def restored(self, _said: str) -> None:
        """The restored tree is the source."""
        self.compare("tree", self.target, str(self.tolerance))

    def stream(self, line: str, environment: dict[str, str] | None = None, **values: str) -> None:
        """Hold a tar stream of what is stored against what was backed up."""
        facts = " ".join(shlex.quote(word) for word in [*FACTS, "tar", self.places.state])
        measure.run(shell(f"{line} | {facts}", **values), env={**os.environ, **(environment or {})}, cwd=self.places.folder)


class OneFile(Lane):
    """An archive in one file, with a sidecar of ``sha256sum``."""

    file = ""
    write = read = unpack = ""

    @property
    def archive(self) -> str:
        """The archive."""
        return self.places.path(self.file)

    def step(self, line: str, cwd: str, reads: str, check: t.Callable[[str], None]) -> Step:
        """A step of a shell line that may name {archive}, {folder} and {target}."""
        command = shell(line, archive=self.archive, file=self.file, folder=self.places.folder, target=self.target)
        return Step(command, cwd, [reads], check, lambda: weight(self.archive))

    def stored(self, _said: str) -> None:
        """The archive holds the source."""
        raise NotImplementedError

    def full(self) -> Step:
        """Archive and sidecar."""
        line = self.write + "; cd {folder}; sha256sum {file} > {file}.sha256"
        return self.step(line, self.places.shared, self.places.shared, self.stored)

    def checksum(self) -> Step:
        """The sidecar holds."""
        return self.step("sha256sum --quiet -c {file}.sha256", self.places.folder, self.archive, nothing)

    def several(self) -> Step:
        """Several sidecars hold."""
        names = [f"{number}-{self.file}" for number in range(SEVERAL)]
        digest = Path(self.archive + ".sha256").read_text().split()[0]
        for name in names:
            if not os.path.exists(self.places.path(name)):
                os.link(self.archive, self.places.path(name))
        Path(self.places.path("all.sha256")).write_text("".join(f"{digest}  {name}\n" for name in names))
        return self.step("sha256sum --quiet -c all.sha256", self.places.folder, self.archive, nothing)

    def deep(self) -> Step:
        """The archive can be read."""
        return self.step(self.read, self.places.folder, self.archive, nothing)

    def restore(self) -> Step:
        """The sidecar holds; unpack."""
        line = "sha256sum --quiet -c {file}.sha256; " + self.unpack
        return self.step(line, self.places.folder, self.archive, self.restored)


class Zip(OneFile):
    """What the runbook did by hand."""

    name, title, tools, version, tolerance = "zip", "zip -r, sha256sum", ("zip", "unzip"), "-v", 2 * SECOND
    file = "archive.zip"
    write, read, unpack = "zip -q -r -y {archive} .", "unzip -tq {archive}", "unzip -q {archive} -d {target}"

    def stored(self, _said: str) -> None:
        self.compare("zip", self.archive)


class Tar(OneFile):
    """Zstandard over all cores."""

    name, title, tools, tolerance = "tar", "tar | zstd -T0, sha256sum", ("tar", "zstd"), SECOND
    file = "archive.tar.zst"
    write = "tar -cf - . | zstd -q -T0 -o {archive}"
    read, unpack = "zstd -tq {archive}", "zstd -dcq {archive} | tar -C {target} -xpf -"

    def stored(self, _said: str) -> None:
        self.stream("zstd -dcq {archive}", archive=self.archive)


class Restic(Lane):
    """Restic, with its own settings; it always encrypts."""

    name, title, tools, version = "restic", "restic", ("restic",), "version"

    def step(self, line: str, cwd: str, reads: str, check: t.Callable[[str], None]) -> Step:
        """A step of a shell line."""
        environment = {
            "RESTIC_REPOSITORY": self.places.path("repository"),
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": self.places.path("cache"),
            "RESTIC_PROGRESS_FPS": "0.01",
        }
        return Step(shell(line, target=self.target), cwd, [reads], check, lambda: weight(self.places.path("repository")), environment)

    def full(self) -> Step:
        """A new repository and its first snapshot."""
        return self.step("restic init -q; restic backup -q .", self.places.shared, self.places.shared, self.stored)

    def stored(self, _said: str) -> None:
        """The newest snapshot holds the source."""
        self.stream("restic dump -q latest /", self.step("", "", "", nothing).environment)

    def changed(self) -> Step:
        """The next snapshot."""
        return self.step("restic backup -q .", self.places.shared, self.places.shared, self.stored)

    def deep(self) -> Step:
        """Every pack is read."""
        return self.step("restic check -q --read-data", self.places.folder, self.places.path("repository"), nothing)

    def restore(self) -> Step:
        """The newest snapshot; each blob is authenticated as it is read."""
        return self.step("restic restore -q latest --target {target}", self.places.folder, self.places.path("repository"), self.restored)


class Borg(Lane):
    """Borg, with its own settings and no encryption."""

    name, title, tools = "borg", "borg", ("borg",)

    def step(self, line: str, cwd: str, reads: str, check: t.Callable[[str], None]) -> Step:
        """A step of a shell line."""
        environment = {
            "BORG_REPO": self.places.path("repository"),
            "BORG_BASE_DIR": self.places.path("home"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        return Step(shell(line), cwd, [reads], check, lambda: weight(self.places.path("repository")), environment)

    def full(self) -> Step:
        """A new repository and its first archive."""
        return self.step("borg init -e none; borg create ::first .", self.places.shared, self.places.shared, self.stored)

    @property
    def newest(self) -> str:
        """The name of the newest archive."""
        return "first" if self.places.state == self.places.before else "second"

    def stored(self, _said: str) -> None:
        """The newest archive holds the source."""
        self.stream(f"borg export-tar ::{self.newest} -", self.step("", "", "", nothing).environment)

    def changed(self) -> Step:
        """The next archive."""
        return self.step("borg create ::second .", self.places.shared, self.places.shared, self.stored)

    def deep(self) -> Step:
        """Every chunk is read."""
        return self.step("borg check --verify-data", self.places.folder, self.places.path("repository"), nothing)

    def restore(self) -> Step:
        """The newest archive; each chunk is checked as it is read."""
        return self.step(f"borg extract ::{self.newest}", self.target, self.places.path("repository"), self.restored)


class Ours(Lane):
    """This collection."""

    name, title = "ours", "this collection, standard library"
    #: The folder with isal, when it is to be used.
    isal = ""
    #: A folder of Ansible collections that holds this one, and the interpreter; the driver sets both.
    collections = ""
    python = sys.executable

    @property
    def host(self) -> str:
        """The root that is restored to."""
        return self.places.path("host")

    @property
    def target(self) -> str:
        return os.path.join(self.host, "shared")

    @property
    def archives(self) -> list[str]:
        """Its archives, newest first."""
        folder = self.places.path("backups")
        return sorted((os.path.join(folder, name) for name in os.listdir(folder) if re.fullmatch(r"dhash_.*\.zip", name)), reverse=True)

    def prepare(self, operation: str) -> None:
        super().prepare(operation)
        if operation == "full":
            os.makedirs(self.places.path("backups"))
        if operation == "restore":
            for name in ("state", "backups", "shared/config", "shared/data", "shared/uploads", "shared/out", "shared/logs"):
                os.makedirs(os.path.join(self.host, name), exist_ok=True)

    def step(self, operation: str, reads: list[str], check: t.Callable[[str], None], **options: t.Any) -> Step:
        """A step of the runner."""
        words = json.dumps({**options, "isal": self.isal})
        command = [self.python, "-I", str(HERE / "ours.py"), self.collections, operation, words]
        return Step(command, self.places.folder, reads, check, lambda: weight(self.archives[0]))

    def stored(self, said: str) -> None:
        """The archive holds the source, by tools that do not know this collection."""
        archive = json.loads(said)["archive"]
        folder, name = os.path.split(archive)
        measure.run(["sha256sum", "--quiet", "-c", name + ".sha256"], cwd=folder)
        if shutil.which("unzip"):
            measure.run(["unzip", "-tq", archive])
        self.compare("zip", archive)

    def full(self) -> Step:
        """A backup where none is."""
        dest = self.places.path("backups")
        return self.step("back_up", [self.places.shared], self.stored, root=self.places.root, dest=dest)

    def changed(self) -> Step:
        """The next backup."""
        step = self.full()
        step.reads.append(self.archives[0])
        return step

    def checksum(self) -> Step:
        """The newest archive at level checksum."""
        return self.step("verify", self.archives[:1], nothing, archives=self.archives[:1], level="checksum")

    def several(self) -> Step:
        """Several archives at level checksum."""
        made = [self.places.path(f"dhash_bench_20260101_00000{number}.zip") for number in range(SEVERAL)]
        digest = Path(self.archives[0] + ".sha256").read_text().split()[0]
        for path in made:
            if not os.path.exists(path):
                os.link(self.archives[0], path)
            Path(path + ".sha256").write_text(f"{digest}  {os.path.basename(path)}\n")
        return self.step("verify", self.archives[:1], nothing, archives=made, level="checksum")

    def deep(self) -> Step:
        """The newest archive at level deep."""
        return self.step("verify", self.archives[:1], nothing, archives=self.archives[:1], level="deep")

    def restore(self) -> Step:
        """The newest archive onto a host that has no data."""
        return self.step("restore", self.archives[:1], self.restored, root=self.host, archives=self.archives[:1], safety_backup=False)

    def safe(self) -> Step:
        """The newest archive onto a host that has data, with a safety backup of it."""
        reads = [self.archives[0], self.target]
        return self.step("restore", reads, self.restored, root=self.host, archives=self.archives[:1], safety_backup=True)

    def restored(self, _said: str) -> None:
        left = [name for name in os.listdir(self.target) if name.startswith(".")]
        if left:
            raise measure.Failed(f"the restore left {', '.join(left)}")
        super().restored(_said)


class WithIsal(Ours):
    """This collection where isal is installed. Checksums are not its matter."""

    name, title, without = "isal", "this collection, isal", ("checksum", "several")

    @classmethod
    def lacks(cls, collection: Path) -> str:
        if not cls.isal:
            return "isal is not installed"
        utils = collection / "plugins" / "module_utils"
        if not any(re.search(r"\bisal\b", path.read_text(encoding="utf-8")) for path in utils.rglob("*.py")):
            return "this version of the collection does not use isal"
        return ""


LANES: tuple[type[Lane], ...] = (Ours, WithIsal, Zip, Tar, Restic, Borg)
