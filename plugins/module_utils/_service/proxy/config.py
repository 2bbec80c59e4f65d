# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration of HAProxy in front of two instances, and its Lua actions, as text."""

from __future__ import annotations

import re

from ..._core import addresses
from ..._core.errors import InputError
from ..._target.record_types import ProxySettings

#: Where checks reach a proxy that speaks TLS to everybody else.
LOOPBACK = "127.0.0.1"
#: Files in the folder of the proxy, and the folder in it that the proxy's user may write to.
MAP, LUA, CONFIG, RUN = "switch.map", "hold.lua", "haproxy.cfg", "run"
#: The proxy's socket, and where earlier versions had it.
SOCKET, OLD_SOCKET = f"{RUN}/admin.sock", "admin.sock"
HOLD_LUA = """\
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
#: Headers that an answer gets: name, value, and on which further condition.
HEADERS = (
    ("X-Content-Type-Options", "nosniff", ""),
    ("X-Frame-Options", "SAMEORIGIN", ""),
    ("Referrer-Policy", "strict-origin-when-cross-origin", ""),
    ("Strict-Transport-Security", "max-age=31536000", " { ssl_fc }"),
    ("Cache-Control", "no-cache", " { res.hdr(content-type) -m beg text/html }"),
)
#: The program, as processes are called, and seconds that a connection without a request is kept.
PROGRAM, KEPT_ALIVE = "haproxy", 60
#: How the names of an instance's two backends begin: for requests that a switch waits for, and for server-sent events and WebSockets.
REQUESTS, STREAMS = "port", "streams"
_FOR_CHECKS = "  # Without TLS, for checks from this host itself; all else is as for everybody, and the application is told https.\n"


def text(proxy: ProxySettings, ports: list[int], host: str) -> str:
    """The configuration file.

    :param proxy: the settings of ``_service.proxy.haproxy.Proxy``.
    :param ports: of the two instances, on *host*.
    """
    secure = f" ssl crt {_quote(proxy['certificate'])} alpn h2,http/1.1 ssl-min-ver TLSv1.2" if proxy["certificate"] else ""
    headers = "".join(_unless_there(*header) for header in HEADERS if secure or "ssl_fc" not in header[2])
    checks = f"{_FOR_CHECKS}  bind {LOOPBACK}:{proxy['check_port']}\n" if proxy.get("check_port") else ""
    renders = "".join(_held_route(route, proxy["timeout"]) for route in proxy.get("held_routes", ()))
    backends = "".join(
        f"\nbackend {kind}_{port}\n  server instance {addresses.netloc(addresses.to_ask(host), port)}\n"
        for port in ports
        for kind in (REQUESTS, STREAMS)
    )
    live = f"%[str(live),map_str({MAP},{ports[0]})]"
    return f"""\
{_head(proxy)}
frontend public
  bind {addresses.netloc(proxy["host"], proxy["port"])}{secure}
{checks}  http-request deny deny_status 413 if {{ req.hdr_val(content-length) gt {proxy["max_body"]} }}
  http-request set-header X-Forwarded-Proto {"https" if secure else "http"}
  http-response del-header X-Powered-By
{headers}{renders}  http-request lua.mobius_hold if !{{ str(hold),map_str({MAP},0) -m str 0 }}
  # Streams never end by themselves, and their clients connect again: nobody waits for them, so they are kept apart.
  use_backend {STREAMS}_{live} if {{ req.hdr(Accept) -m sub text/event-stream }} || {{ req.hdr(Upgrade) -m found }}
  use_backend {REQUESTS}_{live}
{backends}"""


def _head(proxy: ProxySettings) -> str:
    """What holds for the whole proxy."""
    return f"""\
# Written by mobius.ops.node_service; changes are overwritten.
global
  stats socket unix@{SOCKET} mode 600 level admin expose-fd listeners
  lua-load {LUA}
  maxconn {proxy["max_connections"]}
  # Node takes 16 kB of headers, so the proxy takes them too.
  tune.bufsize 32768
  hard-stop-after 1h

defaults
  mode http
  option forwardfor
  option idle-close-on-response
  # A client that has gone has no request at an instance any more: nobody waits for its end.
  option abortonclose
  timeout http-request 15s
  timeout http-keep-alive {KEPT_ALIVE}s
  timeout client {proxy["timeout"]}s
  timeout server {proxy["timeout"]}s
  # An instance that is started again is waited for: a connection that was refused is tried anew, four times a second.
  timeout connect 250ms
  retries 120
"""


def _unless_there(name: str, value: str, more: str) -> str:
    """A header that an answer gets when the application has not set it: what it says itself may be stricter."""
    return f"  http-response set-header {name} {value} if !{{ res.hdr({name}) -m found }}{more}\n"


def _held_route(route: str, patience: float) -> str:
    """What makes requests of a route wait while renders are held."""
    method, path, star = ROUTE.fullmatch(route).groups()  # type: ignore[union-attr]
    paths = f"path_beg -i {path}" if star else f"path -i {path} {path}/"
    held = f"!{{ str(renders),map_str({MAP},0) -m str 0 }}"
    return f"  http-request lua.mobius_hold_renders {patience} if {{ method {method} }} {{ {paths} }} {held}\n"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def require_routes(routes: list[str]) -> list[str]:
    """The routes as they are. :raises InputError: for one that is not a method and a path."""
    for route in routes:
        if not ROUTE.fullmatch(route):
            raise InputError(
                "held_routes", "a method and a path, such as 'POST /api/render'", repr(route), "Correct mobius_drain_held_routes"
            )
    return routes
