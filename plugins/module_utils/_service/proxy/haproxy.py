# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proxy in front of two instances: HAProxy, its configuration, and what it is told while it runs.

One small map says which instance serves (``live``) and until when new requests wait (``hold``). It is changed in the running
proxy over its socket, so a switch costs no reload and no connection; the file beside it is what a restart reads.

A held request waits in the proxy before it is routed, in an action of a few lines of Lua, and looks every 10 ms. It goes on
by itself when the time of the hold is over: whoever held it may have been killed. ``free`` names a hold that has ended: a proxy
that was frozen carries out what it was told meanwhile in any order, and a hold that comes after its own end holds nobody.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
import typing as t

from ..._core import addresses, wording
from ..._core.errors import InputError, ServiceError
from ..._target.layout import Layout
from ..._target.record_types import ProxySettings
from . import config, socket
from .config import CONFIG, HOLD_LUA, LOOPBACK, LUA, MAP, OLD_SOCKET, SOCKET
from .folder import ProxyFolder

#: Seconds within which the proxy answers on its socket, or has started.
PATIENCE = 10.0
#: Characters of an answer that a message quotes.
_SAID = 200
#: What the map says, and what it says at first. A hold has an end by the clock; beside it stands the hold that ended before.
_KEYS = {"hold": "free", "renders": "renders_free"}
_FIRST = dict.fromkeys([*_KEYS, *_KEYS.values()], "0")
_KNOWN = frozenset(("live", *_FIRST))
_AGE = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")
_SESSION = re.compile(r" age=([0-9dhms]{1,40})(?: |$)")
_MOMENT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def _seconds(age: str) -> int:
    days, hours, minutes, seconds = (int(part or 0) for part in _AGE.match(age).groups())  # type: ignore[union-attr]
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _moment(text: str) -> float:
    """Seconds since 1970; 0 for what is no such number."""
    return float(text) if _MOMENT.fullmatch(text) else 0.0


def _pairs(text: str, skip: int = 0) -> dict[str, str]:
    """The known keys of a map's lines, and their values.

    :param skip: words at a line's beginning that are neither.
    """
    found = (line.split(maxsplit=skip + 2)[skip:] for line in _lines(text))
    return {words[0]: words[1] for words in found if len(words) == 2 and words[0] in _KNOWN}


def _lines(text: str) -> t.Iterator[str]:
    """The lines of an answer, one after the other: whoever answers in the proxy's place may give a million."""
    return (match[0] for match in re.finditer(r"[^\r\n]+", text))


