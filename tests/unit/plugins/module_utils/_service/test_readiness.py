# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a release does not become ready, as the message says it: real Node programs that fail in the ways applications do."""

from __future__ import annotations

import json
import os
import shutil
import socket

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import readiness

pytestmark = [pytest.mark.usefixtures("by_answers"), pytest.mark.skipif(not shutil.which("node"), reason="needs node")]

SERVER = """
const http = require('http');
http.createServer((req, res) => { %s }).listen(process.env.PORT, '127.0.0.1');
"""
ORIGIN = "http://check.example"


def started(host, files, **options):
    """A release of Node files, live and started."""
    host.live("r1")
    for name, text in files.items():
        path = os.path.join(host.layout.release("r1"), name)
        with fs.open_umask():
            os.makedirs(os.path.dirname(path), exist_ok=True)
        fs.write_text(path, text)
    service = host.service(command=["node", "src/api/index.js"], **options)
    service.start()
    return service


def refusal(host, files, timeout=HANG, secret_headers=None, **options):
    """The message about a release that does not become ready."""
    service = started(host, files, **options)
    checks = [{"name": "health", "url": f"http://127.0.0.1:{host.port}/health", "json": ["status == 'ok'"], "timeout": HANG}]
    with pytest.raises(ServiceError) as caught:
        readiness.ready(service, health.normalize_all(checks, {"Origin": ORIGIN}, secret_headers), "r1", timeout)
    return caught.value


ENDED = [
    ("syntax error", {"src/api/index.js": "const fine = 1;\nconst broken = ;\n"}, "SyntaxError: Unexpected token ';' (src/api/index.js:2)"),
    (
        "syntax error in a module",
        {"package.json": '{"type": "module"}', "src/api/index.js": "import './other.js';\n", "src/api/other.js": "\n\nlet a = ;\n"},
        "SyntaxError: Unexpected token ';' (src/api/other.js:3)",
    ),
    ("missing file", {"src/api/index.js": "\nrequire('./nowhere');\n"}, "Error: Cannot find module './nowhere' (src/api/index.js:2:1)"),
    (
        "missing package",
        {"package.json": '{"type": "module"}', "src/api/index.js": "import 'left-pad';\n"},
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'left-pad' imported from src/api/index.js",
    ),
    (
        "throws at start",
        {
            "src/api/index.js": "require('../lib/settings.js').load();\n",
            "src/lib/settings.js": "exports.load = () => {\n  throw new TypeError('no such setting: RENDERER');\n};\n",
        },
        "TypeError: no such setting: RENDERER (src/lib/settings.js:2:9)",
    ),
    (
        "throws in a package",
        {
            "src/api/index.js": "\nrequire('pg').connect();\n",
            "node_modules/pg/index.js": "exports.connect = () => { throw new Error('password missing'); };\n",
        },
        "Error: password missing (src/api/index.js:2:15)",
    ),
    (
        "rejects",
        {"src/api/index.js": "async function start() {\n  throw new Error('no database');\n}\nstart();\n"},
        "Error: no database (src/api/index.js:2:9)",
    ),
    (
        "logs its error in one line",
        {
            "src/api/index.js": "try {\n  throw new RangeError('too many\\nworkers');\n} catch (error) {\n"
            "  console.error('2026-01-01 ERROR ' + error.stack.replace(/\\s*\\n\\s*/g, ' | '));\n"
            "  process.exit(1);\n}\n"
        },
        "RangeError: too many | workers (src/api/index.js:2:9)",
    ),
    (
        "says why and ends",
        {"src/api/index.js": "console.log('starting');\nconsole.error('ERROR: MOBIUS_API_KEYS must be set');\nprocess.exit(1);\n"},
        "ERROR: MOBIUS_API_KEYS must be set",
    ),
    (
        "handled another error before",
        {"src/api/index.js": "console.error(new Error('cache is cold'));\nnull.x;\n"},
        "TypeError: Cannot read properties of null (reading 'x') (src/api/index.js:2:6)",
    ),
]


@pytest.mark.parametrize("files, cause", [case[1:] for case in ENDED], ids=[case[0] for case in ENDED])
def test_the_exception_of_a_process_that_ended_comes_first_with_its_place_in_the_application(host, files, cause):
    error = refusal(host, files)
    assert f"found {cause}; the service " in str(error), str(error)


