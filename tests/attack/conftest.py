# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attack tests: a real second user races root through the operations, with decoys that must not change, be read, be run or be deleted.

``make test`` runs them with few exchanges, ``make test-attack`` with 2,000 an operation, ``make test-attack-systemd`` the same on a host
where systemd runs the service. ``MOBIUS_ATTACK_CHECKOUT=PATH`` runs the modules of another checkout, to see which attacks succeed there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import typing as t
from pathlib import Path

import pytest
from support.attack import Attacker, Decoys, Target, remove_units
from support.remains import end_all

#: Exchanges of a full run.
FULL = 2000
#: The property of a test that has the exchanges that its operation has seen, and how often that ran.
COUNTS = "exchanges"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exchanges", type=int, default=50, metavar="N", help="how often each attack exchanges names while an operation runs")
    parser.addoption("--runs", type=int, default=0, metavar="N", help="runs of each operation at least; by default one for 100 exchanges")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: only with as many exchanges as make test-attack makes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--exchanges") < FULL:
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def exchanges(request: pytest.FixtureRequest) -> int:
    """How many exchanges each operation has to survive."""
    return request.config.getoption("--exchanges")


@pytest.fixture
def open_folder() -> t.Iterator[Path]:
    """A folder of root that other users may look into, as they may not into pytest's."""
    if os.geteuid():
        pytest.skip("needs root: the attacker is another user")
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="mobius-attack-", dir=os.environ.get("MOBIUS_ATTACK_FOLDER"))))
    folder.chmod(0o755)
    yield folder
    remove_units(folder)
    end_all(str(folder))
    shutil.rmtree(folder)


@pytest.fixture
def decoys(open_folder: Path) -> t.Iterator[Decoys]:
    """Files that no operation may touch; that is checked at the end."""
    made = Decoys(open_folder / "decoys")
    yield made
    made.require_unharmed()


@pytest.fixture
def attacker(open_folder: Path) -> t.Iterator[Attacker]:
    """The service's user; all of its processes end with the test."""
    made = Attacker(open_folder)
    yield made
    made.end_all()


@pytest.fixture
def target(open_folder: Path) -> t.Iterator[t.Callable[..., Target]]:
    """Makes the host that is attacked."""
    yield lambda **options: Target(open_folder, **options)


class Race(t.NamedTuple):
    """Runs operations while the attacker exchanges names."""

    attacker: Attacker
    exchanges: int
    least: int
    #: Of the test: how many exchanges each operation has seen is reported at the end.
    properties: list[tuple[str, object]]

    def __call__(self, operation: t.Callable[[], t.Any], *pairs: tuple[t.Any, t.Any], name: str = "") -> int:
        """Repeat an operation until the attacker has made enough exchanges; how often it ran.

        :param name: what it is reported as at the end, when a test has several.

        Exchanges are fast: an operation sees thousands of them. So it runs more often, too, when more are asked for.
        """
        runs = 0
        with self.attacker.exchanging(*pairs) as count:
            begun = count()
            while runs < self.least or count() - begun < self.exchanges:
                operation()
                runs += 1
            self.properties.append((COUNTS, (name, count() - begun, runs)))
        return runs


@pytest.fixture
def race(request: pytest.FixtureRequest, attacker: Attacker, exchanges: int) -> Race:
    """``race(operation, (name, other), …)``: repeat the operation until the names were exchanged often enough."""
    return Race(attacker, exchanges, max(2, request.config.getoption("--runs") or exchanges // 100), request.node.user_properties)


def pytest_terminal_summary(terminalreporter: t.Any) -> None:
    """Tells how many exchanges each operation has seen, and in how many runs."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, []) if report.when == "call"]
    rows = [(report.nodeid.rpartition("::")[2], *value) for report in reports for kind, value in report.user_properties if kind == COUNTS]
    if rows:
        terminalreporter.section("exchanges while an operation ran, and its runs")
        for test, name, count, runs in sorted(rows):
            terminalreporter.write_line(f"{count:>12,}  {runs:>4}  {name or test}")
