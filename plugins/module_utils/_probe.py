# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One HTTP probe: a check is sent, its answer judged, and told apart what went wrong.

An outcome is ``ok``, ``slow`` (right but over its latency limit), ``failed`` (the service answered wrongly or not at
all: ``refused``, ``timeout``, ``closed``, ``status``, ``body``, ``assertion``) or ``error`` (this side could not
measure: ``dns``, ``tls``, ``request``). Design: "Words that mean one thing".
"""
from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _commands
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, StateError

try:
    import requests
except ImportError:
    requests = None
try:
    import jmespath
except ImportError:
    jmespath = None

#: Bytes of a body that are read and judged; the rest is not asked for.
BODY_LIMIT = 256 * 1024
EVIDENCE_LIMIT = 200
DEFAULTS: dict[str, t.Any] = {
    "method": "GET", "headers": {}, "secret_headers": {}, "body": None, "status": [200], "contains": "", "json": [],
    "timeout": 5.0, "max_ms": None,
}


def normalize(check: dict[str, t.Any], headers: dict[str, str] | None = None) -> dict[str, t.Any]:
    """A check with every field, of the right types.

    :param check: ``url`` and, where wanted, what ``DEFAULTS`` has. Its ``secret_headers`` are among its ``headers`` then.
    :param headers: headers that every check sends; the check's own win.
    :raises InputError: when a field is unknown or has a wrong value.
    """
    name = str(check.get("name") or _commands.without_passwords(str(check.get("url") or "")))
    unknown = sorted(set(check) - set(DEFAULTS) - {"name", "url"})
    if unknown:
        raise InputError(f"check {name}", "the fields name, url, " + ", ".join(DEFAULTS), ", ".join(unknown), "Correct the name")
    if not str(check.get("url") or "").startswith(("http://", "https://")):
        raise InputError(f"check {name}", "a url with http:// or https://", repr(check.get("url")), "Correct the url")
    full = {**DEFAULTS, **{key: value for key, value in check.items() if value is not None}, "name": name}
    try:
        status = full["status"] if isinstance(full["status"], (list, tuple)) else str(full["status"]).split(",")
        full["status"] = [int(code) for code in status]
        full["timeout"] = float(full["timeout"])
        full["max_ms"] = None if full["max_ms"] is None else float(full["max_ms"])
    except (TypeError, ValueError) as error:
        raise InputError(f"check {name}", "numbers in status, timeout and max_ms", str(error), "Correct them") from error
    full["json"] = [full["json"]] if isinstance(full["json"], str) else list(full["json"])
    for expression in full["json"] if jmespath else []:
        _compiled(expression.replace("{release}", "id"))
    full["headers"] = {key: str(value) for key, value in {**(headers or {}), **full["headers"], **full.pop("secret_headers")}.items()}
    return full


def fill(check: dict[str, t.Any], release: str | None) -> dict[str, t.Any]:
    """The check with ``{release}`` in its JSON assertions and text replaced by the release that should answer."""
    return {**check, "json": [text.replace("{release}", release or "") for text in check["json"]],
            "contains": check["contains"].replace("{release}", release or "")}


def session() -> t.Any:
    """An HTTP session with kept-alive connections and no proxy from the environment.

    :raises StateError: when the target lacks the Python library.
    """
    if requests is None:
        raise StateError("health checks", "the Python library requests on the target", "none",
                         "Install the package python3-requests there (mobius.ops.setup does)")
    made = requests.Session()
    made.trust_env = False
    return made


def probe(check: dict[str, t.Any], http: t.Any) -> dict[str, t.Any]:
    """Run a normalized check once; its sample has ``check, outcome, kind, status, ms, error, evidence``."""
    began = time.monotonic()
    sample = {"check": check["name"], "outcome": "ok", "kind": "", "status": None, "error": "", "evidence": ""}
    try:
        answer = http.request(check["method"], check["url"], headers=check["headers"], data=(check["body"] or "").encode("utf-8"),
                              timeout=check["timeout"], stream=True, allow_redirects=False)
        with answer:
            sample["status"] = answer.status_code
            body = _read(answer, began + check["timeout"])
        sample["ms"] = _milliseconds(began)
        kind, error = judge(check, sample["status"], body)
        if kind:
            sample.update(outcome="failed", kind=kind, error=error, evidence=_show(body))
        elif check["max_ms"] is not None and sample["ms"] > check["max_ms"]:
            sample.update(outcome="slow", kind="latency", error=f"{sample['ms']:.0f} ms, over the limit of {check['max_ms']:.0f} ms")
    except (requests.RequestException, TimeoutError, ValueError) as error:
        outcome, kind = classify(error)
        sample.update(outcome=outcome, kind=kind, error=_reason(kind, error, check), ms=_milliseconds(began))
    return sample


def _milliseconds(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


def _read(answer: t.Any, deadline: float) -> bytes:
    """The body's beginning. :raises TimeoutError: when it does not come in time, byte by byte or at all."""
    body = b""
    with _hung_up_at(deadline, answer):
        try:
            for chunk in answer.iter_content(16 * 1024):
                body += chunk
                if time.monotonic() >= deadline or len(body) >= BODY_LIMIT:
                    break
        except requests.RequestException:
            if time.monotonic() < deadline:
                raise
    if time.monotonic() >= deadline:
        raise TimeoutError("the body did not come in time")
    return body