ANSWERS = [
    (
        "origin",
        403,
        '{"error":"CORS origin not allowed"}',
        "health: status 403 instead of 200 (CORS origin not allowed)",
        f"The checks send the Origin of mobius_check_origin ({ORIGIN}): put it into MOBIUS_CORS_ORIGINS",
    ),
    (
        "origin in plain text",
        403,
        "CORS origin not allowed\n",
        "status 403 instead of 200 (CORS origin not allowed)",
        "MOBIUS_CORS_ORIGINS",
    ),
    ("no key", 401, '{"error":"Unauthorized"}', "status 401 instead of 200 (Unauthorized)", "set mobius_check_secret_headers"),
    (
        "wrong key",
        403,
        '{"error":"the API key is not valid"}',
        "status 403 instead of 200 (the API key is not valid)",
        "set mobius_check_secret_headers",
    ),
    ("another refusal", 403, '{"error":"closed today"}', "status 403 instead of 200 (closed today)", "Its last lines are"),
    (
        "broken",
        500,
        '{"status":"failing","database":"locked"}',
        'status 500 instead of 200 ({"status":"failing","database":"locked"})',
        "Its last lines are",
    ),
    (
        "a page",
        502,
        "<!DOCTYPE html><head><title>x</title></head><body><pre>Cannot\n GET /health</pre></body>",
        "status 502 instead of 200 (Cannot GET /health)",
        "Its last lines are",
    ),
    ("hostile", 500, "\x1b[2J\x00 down\r\n" + "x" * 5000, "status 500 instead of 200 ([2J down xxx", "Its last lines are"),
]


@pytest.mark.parametrize("status, body, found, todo", [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_a_wrong_status_is_shown_with_its_body_and_the_setting_that_helps(host, status, body, found, todo):
    text = str(refusal(host, {"src/api/index.js": SERVER % f"res.writeHead({status}); res.end({json.dumps(body)});"}, 0.3))
    assert found in text and todo in text, text
    assert f"found not healthy within 0.3 s (health: status {status}" in text and text.isprintable() and len(text) < 900


def test_an_exception_that_a_request_met_comes_before_its_status(host):
    code = SERVER % "try { null.rows } catch (error) { console.error(error); res.writeHead(500); res.end('oops'); }"
    text = str(refusal(host, {"src/api/index.js": code}, 0.3))
    assert "found TypeError: Cannot read properties of null (reading 'rows') (src/api/index.js:3:" in text
    assert "not healthy within 0.3 s (health: status 500 instead of 200 (oops))" in text


def test_what_was_printed_before_this_start_is_no_cause(host):
    crash = {"src/api/index.js": "throw new Error('of the release before');\n"}
    service = started(host, crash)
    with pytest.raises(ServiceError, match="of the release before"):
        readiness.ready(service, [], "r1", HANG)
    service.stop()
    fs.write_text(os.path.join(host.layout.release("r1"), "src/api/index.js"), "process.exit(5);\n")
    service.start()
    with pytest.raises(ServiceError) as caught:
        readiness.ready(service, [], "r1", HANG)
    assert "found the service " in str(caught.value)


def test_a_port_in_use_is_named(host):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = str(refusal(host, {"src/api/index.js": f"\nrequire('http').createServer().listen({port}, '127.0.0.1');\n"}))
    assert f"found Error: listen EADDRINUSE: address already in use 127.0.0.1:{port}; the service " in text


def test_a_refused_connection_is_explained_by_the_end_of_the_process(host):
    error = refusal(host, {"src/api/index.js": "throw new Error('no disk');\n"}, 0.2, restart_delay=10 * HANG, restart_limit=0)
    assert "found Error: no disk (src/api/index.js:1:7); the service failed, ended 1 times (last: status 1)" in str(error)


def test_no_secret_is_in_the_cause(host, secret):
    code = f"throw new Error('{'x' * 290}{secret} is no key');\n"
    error = refusal(host, {"src/api/index.js": code})
    assert secret[:6] not in str(error) and "x**… (src/api/index.js:1:7)" in str(error)


def test_no_secret_is_in_the_body_of_an_answer(host):
    echo = {"src/api/index.js": SERVER % "res.writeHead(500); res.end(process.env.MOBIUS_API_KEYS);"}
    assert "status 500 instead of 200 (********)" in str(refusal(host, echo, 0.3))


def test_the_log_of_each_instance_is_named(host):
    error = refusal(host, {"src/api/index.js": "process.exit(1);\n"})
    log = host.layout.path("shared", "logs", "console.log")
    assert str(error).endswith(f"Its last lines are in this result and in {log}.") and error.facts["log"] == log
