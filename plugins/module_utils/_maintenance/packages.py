# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What npm and Debian say of newer and of vulnerable packages. Nothing is installed.

npm gets copies of the two files that it needs, in a folder of its own, and runs as a user that nothing else runs as.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import tempfile
import time
import typing as t

from .._core import accounts, commands, documents, dotenv, foreign, fs, walk
from .._core.errors import OpsError, StateError

FILES = ("package.json", "package-lock.json")
#: Severities of npm that are worth an incident.
GRAVE = ("high", "critical")
#: What apt calls a package that would be replaced: its name, its version, the new one, and where that comes from.
_INSTALL = re.compile(r"Inst (\S+) \[([^\]]*)\] \((\S+) ([^)\[]*)")
#: Seconds for one command.
_PATIENCE = 300.0


@dataclasses.dataclass(frozen=True)
class Outdated:
    """A package that has a newer version."""

    name: str
    current: str
    wanted: str
    latest: str

    def told(self) -> str:
        """In words."""
        within = f" ({self.wanted} within the range of package.json)" if self.wanted not in (self.current, self.latest) else ""
        return f"{self.name} {self.current} -> {self.latest}{within}"


@dataclasses.dataclass(frozen=True)
class Vulnerable:
    """A package with known vulnerabilities."""

    name: str
    severity: str
    titles: tuple[str, ...]
    fixed: bool

    def told(self) -> str:
        """In words."""
        fix = "a fix is available" if self.fixed else "no fix is available yet"
        return f"{self.name} ({self.severity}): {'; '.join(self.titles) or 'no title'}; {fix}"


@dataclasses.dataclass(frozen=True)
class Patch:
    """A package of Debian that has a newer version."""

    name: str
    current: str
    new: str
    security: bool

    def told(self) -> str:
        """In words."""
        return f"{self.name} {self.current} -> {self.new}"


class Npm:
    """npm for the packages of one folder of a release."""

    def __init__(self, folder: str, environment: t.Mapping[str, object]) -> None:
        self._folder, self._environment = folder, dotenv.variables(environment)

    def outdated(self) -> list[Outdated]:
        """Direct dependencies that have a newer version. :raises OpsError: when npm cannot tell."""
        with self._work() as work:
            locked = _locked(work)
            said = self._ask(work, "outdated", "--json")
        if "error" in said:
            why = said["error"].get("summary") if isinstance(said["error"], dict) else said["error"]
            raise StateError(
                f"npm outdated in {self._folder}",
                "its answer",
                str(why)[:200],
                "Look whether the registry can be reached from this host, or set mobius_maintenance_npm_environment",
            )
        found = []
        for name, told in sorted(said.items()):
            one = told[0] if isinstance(told, list) and told else told
            if isinstance(one, dict) and isinstance(one.get("latest"), str):
                current = locked.get(name) or str(one.get("current") or "none")
                found.append(Outdated(name, current, str(one.get("wanted") or ""), one["latest"]))
        return [one for one in found if one.current != one.latest]

    def vulnerable(self) -> list[Vulnerable]:
        """Packages that are installed in production and are known to be vulnerable. :raises OpsError: when npm cannot tell."""
        with self._work() as work:
            said = self._ask(work, "audit", "--json", "--package-lock-only", "--omit=dev")
        if not isinstance(said.get("vulnerabilities"), dict):
            why = str(said.get("message") or (said.get("error") or {}).get("summary") or "another answer")[:200]
            raise StateError(
                f"npm audit in {self._folder}",
                "the registry's answer",
                why,
                "Name a registry that has the audit in mobius_maintenance_npm_environment (npm_config_registry)",
            )
        return sorted(
            (_vulnerable(name, told) for name, told in said["vulnerabilities"].items() if isinstance(told, dict)),
            key=lambda one: (one.severity not in GRAVE, one.name),
        )

    @contextlib.contextmanager
    def _work(self) -> t.Iterator[str]:
        """A folder with copies of the two files, which only npm's user reaches."""
        account = accounts.stranger()
        work = tempfile.mkdtemp(prefix="mobius-npm-")
        try:
            for name in FILES:
                text = foreign.read_end(os.path.join(self._folder, name), 64 * 1024**2)
                if text:
                    fs.write_text(os.path.join(work, name), text)
            if account.drops:
                with foreign.folder(work) as descriptor:
                    foreign.settle(descriptor, account.uid, account.gid, 0o700)
            self._account: dict[str, t.Any] = {}
            if account.drops:
                self._account = {"user": account.uid, "group": account.gid, "extra_groups": []}
            yield work
        finally:
            walk.remove(work)

    def _ask(self, work: str, *words: str) -> t.Mapping[str, t.Any]:
        env = {
            **commands.environment(),
            **commands.QUIET,
            "npm_config_fund": "false",
            "npm_config_fetch_retries": "1",
            "HOME": work,
            "npm_config_cache": os.path.join(work, ".npm"),
            **self._environment,
        }
        done = commands.capture(["npm", *words], work, "npm", env, timeout=_PATIENCE, **self._account)
        try:
            said = documents.parse(done.stdout or "{}")
        except ValueError:
            said = None
        if not isinstance(said, dict) or (done.returncode and not said):
            raise commands.failure(done, f"packages of {self._folder}", "Run it by hand to see why")
        return said


