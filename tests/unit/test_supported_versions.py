"""The versions that are supported: what the metadata and the pages promise, and what the matrix runs, agree."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import matrix  # noqa: E402

SUPPORT = (ROOT / "docs" / "support.md").read_text(encoding="utf-8")


def number(version: str) -> tuple[int, ...]:
    """A version as numbers that can be compared."""
    return tuple(int(part) for part in version.split("."))


def minor(version: str) -> str:
    """The first two numbers of a version."""
    return ".".join(version.split(".")[:2])


def promised(part: str) -> tuple[str, str]:
    """The oldest and the newest version in support.md's row of a part."""
    found = re.search(rf"^\| {part} \| ([\d.]+) to ([\d.]+)", SUPPORT, flags=re.M)
    assert found, f"docs/support.md has no row '{part}' with two versions"
    return found[1], found[2]


OLDEST, NEWEST = promised("ansible-core on the controller")
PYTHONS = promised("Python on targets")


def test_the_matrix_runs_the_oldest_and_the_newest_of_what_is_promised():
    cores = sorted(map(minor, matrix.CORES), key=number)
    assert (cores[0], cores[-1]) == (OLDEST, NEWEST)
    assert f"`make test-matrix` runs {', '.join(cores[:-1])} and {cores[-1]}" in SUPPORT
    others = [f"2.{between}" for between in range(number(OLDEST)[1], number(NEWEST)[1] + 1)]
    assert sorted(map(minor, (*matrix.CORES, *matrix.BETWEEN)), key=number) == others
    assert f'`ARGS="{" ".join(sorted(matrix.BETWEEN))}"` those between' in SUPPORT
    newest = max(matrix.CORES, key=number)
    assert (matrix.TARGET, matrix.CORES[newest][0]) == PYTHONS  # modules run on the preferred Python of the newest core
    assert max(matrix.CORES) == newest and minor(min(matrix.CORES)) == OLDEST  # which the matrix compares as text


def test_ansible_itself_refuses_what_is_too_old():
    assert yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["requires_ansible"] == f">={OLDEST}.0"
    found = {
        path: yaml.safe_load(path.read_text(encoding="utf-8"))["galaxy_info"]["min_ansible_version"]
        for path in ROOT.glob("roles/*/meta/main.yml")
    }
    assert found and set(found.values()) == {OLDEST}, found
    assert yaml.safe_load((ROOT / "tests" / "config.yml").read_text(encoding="utf-8"))["modules"]["python_requires"] == f">={PYTHONS[0]}"


def test_the_execution_environment_has_a_core_of_that_range():
    said = yaml.safe_load((ROOT / "execution-environment.yml").read_text(encoding="utf-8"))
    major, newest = number(NEWEST)
    assert said["dependencies"]["ansible_core"]["package_pip"] == f"ansible-core>={OLDEST},<{major}.{newest + 1}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/getting-started.md", "requirements.txt"])
def test_pages_promise_the_same(page):
    found = re.findall(r"ansible-core (2\.\d+) to (2\.\d+)", (ROOT / page).read_text(encoding="utf-8"))
    assert found and set(found) == {(OLDEST, NEWEST)}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"roles/{one.name}/README.md" for one in sorted(ROOT.glob("roles/*")))])
def test_pages_promise_the_same_python_of_a_target(page):
    found = re.findall(r"Python (3\.\d+) (?:or|and) newer", (ROOT / page).read_text(encoding="utf-8"))
    assert PYTHONS[0] in found
