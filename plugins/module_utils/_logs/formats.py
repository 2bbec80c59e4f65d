# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forms that logs have, and what a line of each tells. Regular expressions on bytes; a line of JSON is parsed only where they fail."""
from __future__ import annotations

import re
import typing as t

from .._core import documents
from . import stamps
from .totals import CHANGING

#: A request: client, method, path, status, milliseconds; a field that the line does not tell is empty.
Row = tuple[bytes, bytes, bytes, bytes, float]
#: Bytes of a log by which its form is found, and of a line that is parsed as JSON.
SNIFF, PARSED = 65536, 65536
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE")
#: Client, method, path, status and rest of the line of an access log in the combined or the common form.
_COMBINED = rb'(\S+) [^\[\n]{1,200}\[[^\]\n]{20,40}\] "([^ "\n]*) ?([^ "\n]*)[^"\n]*" (\d{3}) \S+'
_AGENT = rb'(?: "[^"\n]*" "[^"\n]*"'
#: Seconds, where they are told by name, or as the first number with three digits after its point.
_NAMED = rb'[^\n]*?(?:\brt|request_time|rtime)[=:]\s?"?(\d+\.\d+))?'
_BARE = rb'[^\d\n]*(\d+\.\d{3})(?![\d.]))?'
HAPROXY = re.compile(rb"([\da-fA-F.:]+):\d+ \[[^\]\n]{20,40}\] \S+ \S+ -?\d+/-?\d+/-?\d+/-?\d+/\+?(-?\d+) (\d{3}|-1) "
                     rb'[^"\n]*"([A-Z]{3,7}|<BADREQ>) ?([^ "\n]*)')
#: A request in a line of text: method, path, status, and milliseconds behind it, as morgan and others write them.
SHORT = {method: re.compile(
    rb"\b(" + method + rb") (/[^\s\"]*)[\"']?(?: HTTP/[\d.]+[\"']?)?(?: -)? (?:\x1b\[\d{1,2}m)?([1-5]\d\d)(?:\x1b\[0m)?"
    rb"(?![\w.])(?: (?:in )?(?:(?:\d+|-) - )?(\d+(?:\.\d+)?) ?ms\b)?") for method in _METHODS}
#: A response time in a line of text that does not tell of which request.
NO_ROUTE = b"(no route)"
SPOKEN = re.compile(rb"(?i)response[ _-]?time[\"']?\s?(?:[:=]|of|is)?\s?(\d+(?:\.\d+)?) ?(ms|s)?\b")
#: The level of a line of text: behind its time, in brackets or not.
_TIME = rb"^(?:\[?\d{4}[-/]\d\d[-/]\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]?[ \t]{0,9})?"
LEVEL = re.compile(_TIME + rb"(?:(?:[\w.-]{1,60} )?[\w.@-]{1,60}\[\d+\]: )?([\w.@-]{1,60}: )?\W{0,4}("
                   rb"(?i:trace|debug|verbose|info|notice|log|http|warn(?:ing)?|error|fatal)|CRIT(?:ICAL)?|(?i:crit|alert|emerg)(?=\])"
                   rb")\b(?![\w-]|\.\w|/)[\]:]?")
_STAMP = re.compile(_TIME)
BAD_LEVELS = frozenset((b"error", b"crit", b"critical", b"fatal", b"alert", b"emerg"))
#: What is an error in a line that tells no level.
NAMED_ERROR = re.compile(rb"(?:^|[\s(\[:])(?:[A-Z]\w{0,60})?(?:Error|Exception|Rejection)(?: \[\w+\])?: |"
                         rb"^\W{0,6}(?i:failed|cannot)\b")
#: What a line has to have to be an error by one of these rules: bytes, because they are found fast.
NEEDLES = (b"rror", b"RROR", b"atal", b"ATAL", b"xception", b"ejection", b"CRIT", b"[crit]", b"[alert]", b"[ALERT]", b"[emerg]", b"ailed ",
           b"annot ")
PINO_BAD = re.compile(rb'"level":(?:[56]\d|"(?i:error|fatal|crit(?:ical)?|emerg|alert)")[,}]')
_TEXT = rb'"((?:[^"\\\n]|\\.)*)"'
PINO_TEXT, PINO_MESSAGE = re.compile(rb'"msg":' + _TEXT), re.compile(rb'"message":' + _TEXT)
PINO_TIME = re.compile(rb'"responseTime":"?(\d+(?:\.\d+)?)')
PINO_STATUS = re.compile(rb'"(?:statusCode|status)":(\d{3})')
PINO_CLIENT = re.compile(rb'"(?:remoteAddress|ip|clientIp)":' + _TEXT)
PINO_REQUEST = re.compile(rb'"method":"([A-Z]{3,7})","(?:url|path)":' + _TEXT)
_REQUEST_WORDS = re.compile(rb'"(?:method|responseTime)":')


