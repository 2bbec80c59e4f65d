# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs of timers, as root in their units, while what they read is exchanged. Only systemd runs them."""

from __future__ import annotations

import subprocess

import pytest
from support import attack

pytestmark = pytest.mark.skipif(attack.MANAGER != "systemd", reason="no systemd runs the service here: make test-attack-systemd")
#: In a folder: a database, a file and a folder, and beside each of the two a link that it can be exchanged with.
MAKE = """
import os, sqlite3, sys
folder, inner, secret = sys.argv[1:]
os.chdir(folder)
os.makedirs("sub")
os.symlink(inner, ".sub")
open("app.log", "w").close()
os.symlink(secret, "app.log.l")
database = sqlite3.connect("sub/app.db")
database.execute("CREATE TABLE t (x)")
database.commit()
"""
JOBS = ("backup", "verify", "metrics")


def run(job):
    """Run a job to its end; the exit status of its unit."""
    unit = f"mobius-production-{job}.service"
    subprocess.run(["systemctl", "reset-failed", unit], capture_output=True, check=False)  # else systemd refuses the sixth start in 10 s
    done = subprocess.run(["systemctl", "start", unit], capture_output=True, text=True, check=False)
    said = subprocess.run(
        ["journalctl", "--no-pager", "--lines=20", "--output=cat", f"--unit={unit}"], capture_output=True, text=True, check=True
    ).stdout
    assert "Traceback" not in said and "Operation not permitted" not in said and "start-limit" not in said, said
    print(job, done.returncode, said)
    return done.returncode


def test_jobs_do_their_work_in_their_units(target, attacker, race, decoys):
    host = target(proxied=True)
    host.setup()
    host.deploy("r1")
    folders = [host.shared(name) for name in ("data", "uploads", "logs")]
    for folder in folders:
        attacker.does(MAKE, folder, decoys.inner, decoys.secret)
    host.module(
        "schedule", env="production", jobs=dict.fromkeys(JOBS, "*-*-* 03:00"), checks=host.checks, backup={"allow_changed": True}
    ).good()
    assert [run(job) for job in JOBS] == [0, 0, 0]
    pairs = [(folder / one, folder / other) for folder in folders for one, other in (("sub", ".sub"), ("app.log", "app.log.l"))]
    for job in JOBS:
        race(lambda job=job: run(job), *pairs, name=f"timer {job}")
        decoys.require_unharmed()
    assert [run(job) for job in JOBS] == [0, 0, 0]
    host.module("schedule", env="production", state="absent").good()
