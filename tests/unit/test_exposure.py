# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ``systemd-analyze security`` rates each unit that this collection writes; docs/security.md says why some are above 2.5."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._schedule import jobs, units
from ansible_collections.mobius.ops.plugins.module_utils._service import boot_unit, unit_file
from ansible_collections.mobius.ops.plugins.module_utils._service.scratch import instance
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze") and not os.environ.get("CI"), reason="systemd-analyze is not installed")
DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "security.md"
SPEC = {
    "name": "mobius",
    "command": ["/bin/true"],
    "user": "daemon",
    "env_file": "/opt/mobius/shared/config/.env",
    "environment": {},
    "working_dir": "/opt/mobius/current",
    "writable": ["/opt/mobius/shared/data"],
    "restart_window": 60,
    "restart_limit": 5,
    "restart_delay": 2,
    "stop_timeout": 60,
    "port": 5001,
}
WRITABLE = ["/opt/mobius", "/etc/systemd/system"]
#: The most that a unit may be rated; 2.5 unless the document says why it is more.
HIGHER = {"watch, with a migration": 2.8, "weekly": 9.6, "monthly": 9.6, "quarterly": 9.6}
EVERY = ["service", "proxy", "boot", "drill", "watch", "watch, with a migration", *jobs.JOBS]


def text_of(unit):
    """The text of a unit."""
    if unit == "boot":
        return boot_unit.Boot("mobius", [5001, 5002], "/opt/mobius/proxy/switch.map", "/opt/mobius/current")._text
    if unit in ("service", "proxy"):
        return unit_file.render({**SPEC, "privileged_port": unit == "proxy"})
    if unit == "drill":
        scratch = Layout("/opt/mobius/.drill-x")
        spec = {
            **SPEC,
            "app": "/opt/mobius/app",
            "console_log": "/opt/mobius/.drill-x/log",
            "writable": [scratch.root],
            "memory_max": None,
            "instead": {"/opt/mobius/shared": scratch.shared, "/tmp": scratch.path("tmp")},
        }
        lines = [*unit_file.SANDBOX.splitlines(), *instance.UnitInstance(scratch, spec)._properties("/opt/mobius/.drill-x/drill.env")]
        return "\n".join(["[Service]", "ExecStart=/bin/true", *lines, ""])
    if unit in jobs.JOBS:
        argv = ["/usr/bin/python3", "-m", "x", unit]
        return units.texts(Layout("/opt/mobius"), "m", jobs.JOBS[unit], "daily", argv, {}, ["/srv/backups"])["m.service"]
    return unit_file.program_unit("watch", ["/bin/true"], {}, "/tmp/log", WRITABLE, unit != "watch")


def exposure(text, tmp_path):
    """Its figure, from 0 to 10."""
    path = tmp_path / "mobius-one.service"
    path.write_text(text)
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr and not os.environ.get("CI"):
        pytest.skip("this systemd-analyze is too old for --offline")
    return float(re.findall(r"Overall exposure level for mobius-one\.service: ([0-9.]+)", done.stdout)[0])


@pytest.mark.parametrize("unit", EVERY)
def test_each_unit_has_its_figure_in_the_document(unit, tmp_path):
    rated = exposure(text_of(unit), tmp_path)
    assert rated <= HIGHER.get(unit, 2.5)
    [row] = re.findall(rf"(?m)^\| {re.escape(unit)} \| ([0-9.]+) \|(.*)\|$", DOCUMENT.read_text(encoding="utf-8"))
    assert float(row[0]) >= rated, "docs/security.md: the figure is too low"
    assert row[1].strip() or rated <= 2.5, "docs/security.md: no reason why it is above 2.5"


def test_a_unit_without_a_sandbox_is_rated_unsafe(tmp_path):
    assert exposure(text_of("watch").replace(unit_file.WATCH_SANDBOX, ""), tmp_path) > 9
