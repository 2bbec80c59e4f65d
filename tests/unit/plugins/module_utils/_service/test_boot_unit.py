# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a reboot starts: exactly one instance, at whatever moment it comes. Real processes and HAProxy; systemd is stood in for."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request

import pytest
from support.fake_systemd import WANTS, FakeSystemd
from support.remains import end_all
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core import systemd as core_systemd
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import ways
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import definition, redefinition
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._service.proxy import haproxy

WANTED = {"mobius-proxy.service", "mobius-boot.service"}


class Killed(BaseException):
    """Whoever switches was killed, or the host lost its power."""


class Machine:
    """A host with a stand-in for systemd, and its service."""

    def __init__(self, host, systemd, ports):
        self.host, self.systemd = host, systemd
        host.port, self.standby, self.public = ports
        check = {"url": f"http://127.0.0.1:{self.public}/health", "timeout": HANG, "json": ["release == '{release}'"]}
        self.checks = health.normalize_all([check])

    def define(self, proxied=True, **options):
        """Save the definition, as the module does."""
        given = {"host": "127.0.0.1", "user": None, "environment": None, "manager": "systemd", "stop_timeout": HANG, **options}
        if proxied:
            given.update(
                {
                    "proxy_port": self.public,
                    "standby_port": self.standby,
                    "application_state": "exclusive",
                    "drain_timeout": HANG,
                    "drain_force": False,
                    "job_programs": [],
                    "proxy_host": "127.0.0.1",
                    "proxy_url": None,
                    "proxy_certificate": None,
                    "proxy_max_body": 1000,
                    "proxy_max_connections": 50,
                    "proxy_timeout": 60,
                    **options,
                }
            )
        service = service_registry.service_for(self.host.layout, definition.build_spec(self.host.layout, self.host.params(**given)))
        old = redefinition.saved(self.host.layout, "mobius")
        redefinition.refuse_loss(old, service)
        redefinition.clear(old, service)
        service.save()
        return service

    def service(self):
        return service_registry.load(self.host.layout, "mobius")

    def switch(self, release_id):
        return ways.of(self.host.store, self.service(), self.checks, HANG).switch(release_id)

    def instances(self):
        """The units of which a process runs, without the proxy."""
        return self.systemd.active() - {"mobius-proxy.service"}

    def answers(self):
        """The release that answers through the proxy."""

        def ask():
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.public}/health", timeout=HANG) as answer:
                return json.load(answer)["release"]

        return wait_until(ask, what="the proxy answers")

    def unit(self, port):
        return f"mobius@{port}.service"


@pytest.fixture
def machine(host, tmp_path, monkeypatch, free_port):
    systemd = FakeSystemd(str(tmp_path / "systemd"))
    systemd.install()
    monkeypatch.setattr(core_systemd, "UNIT_DIR", systemd.units)
    monkeypatch.setenv("PATH", f"{os.path.dirname(systemd.program)}:{os.environ['PATH']}")
    yield Machine(host, systemd, [free_port() for _number in range(3)])
    end_all(str(tmp_path))


@pytest.fixture
def proxied(machine):
    """Two releases, of which r1 serves."""
    machine.host.release("r2")
    machine.host.live("r1")
    machine.define().start()
    return machine


def test_only_the_proxy_and_the_unit_that_chooses_are_enabled(proxied):
    assert proxied.systemd.enabled() == WANTED and proxied.service().unit_current()
    for release in ("r2", "r1", "r2"):
        proxied.switch(release)
        serving = proxied.unit(proxied.service().serving().port)
        assert proxied.systemd.enabled() == WANTED and proxied.instances() == {serving}
        proxied.systemd.reboot()
        assert proxied.instances() == {serving} and proxied.answers() == release


def test_a_stopped_service_comes_back_with_a_reboot(proxied):
    proxied.switch("r2")
    proxied.service().shut_down()
    assert proxied.systemd.active() == set()
    proxied.systemd.reboot()
    assert len(proxied.instances()) == 1 and proxied.answers() == "r2"


def test_before_the_first_release_nothing_is_started(machine):
    machine.define()
    machine.systemd.reboot()
    assert machine.systemd.active() == {"mobius-proxy.service"}


def test_what_is_in_the_map_is_no_command(proxied, tmp_path):
    """It lies in a folder of the service's user, and root reads it."""
    for text in (f"live $(touch {tmp_path}/x)\n", "live other.service\n", "", f"live {proxied.standby};{proxied.host.port}\n"):
        fs.write_text(proxied.service().proxy.map_path, text)
        proxied.systemd.reboot()
        assert proxied.instances() == {proxied.unit(proxied.host.port)} and not (tmp_path / "x").exists()


