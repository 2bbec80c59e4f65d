"""One HTTP probe: a check is sent, its answer judged, and told apart what went wrong.

An outcome is ``ok``, ``slow`` (right but over its latency limit), ``failed`` (the service answered wrongly or not at
all: ``refused``, ``timeout``, ``closed``, ``status``, ``body``, ``assertion``, ``redirect``, ``too_large``, and ``tls`` when
its certificate has expired or is for another host) or ``error`` (this side could not measure: ``dns``, ``tls``, ``proxy``,
``request``). Design: "Words that mean one thing".
"""

from __future__ import annotations

import base64
import http.client
import time
import typing as t
from urllib.parse import urljoin

from .._core import documents, expressions, redaction, wording
from .._core.errors import InputError
from .._target.record_types import Check
from .http import body as http_body
from .http import connection as http_connection
from .http import library as http_library
from .http.faults import Fault, classify, reason
from .samples import Sample

EVIDENCE_LIMIT = 200
#: Whose library is lacking when there is no JMESPath, and where.
_LIBRARY_OF = ("health checks", "on the target")
DEFAULTS: t.Mapping[str, t.Any] = {
    "method": "GET",
    "headers": {},
    "secret_headers": {},
    "body": None,
    "status": [200],
    "contains": "",
    "json": [],
    "timeout": 5.0,
    "max_ms": None,
    "redirects": 0,
    "ca": "",
    "validate_certs": True,
    "client_cert": "",
    "client_key": "",
    "proxy": "",
    "username": "",
    "password": "",
    "token": "",
    "attempts": 1,
    "backoff": 0.0,
}
#: Numbers: type, smallest value.
NUMBERS: dict[str, tuple[t.Any, float]] = {
    "timeout": (float, 0),
    "max_ms": (float, 0),
    "redirects": (int, 0),
    "attempts": (int, 1),
    "backoff": (float, 0),
}
REDIRECTS = (301, 302, 303, 307, 308)


def normalize(check: t.Mapping[str, t.Any], headers: dict[str, str] | None = None) -> Check:
    """A check with every field, of the right types.

    :param check: ``url`` and, where wanted, what ``DEFAULTS`` has. Its ``secret_headers`` are among its ``headers`` then, and its
        credentials too; ``secrets`` are the texts that no sample may show.
    :param headers: headers that every check sends; the check's own win.
    :raises InputError: when a field is unknown or has a wrong value.
    """
    name = str(check.get("name") or redaction.without_passwords(str(check.get("url") or "")))
    unknown = sorted(set(check) - set(DEFAULTS) - {"name", "url", "secrets"})
    if unknown:
        raise InputError(f"check {name}", "the fields name, url, " + ", ".join(DEFAULTS), ", ".join(unknown), "Correct the name")
    full = {**DEFAULTS, **{key: value for key, value in check.items() if value is not None}, "name": name}
    for field in ("url", "proxy"):
        if not str(full.get(field) or "").startswith(("http://", "https://")) and (full.get(field) or field == "url"):
            raise InputError(f"check {name}", f"a {field} with http:// or https://", repr(full.get(field)), f"Correct the {field}")
    full.update(_numbers(full))
    full["json"] = [full["json"]] if isinstance(full["json"], str) else list(full["json"])
    for expression in full["json"]:
        _require_expression(expression.replace("{release}", "id"))
    own = {**full["headers"], **full["secret_headers"], **_credentials(full)}
    full["headers"] = {key: str(value) for key, value in {**(headers or {}), **own}.items()}
    full["secrets"] = _told(full)
    return t.cast(Check, {key: value for key, value in full.items() if key not in ("secret_headers", "username", "password", "token")})


def _numbers(full: t.Mapping[str, t.Any]) -> dict[str, object]:
    """The fields that are numbers, as numbers."""
    try:
        status = full["status"] if isinstance(full["status"], (list, tuple)) else str(full["status"]).split(",")
        found: dict[str, object] = {"status": [int(code) for code in status]}
        for field, (kind, smallest) in NUMBERS.items():
            number = found[field] = None if full[field] is None else kind(full[field])
            if number is not None and not number >= smallest:
                raise ValueError(f"{field} {full[field]}")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"check {full['name']}",
            "numbers in status, timeout and max_ms, redirects and backoff, 1 or more attempts",
            str(error),
            "Correct them",
        ) from error
    return found


