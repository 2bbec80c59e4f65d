# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forms that logs have, and what a line of each tells. Regular expressions on bytes; a line of JSON is parsed only where they fail."""

from __future__ import annotations

import re
import typing as t

from .._core import documents
from . import stamps

#: A request: client, method, path, status, and its time in the unit of the form; a field that the line does not tell is empty.
Row = tuple[bytes, bytes, bytes, bytes, bytes]
#: Methods of requests that change something.
CHANGE = frozenset((b"POST", b"PUT", b"PATCH", b"DELETE"))
#: Bytes of a log by which its form is found, and of a line that is parsed as JSON.
SNIFF, PARSED = 65536, 65536
#: Client, method, path, status and rest of the line of an access log in the combined or the common form.
_COMBINED = rb'(?m)^(\S+) [^\[\n]{1,200}\[[^\]\n]{20,40}\] "([^ "\n]*) ?([^ "\n]*)[^"\n]*" (\d{3}) \S+'
_AGENT = rb'(?: "[^"\n]*" "[^"\n]*"'
#: Seconds, where they are told by name, or as the first number with three digits after its point.
_NAMED = rb'[^\n]*?(?:\brt|request_time|rtime)[=:]\s?"?(\d+\.\d+))?'
_BARE = rb"[^\d\n]*(\d+\.\d{3})(?![\d.]))?"
HAPROXY = re.compile(
    rb"([\da-fA-F.:]+):\d+ \[[^\]\n]{20,40}\] \S+ \S+ -?\d+/-?\d+/-?\d+/-?\d+/\+?(-?\d+) (\d{3}|-1) "
    rb'[^"\n]*"([A-Z]{3,7}|<BADREQ>) ?([^ "\n]*)[^\n]*'
)
#: A request in a line of text: method, path, status, and milliseconds behind it, as morgan and others write them.
_SHORT = (
    rb" /[^\s\"]*)[\"']?(?: HTTP/[\d.]+[\"']?)?(?: -)? (?:\x1b\[\d{1,2}m)?([1-5]\d\d)(?:\x1b\[0m)?"
    rb"(?![\w.])(?: (?:in )?(?:(?:\d+|-) - )?(\d+(?:\.\d+)?) ?ms\b)?"
)
#: Each begins with letters that are found fast, and looks behind only then: no letter stands before the method.
SHORT = tuple(
    re.compile(method + _SHORT)
    for method in (
        rb"(GET(?<!\wGET)",
        rb"(P(?:OST|UT|ATCH)(?<!\wPOST)(?<!\wPUT)(?<!\wPATCH)",
        rb"(DELETE(?<!\wDELETE)",
        rb"(HEAD(?<!\wHEAD)",
    )
)
#: A response time in a line of text that does not tell of which request.
NO_ROUTE = b"(no route)"
SPOKEN = re.compile(rb"(?i)response[ _-]?time[\"']?\s?(?:[:=]|of|is)?\s?(\d+(?:\.\d+)?) ?(ms|s)?\b")
#: The level of a line of text: behind its time, in brackets or not.
_TIME = rb"^(?:\[?\d{4}[-/]\d\d[-/]\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]?[ \t]{0,9})?"
LEVEL = re.compile(
    _TIME + rb"(?:(?:[\w.-]{1,60} )?[\w.@-]{1,60}\[\d+\]: )?([\w.@-]{1,60}: )?\W{0,4}("
    rb"(?i:trace|debug|verbose|info|notice|log|http|warn(?:ing)?|error|fatal)|CRIT(?:ICAL)?|(?i:crit|alert|emerg)(?=\])"
    rb")\b(?![\w-]|\.\w|/)[\]:]?"
)
_STAMP = re.compile(_TIME)
_REQUESTS = (b"GET /", b"POST /", b"PUT /", b"PATCH /", b"DELETE /", b"HEAD /")
#: The same of the most frequent form, which is found faster.
_PLAIN_LEVEL = re.compile(_TIME + rb"(?:(ERROR|FATAL)|INFO|WARN|DEBUG) ")
BAD_LEVELS = frozenset((b"error", b"crit", b"critical", b"fatal", b"alert", b"emerg"))
#: What is an error in a line that tells no level.
NAMED_ERROR = re.compile(
    rb"(?:^|[\s(\[:])(?:[A-Z]\w{0,60})?(?:Error|Exception|Rejection)(?: \[\w+\])?: |"
    rb"^(?:Failed|Cannot)\b"
)
#: What a line has to have to be an error by one of these rules, in small letters: bytes, because they are found fast.
NEEDLES = (b"error", b"fatal", b"tion: ", b"crit")
#: The same at the beginning of a line.
BEGINNINGS = re.compile(rb"\n(?:failed|cannot)")
#: The same of the logs of nginx and HAProxy themselves, which have their levels in brackets.
BRACKETS = (b"[alert]", b"[emerg]")
_BRACKETS = re.compile(rb"\[(?:notice|warn|error|crit|alert|emerg|NOTICE|WARNING|ALERT)\]")
PINO_BAD = re.compile(rb'"level":(?:[56]\d|"(?i:error|fatal|crit(?:ical)?|emerg|alert)")[,}]')
_TEXT = rb'"((?:[^"\\\n]|\\.)*)"'
PINO_TEXT, PINO_MESSAGE = re.compile(rb'"msg":' + _TEXT), re.compile(rb'"message":' + _TEXT)
PINO_TIME = re.compile(rb'"responseTime":"?(\d+(?:\.\d+)?)')
PINO_STATUS = re.compile(rb'"(?:statusCode|status)":(\d{3})')
PINO_CLIENT = re.compile(rb'"(?:remoteAddress|ip|clientIp)":\s?' + _TEXT)
PINO_REQUEST = re.compile(rb'"method":"([A-Z]{3,7})","(?:url|path)":' + _TEXT)
#: A request in the order of pino's serializers: greedy, because looking back from the end of the line is faster.
PINO_LINE = re.compile(rb'"method":"([A-Z]{3,7})","url":"([^"\\\n]*)"[^\n]*"statusCode":(\d{3})[^\n]*"responseTime":(\d+(?:\.\d+)?)')
_RESPONSE = b'"responseTime":'
#: The name of the client that pino's serializers give.
_REMOTE = b'"remoteAddress":"'


