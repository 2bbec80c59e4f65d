# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proxy's folder: nothing in it that the service's user could change is run, trusted or followed by root."""
from __future__ import annotations

import itertools
import os

import pytest

#: Says who ran it, and passes for the real one.
EVIL = """\
os.execute("touch {trace}-$(id -u)")
core.register_action("mobius_hold", {{"http-req"}}, function(_) end, 0)
core.register_action("mobius_hold_renders", {{"http-req"}}, function(_) end, 1)
"""
#: Gives the folder back to the service's user, as an earlier version left it, with a file of his own beside root's.
LEGACY = """
import os, sys
os.chdir(sys.argv[1])
for name, text in (("evil.lua", sys.argv[2]), ("evil.cfg", "global\\n lua-load evil.lua\\n")):
    with open(".new", "w") as stream:
        stream.write(text)
    os.rename(".new", name)
"""


@pytest.fixture
def host(target, attacker):
    """A host with a proxy, not started yet."""
    made = target(proxied=True)
    made.layout().good()
    return made


@pytest.fixture
def traces(open_folder):
    """A folder in which whoever runs the attacker's code leaves a name; root must not."""
    folder = open_folder / "traces"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    assert "ran-0" not in os.listdir(folder), "root ran code of the service's user"


def as_before(host, attacker, text):
    """The folder as an earlier version left it: the service's user owns it, and has put files there."""
    folder = host.path("proxy")
    folder.mkdir(exist_ok=True)
    os.chown(folder, attacker.uid, attacker.gid)
    attacker.does(LEGACY, folder, text)


def test_root_runs_no_code_of_the_folder(host, attacker, race, traces, decoys):
    """While setup finds a folder as an earlier version left it, again and again, and checks another configuration each time."""
    timeouts = itertools.count(60)

    def setup():
        as_before(host, attacker, EVIL.format(trace=traces / "ran"))
        host.define(proxy_timeout=next(timeouts)).settled()

    setup()
    race(setup, *((host.path("proxy", name), host.path("proxy", other)) for name, other in (
        ("hold.lua", "evil.lua"), ("candidate.cfg", "evil.cfg"), ("haproxy.cfg", "evil.cfg"))))
