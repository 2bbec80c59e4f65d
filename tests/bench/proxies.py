"""nginx and HAProxy under the same traffic: pointed to another instance that runs, and while the only instance is started anew."""

from __future__ import annotations

import asyncio
import http.server
import shutil
import subprocess
import threading
import time
import typing as t
from pathlib import Path

from support.proxied import free_ports

from ansible_collections.mobius.ops.plugins.module_utils._service.proxy import haproxy
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

RATE, SECONDS, GAP = 200, 6.0, 1.5
SETTINGS = {"host": "127.0.0.1", "certificate": "", "max_body": 10**6, "max_connections": 1000, "timeout": 30, "url": ""}


class Instance:
    """An HTTP server on a port that answers at once, and finishes what it has when it ends."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.start()

    def start(self) -> None:
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_words: t.Any) -> None:
                pass

        http.server.ThreadingHTTPServer.request_queue_size = 1000  # all that were held come at once
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class HAProxy:
    """As this collection uses it."""

    name = "HAProxy"

    def __init__(self, folder: Path, port: int, ports: list[int]) -> None:
        folder.mkdir(parents=True)
        self.proxy = haproxy.Proxy(Layout(str(folder)), {**SETTINGS, "port": port}, ports, "127.0.0.1", None)
        self.proxy.save()
        self.process = subprocess.Popen(self.proxy.command(), cwd=self.proxy.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.proxy.wait()

    def hold(self) -> None:
        self.proxy.hold(30)

    def release(self) -> None:
        self.proxy.release()

    def point(self, port: int) -> None:
        self.proxy.point(port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class Nginx:
    """One upstream in an included file, changed by a reload. It has no way to hold requests."""

    name = "nginx"

    def __init__(self, folder: Path, port: int, ports: list[int]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "nginx.conf").write_text(f"""
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 2;
events {{ worker_connections 1000; }}
http {{
  access_log off;
  include {folder}/upstream.conf;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_next_upstream error timeout; }} }}
}}
""")
        self._write(ports[0])
        self.process = subprocess.Popen(
            [program() or "nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.5)

    def _write(self, port: int) -> None:
        (self.folder / "upstream.conf").write_text(f"upstream app {{ server 127.0.0.1:{port} max_fails=0; }}\n")

    def hold(self) -> None:
        """There is no such thing."""

    release = hold

    def point(self, port: int) -> None:
        self._write(port)
        self.process.send_signal(1)  # SIGHUP: reload

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def program() -> str | None:
    """nginx on this machine."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


async def _ask(port: int, waits: list[float], failed: list[str]) -> None:
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        if answer[9:12] != b"200":
            failed.append(answer[:30].decode("latin-1"))
    except (OSError, asyncio.TimeoutError) as error:
        failed.append(str(error))
    waits.append((time.monotonic() - began) * 1000)


async def _load(port: int, event: t.Callable[[], None]) -> tuple[list[float], list[str]]:
    waits: list[float] = []
    failed: list[str] = []
    due, tasks = time.monotonic(), []
    happening = asyncio.get_running_loop().run_in_executor(None, event)
    for _number in range(int(RATE * SECONDS)):
        tasks.append(asyncio.create_task(_ask(port, waits, failed)))
        due += 1 / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await asyncio.gather(*tasks, happening)
    return waits, failed


def _once(kind: t.Any, folder: Path, state: str) -> dict[str, t.Any]:
    port, first, second = free_ports(3)
    instances = [Instance(first)] + ([Instance(second)] if state == "shared" else [])
    proxy = kind(folder, port, [first, second])

    def shared() -> None:
        time.sleep(2)
        proxy.point(second)

    def exclusive() -> None:
        time.sleep(2)
        proxy.hold()
        instances[0].stop()
        time.sleep(GAP)
        instances[0].start()
        proxy.release()

    try:
        waits, failed = asyncio.run(_load(port, shared if state == "shared" else exclusive))
    finally:
        proxy.stop()
        for instance in instances:
            instance.stop()
    waits.sort()
    row = {
        "proxy": kind.name,
        "state": state,
        "requests": len(waits),
        "failed": len(failed),
        "p99": waits[int(0.99 * len(waits))],
        "longest": waits[-1],
    }
    print(
        f"  {kind.name:<8} {state:<10} {len(waits)} requests, {len(failed)} failed, p99 {row['p99']:.0f} ms, longest {waits[-1]:.0f} ms",
        flush=True,
    )
    return row


def compare(folder: Path, rounds: int) -> list[dict[str, t.Any]]:
    """Both proxies, both kinds of state, interleaved; the worst round of each, for one lost request is one too many."""
    kinds = [HAProxy] + ([Nginx] if program() else [])
    worst: dict[tuple[str, str], dict[str, t.Any]] = {}
    for number in range(rounds):
        for state in ("shared", "exclusive"):
            for kind in kinds:
                row = _once(kind, folder / f"{kind.name}-{state}-{number}", state)
                key = (kind.name, state)
                if key not in worst or (row["failed"], row["longest"]) > (worst[key]["failed"], worst[key]["longest"]):
                    worst[key] = row
    return list(worst.values())
