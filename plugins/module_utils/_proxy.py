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
import pwd
import re
import shutil
import signal
import socket
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _commands, _files
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout

#: Where checks reach a proxy that speaks TLS to everybody else.
LOOPBACK = "127.0.0.1"
#: Seconds within which the proxy answers on its socket, or has started.
PATIENCE = 10.0
_MAP, _SOCKET, _CONFIG = "switch.map", "admin.sock", "haproxy.cfg"
#: What the map says, and what it says at first. A hold has an end by the clock; beside it stands the hold that ended before.
_KEYS = {"hold": "free", "renders": "renders_free"}
_FIRST = dict.fromkeys([*_KEYS, *_KEYS.values()], "0")
_HOLD_LUA = """\
-- Written by mobius.ops.node_service; changes are overwritten.
local switch = Map.new("switch.map", Map._str)

local function held(key, free)
  local hold = switch:lookup(key)
  return hold ~= switch:lookup(free) and (tonumber(hold) or 0) > core.now().sec
end

core.register_action("mobius_hold", {"http-req"}, function(_)
  while held("hold", "free") do
    core.msleep(10)
  end
end, 0)

-- New renders wait while the ones before them are worked off, but not for ever.
core.register_action("mobius_hold_renders", {"http-req"}, function(txn, patience)
  local over = core.now().sec + tonumber(patience)
  while held("renders", "renders_free") do
    if core.now().sec >= over then
      local reply = txn:reply()
      reply:set_status(503)
      reply:add_header("Retry-After", "30")
      reply:add_header("Content-Type", "text/plain")
      reply:set_body("A new version is being put into service. Ask again in half a minute.\\n")
      txn:done(reply)
    end
    core.msleep(50)
  end
end, 1)
"""
#: A request that can be held: its method and its path, with an asterisk at the end for all that begin so. Express takes a path in
#: capital letters, and with a slash at its end, for the same.
ROUTE = re.compile(r"([A-Z]{3,7}) (/[\w./~-]*)(\*?)")
_FOR_CHECKS = "  # Without TLS, for checks from this host itself; all else is as for everybody, and the application is told https.\n"
_AGE = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def _config(proxy: dict[str, t.Any], ports: list[int], host: str) -> str:
    secure = f" ssl crt {_quote(proxy['certificate'])} alpn h2,http/1.1 ssl-min-ver TLSv1.2" if proxy["certificate"] else ""
    transport = '  http-response set-header Strict-Transport-Security "max-age=31536000" if { ssl_fc }\n' if secure else ""
    checks = f"{_FOR_CHECKS}  bind {LOOPBACK}:{proxy['check_port']}\n" if proxy.get("check_port") else ""
    renders = "".join(_held_route(route, proxy["timeout"]) for route in proxy.get("held_routes", ()))
    backends = "".join(f"\nbackend port_{port}\n  server instance {host}:{port}\n" for port in ports)
    return f"""\
# Written by mobius.ops.node_service; changes are overwritten.
global
  stats socket unix@{_SOCKET} mode 600 level admin expose-fd listeners
  lua-load hold.lua
  maxconn {proxy['max_connections']}
  hard-stop-after 1h

defaults
  mode http
  option forwardfor
  option idle-close-on-response
  # A client that has gone has no request at an instance any more: nobody waits for its end.
  option abortonclose
  timeout http-request 15s
  timeout http-keep-alive 60s
  timeout client {proxy['timeout']}s
  timeout server {proxy['timeout']}s
  # An instance that is started again is waited for: a connection that was refused is tried anew, four times a second.
  timeout connect 250ms
  retries 120

frontend public
  bind {proxy['host']}:{proxy['port']}{secure}
{checks}  http-request deny deny_status 413 if {{ req.hdr_val(content-length) gt {proxy['max_body']} }}
  http-request set-header X-Forwarded-Proto {'https' if secure else 'http'}
  http-response del-header X-Powered-By
  http-response set-header X-Content-Type-Options nosniff
  http-response set-header X-Frame-Options SAMEORIGIN
  http-response set-header Referrer-Policy strict-origin-when-cross-origin
{transport}  http-response set-header Cache-Control no-cache if {{ res.hdr(content-type) -m beg text/html }}
{renders}  http-request lua.mobius_hold if !{{ str(hold),map_str({_MAP},0) -m str 0 }}
  use_backend port_%[str(live),map_str({_MAP},{ports[0]})]
{backends}"""