class Form(t.NamedTuple):
    """How the lines of a log are read."""

    name: str
    stamp: stamps.Stamp
    #: Requests of an access log, each a line.
    line: re.Pattern[bytes] | None = None


TEXT, PINO = Form("text", stamps.of_iso), Form("json", stamps.of_pino)
PROXY = Form("haproxy", stamps.of_clf, HAPROXY)


def sniff(data: bytes) -> Form:
    """The form of a log, by its first lines."""
    lines = data[:SNIFF].split(b"\n")[:200]
    lines = lines[:-1] or lines
    combined = re.compile(_COMBINED)
    votes = {"combined": sum(1 for line in lines if combined.match(line)), "json": sum(1 for line in lines if line.startswith(b'{"')),
             "haproxy": sum(1 for line in lines if HAPROXY.search(line))}
    best = max(votes, key=lambda name: votes[name])
    if not votes[best] or votes[best] * 2 < len([line for line in lines if line.strip()]):
        return TEXT
    return {"json": PINO, "haproxy": PROXY}.get(best) or access(data[:SNIFF])


def access(data: bytes) -> Form:
    """The form of an access log, with the place of its times."""
    seconds = _NAMED if re.search(_COMBINED + _AGENT + _NAMED.rstrip(b"?"), data) else _BARE
    return Form("combined", stamps.of_clf, re.compile(_COMBINED + _AGENT + seconds))


def requests(form: Form, data: bytes) -> list[Row]:
    """The requests that lines tell, in their order."""
    if form.name == "combined":
        assert form.line
        return [(client, method, path, status, float(seconds) * 1000 if seconds else -1.0)
                for client, method, path, status, seconds in form.line.findall(data)]
    if form.name == "haproxy":
        return [(client, b"" if method == b"<BADREQ>" else method, path, status, max(-1.0, float(ms)))
                for client, ms, status, method, path in HAPROXY.findall(data)]
    if form.name == "json":
        return [row for row in map(of_json, request_lines(data)) if row]
    return _in_text(data)


def _in_text(data: bytes) -> list[Row]:
    rows = [(b"", method, path, status, float(ms) if ms else -1.0)
            for name, pattern in SHORT.items() if name + b" /" in data for method, path, status, ms in pattern.findall(data)]
    if b"esponse" in data:
        rows += [(b"", b"", NO_ROUTE, b"", float(time) * (1000 if unit == b"s" else 1)) for time, unit in SPOKEN.findall(data)]
    return rows


def request_lines(data: bytes) -> t.Iterator[bytes]:
    """The JSON lines that tell an answer to a request."""
    at = data.find(b'"responseTime":')
    while at >= 0:
        start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        end = len(data) if end < 0 else end
        yield data[start:end]
        at = data.find(b'"responseTime":', end)


def of_json(line: bytes) -> Row | None:
    """The request of a JSON line that tells its response time; ``None`` when it tells none."""
    taken = PINO_TIME.search(line)
    request, status = PINO_REQUEST.search(line), PINO_STATUS.search(line)
    if taken and request and status:
        client = PINO_CLIENT.search(line)
        return client.group(1) if client else b"", request.group(1), request.group(2), status.group(1), float(taken.group(1))
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
    texts = [str(field(*names)).encode("utf-8", "replace") for names in (
        ("remoteAddress", "ip"), ("method",), ("url", "path"), ("statusCode", "status"))]
    try:
        return texts[0], texts[1], texts[2], texts[3], float(field("responseTime"))
    except (TypeError, ValueError):
        return None


def error_text(form: Form, line: bytes) -> bytes | None:
    """The message of a line that tells an error; ``None`` when it tells none."""
    if form.name == "json" and line.startswith(b"{"):
        return _json_error(line)
    if form.line:
        return None
    level = LEVEL.match(line)
    if level:
        return ((level.group(1) or b"") + line[level.end():].strip()) if level.group(2).lower() in BAD_LEVELS else None
    stamp = _STAMP.match(line)
    text = line[stamp.end():] if stamp else line
    return text.strip() if NAMED_ERROR.search(text) and not text.startswith((b"    at ", b"\tat ")) else None


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


def failed(row: Row) -> bool:
    """Whether a request was answered by 4xx or 5xx, or not at all."""
    return row[3] >= b"400" or row[3] == b"-1"


def changes(row: Row) -> bool:
    """Whether a request was to change something."""
    return row[1].decode("latin-1") in CHANGING
