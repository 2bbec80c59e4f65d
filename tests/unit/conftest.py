# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real parts for the tests of the core: hosts with running services, an HTTP server, releases and artifacts."""

from __future__ import annotations

import atexit
import contextlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import ssl
import sys
import tarfile
import tempfile
import threading
import time
import types
import typing as t

import hypothesis
import pytest
from support.certificates import Authority
from support.ports import free_port
from support.remains import end_all, processes_of
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core import processes as core_processes
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import host as preflight_host
from ansible_collections.mobius.ops.plugins.module_utils._observe import health, host_metrics, probe, thresholds
from ansible_collections.mobius.ops.plugins.module_utils._service import definition, process_service, supervisor
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._service.proxy import haproxy
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders as watch_folders
from ansible_collections.mobius.ops.plugins.module_utils._watch import latency_baseline, watcher

DETACHED = (supervisor, watcher)  # detached code takes along what is loaded
hypothesis.settings.register_profile("quick", deadline=None, max_examples=60, database=None, derandomize=True)
hypothesis.settings.load_profile("quick")

SECRET = "zeKr1t-of-the-core-tests"


def _isolate() -> None:
    """Remove settings of the machine, the user and the shell from the environment of the tests and their processes."""
    for name in list(os.environ):
        if name.upper().startswith(("GIT_", "ANSIBLE_", "NPM_CONFIG_")) or name.upper().endswith("_PROXY"):
            del os.environ[name]
    for name in ("LANG", "LANGUAGE", *(name for name in os.environ if name.startswith("LC_"))):
        os.environ.pop(name, None)
    os.environ["LC_ALL"] = "C.UTF-8"  # Ansible accepts UTF-8 only
    os.environ["GIT_CONFIG_GLOBAL"] = os.environ["GIT_CONFIG_SYSTEM"] = os.devnull
    if not os.access(os.environ.get("HOME", ""), os.W_OK):  # ansible, npm and ssh need one
        home = tempfile.mkdtemp(prefix="mobius-home-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        os.environ["HOME"] = home
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # set for background jobs of shell scripts, and inherited
        signal.signal(signal.SIGINT, signal.default_int_handler)


_isolate()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the product's own limits to HANG, so that a busy machine does not reach them. A test of such a limit sets its own value."""
    for util, name in (
        (process_service, "LAUNCH_TIMEOUT"),
        (watch_folders, "LAUNCH_TIMEOUT"),
        (watch_control, "STOP_TIMEOUT"),
        (haproxy, "PATIENCE"),
        (deploy_lock, "PATIENCE"),
        (latency_baseline, "PATIENCE"),
        (host_metrics, "PATIENCE"),
        (preflight_host, "PATIENCE"),
    ):
        monkeypatch.setattr(util, name, HANG)
    monkeypatch.setitem(probe.DEFAULTS, "timeout", HANG)


@pytest.fixture(autouse=True)
def no_name_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve no name below ``.invalid``, independent of the machine's resolver."""
    real = socket.getaddrinfo

    def resolve(host: t.Any, *words: t.Any, **options: t.Any) -> t.Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *words, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


#: Stands in for MOBIUS: it answers /health with its release id. The file ``mode`` in its folder says how it behaves.
APP = """
import os, signal, socket, sys, time

def release():
    with open(".release.json") as stream:
        return stream.read().split('"id": "')[1].split('"')[0]

def mode():
    try:
        with open("mode") as stream:
            return stream.read().strip()
    except OSError:
        return "ok"

own = release()
print("starts with key " + os.environ.get("MOBIUS_API_KEYS", "none"), flush=True)
if mode() == "crash":
    sys.exit(3)
if mode() == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode() == "child" and os.fork() == 0:
    time.sleep(86400)
    os._exit(0)
if mode() == "render" and os.fork() == 0:
    os.execv("/bin/sh", ["sh", "-c", "sleep 86400; :", "render-jobs/job-7/scene.mp4"])
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    client, _ = server.accept()
    with client:
        client.recv(65536)
        now = mode()
        if now == "die":
            os._exit(4)
        status = "500 Broken" if now == "bad" else "200 OK"
        body = '{"status": "%s", "release": "%s", "key": "%s"}' % (
            now, own, os.environ.get("MOBIUS_API_KEYS"))
        head = "HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n" % (status, len(body))
        client.sendall((head + body).encode())
"""


@pytest.fixture
def by_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advance the readiness clock by 0.1 s per wrong answer, and by nothing else.

    A short ``ready_timeout`` then gives up a service that answers wrongly, but never one that starts slowly.
    """
    now, sample_all = [0.0], health.sample_all

    def count(checks: list[dict[str, t.Any]], *words: t.Any) -> list[dict[str, t.Any]]:
        samples = sample_all([{**check, "timeout": HANG} for check in checks], *words)
        if any(sample["status"] and sample["outcome"] == "failed" for sample in samples):
            now[0] += 0.1
        return samples

    monkeypatch.setattr(health, "sample_all", count)
    monkeypatch.setattr(health, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))


@pytest.fixture
def any_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept any response time, because it depends on the machine."""
    monkeypatch.setitem(thresholds.DEFAULTS, "response_time_ms", (1000 * HANG, 1000 * HANG))


@pytest.fixture(name="wait_until")
def _wait_until() -> t.Callable[..., t.Any]:
    return wait_until


@pytest.fixture(name="free_port")
def _free_port() -> t.Callable[[], int]:
    return free_port


class Host:
    """A set-up target with a service of one small program, and releases that are made without artifacts."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.layout = Layout(root)
        with fs.open_umask():  # like the product: the service user must be able to read them
            for folder in self.layout.folders():
                os.makedirs(folder, exist_ok=True)
        fs.write_text(self.layout.env_file, f"MOBIUS_API_KEYS={SECRET}\n", 0o600)
        self.store = ReleaseStore(self.layout)
        self.port = free_port()

    def release(self, release_id: str, status: str = "prepared", mode: str = "ok", **facts: t.Any) -> dict[str, t.Any]:
        """Put a release on disk that is newer than all others."""
        folder = self.layout.release(release_id)
        with fs.open_umask():
            os.makedirs(folder)
            for name, text in (("app.py", APP), ("package.json", "{}"), ("mode", mode)):
                fs.write_text(os.path.join(folder, name), text)
        record = self.store.new_record(id=release_id, version=release_id, source="test", sha256="0" * 64, status=status, **facts)
        if status != "prepared" and not record["activated"]:
            record["activated"] = record["created"]
        self.store.save(record)
        return record

    def mode(self, release_id: str, mode: str) -> None:
        """Make the release behave in another way from now on."""
        fs.write_text(os.path.join(self.layout.release(release_id), "mode"), mode)

    def live(self, release_id: str, **options: t.Any) -> str:
        """A verified release that ``current`` names."""
        self.release(release_id, options.pop("status", "verified"), **options)
        self.store.point(release_id)
        return release_id

    def params(self, **options: t.Any) -> dict[str, t.Any]:
        """Options of node_service that make the service quick."""
        return {
            "root": self.root,
            "name": "mobius",
            "manager": "process",
            "command": [sys.executable, "-I", "-S", "app.py"],
            "port": self.port,
            "stop_timeout": HANG,
            "restart_delay": 0.05,
            "restart_limit": 3,
            "restart_window": 10 * HANG,
            "proxy_port": None,
            "drain_timeout": HANG,
            "drain_force": False,
            "job_programs": [],
            **options,
        }

    def service(self, **options: t.Any) -> process_service.ProcessService:
        """The service, its definition on disk."""
        defaults = {"host": "127.0.0.1", "user": None, "environment": None, "memory_max": None}
        spec = definition.build_spec(self.layout, {**defaults, **self.params(**options)})
        made = service_registry.service_for(self.layout, spec)
        made.save()
        return made

    @property
    def raw_checks(self) -> list[dict[str, t.Any]]:
        """What asks the service for its health and its release id."""
        return [
            {
                "name": "health",
                "url": f"http://127.0.0.1:{self.port}/health",
                "timeout": HANG,
                "json": ["status == 'ok'", "release == '{release}'"],
            }
        ]

    @property
    def checks(self) -> list[dict[str, t.Any]]:
        """The same in full form."""
        return health.normalize_all(self.raw_checks)

    def serve(self, release_id: str | None = None) -> process_service.ProcessService:
        """Start the service with the live release and wait for it."""
        made = self.service()
        made.start()
        wait_until(lambda: core_processes.port_answers(self.port), what="the service answers")
        return made

    def statuses(self) -> dict[str, str]:
        """Release id -> status."""
        return {record["id"]: record["status"] for record in self.store.all()}

    def history(self) -> list[dict[str, t.Any]]:
        """The events on disk."""
        with open(self.layout.history, encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    def processes(self) -> list[int]:
        """Every process of this host."""
        return processes_of(self.root)

    def files_with(self, text: str) -> list[str]:
        """Files of the host, but for ``.env``, that hold a text."""
        found = []
        for folder, _dirs, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and path != self.layout.env_file and not os.path.islink(path):
                    with open(path, "rb") as stream:
                        if text.encode() in stream.read():
                            found.append(os.path.relpath(path, self.root))
        return sorted(found)


@pytest.fixture
def host_at() -> t.Callable[[str], Host]:
    """``host_at(root)``: a set-up host; its processes are the test's to end."""
    return Host


@pytest.fixture
def host(tmp_path: t.Any, host_at: t.Callable[[str], Host]) -> t.Iterator[Host]:
    """A set-up host; whatever it started is gone after the test."""
    root = os.path.realpath(tmp_path / "host")
    made = host_at(root)
    try:
        yield made
    finally:
        end_all(root)


@pytest.fixture
def secret() -> str:
    """What the ``.env`` of the host keeps secret."""
    return SECRET


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # avoids 40 ms between head and body on a kept connection

    def log_message(self, *_words: t.Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.answers[self.path.partition("?")[0]]
        if callable(answer):
            answer(self, body)
        else:
            self.send(*answer)

    do_POST = do_HEAD = do_GET

    def send(self, status: int, body: bytes | str = b"", **headers: str) -> None:
        """A whole answer."""
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class Web(http.server.ThreadingHTTPServer):
    """A real HTTP server; ``answers`` maps a path to ``(status, body)`` or to a function of the handler."""

    daemon_threads = True
    request_queue_size = 128  # many connect at once
    block_on_close = False

    def __init__(self, certificate: str = "", clients: str = "") -> None:
        """With a certificate it speaks TLS; with *clients*, an authority's file, only with who has a certificate of it."""
        super().__init__(("127.0.0.1", 0), _Answers)
        self.port = self.server_address[1]
        self.base = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            if clients:
                context.load_verify_locations(clients)
                context.verify_mode = ssl.CERT_REQUIRED
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.ending = threading.Event()
        self.answers: dict[str, t.Any] = {"/health": (200, '{"status": "ok"}')}

    def handle_error(self, *_words: t.Any) -> None:
        """Clients that go away are what these tests are about."""


@contextlib.contextmanager
def serving(*options: str) -> t.Iterator[Web]:
    """An HTTP server in a thread."""
    server = Web(*options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.ending.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def web() -> t.Iterator[Web]:
    """An HTTP server in a thread."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure() -> t.Iterator[t.Callable[..., Web]]:
    """Starts servers that speak TLS: ``secure(certificate, clients="")``."""
    with contextlib.ExitStack() as stack:
        yield lambda *options: stack.enter_context(serving(*options))


Member = tuple[str, t.Any]


def tar_gz(path: t.Any, members: list[Member]) -> str:
    """A gzipped tar file of ``(name, bytes | str | ("symlink" | "link", target) | type byte)``; its path."""
    with tarfile.open(str(path), "w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                member.type = tarfile.SYMTYPE if content[0] == "symlink" else tarfile.LNKTYPE
                member.linkname = content[1]
                archive.addfile(member)
            elif isinstance(content, bytes) and len(content) == 1 and content in (tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
                member.type, member.mode = content, 0o755
                archive.addfile(member)
            else:
                data = content.encode() if isinstance(content, str) else content
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return str(path)


@pytest.fixture(name="tar_gz")
def _tar_gz() -> t.Callable[..., str]:
    return tar_gz


def seal(path: str) -> str:
    """Write the ``.sha256`` of a file; the checksum."""
    digest = fs.sha256_file(path)
    fs.write_text(path + ".sha256", f"{digest}  {os.path.basename(path)}\n")
    return digest


@pytest.fixture(name="seal")
def _seal() -> t.Callable[[str], str]:
    return seal


def artifact(path: t.Any, files: dict[str, str], /, **changes: t.Any) -> tuple[str, str]:
    """An artifact with its manifest and sidecar: its path and SHA-256. *changes* replace fields of the manifest."""
    described = {
        name: {"type": "file", "sha256": artifacts.hashlib.sha256(text.encode()).hexdigest(), "size": len(text.encode()), "mode": "0644"}
        for name, text in files.items()
    }
    manifest = {
        "schema": 1,
        "name": "mobius",
        "version": "1.0",
        "created": "2026-01-01T00:00:00Z",
        "source": "test",
        "digest": "d" * 64,
        "files": described,
        **changes,
    }
    made = tar_gz(path, [(artifacts.MANIFEST, json.dumps(manifest)), *files.items()])
    return made, seal(made)


@pytest.fixture(name="artifact")
def _artifact_fixture() -> t.Callable[..., tuple[str, str]]:
    return artifact