def _held_route(route: str, patience: int) -> str:
    """What makes requests of a route wait while renders are held."""
    method, path, star = ROUTE.fullmatch(route).groups()  # type: ignore[union-attr]
    paths = f"path_beg -i {path}" if star else f"path -i {path} {path}/"
    held = f"!{{ str(renders),map_str({_MAP},0) -m str 0 }}"
    return f"  http-request lua.mobius_hold_renders {patience} if {{ method {method} }} {{ {paths} }} {held}\n"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def _seconds(age: str) -> int:
    days, hours, minutes, seconds = (int(part or 0) for part in _AGE.match(age).groups())  # type: ignore[union-attr]
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _pairs(text: str) -> dict[str, str]:
    """The keys and values of a map's lines."""
    found = [line.split() for line in text.splitlines()]
    return {words[0]: words[1] for words in found if len(words) == 2}


class Proxy:
    """The proxy of one application root.

    :param settings: ``host, port, certificate, check_port`` (0: none), ``max_body`` (bytes), ``max_connections, timeout`` (s), ``url``,
        ``held_routes`` (each as :data:`ROUTE`).
    :param ports: of the two instances, on *instance_host*.
    """

    def __init__(self, layout: Layout, settings: dict[str, t.Any], ports: list[int], instance_host: str, user: str | None) -> None:
        self.folder = layout.path("proxy")
        self.ports = ports
        self.user = user
        self._text = _config(settings, ports, instance_host)
        self.settings = settings
        self._replaced = ""
        self._until: dict[str, str] = {}

    def addresses(self) -> set[str]:
        """Where checks may ask the proxy, without a path."""
        ports = {self.settings["port"], self.settings.get("check_port") or self.settings["port"]}
        return {self.settings["url"]} | {f"http://{host}:{port}" for host in (LOOPBACK, "localhost") for port in ports}

    @property
    def map_path(self) -> str:
        """The file that says which instance serves."""
        return self.path(_MAP)

    def path(self, name: str) -> str:
        """A file of the proxy."""
        return os.path.join(self.folder, name)

    def command(self) -> list[str]:
        """How it is started: a master that a signal makes reload, with the workers of before serving on."""
        return [program(), "-W", "-f", _CONFIG]

    def astray(self) -> bool:
        """Whether the map names none of the ports: there is none yet, or it is of other ports."""
        return _pairs(self.current(_MAP)).get("live") not in map(str, self.ports)

    def save(self, anew: bool = False) -> bool:
        """Put the configuration in place, checked first; whether it differs from before.

        :param anew: the first port serves, whatever the map says.
        :raises InputError: when HAProxy refuses it; the one of before stays then.
        """
        os.makedirs(self.folder, mode=0o750, exist_ok=True)
        owner = pwd.getpwnam(self.user) if self.user and not os.getuid() else None
        if owner:
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        if not os.path.exists(self.map_path):
            self._start_map()
        changed = False
        for name, text in (("hold.lua", _HOLD_LUA), (_CONFIG, self._text)):
            if self.current(name) == text:
                continue
            changed = True
            if name == _CONFIG:
                self._check(text)
                self._replaced = self.current()
            _files.write_text(self.path(name), text)
        if anew or self.astray():
            self._start_map()
            changed = True
        elif set(_FIRST) - set(_pairs(self.current(_MAP))):  # written by an earlier version
            self._write_map({**_FIRST, **_pairs(self.current(_MAP))})
            changed = True
        return changed

    def _start_map(self) -> None:
        self._write_map({"live": str(self.ports[0]), **_FIRST})

    def current(self, name: str = _CONFIG) -> str:
        """A file's text, empty when there is none."""
        try:
            with open(self.path(name), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""

    def differs(self) -> bool:
        """Whether the configuration on disk is another one."""
        return self.current() != self._text or self.current("hold.lua") != _HOLD_LUA

    def _check(self, text: str) -> None:
        candidate = self.path("candidate.cfg")
        _files.write_text(candidate, text)
        done = _commands.capture([program(), "-c", "-f", "candidate.cfg"], self.folder, "the check of the proxy's configuration")
        os.unlink(candidate)
        if done.returncode:
            raise InputError("the proxy's configuration", "one that HAProxy accepts", _commands.ending(done),
                             "Correct the settings mobius_proxy_…")

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
                    _files.write_text(self.path(_CONFIG), self._replaced)
                raise ServiceError(f"the proxy on port {self.settings['port']}", f"to take its new configuration within {PATIENCE:.0f} s",
                                   "it goes on with the one of before", "Look what it printed (shared/logs/proxy.log, or journalctl -u of "
                                   "its unit): is a port taken, or can mobius_user not read mobius_proxy_certificate?")
            time.sleep(0.05)

    def _worker(self) -> str:
        """The process that takes requests now, empty when none answers."""
        try:
            found = re.search(r"^Pid: (\d+)", self.tell("show info"), re.MULTILINE)
        except OSError:
            return ""
        return found.group(1) if found else ""

    def wait(self) -> None:
        """Until it answers. :raises ServiceError: when it does not."""
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if time.monotonic() > deadline:
                raise ServiceError(f"the proxy on port {self.settings['port']}", f"to answer within {PATIENCE:.0f} s", "no answer",
                                   "Look what it printed: shared/logs/proxy.log, or journalctl -u of its unit")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it runs, by its socket."""
        try:
            return bool(self.tell("show info"))
        except OSError:
            return False

    def tell(self, *commands: str) -> str:
        """What it answers on its socket. :raises OSError: when there is nobody."""
        # A socket's path has 107 bytes at most, which a root may exceed: it is reached through its folder's descriptor.
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as admin:
                admin.settimeout(PATIENCE)
                admin.connect(f"/proc/self/fd/{folder}/{_SOCKET}")
                admin.sendall((";".join(commands) + "\n").encode())
                return b"".join(iter(lambda: admin.recv(65536), b"")).decode("utf-8", "replace")
        finally:
            os.close(folder)

    def _map(self) -> dict[str, str]:
        """The map as the running proxy has it; as the file has it when none runs."""
        try:
            return _pairs("\n".join(line.partition(" ")[2] for line in self.tell(f"show map {_MAP}").splitlines()))
        except OSError:
            return _pairs(self.current(_MAP))

    def _write_map(self, values: dict[str, str]) -> None:
        _files.write_text(self.path(_MAP), "".join(f"{key} {value}\n" for key, value in sorted(values.items())))

    def live(self) -> int:
        """The port of the instance that gets the requests."""
        found = self._map().get("live", "")
        return int(found) if found.isdigit() and int(found) in self.ports else self.ports[0]

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
        return any(found.get(key, "0") != found.get(free) and float(found.get(key, "0")) > time.time() for key, free in _KEYS.items())

    def release(self) -> None:
        """Requests that wait go on, also when the proxy comes to hear of the hold after this."""
        found = self._until or self._map()
        ended = {key: found[key] for key in _KEYS if key in found}
        with contextlib.suppress(OSError):  # all ends first: one that is frozen refuses what comes after
            self.tell(*(f"set map {_MAP} {_KEYS[key]} {until}" for key, until in ended.items()))
        for key in ended:
            self._set(key, "0")

    def _set(self, key: str, value: str) -> None:
        try:
            said = self.tell(f"set map {_MAP} {key} {value}").strip()
        except OSError as error:
            said = str(error)
        if said:
            raise ServiceError(f"the proxy on port {self.settings['port']}", f"to take '{key} {value}'", said,
                               "Start it: mobius.ops.setup does")

    def requests(self, port: int) -> list[int]:
        """The ages of the requests that an instance works on, in seconds."""
        try:
            lines = self.tell("show sess").splitlines()
        except OSError:
            return []
        mine = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines if f" be=port_{port} " in line]
        return [_seconds(words.get("age", "")) for words in mine]


def program() -> str:
    """HAProxy on this target. :raises InputError: when there is none."""
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    if not found:
        raise InputError("the proxy", "the program haproxy on the target", "none",
                         "Install it (mobius.ops.setup does), or set mobius_proxy_port to 0")
    return found