def _credentials(full: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The header that tells who asks."""
    if full["token"] and (full["username"] or full["password"]):
        raise InputError(f"check {full['name']}", "a token, or username and password", "both", "Leave one out")
    if full["token"]:
        return {"Authorization": f"Bearer {full['token']}"}
    if full["username"] or full["password"]:
        return {"Authorization": "Basic " + _base64(f"{full['username']}:{full['password']}")}
    return {}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _told(full: t.Mapping[str, t.Any]) -> list[str]:
    """What a sample must not quote, the longest first."""
    return redaction.ordered(
        {
            *full.get("secrets", []),
            *map(str, full["secret_headers"].values()),
            str(full["password"]),
            str(full["token"]),
            *(text for field in ("url", "proxy") for text in redaction.of_address(str(full[field]))),
            *(value.partition(" ")[2] for value in _credentials(full).values()),
        }
    )


def fill(check: Check, release: str | None) -> Check:
    """The check with ``{release}`` in its JSON assertions and text replaced by the release that should answer."""
    return {
        **check,
        "json": [text.replace("{release}", release or "") for text in check["json"]],
        "contains": check["contains"].replace("{release}", release or ""),
    }


def quoted(text: str, secrets: list[str]) -> str:
    """A text in one line of printable characters, cut after all secrets are hidden: no part of one is left."""
    return wording.one_line(redaction.hide(text, secrets))[:EVIDENCE_LIMIT]


def hiding(checks: list[Check], secrets: t.Iterable[str]) -> list[Check]:
    """The normalized checks, with more texts that no sample may show."""
    return [{**check, "secrets": redaction.ordered([*check["secrets"], *secrets])} for check in checks]


def of_release(checks: t.Iterable[Check], release: str | None, secrets: t.Iterable[str]) -> list[Check]:
    """Normalized checks as they are sent to the release that should answer; no sample of them shows the secrets."""
    return hiding([fill(check, release) for check in checks], secrets)


def require(checks: list[Check]) -> None:
    """:raises StateError: when the target lacks a Python library that these normalized checks take."""
    session()
    if any(check["json"] for check in checks):
        expressions.require_library(*_LIBRARY_OF)


def session(workers: int = 1) -> http_connection.Client:
    """What sends probes: connections that are kept alive, and no proxy or password from the environment.

    :param workers: how many threads will use it at the same time.
    :raises StateError: when the target lacks the Python library.
    """
    return http_connection.client(workers)


def probe(check: Check, client: http_connection.Client) -> Sample:
    """Run a normalized check, again while it is not well and may be attempted again.

    Its sample has ``check, outcome, kind, status, ms, error, evidence, certificate_days, attempts, earlier`` of the last attempt;
    ``earlier`` tells why those before it failed.
    """
    check = t.cast(Check, {"secrets": [], **DEFAULTS, **check})
    earlier: list[str] = []
    while True:
        sample = _attempt(check, client)
        sample["error"], sample["evidence"] = (quoted(text, check["secrets"]) for text in (sample["error"], sample["evidence"]))
        sample["attempts"], sample["earlier"] = len(earlier) + 1, earlier
        if sample["outcome"] in ("ok", "slow") or len(earlier) + 1 >= check["attempts"]:
            return sample
        earlier = [*earlier, sample["error"]]
        time.sleep(check["backoff"] * 2 ** (len(earlier) - 1))


def _attempt(check: Check, client: http_connection.Client) -> Sample:
    """Send a check once; its sample, with as much evidence as there is."""
    began = time.monotonic()
    sample: Sample = {
        "check": check["name"],
        "outcome": "ok",
        "kind": "",
        "status": None,
        "error": "",
        "evidence": "",
        "certificate_days": None,
        "ms": 0.0,
        "attempts": 1,
        "earlier": [],
    }
    with client.guard(check["timeout"]) as guard:
        try:
            with _follow(check, client, sample) as answer:
                body = _read(check, answer, guard, client)
            sample["ms"] = _milliseconds(began)
            kind, error = judge(check, answer.status_code, body)
            if kind:
                sample.update({"outcome": "failed", "kind": kind, "error": error, "evidence": body.data.decode("utf-8", "replace")})
            elif check["max_ms"] is not None and sample["ms"] > check["max_ms"]:
                slow = f"{sample['ms']:.0f} ms, over the limit of {check['max_ms']:.0f} ms"
                sample.update({"outcome": "slow", "kind": "latency", "error": slow})
        except (OSError, ValueError, Fault, http.client.HTTPException, http_library.required().urllib3.exceptions.HTTPError) as error:
            outcome, kind = _blamed(check, sample, guard, error)
            sample.update({"outcome": outcome, "kind": kind, "ms": _milliseconds(began)})
            sample["error"] = redaction.without_passwords(reason(kind, error, check["url"], check["timeout"]))
        if guard.certificate_end is not None:
            sample["certificate_days"] = round((guard.certificate_end - time.time()) / 86400, 1)
    return sample


def _blamed(check: Check, sample: Sample, guard: http_connection.Guard, error: Exception) -> tuple[str, str]:
    """``(outcome, kind)`` of what a request raised. Who took too long is the service, unless the request has never come to it."""
    outcome, kind = classify(error)
    reached = not check["proxy"] or sample["status"] is not None or guard.certificate_end is not None
    if kind == "proxy" and reached:  # urllib3 says so of every tunnel that ends
        outcome, kind = "failed", "closed"
    if not guard.over() or isinstance(error, Fault) or kind == "dns":
        return outcome, kind
    return ("failed", "timeout") if reached else ("error", "proxy")


def _milliseconds(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


def _read(check: Check, answer: t.Any, guard: http_connection.Guard, client: http_connection.Client) -> http_body.Body:
    """The body. A wrong status says more than a body that cannot be read."""
    try:
        return http_body.read(answer, guard, client.limit, client.sink)
    except Fault as fault:
        kind, error = judge(check, answer.status_code, None)
        raise Fault(kind, error) if kind == "status" else fault from fault


def _follow(check: Check, client: http_connection.Client, sample: Sample) -> t.Any:
    """Send the request; the answer at the end of the redirects that may be followed.

    Another host gets neither headers nor credentials of the check.

    :raises Fault: when the redirects lead nowhere.
    """
    method, url, headers, body = check["method"], check["url"], check["headers"], (check["body"] or "").encode("utf-8")
    been: list[str] = []
    while True:
        answer = client.send(check, method, url, headers, body)
        sample["status"] = answer.status_code
        target = answer.headers.get("Location")
        if not check["redirects"] or not target or answer.status_code not in REDIRECTS or answer.status_code in check["status"]:
            return answer
        answer.close()
        been.append(url)
        following = _target(url, target)
        if following in been:
            raise Fault("redirect", f"the redirects go in a circle, back to {following}")
        if len(been) > check["redirects"]:
            raise Fault("redirect", f"more redirects than {check['redirects']}, the last one to {following}")
        if http_library.required().requests.sessions.SessionRedirectMixin().should_strip_auth(url, following):
            headers = {}
        if answer.status_code == 303 or (answer.status_code in (301, 302) and method == "POST"):
            method, body = "HEAD" if method == "HEAD" else "GET", b""
        url = following


def _target(url: str, target: str) -> str:
    """Where a redirect leads. :raises Fault: when that is no web address."""
    try:
        following = urljoin(url, target)
    except ValueError:
        following = ""
    if not following.startswith(("http://", "https://")):
        raise Fault("redirect", f"a redirect to '{target}', which is no web address")
    return following


def judge(check: Check, status: int, body: http_body.Body | None) -> tuple[str, str]:
    """What is wrong with an answer, ``(kind, error)``; two empty texts when it is right."""
    if status not in check["status"]:
        return "status", f"status {status} instead of {' or '.join(str(code) for code in check['status'])}"
    if body is None:
        return "", ""
    limit = f"{http_body.BODY_LIMIT // 1024} kB"
    try:
        if check["contains"] and check["contains"] not in body.text():
            return "body", f"the body does not contain '{check['contains']}'{'' if body.whole else f' in its first {limit}'}"
        if check["json"] and not body.whole:
            return "too_large", f"the JSON body is larger than {limit}"
        document = documents.parse(body.text(strict=True)) if check["json"] else None
    except Fault as fault:
        return fault.kind, str(fault)
    except ValueError as error:
        return "body", f"the body is not JSON: {error}"
    for expression in check["json"]:
        if not _holds(expression, document):
            return "assertion", f"the JSON body does not satisfy: {expression}"
    return "", ""


def _require_expression(expression: str) -> None:
    expressions.require(f"JSON assertion {expression}", expression)


def _holds(expression: str, document: t.Any) -> bool:
    _require_expression(expression)
    return bool(expressions.search(expression, document, *_LIBRARY_OF))