@contextlib.contextmanager
def _hung_up_at(deadline: float, answer: t.Any) -> t.Iterator[None]:
    """End the connection at a time: the reader waits for whole chunks, and every byte renews its patience."""
    try:
        line = socket.socket(fileno=os.dup(answer.raw.fileno()))
    except (OSError, AttributeError):  # the body is there already
        yield
        return

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        line.close()


def _show(body: bytes) -> str:
    return " ".join(body[:EVIDENCE_LIMIT].decode("utf-8", "replace").split())


def judge(check: dict[str, t.Any], status: int, body: bytes) -> tuple[str, str]:
    """What is wrong with an answer, ``(kind, error)``; two empty texts when it is right."""
    if status not in check["status"]:
        return "status", f"status {status} instead of {' or '.join(str(code) for code in check['status'])}"
    if check["contains"] and check["contains"] not in body.decode("utf-8", "replace"):
        return "body", f"the body does not contain '{check['contains']}'"
    if not check["json"]:
        return "", ""
    try:
        document = json.loads(body.decode("utf-8", "replace"))
    except ValueError as error:
        return "body", f"the body is not JSON: {error}"
    for expression in check["json"]:
        if not _holds(expression, document):
            return "assertion", f"the JSON body does not satisfy: {expression}"
    return "", ""


def _compiled(expression: str) -> t.Any:
    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise InputError(f"JSON assertion {expression}", "a JMESPath expression", str(error).split("\n", maxsplit=1)[0],
                         "Correct it") from error


def _holds(expression: str, document: t.Any) -> bool:
    if jmespath is None:
        raise StateError("health checks", "the Python library jmespath on the target", "none",
                         "Install the package python3-jmespath there (mobius.ops.setup does)")
    try:
        return bool(_compiled(expression).search(document))
    except jmespath.exceptions.JMESPathError:  # it asks of a text what only a number has, or the like
        return False


def classify(error: BaseException) -> tuple[str, str]:
    """``(outcome, kind)`` of what an HTTP request raised."""
    text = repr(error)
    if isinstance(error, (requests.Timeout, TimeoutError)) or "timed out" in text:
        return "failed", "timeout"
    if isinstance(error, requests.exceptions.SSLError):
        return "error", "tls"
    if "NameResolutionError" in text or "Name or service not known" in text or "getaddrinfo" in text \
            or "name resolution" in text:
        return "error", "dns"
    if "Connection refused" in text:
        return "failed", "refused"
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return "failed", "closed"
    return "error", "request"


def _reason(kind: str, error: BaseException, check: dict[str, t.Any]) -> str:
    told = {
        "timeout": f"no whole answer within {check['timeout']:g} s",
        "refused": f"connection refused at {check['url']}",
        "dns": f"the host name of {check['url']} cannot be resolved",
        "closed": "the connection was closed before the answer was whole",
    }
    return _commands.without_passwords(told.get(kind) or str(error))[:EVIDENCE_LIMIT]