class Form(t.NamedTuple):
    """How the lines of a log are read."""

    name: str
    stamp: stamps.Stamp
    #: Requests of an access log, each a line.
    line: re.Pattern[bytes] | None = None
    #: Milliseconds of the unit of its times.
    unit: float = 1
    #: Whether the times of an access log have a name.
    named: bool = False


TEXT, PINO = Form("text", stamps.of_iso), Form("json", stamps.of_pino)
#: A log with its levels in brackets, as nginx and HAProxy write about themselves.
BRACKETED = Form("bracketed", stamps.of_iso)
PROXY = Form("haproxy", stamps.of_clf, HAPROXY)


def sniff(data: bytes) -> Form:
    """The form of a log, by its first lines."""
    lines = data[:SNIFF].split(b"\n")[:200]
    lines = lines[:-1] or lines
    combined = re.compile(_COMBINED)
    votes = {
        "combined": sum(1 for line in lines if combined.match(line)),
        "json": sum(1 for line in lines if line.startswith(b'{"')),
        "haproxy": sum(1 for line in lines if HAPROXY.search(line)),
    }
    best = max(votes, key=lambda name: votes[name])
    if not votes[best] or votes[best] * 2 < len([line for line in lines if line.strip()]):
        return BRACKETED if _BRACKETS.search(data[:SNIFF]) else TEXT
    return {"json": PINO, "haproxy": PROXY}.get(best) or access(data[:SNIFF])


def access(data: bytes) -> Form:
    """The form of an access log, with the place of its times."""
    named = bool(re.search(_COMBINED + _AGENT + _NAMED.rstrip(b"?"), data))
    return Form("combined", stamps.of_clf, re.compile(_COMBINED + _AGENT + (_NAMED if named else _BARE)), 1000, named)


def requests(form: Form, data: bytes) -> list[Row]:
    """The requests that lines tell, in their order where the form has one."""
    if form.name == "combined" and form.line:
        return form.line.findall(data)
    if form.name == "haproxy":
        return [
            (client, b"" if method == b"<BADREQ>" else method, path, status, b"" if time == b"-1" else time)
            for client, time, status, method, path in HAPROXY.findall(data)
        ]
    if form.name == "json":
        return _in_json(data)
    rows = [(request.partition(b" "), status, time) for request, status, time in in_text(data)]
    return [
        *((b"", method, path, status, time) for (method, _space, path), status, time in rows),
        *((b"", b"", NO_ROUTE, b"", time) for time in spoken(data)),
    ]


def milliseconds(form: Form, time: bytes) -> float:
    """A time of a row; less than 0 when there is none."""
    try:
        return float(time) * form.unit
    except ValueError:
        return -1.0


