# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fault and property tests of backup and restore.

``make test`` runs a part of them, ``make test-long`` all (``--long``). What they choose at random is the same every
time; ``--chance TEXT`` makes them choose anew.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import typing as t

import hypothesis
import pytest
from support.processes import STRACE, Runner
from support.state import State

hypothesis.settings.register_profile(
    "faults", deadline=None, database=None, print_blob=True, suppress_health_check=list(hypothesis.HealthCheck)
)
hypothesis.settings.load_profile("faults")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run all fault tests, not only the quick part")
    parser.addoption("--incidents", type=int, default=5, metavar="N", help="incidents whose people are paged while runs are killed")
    parser.addoption("--chance", default="2026", metavar="TEXT", help="what the random choices of fault tests hang on")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: only with --long")
    config.addinivalue_line("markers", "parts(quick, long): run in so many parts, numbered by the argument part")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("parts")
    if marker:
        metafunc.parametrize("part", range(marker.kwargs["long" if metafunc.config.getoption("--long") else "quick"]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether all is to be run."""
    return request.config.getoption("--long")


@pytest.fixture
def incidents(request: pytest.FixtureRequest) -> int:
    """How many incidents there are at a time."""
    return request.config.getoption("--incidents")


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random choices, the same for the same test and ``--chance``."""
    return random.Random(f"{request.config.getoption('--chance')} {request.node.nodeid.rpartition('::')[2]}")


@pytest.fixture(scope="session")
def runner() -> t.Iterator[Runner]:
    """Starts modules as processes, as other users too: they may look into its folder, as they may not into pytest's."""
    folder = tempfile.mkdtemp(prefix="mobius-runs-")
    os.chmod(folder, 0o755)
    made = Runner(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


@pytest.fixture
def state(tmp_path: t.Any, runner: Runner) -> State:
    """A root whose components are empty."""
    return State(str(tmp_path / "mobius"), runner)


@pytest.fixture
def full(state: State, chance: random.Random) -> State:
    """A root with state in every component."""
    state.fill(chance)
    state.settle()
    return state


@pytest.fixture
def strace() -> str:
    """The system call tracer, as a tool to kill and to fail at a chosen call."""
    if not STRACE:
        pytest.skip("strace is not installed")
    if subprocess.run([STRACE, "-qq", "-o", os.devnull, "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here")
    return STRACE


class Disk:
    """A small file system in memory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def resize(self, size: int) -> bool:
        """Make it *size* bytes large; false when it holds more than that."""
        command = ["mount", "-o", f"remount,size={max(size, 4096)}", self.path]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    @property
    def used(self) -> int:
        """Bytes in use."""
        status = os.statvfs(self.path)
        return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.fixture
def new_disk(tmp_path: t.Any) -> t.Iterator[t.Callable[[int], Disk]]:
    """``new_disk(size)``: a tmpfs of its own; needs root."""
    mounted: list[str] = []

    def mount(size: int) -> Disk:
        path = tmp_path / f"disk{len(mounted)}"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path)], check=False, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip("only root can mount a small disk" if os.geteuid() else f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted.append(str(path))
        return Disk(str(path))

    yield mount
    for path in mounted:
        subprocess.run(["umount", path], check=True)