class Proxy:
    """The proxy of one application root.

    :param settings: ``host, port, certificate, check_port`` (0: none), ``max_body`` (bytes), ``max_connections, timeout`` (s), ``url``,
        ``held_routes`` (each as ``_service.proxy.config.ROUTE``).
    :param ports: of the two instances, on *instance_host*.
    """

    def __init__(self, layout: Layout, settings: ProxySettings, ports: list[int], instance_host: str, user: str | None) -> None:
        self.folder = layout.path("proxy")
        self.place = ProxyFolder(self.folder, user)
        self.ports = ports
        self.user = user
        self._text = config.text(settings, ports, instance_host)
        self.settings = settings
        self._replaced = ""
        self._until: dict[str, str] = {}

    def addresses(self) -> set[str]:
        """Where checks may ask the proxy, without a path."""
        ports = {self.settings["port"], self.settings.get("check_port") or self.settings["port"]}
        hosts = {LOOPBACK, "localhost", self.settings["host"]}
        return {self.settings["url"]} | {addresses.url(host, port) for host in hosts for port in ports}

    @property
    def map_path(self) -> str:
        """The file that says which instance serves."""
        return self.path(MAP)

    def path(self, name: str) -> str:
        """A file of the proxy."""
        return os.path.join(self.folder, name)

    def command(self) -> list[str]:
        """How it is started: a master that a signal makes reload, with the workers of before serving on."""
        return [program(), "-W", "-f", CONFIG]

    def astray(self) -> bool:
        """Whether the map names none of the ports: there is none yet, or it is of other ports."""
        return _pairs(self.current(MAP)).get("live") not in [str(port) for port in self.ports]

    def save(self, anew: bool = False, first: int = 0) -> bool:
        """Put the configuration in place, checked first; whether it differs from before.

        :param anew: a port serves, whatever the map says.
        :param first: the port that serves when the map does not say it; by default the first one.
        :raises InputError: when HAProxy refuses it; everything is as before then.
        """
        before, changed = self.current(), self.differs()
        if before != self._text:
            self._check()
        self.place.take()
        if not self.current(MAP):
            self._start_map(first)
        if self.current(LUA) != HOLD_LUA:
            self.place.write(LUA, HOLD_LUA)
        if before != self._text:
            self._replaced = before.replace(f"unix@{OLD_SOCKET} ", f"unix@{SOCKET} ")
            self.place.write(CONFIG, self._text)
        if anew or self.astray():
            self._start_map(first)
            changed = True
        elif set(_FIRST) - set(_pairs(self.current(MAP))):  # written by an earlier version
            self._write_map({**_FIRST, **_pairs(self.current(MAP))})
            changed = True
        return changed

    def _start_map(self, first: int = 0) -> None:
        self._write_map({"live": str(first or self.ports[0]), **_FIRST})

    def current(self, name: str = CONFIG) -> str:
        """A file's text, empty when there is none that only this user can have written."""
        return self.place.read(name)

    def differs(self) -> bool:
        """Whether the configuration on disk is another one, or lies as an earlier version had it."""
        return not self.place.is_taken() or self.current() != self._text or self.current(LUA) != HOLD_LUA

    def _check(self) -> None:
        refused = self.place.check([program(), "-c", "-f", CONFIG], self._text, f"live {self.ports[0]}\n")
        if refused:
            raise InputError("the proxy's configuration", "one that HAProxy accepts", refused, "Correct the settings mobius_proxy_…")

    def reload(self, pid: int) -> None:
        """Make a running proxy read its configuration anew; connections go on.

        :raises ServiceError: when it goes on with the one of before, which is on disk again then.
        """
        before = self._worker()
        os.kill(pid, signal.SIGUSR2)
        deadline = time.monotonic() + PATIENCE
        while self._worker() in ("", before):
            if time.monotonic() > deadline:
                if self._replaced:
                    self.place.write(CONFIG, self._replaced)
                raise ServiceError(
                    f"the proxy on port {self.settings['port']}",
                    f"to take its new configuration within {PATIENCE:.0f} s",
                    "it goes on with the one of before",
                    "Look what it printed (shared/logs/proxy.log, or journalctl -u of "
                    "its unit): is a port taken, or can mobius_user not read mobius_proxy_certificate?",
                )
            time.sleep(0.05)

    def _worker(self) -> str:
        """The process that takes requests now, empty when none answers. It is only compared: the answer may be anybody's."""
        try:
            found = re.search(r"^Pid: ([0-9]{1,9})$", self.tell("show info"), re.MULTILINE)
        except OSError:
            return ""
        return found.group(1) if found else ""

    def wait(self) -> None:
        """Until it answers. :raises ServiceError: when it does not."""
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"the proxy on port {self.settings['port']}",
                    f"to answer within {PATIENCE:.0f} s",
                    "no answer",
                    "Look what it printed: shared/logs/proxy.log, or journalctl -u of its unit",
                )
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it runs, by its socket."""
        return bool(self._worker())

    def tell(self, *commands: str) -> str:
        """What it answers on its socket. :raises OSError: when there is nobody."""
        return socket.tell(self.folder, commands, self.place.users(), PATIENCE)

    def _map(self) -> dict[str, str]:
        """The map as the running proxy has it; as the file has it when none runs."""
        try:
            return _pairs(self.tell(f"show map {MAP}"), skip=1)
        except OSError:
            return _pairs(self.current(MAP))

    def _write_map(self, values: dict[str, str]) -> None:
        self.place.write(MAP, "".join(f"{key} {value}\n" for key, value in sorted(values.items())))

    def live(self) -> int:
        """The port of the instance that gets the requests."""
        found = self._map().get("live", "")
        return int(found) if found in map(str, self.ports) else self.ports[0]

    def point(self, port: int) -> None:
        """From now on new requests go to this port.

        :raises ServiceError: when the proxy does not do what it is told.
        """
        self._write_map({"live": str(port), **_FIRST})
        self._set("live", str(port))

    def hold(self, seconds: float, key: str = "hold") -> None:
        """New requests wait, this long at most; with *key* ``renders`` only those of ``held_routes``."""
        self._until[key] = f"{time.time() + seconds + 1:.3f}"
        self._set(key, self._until[key])

    def holds(self) -> bool:
        """Whether new requests wait now, all or some."""
        found = self._map()
        return any(found.get(key, "0") != found.get(free) and _moment(found.get(key, "0")) > time.time() for key, free in _KEYS.items())

    def release(self) -> None:
        """Requests that wait go on, also when the proxy comes to hear of the hold after this."""
        found = self._until or self._map()
        ended = {key: found[key] for key in _KEYS if key in found}
        with contextlib.suppress(OSError):  # all ends first: one that is frozen refuses what comes after
            self.tell(*(f"set map {MAP} {_KEYS[key]} {until}" for key, until in ended.items()))
        for key in ended:
            self._set(key, "0")

    def _set(self, key: str, value: str) -> None:
        try:
            said = wording.one_line(self.tell(f"set map {MAP} {key} {value}")[:_SAID].strip())
        except OSError as error:
            said = str(error)
        if said:
            raise ServiceError(
                f"the proxy on port {self.settings['port']}", f"to take '{key} {value}'", said, "Start it: mobius.ops.setup does"
            )

    def requests(self, port: int) -> list[int]:
        """The ages of the requests that an instance works on, in seconds; server-sent events and WebSockets are none."""
        try:
            said = self.tell("show sess")
        except OSError:
            return []
        backend = f" be={config.REQUESTS}_{port} "
        ages = (_SESSION.search(line) for line in _lines(said) if backend in line)
        return [_seconds(age[1] if age else "") for age in ages]


def program() -> str:
    """HAProxy on this target. :raises InputError: when there is none."""
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    if not found:
        raise InputError(
            "the proxy", "the program haproxy on the target", "none", "Install it (mobius.ops.setup does), or set mobius_proxy_port to 0"
        )
    return found