def _in_json(data: bytes) -> list[Row]:
    """Without the clients, which are looked for in few lines only: see :func:`client`."""
    rows = [(b"", *found) for found in PINO_LINE.findall(data)]
    if len(rows) == data.count(_RESPONSE):
        return rows
    return [row for row in map(of_json, request_lines(data)) if row]


def in_text(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Requests in text: each with its method and path, such as ``GET /x``, its status and its time."""
    return [found for pattern in SHORT for found in pattern.findall(data)]


def spoken(data: bytes) -> list[bytes]:
    """Response times in text that do not tell of which request, in milliseconds."""
    found = SPOKEN.findall(data) if b"esponse" in data else []
    return [b"%.3f" % (float(time) * (1000 if unit == b"s" else 1)) for time, unit in found]


def client(line: bytes) -> bytes:
    """The client of a JSON line."""
    at = line.find(_REMOTE)
    if at >= 0 and b'p":' not in line:  # none of the other names
        text, end, _rest = line[at + len(_REMOTE) :].partition(b'"')
        if end and b"\\" not in text:
            return text
    found = PINO_CLIENT.search(line)
    return found.group(1) if found else b""


def request_lines(data: bytes) -> t.Iterator[bytes]:
    """The JSON lines that tell an answer to a request."""
    at = data.find(_RESPONSE)
    while at >= 0:
        start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        end = len(data) if end < 0 else end
        yield data[start:end]
        at = data.find(_RESPONSE, end)


def of_json(line: bytes) -> Row | None:
    """The request of a JSON line that tells its response time; ``None`` when it tells none."""
    taken = PINO_TIME.search(line)
    request, status = PINO_REQUEST.search(line), PINO_STATUS.search(line)
    if taken and request and status:
        return client(line), request.group(1), request.group(2), status.group(1), taken.group(1)
    return _parsed_request(line) if taken else None


def _parsed_request(line: bytes) -> Row | None:
    """The same of a line with another order of its fields."""
    try:
        value = documents.parse(line[:PARSED])
    except ValueError:
        return None
    inner = [value, value.get("req"), value.get("request"), value.get("res"), value.get("response")] if isinstance(value, dict) else []

    def field(*names: str) -> t.Any:
        found = [one.get(name) for one in inner if isinstance(one, dict) for name in names]
        return next((value for value in found if isinstance(value, (str, int, float))), "")

    texts = [
        str(field(*names)).encode("utf-8", "replace")
        for names in (("remoteAddress", "ip"), ("method",), ("url", "path"), ("statusCode", "status"))
    ]  # which may be anything
    try:
        return texts[0], texts[1], texts[2], texts[3], b"%.3f" % float(field("responseTime"))
    except (TypeError, ValueError):
        return None


def error_text(form: Form, line: bytes) -> bytes | None:
    """The message of a line that tells an error; ``None`` when it tells none."""
    if form.name == "json" and line.startswith(b"{"):
        return _json_error(line)
    if form.line:
        return None
    plain = _PLAIN_LEVEL.match(line)
    if plain:
        return line[plain.end() :].strip() if plain.group(1) else None
    stamp = _STAMP.match(line)
    text = line[stamp.end() :] if stamp else line
    if text.startswith(_REQUESTS):  # its status tells whether it is one
        return None
    level = LEVEL.match(line)
    if level:
        return ((level.group(1) or b"") + line[level.end() :].strip()) if level.group(2).lower() in BAD_LEVELS else None
    if text.startswith((b"    at ", b"\tat ", b"Failed", b"Cannot")) and not line.startswith((b"Failed", b"Cannot")):
        return None
    said = (b": " in text or text.startswith((b"Failed", b"Cannot"))) and NAMED_ERROR.search(text)
    return text.strip() if said else None


def _json_error(line: bytes) -> bytes | None:
    bad = PINO_BAD.search(line)
    if not bad:
        return None
    if bad.start() > 1 and not _level_is_bad(line):  # not its first field: perhaps that of an object inside
        return None
    words = [match.group(1) for match in (PINO_TEXT.search(line), PINO_MESSAGE.search(line)) if match]
    return b": ".join(dict.fromkeys(words)) or b"(no message)"


def _level_is_bad(line: bytes) -> bool:
    try:
        value = documents.parse(line[:PARSED])
    except ValueError:
        return False
    level = value.get("level") if isinstance(value, dict) else None
    return level >= 50 if isinstance(level, (int, float)) else str(level).lower().encode() in BAD_LEVELS


def failed(status: bytes) -> bool:
    """Whether a request was answered by 4xx or 5xx, or not at all."""
    return status >= b"400" or status == b"-1"


def changes(method: bytes) -> bool:
    """Whether a request was to change something."""
    return method in CHANGE
