# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What went wrong with an HTTP request: whose fault it is, its kind, and one sentence."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import typing as t
from urllib.parse import urlsplit

from ..._core import documents as core_documents
from ..._core import wording
from . import library as http_library

#: Characters of a body that a sentence quotes.
SAID = 120
_MARKUP = re.compile(r"(?is)<(head|style|script)\b.*?</\1>|<[^>]*>")
#: OpenSSL's numbers for what the owner of a certificate did wrong.
EXPIRED, NOT_YET, OTHER_HOST = 10, 9, (62, 64)
#: For what this side does not know: the issuer.
UNKNOWN_ISSUER = (2, 18, 19, 20, 21)


class Fault(Exception):
    """The service answered, and wrongly. With the kind ``dns`` its name was found too late to ask it."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def causes(error: BaseException) -> list[BaseException]:
    """The error, and every one that it was made of."""
    found: list[BaseException] = []
    todo: list[t.Any] = [error]
    while todo:
        one = todo.pop(0)
        if isinstance(one, BaseException) and not any(one is other for other in found):
            found.append(one)
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return found


def classify(error: BaseException) -> tuple[str, str]:
    """``(outcome, kind)`` of what an HTTP request raised."""
    found, requests = causes(error), http_library.required().requests

    def is_a(*kinds: t.Any) -> bool:
        return any(isinstance(one, kinds) for one in found)

    if isinstance(error, Fault):
        return "error" if error.kind == "dns" else "failed", error.kind
    if isinstance(error, requests.exceptions.ProxyError):
        return "error", "proxy"
    if is_a(requests.Timeout, TimeoutError, socket.timeout):
        return "failed", "timeout"
    if is_a(ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return "failed", "closed"
    if is_a(ssl.SSLError, requests.exceptions.SSLError):
        return "failed" if _certificate_fault(found)[0] else "error", "tls"
    if is_a(socket.gaierror):
        return "error", "dns"
    if is_a(ConnectionRefusedError):
        return "failed", "refused"
    if is_a(http.client.LineTooLong) or any("got more than" in str(one) for one in found if isinstance(one, http.client.HTTPException)):
        return "failed", "too_large"
    if _broken_off(error) or is_a(http_library.required().urllib3.exceptions.InvalidHeader):
        return "failed", "closed"
    return "error", "request"


def _broken_off(error: BaseException) -> bool:
    requests, urllib3 = http_library.required()
    of_urllib3 = isinstance(error, urllib3.exceptions.HTTPError) and not isinstance(error, ValueError)
    return of_urllib3 or isinstance(error, (requests.ConnectionError, http.client.HTTPException, ConnectionError))


def _certificate_fault(found: list[BaseException]) -> tuple[bool, str]:
    """Whether the service is to blame for a certificate that was refused, and what is wrong with it."""
    for one in found:
        code, words = getattr(one, "verify_code", None), getattr(one, "verify_message", "")
        if code == EXPIRED:
            return True, "has expired"
        if code == NOT_YET:
            return True, "is not valid yet"
        if code in OTHER_HOST or type(one).__name__ == "CertificateError":
            return True, f"is for another host ({words or one})"
        if code in UNKNOWN_ISSUER:
            return False, f"has an unknown issuer ({words})"
    return False, ""


def reason(kind: str, error: BaseException, url: str, seconds: float) -> str:
    """The sentence for a sample."""
    told = {
        "timeout": f"no whole answer within {seconds:g} s",
        "refused": f"connection refused at {url}",
        "dns": f"the host name of {url} cannot be resolved",
        "closed": "the connection was closed before the answer was whole",
        "too_large": "the header of the answer is larger than a header may be",
    }
    if isinstance(error, Fault):
        return str(error)
    if kind == "tls":
        words = _certificate_fault(causes(error))[1]
        return f"the certificate of {urlsplit(url).hostname} {words}" if words else f"TLS: {_innermost(error)}"
    if kind == "proxy":
        by_proxy = isinstance(error, http_library.required().requests.exceptions.ProxyError)
        return f"the proxy: {_innermost(error) if by_proxy else told['timeout']}"
    return told.get(kind) or str(error)


def said(body: str, documents: bool = True) -> str:
    """What an answer's body says, in a few words: the error in a JSON document, the text of a page, else its beginning.

    :param body: its beginning, in one line of printable characters.
    :param documents: whether a JSON document without an error message is quoted.
    """
    with contextlib.suppress(ValueError):
        document = core_documents.parse(body)
        found = [document[name] for name in ("error", "message", "detail") if document.get(name)] if isinstance(document, dict) else []
        body = next((each for each in found if isinstance(each, str)), body if documents else "")
    if not documents and body.startswith(("{", "[")):  # one that was cut
        body = ""
    if body.startswith("<"):
        body = " ".join(_MARKUP.sub(" ", body).split())
    return wording.cut(body, SAID)


def remedy(status: int | None, body: str, headers: dict[str, str]) -> str:
    """The setting that helps against an answer that refuses a check, a sentence without its full stop; empty for other answers.

    Source: mobius-app.md, "Start and environment": 403 without an allowed Origin, 401 without a key.

    :param headers: that the check sent.
    """
    if status == 403 and re.search(r"(?i)\b(?:cors|origin)\b", body):
        origin = next((value for name, value in headers.items() if name.lower() == "origin"), "none")
        return (
            f"The checks send the Origin of mobius_check_origin ({origin}): put it into MOBIUS_CORS_ORIGINS in shared/config/.env "
            "(mobius_dotenv), or name one that is there"
        )
    if status == 401 or (status == 403 and re.search(r"(?i)\bkey\b", body)):
        return (
            "The checks need a key of the application: set mobius_check_secret_headers to X-Mobius-API-Key and one of "
            "MOBIUS_API_KEYS in shared/config/.env"
        )
    return ""


def _innermost(error: BaseException) -> str:
    """What the system or the TLS library said, without what was wrapped around it."""
    wrapper = http_library.required().requests.RequestException
    plain = [one for one in causes(error) if isinstance(one, OSError) and not isinstance(one, wrapper)]
    return str(plain[-1] if plain else error)
