# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tests ``make test-changed`` runs for a change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import changed  # noqa: E402
import tree  # noqa: E402

HEALTH, DRILL, KILLS = "tests/integration/test_health.py", "tests/integration/test_drill.py", "tests/faults/test_kills.py"
CLOCK, RETENTION = "tests/unit/plugins/module_utils/_core/test_clock.py", "tests/unit/plugins/module_utils/_backup/test_retention.py"
TRAFFIC = "tests/traffic/test_no_request_lost.py"


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return changed.dependencies(changed.read(ROOT, tree.files(ROOT)))


@pytest.mark.parametrize(
    ("path", "some", "none"),
    [
        ("roles/health/tasks/main.yml", {HEALTH}, {CLOCK, RETENTION, KILLS}),
        ("plugins/module_utils/_backup/archive/zip_writer.py", {KILLS, DRILL}, set()),
        ("plugins/modules/health_check.py", {HEALTH}, {CLOCK, RETENTION, KILLS}),
        ("plugins/filter/health_page.py", {HEALTH}, {RETENTION, KILLS}),
        ("plugins/action/monitor.py", {HEALTH}, {CLOCK, KILLS}),
        ("playbooks/drill.yml", {DRILL}, {HEALTH, CLOCK}),
        ("playbooks/deploy.yml", {HEALTH, DRILL}, {CLOCK, KILLS}),
        ("tests/app/src/api/index.js", {HEALTH, DRILL, TRAFFIC}, {CLOCK, KILLS}),
        ("tests/integration/conftest.py", {HEALTH, DRILL}, {CLOCK, KILLS, TRAFFIC}),
        ("tests/support/traffic.py", {TRAFFIC}, {CLOCK, KILLS}),
        (CLOCK, {CLOCK}, {HEALTH, DRILL, KILLS, RETENTION}),
        ("docs/runbook.md", {"tests/unit/test_documentation.py"}, {HEALTH, DRILL, KILLS, CLOCK}),
        ("docs/node-services.md", {"tests/integration/test_node_services.py"}, {HEALTH, DRILL, KILLS, CLOCK}),
    ],
)
def test_a_change_runs_what_uses_it(graph: dict[str, set[str]], path: str, some: set[str], none: set[str]) -> None:
    found = set(changed.affected([path], graph))
    assert some <= found and not none & found, sorted(found)


@pytest.mark.parametrize("path", ["Makefile", "requirements.txt", "tests/conftest.py", "inventories/local/group_vars/mobius.yml"])
def test_a_change_of_what_all_use_runs_all(graph: dict[str, set[str]], path: str) -> None:
    tests = [name for name in graph if Path(name).name.startswith("test_") and not name.startswith(("molecule/", "tests/mobius/"))]
    assert changed.affected([path], graph) == sorted(tests)


def test_every_plugin_has_a_test_that_runs_for_it(graph: dict[str, set[str]]) -> None:
    plugins = [name for name in graph if name.startswith("plugins/") and "doc_fragments" not in name and not name.endswith("__init__.py")]
    assert [name for name in plugins if len(changed.affected([name], graph)) <= len(changed.LOOK_AT_ALL)] == []