def _vulnerable(name: str, told: t.Mapping[str, t.Any]) -> Vulnerable:
    via = told.get("via") if isinstance(told.get("via"), list) else []
    titles = [str(one.get("title")) if isinstance(one, dict) else f"by way of {one}" for one in via or []]
    return Vulnerable(name, str(told.get("severity")), tuple(titles[:3]), bool(told.get("fixAvailable")))


def _locked(work: str) -> dict[str, str]:
    """Package -> version, of the lock file."""
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        packages = documents.parse(foreign.read_end(os.path.join(work, FILES[1]), 64 * 1024**2)).get("packages") or {}
        return {path[len("node_modules/") :]: str(one.get("version")) for path, one in packages.items() if path.startswith("node_modules/")}
    return {}


def folders(release: str) -> list[str]:
    """The folders of a release that have a lock file: its own and those directly below."""
    below = sorted(name for name in os.listdir(release) if name != "node_modules") if os.path.isdir(release) else []
    places = [release, *(os.path.join(release, name) for name in below)]
    return [place for place in places if os.path.isfile(os.path.join(place, FILES[1])) and not os.path.islink(place)]


def patches() -> list[Patch]:
    """Packages that an upgrade would replace, by the lists that apt has. :raises OpsError: when apt cannot tell."""
    argv = ["apt-get", "--simulate", "--quiet", "-o", "Debug::NoLocking=true", "dist-upgrade"]
    done = commands.capture(argv, what="apt", env={**os.environ, "LC_ALL": "C.UTF-8"}, timeout=_PATIENCE)
    if done.returncode:
        raise commands.failure(done, "security patches", "Run it by hand to see why")
    return sorted(
        (Patch(name, current, new, "security" in origin.lower()) for name, current, new, origin in _INSTALL.findall(done.stdout)),
        key=lambda one: (not one.security, one.name),
    )


def apply(those: t.Sequence[Patch]) -> None:
    """Install the newer versions of packages; files of settings that were changed stay. It has no time limit: apt must not be cut short.

    :raises OpsError: when apt fails.
    """
    kept = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
    argv = ["apt-get", "--quiet", "--yes", "--only-upgrade", *kept, "install", *(one.name for one in those)]
    done = commands.capture(argv, what="apt", env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode:
        raise commands.failure(done, "security patches", "Run it by hand to see why")


def age_of_lists() -> float | None:
    """Days since the lists of packages were fetched; ``None`` when there are none."""
    folder = commands.capture(["apt-config", "shell", "found", "Dir::State::lists/d"], what="apt").stdout.partition("'")[2].rstrip("'\n")
    with contextlib.suppress(OSError):
        if any(name.endswith("Release") for name in os.listdir(folder)):
            return (time.time() - max(os.stat(path).st_mtime for path in (folder, os.path.join(folder, "partial")))) / 86400
    return None


def restarts() -> tuple[list[str], bool] | None:
    """Services that still run code of before an upgrade, and whether the kernel does; ``None`` without needrestart."""
    if not shutil.which("needrestart"):
        return None
    done = commands.capture(["needrestart", "-b", "-r", "l"], what="needrestart", timeout=_PATIENCE)
    facts = [line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line]
    if done.returncode and not facts:
        raise commands.failure(done, "needrestart", "Run it by hand to see why")
    names = [value for name, value in facts if name == "NEEDRESTART-SVC"]
    return names, any(name == "NEEDRESTART-KSTA" and value.strip() in ("2", "3") for name, value in facts)


def tried(work: t.Callable[[], t.Any], problems: list[str], otherwise: t.Any) -> t.Any:
    """What *work* returns; something else when it cannot tell, and the reason among the problems, once for all folders."""
    try:
        return work()
    except OpsError as error:
        if str(error).partition(": ")[2] not in [problem.partition(": ")[2] for problem in problems]:
            problems.append(str(error))
        return otherwise
