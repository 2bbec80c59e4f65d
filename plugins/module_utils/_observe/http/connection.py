# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP connections for probes: kept alive, and at the end of a probe's time hung up, whatever the other side does."""

from __future__ import annotations

import contextlib
import functools
import http.cookiejar
import os
import socket
import threading
import time
import typing as t

from ..._target.record_types import Check
from . import body as http_body
from . import certificate
from . import library as http_library
from .faults import Fault

#: Seconds between two looks at the clock; a probe may take that much longer than its time.
TICK = 0.05
_current = threading.local()


class Guard:
    """The time of one request and its redirects: what listens to a socket then hears that it was closed.

    A socket's own timeout does not do: every byte renews it.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.certificate_end: float | None = None
        self._sockets: list[socket.socket] = []

    def left(self) -> float:
        """Seconds, and never none: that would mean for ever."""
        return max(0.001, self.deadline - time.monotonic())

    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.deadline

    def watch(self, line: socket.socket) -> None:
        """Let the time end this socket too."""
        self._sockets.append(line)

    def hang_up(self) -> None:
        """End every connection; their owner, in another thread, closes them."""
        for line in list(self._sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)  # not the TLS socket's own, which its reader would stumble over


class _Guarded:
    """A connection whose sockets the guard of the thread knows, from the moment that there is one."""

    certificate_end: float | None = None
    #: Of the class of urllib3 that this is mixed into.
    host: str
    sock: t.Any

    def _new_conn(self) -> t.Any:
        line = super()._new_conn()  # type: ignore[misc]
        if _current.guard.over():  # to connect takes no longer than what was left, but looking up a name knows no limit
            line.close()
            raise Fault("dns", f"the host name {self.host} was found too late")
        line.settimeout(_current.guard.left())
        _current.guard.watch(line)
        return line

    def connect(self) -> None:
        """Connect, and remember when the certificate ends."""
        super().connect()  # type: ignore[misc]
        if hasattr(self.sock, "getpeercert"):
            self.certificate_end = certificate.ends(self.sock.getpeercert(True) or b"")
        self._guard()

    def request(self, *args: t.Any, **options: t.Any) -> None:
        """Send, on a kept connection or a new one."""
        self._guard()
        super().request(*args, **options)  # type: ignore[misc]

    def _guard(self) -> None:
        if self.sock is not None:
            _current.guard.watch(self.sock)
            _current.guard.certificate_end = self.certificate_end


@functools.cache
def _adapter() -> t.Any:
    """The class that makes guarded connections for requests."""
    requests, urllib3 = http_library.required()
    pools = {
        scheme: type("Guarded" + pool.__name__, (pool,), {"ConnectionCls": type("Guarded" + line.__name__, (_Guarded, line), {})})
        for scheme, pool, line in (
            ("http", urllib3.HTTPConnectionPool, urllib3.connection.HTTPConnection),
            ("https", urllib3.HTTPSConnectionPool, urllib3.connection.HTTPSConnection),
        )
    }

    class Adapter(requests.adapters.HTTPAdapter):  # type: ignore[name-defined]
        """Makes guarded connections, asked directly or by a proxy."""

        def init_poolmanager(self, *args: t.Any, **options: t.Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: t.Any, **options: t.Any) -> t.Any:
            manager = super().proxy_manager_for(*args, **options)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter


class Client:
    """Sends the requests of many threads. Use it as a context.

    :param workers: how many threads; as many connections are kept alive.
    """

    #: Bytes after which a body is too large, and who takes all of a body; see ``_observe.http.body.read``.
    limit: float = http_body.ANSWER_LIMIT
    sink: t.Callable[[bytes], t.Any] | None = None

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._sessions: dict[tuple, t.Any] = {}
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="probes' clock", daemon=True)

    def __enter__(self) -> Client:
        self._watchdog.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._closing.set()
        self._watchdog.join()
        for session in self._sessions.values():
            session.close()

    def _watch(self) -> None:
        while not self._closing.wait(TICK):
            with self._lock:
                late = [guard for guard in self._guards if guard.over()]
            for guard in late:
                guard.hang_up()

    @contextlib.contextmanager
    def guard(self, seconds: float) -> t.Iterator[Guard]:
        """The time within which the requests of this thread have to end."""
        made = _current.guard = Guard(seconds)
        with self._lock:
            self._guards.add(made)
        try:
            yield made
        finally:
            with self._lock:
                self._guards.discard(made)

    def send(self, check: Check, method: str, url: str, headers: dict[str, str], body: bytes) -> t.Any:
        """Send a request; the answer's body is still to be read. To be called inside of :meth:`guard`."""
        return self._session(check).request(
            method, url, headers=headers, data=body, timeout=_current.guard.left(), stream=True, allow_redirects=False
        )

    def _session(self, check: Check) -> t.Any:
        """A session for checks that trust and show the same: a connection that was not verified serves no others."""
        key = (check["ca"], check["validate_certs"], check["client_cert"], check["client_key"], check["proxy"])
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = self._new_session(check)
            return self._sessions[key]

    def _new_session(self, check: Check) -> t.Any:
        for field, path in (("ca", check["ca"]), ("client_cert", check["client_cert"]), ("client_key", check["client_key"])):
            if path and not os.access(path, os.R_OK):
                raise ValueError(f"{field} {path}: expected a file that can be read, found none")
        requests, urllib3 = http_library.required()
        if not check["validate_certs"]:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # it was asked for
        made = requests.Session()
        made.trust_env = False
        made.get_redirect_target = lambda resp: None  # a redirect's body would be read to its end, however long it is
        made.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        made.headers["Accept-Encoding"] = "gzip, deflate"
        made.verify = (check["ca"] or True) if check["validate_certs"] else False
        made.cert = (check["client_cert"], check["client_key"]) if check["client_key"] else check["client_cert"] or None
        made.proxies = {"http": check["proxy"], "https": check["proxy"]} if check["proxy"] else {}
        for scheme in ("http://", "https://"):
            made.mount(scheme, _adapter()(pool_connections=self.workers, pool_maxsize=self.workers))
        return made


def client(workers: int) -> Client:
    """A client.

    :raises StateError: when the target lacks the Python library.
    """
    http_library.required()  # before threads ask and time is measured
    return Client(workers)
