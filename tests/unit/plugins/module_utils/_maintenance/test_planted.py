"""Twelve findings, each planted on a real root: none is there before, and each is found after."""

from __future__ import annotations

import os
import socket
import time

from ansible_collections.mobius.ops.plugins.module_utils._core import fs

ADVISORY = {"id": 1, "url": "https://example.com/1", "title": "Pads too far", "severity": "high", "vulnerable_versions": "<1.3.0"}


def growing(patient):
    disk = patient.samples(1)
    patient.samples(disk.free / 10)


def changed_setting(patient):
    patient.host.serve()
    fs.write_text(patient.layout.env_file, "MOBIUS_API_KEYS=another-one-of-them\n", 0o600)


def corrupt(patient):
    path = patient.backup()
    with open(path, "r+b") as stream:
        stream.seek(os.path.getsize(path) // 3)
        stream.write(b"damage")


def shrinking(patient):
    path = os.path.join(patient.layout.component("uploads"), "large.bin")
    fs.write_text(path, os.urandom(100_000).hex())
    fs.write_text(os.path.join(patient.layout.component("uploads"), "small.bin"), "x")
    patient.backup()
    os.unlink(path)

    patient.backup()


def patch(patient, apt):
    apt.installed({"openssl": "1.0"})
    apt.offer({"openssl": "1.1"})


def vulnerable(patient):
    patient.lock_file()
    patient.advise({"left-pad": [ADVISORY]})


def huge_log(patient):
    with open(os.path.join(patient.layout.component("logs"), "huge.log"), "wb") as stream:
        stream.truncate(101_000_000)


def secret_in_log(patient, secret):
    fs.write_text(os.path.join(patient.layout.component("logs"), "leak.log"), f"starts with {secret}\n")


def old_key(patient):
    past = time.time() - 400 * 86400
    os.utime(patient.layout.env_file, (past, past))


def test_twelve_of_twelve(patient, apt, authority, secret, request):
    """None is found on the host as it is; then each is planted, and its cause is found by its cadence."""
    found, planted = set(), {}
    patient.lock_file()
    patient.backup()
    for cadence in ("weekly", "monthly", "quarterly"):
        found |= patient.causes(cadence)
    assert found == set(), found
    open_port = socket.create_server(("0.0.0.0", 0))
    request.addfinalizer(open_port.close)
    certificate = authority.certificate("expired.example", days=-3)
    plants = {
        "certificate_expired": lambda: patient.options.update(certificates=[certificate]),
        "env_readable": lambda: os.chmod(patient.layout.env_file, 0o644),
        "port_open": lambda: None,
        "backup_corrupt": lambda: corrupt(patient),
        "vulnerable_package": lambda: vulnerable(patient),
        "backup_shrunk": lambda: shrinking(patient),
        "secret_in_log": lambda: secret_in_log(patient, secret),
        "key_old": lambda: old_key(patient),
        "disk_will_be_full": lambda: growing(patient),
        "log_not_rotated": lambda: huge_log(patient),
        "security_patch": lambda: patch(patient, apt),
    }
    for plant in plants.values():
        plant()
    steps = {"weekly": [], "monthly": ["security_patches", "capacity"], "quarterly": ["security_audit"]}
    for cadence, names in steps.items():
        planted[cadence] = patient.causes(cadence, steps=names)
    changed_setting(patient)
    planted["documentation"] = patient.causes("monthly", steps=["documentation"])
    every = set().union(*planted.values())
    wanted = {*plants, "setting_drifted"}
    assert len(wanted) == 12 and wanted <= every, (wanted - every, planted)
    opened = sorted(one["cause"].removeprefix("maintenance ") for one in patient.incidents())
    assert opened == sorted(set(opened)) and wanted <= set(opened)
    assert not [name for name in patient.host.files_with(secret) if not name.startswith(("shared/logs/", "backups/"))]
