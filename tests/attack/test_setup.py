# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Setup, start and status, while folders and files of the service are exchanged with links to what is not the service's."""

from __future__ import annotations

import json
import os

#: Makes links and files: ``[[name, target or ""], …]`` in a folder.
MAKE = """
import json, os, sys
os.chdir(sys.argv[1])
for name, target in json.loads(sys.argv[2]):
    if target:
        os.symlink(target, name)
    elif name.endswith("/"):
        os.makedirs(name, exist_ok=True)
    else:
        with open(name, "w") as stream:
            stream.write("{}")
"""


def make(attacker, folder, *names):
    attacker.does(MAKE, folder, json.dumps([[str(word) for word in pair] for pair in names]))


def test_folders_of_a_root_that_was_the_service_users(target, attacker, race, decoys):
    """As after a setup without become: the root itself was the service user's, who exchanges folders while root takes them."""
    host = target()
    host.layout().good()
    for name in ("backups", "state", "shared"):
        (host.root / f"evil-{name}").symlink_to(decoys.inner)
        os.lchown(host.root / f"evil-{name}", attacker.uid, attacker.gid)

    def setup():
        for name in ("backups", "state", "shared"):
            os.lchown(host.root / name, attacker.uid, attacker.gid)  # the folder, or the link that was put in its place
        os.chown(host.root, attacker.uid, attacker.gid)
        host.layout().settled()

    race(setup, *((host.root / name, host.root / f"evil-{name}") for name in ("backups", "state", "shared")))


def test_folders_in_the_components(target, attacker, race, decoys):
    host = target()
    host.setup()
    uploads, data = host.shared("uploads"), host.shared("data")
    make(attacker, uploads, ("evil", decoys.inner), (".root/", ""))
    make(attacker, uploads / ".root", ("evil", decoys.inner), ("thumbnails/", ""))
    make(attacker, data, ("evil", decoys.inner), (".saved-matches/", ""))

    def setup():
        host.layout().settled()
        host.define().settled()

    race(
        setup,
        (uploads / ".root", uploads / "evil"),
        (uploads / ".root" / "thumbnails", uploads / ".root" / "evil"),
        (data / ".saved-matches", data / "evil"),
    )


def test_json_stores_at_starts_and_checks(target, attacker, race, decoys):
    """Root reads them before a start, corrects paths in them, and tells of them."""
    host = target()
    host.setup()
    host.deploy("r1")
    data = host.shared("data")
    make(attacker, data, ("projects.json", ""), ("evil.json", decoys.secret), ("other.json", ""), ("more.json", decoys.large))

    def operations():
        host.define(state="restarted").settled()
        host.module("preflight", programs={}, encoders=[], min_free_mb=1).settled()
        host.module("node_service_info", checks=host.checks, stores=True).settled()

    race(operations, (data / "projects.json", data / "evil.json"), (data / "other.json", data / "more.json"))
    decoys.require_unread(*host.printed)


def test_logs_at_starts_and_reads(target, attacker, race, decoys):
    """The supervisor appends to them, and status, watch and smoke tests read their end."""
    host = target()
    host.setup()
    for release_id in ("r1", "r2"):
        host.deploy(release_id)
    logs = host.shared("logs")
    make(attacker, logs, ("evil.log", decoys.secret), ("app.log", ""), ("evil-app.log", decoys.secret))

    def operations():
        host.define(state="restarted").settled()
        host.module("node_service_info", checks=host.checks).settled()
        host.roll_back("r1").settled()
        host.activate("r2").settled()

    race(operations, (logs / "console.log", logs / "evil.log"), (logs / "app.log", logs / "evil-app.log"))
    decoys.require_unread(*host.printed)