def kill_at(monkeypatch, moment):
    """Let whatever changes the host be done *moment* times, and never again."""
    left = [moment]

    def mortal(function):
        def call(*words, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*words, **options)

        return call

    for owner, name in ((core_systemd, "systemctl"), (fs, "write_text"), (fs, "atomic_symlink"), (haproxy.Proxy, "tell")):
        monkeypatch.setattr(owner, name, mortal(getattr(owner, name)))
    return left


def test_a_reboot_at_any_moment_of_a_switch_starts_one_instance(proxied):
    """The one that the proxy asks, with a release that was ready once; the same switch again works."""
    releases, moment, killed = ["r1", "r2"], 0, 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, moment)
            try:
                proxied.switch(releases[1])
                break
            except Killed:
                killed += 1
        proxied.systemd.reboot()
        serving = proxied.service().serving()
        assert proxied.instances() == {proxied.unit(serving.port)}, moment
        assert proxied.answers() in releases and proxied.systemd.enabled() == WANTED
        proxied.switch(releases[1])
        assert proxied.answers() == releases[1] and len(proxied.instances()) == 1
        releases.reverse()
        moment += 2
    assert killed > 5


def test_units_that_were_all_enabled_are_put_right(proxied):
    """As the collection left them once. A switch does it as well as a setup."""
    for put_right in (lambda: proxied.switch("r2"), proxied.define):
        proxied.switch("r1")
        core_systemd.remove_unit("mobius-boot.service")
        for port in (proxied.host.port, proxied.standby):
            unit = os.path.join(proxied.systemd.units, proxied.unit(port))
            os.symlink(unit, os.path.join(proxied.systemd.units, WANTS, proxied.unit(port)))
        assert not proxied.service().unit_current()
        put_right()
        assert proxied.systemd.enabled() == WANTED and proxied.service().unit_current()


@pytest.fixture
def plain(machine):
    """One service, running r1."""
    machine.host.release("r2")
    machine.host.live("r1")
    machine.define(proxied=False).start()
    assert machine.systemd.enabled() == {"mobius.service"}
    return machine


def test_a_service_that_gets_a_proxy_goes_on_and_comes_back_as_its_first_instance(plain):
    pid = plain.systemd.pid("mobius.service")
    plain.define()
    assert plain.systemd.pid("mobius.service") == pid and plain.answers() == "r1"
    assert plain.systemd.enabled() == WANTED and plain.service().unit_current()
    plain.systemd.reboot()
    assert plain.instances() == {plain.unit(plain.host.port)} and plain.answers() == "r1"
    assert not plain.service().unit_current()  # for the unit of before is there yet
    plain.define()
    assert "mobius.service" not in plain.systemd.files() and plain.service().unit_current()


def test_its_first_switch_ends_the_unit_of_before(plain):
    plain.define()
    plain.switch("r2")
    assert "mobius.service" not in plain.systemd.files() and plain.answers() == "r2"
    assert plain.instances() == {plain.unit(plain.standby)}


def test_its_first_switch_fails_and_it_has_its_proxy_still(plain):
    plain.define()
    plain.host.release("bad", mode="crash")
    with pytest.raises(ServiceError, match="every readiness check"):
        plain.switch("bad")
    assert plain.service().spec["slots"] and plain.answers() == "r1"
    assert plain.instances() == {plain.unit(plain.host.port)} and plain.systemd.enabled() == WANTED


def test_back_to_one_service(plain):
    """A stop, the new definition, a start: only its unit is left, and enabled. It may get a proxy again."""
    plain.define()
    plain.switch("r2")
    plain.service().shut_down()
    plain.define(proxied=False)
    assert plain.systemd.files() == {"mobius.service"} and plain.systemd.enabled() == set()
    plain.service().start()
    assert plain.systemd.enabled() == plain.systemd.active() == {"mobius.service"}
    plain.systemd.reboot()
    assert plain.systemd.active() == {"mobius.service"} and plain.service().status()["release"] == "r2"
    assert os.listdir(plain.host.layout.slots) == []
    plain.define()
    assert plain.answers() == "r2"


def test_back_at_once_while_nothing_was_switched(plain):
    """A proxy that was given by mistake, or could not be started."""
    pid = plain.systemd.pid("mobius.service")
    plain.define()
    plain.define(proxied=False)
    assert plain.systemd.files() == plain.systemd.enabled() == {"mobius.service"} and plain.systemd.pid("mobius.service") == pid


def test_other_ports_leave_no_unit_of_the_old_ones(proxied, free_port):
    proxied.switch("r2")
    proxied.service().shut_down()
    old, proxied.standby = proxied.standby, free_port()
    proxied.define()
    assert proxied.unit(old) not in proxied.systemd.files() and proxied.unit(proxied.standby) in proxied.systemd.files()
    proxied.systemd.reboot()
    assert proxied.instances() == {proxied.unit(proxied.host.port)} and proxied.answers() == "r2"
