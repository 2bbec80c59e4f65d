# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clean-ups: what the service's user exchanges meanwhile leads to no file outside, and no file of its own is lost."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import walk

#: Makes old files, and beside each a link that it can be exchanged with; a folder of files, and a link that it can be exchanged with.
FILES = """
import os, sys
folder, count, *targets = sys.argv[1:]
os.chdir(folder)
os.mkdir("sub")
for number in range(int(count)):
    for name in (f"f{number:02}.png", f"sub/s{number:02}.png"):
        with open(name, "w") as stream:
            stream.write(f"the file {name} of the service")
        os.utime(name, ns=(10**18, 10**18))
    os.symlink(targets[number % len(targets)], f".l{number:02}")
os.symlink(targets[-1], ".sub")
"""
#: Fills a folder with what a walk must not stumble over.
ODD = """
import os, socket, sys
os.chdir(sys.argv[1])
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
os.symlink("/dev/zero", "zero.json")
for _level in range(1100):
    os.mkdir("d")
    os.chdir("d")
open("deep.png", "w").close()
os.utime("deep.png", ns=(10**18, 10**18))
"""
#: Puts links in the place of files.
PLANT = """
import os, sys
os.chdir(sys.argv[1])
for name in sys.argv[3:]:
    os.rename(name, "." + name)
    os.symlink(sys.argv[2], name)
"""
COUNT = 24
OLD = {"env": "production", "grace": 0, "expiry_days": 0}


@pytest.fixture
def host(target, attacker, decoys):
    """A host with old uploads of the service's user, and a backup of them."""
    made = target(proxied=True)
    made.setup()
    attacker.does(FILES, made.shared("uploads"), COUNT, decoys.secret, decoys.plain, decoys.script, decoys.inner)
    made.module("backup", env="production").good()
    return made


def contents(host):
    """The digests of all regular files in uploads and quarantine."""
    found = []
    for top in (host.shared("uploads"), host.path("quarantine")):
        for folder, _dirs, names in os.walk(top):
            paths = [os.path.join(folder, name) for name in names]
            found += [
                hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths if os.path.isfile(path) and not os.path.islink(path)
            ]
    return sorted(found)


def pairs(host):
    uploads = host.shared("uploads")
    names = [(f"f{number:02}.png", f".l{number:02}") for number in range(0, COUNT, 2)] + [("sub", ".sub")]
    return [(uploads / one, uploads / other) for one, other in names]


def test_names_that_are_exchanged_lead_to_no_other_file(host, decoys, race):
    before = contents(host)

    def operation():
        done = host.module("storage_cleanup", state="cleaned", **{**OLD, "expiry_days": 7}).good()
        assert done["files"] >= 1
        host.module("storage_cleanup", state="restored", paths=["*"], **OLD).settled()
        decoys.require_unharmed()

    race(operation, *pairs(host))
    host.module("storage_cleanup", state="restored", paths=["*"], **OLD).settled()
    assert contents(host) == before
    decoys.require_unread(*host.printed)


def test_links_in_quarantine_are_removed_and_not_followed(host, decoys, attacker):
    host.module("storage_cleanup", state="cleaned", **OLD).good()
    files = host.path("quarantine", "files")
    names = sorted(os.listdir(files))
    assert len(names) == 2 * COUNT
    attacker.does(PLANT, files, decoys.plain, *names[:8])
    host.module("storage_cleanup", state="restored", paths=["*"], **OLD).settled()
    host.module("storage_cleanup", state="purged", **OLD).settled()
    host.module("storage_cleanup", state="cleaned", **OLD).settled()


def test_a_quarantine_of_the_services_user_is_refused(host, decoys, attacker):
    place = host.shared("uploads", "q")
    attacker.does("import os, sys\nos.symlink(sys.argv[1], sys.argv[2])", decoys.inner, place)
    refused = host.module("storage_cleanup", state="cleaned", quarantine=str(place), **OLD)
    assert "outside of the application's folders" in refused.result["msg"]


def test_odd_things_in_the_folders_are_no_obstacle(host, attacker):
    for name in ("uploads", "data", "logs"):
        attacker.does(ODD, host.shared(name))
    done = host.module("storage_cleanup", **OLD).good()
    for name in ("uploads", "data", "logs"):
        walk.remove(str(host.shared(name, "d")))
    assert done["files"] == 2 * COUNT and done["left"]["not_in_backup"]["files"] >= 1
