"""Messages through the Apprise of Debian 12 and 13, to real receivers by HTTP and SMTP, each in a container without a network."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import email, email.policy, http.server, json, sys, threading
from aiosmtpd.controller import Controller
got = []
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        got.append([body["title"], body["message"], self.headers["Idempotency-Key"]])
        self.send_response(503 if "refuses" in self.path else 200)
        self.end_headers()
    def log_message(self, *words):
        pass
class Mails:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("eve"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = mail.get_body(("plain", "html")).get_content()
        got.append([str(mail["Subject"]), text.replace("\\r\\n", "\\n").strip(), mail["X-Idempotency-Key"]])
        return "250 OK"
Controller(Mails(), hostname="127.0.0.1", port=8025).start()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
import apprise
from ansible_collections.mobius.ops.plugins.module_utils._people import sender
said = [sender.send(url, "SEV1: renders fail", "Next: look\\n\\u00e4", "k" * 32) for url in sys.argv[1:]]
print(json.dumps({"where": apprise.__file__, "version": apprise.__version__, "said": said, "got": got}))
"""
MAIL = "mailto://127.0.0.1:8025/?from=ops@mobius.example&to="
#: URL -> why it failed; empty when the receiver has taken it.
SENT = {
    "json://127.0.0.1:8099/room": "",
    "json://user:password@127.0.0.1:8099/refuses": "the receiver refused it with HTTP status 503",
    f"{MAIL}anna@mobius.example": "",
    f"{MAIL}eve@mobius.example": "the receiver did not take it",
    "json://127.0.0.1:1/": "the receiver did not take it",
    "nosuch://x": "Apprise does not know such a URL",
}
LIBRARIES = ("aiosmtpd", "attr", "public")


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_distribution_s_apprise_sends_by_http_and_smtp(suite, tmp_path):
    image = subprocess.run([ROOT / "tools" / "systemd-image", suite], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    (tmp_path / "program.py").write_text(PROGRAM)
    folders = [Path(importlib.import_module(name).__file__ or "").parent for name in LIBRARIES]
    mounts = [f"{path}:/libraries/{path.name}:ro" for path in folders]
    mounts += [f"{ROOT}/plugins:/libraries/ansible_collections/mobius/ops/plugins:ro", f"{tmp_path}/program.py:/program.py:ro"]
    words = [word for mount in mounts for word in ("--volume", mount)]
    done = subprocess.run(
        ["podman", "run", "--rm", "--network", "none", *words, "--env", "PYTHONPATH=/libraries", image, "python3", "/program.py", *SENT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    print(f"{suite}: Apprise {told['version']} of {told['where']}")
    assert told["where"].startswith("/usr/lib/python3/dist-packages/")  # Debian's
    assert dict(zip(SENT, told["said"])) == SENT
    assert told["got"] == [["SEV1: renders fail", "Next: look\nä", "k" * 32]] * 3
