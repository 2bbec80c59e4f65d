"""The forms of logs, and what their lines tell."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._logs import formats

AGENT = b' "https://mobius.example/" "Mozilla/5.0 (X11; rt 1.234)"'
COMBINED = b'10.0.0.7 - - [27/Nov/2026:08:33:54 +0000] "POST /upload-images?x=1 HTTP/1.1" 413 585' + AGENT
HAPROXY = (
    b"Nov 27 08:33:54 web1 haproxy[7]: 10.0.0.7:51234 [27/Nov/2026:08:33:54.123] public requests_5001/instance 0/0/1/12/13 "
    b'500 233 - - ---- 1/1/0/0/0 0/0 "GET /api/projects/7?x=1 HTTP/1.1"'
)
PINO = {
    "level": 30,
    "time": 1795768434000,
    "pid": 1,
    "hostname": "web1",
    "req": {"id": 1, "method": "PUT", "url": "/api/projects/7", "headers": {"host": "x"}, "remoteAddress": "10.0.0.7", "remotePort": 5},
    "res": {"statusCode": 503, "headers": {}},
    "responseTime": 12.5,
    "msg": "request errored",
}


def pino(**more):
    return json.dumps({**PINO, **more}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "name, lines",
    [
        ("combined", COMBINED),
        ("combined", COMBINED + b" 0.013"),
        ("haproxy", HAPROXY),
        ("json", pino()),
        ("text", b"2026-11-27T08:33:54Z INFO started"),
        ("text", b""),
        ("text", b"\x00\xff\xfe" * 100),
        ("text", b"2026-11-27T08:33:54Z GET / 200 1ms"),
        ("combined", b"nonsense\n" + COMBINED + b"\n" + COMBINED),
        ("text", pino() + b"\nplain\nplain\nplain"),
    ],
)
def test_the_form_is_found(name, lines):
    assert formats.sniff(lines + b"\n").name == name


@pytest.mark.parametrize(
    "end, time",
    [
        (b"", b""),
        (b" 0.013", b"0.013"),
        (b" rt=0.250 uct=0.001", b"0.250"),
        (b' "10.0.0.1" request_time=1.500', b"1.500"),
        (b' "-" "0.040"', b"0.040"),
    ],
)
def test_a_line_of_nginx(end, time):
    data = COMBINED + end + b"\n"
    assert formats.requests(formats.sniff(data), data) == [(b"10.0.0.7", b"POST", b"/upload-images?x=1", b"413", time)]
    assert formats.milliseconds(formats.sniff(data), b"0.013") == 13.0 and formats.milliseconds(formats.PINO, b"") == -1.0


def test_a_request_that_nginx_could_not_read_is_one():
    data = b'10.0.0.7 - - [27/Nov/2026:08:33:54 +0000] "\\x16\\x03\\x01" 400 157 "-" "-"\n'
    assert formats.requests(formats.sniff(data), data) == [(b"10.0.0.7", b"\\x16\\x03\\x01", b"", b"400", b"")]


def test_a_line_of_haproxy():
    assert formats.requests(formats.PROXY, HAPROXY + b"\n") == [(b"10.0.0.7", b"GET", b"/api/projects/7?x=1", b"500", b"13")]


@pytest.mark.parametrize(
    "line",
    [
        pino(),
        json.dumps(PINO).encode(),  # with spaces: by the parser
        json.dumps(
            {
                "responseTime": 12.5,
                "res": {"statusCode": 503},
                "req": {"url": "/api/projects/7", "method": "PUT", "remoteAddress": "10.0.0.7"},
            },
            separators=(",", ":"),
        ).encode(),
    ],
)
def test_a_json_line(line):
    line = line.replace(b'"responseTime": ', b'"responseTime":')
    [(_client, method, path, status, time)] = formats.requests(formats.PINO, line + b"\n")
    assert (method, path, status, float(time), formats.client(line)) == (b"PUT", b"/api/projects/7", b"503", 12.5, b"10.0.0.7")


@pytest.mark.parametrize(
    "line", [b'{"responseTime":', b'{"responseTime":"x"}', b'{"responseTime":[]}', b"[" * 5000 + b'"responseTime":1', b"\xff" * 9]
)
def test_json_lines_that_tell_no_request(line):
    assert formats.requests(formats.PINO, line + b"\n") == []


@pytest.mark.parametrize(
    "row, line",
    [
        ((b"", b"POST", b"/api/x", b"201", b"31.5"), b"2026-11-27T08:33:54Z POST /api/x 201 31.5ms"),
        ((b"", b"GET", b"/a", b"404", b"4.000"), b"GET /a \x1b[33m404\x1b[0m 4.000 ms - 12"),
        ((b"", b"GET", b"/a", b"200", b"3.4"), b"GET /a 200 12 - 3.4 ms"),
        ((b"", b"DELETE", b"/a", b"204", b""), b"INFO DELETE /a 204"),
        ((b"", b"GET", b"/a", b"200", b"5"), b'"GET /a HTTP/1.1" 200 - - 5 ms'),
        ((b"", b"", b"(no route)", b"", b"1500.000"), b"response time: 1.5 s"),
        ((b"", b"", b"(no route)", b"", b"12.000"), b"INFO responseTime=12ms"),
    ],
)
def test_requests_in_text(row, line):
    assert formats.requests(formats.TEXT, line + b"\n") == [row]


@pytest.mark.parametrize(
    "line", [b"POST /api/render began", b"GOT /a 200", b"the PUT was 200", b"GET /a 200.5", b"TARGET /a 200 5ms", b"GET /a 900"]
)
def test_text_that_tells_no_request(line):
    assert formats.requests(formats.TEXT, line + b"\n") == []


@pytest.mark.parametrize(
    "text, line",
    [
        ("boom", "2026-11-27T08:33:54.123Z ERROR boom"),
        ("boom", "[2026-11-27 08:33:54,1] [ERROR] boom"),
        ("boom", "error: boom"),
        ("api: boom", "2026-11-27T08:33:54Z api: FATAL boom"),
        ("1#1: *2 boom", "2026/11/27 08:33:54 [crit] 1#1: *2 boom"),
        ("TypeError: x is no function", "TypeError: x is no function"),
        ("Failed to render: Error: no", "Failed to render: Error: no"),
        ("x Error: no", "2026-11-27T08:33:54Z x Error: no"),
        ("(7) : no", "[ALERT]    (7) : no"),
        ("UnhandledPromiseRejection: x", "UnhandledPromiseRejection: x"),
        ("boom", "web1 node[7]: error: boom"),
    ],
)
def test_errors_in_text(text, line):
    assert formats.error_text(formats.TEXT, line.encode()) == text.encode()


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-27T08:33:54Z INFO GET /error-page 200",
        "2026-11-27T08:33:54Z WARN Error: retried",
        "started without errors",
        "",
        "    at Error (/x/y.js:1:2)",
        "2026-11-27T08:33:54Z DEBUG error: none",
        "log: the error page is there",
        "errors.js was loaded",
        "http://x/error: y",
        "2026-11-27T08:33:54Z GET /error: 200 3ms",
        "info: it failed to fail",
        "ErrorHandler registered",
    ],
)
def test_text_that_tells_no_error(line):
    assert formats.error_text(formats.TEXT, line.encode()) is None


@pytest.mark.parametrize(
    "text, line",
    [
        ("boom", '{"level":50,"time":1,"msg":"boom"}'),
        ("boom", '{"time":1,"level":60,"msg":"boom"}'),
        ("boom", '{"level":"error","message":"boom"}'),
        ("no: why", '{"level":50,"err":{"type":"Error","message":"why","stack":"x"},"msg":"no"}'),
        (r"a \"b\"", r'{"level":50,"msg":"a \"b\""}'),
        ("(no message)", '{"level":50}'),
        ("text", "Error: text"),
    ],
)
def test_errors_in_json(text, line):
    assert formats.error_text(formats.PINO, line.encode()) == text.encode()


@pytest.mark.parametrize(
    "line",
    ['{"level":30,"msg":"an error"}', '{"level":30,"x":{"level":50},"msg":"no"}', '{"msg":"\\"level\\":50"}', '{"x":1,"level":50', "{"],
)
def test_json_that_tells_no_error(line):
    assert formats.error_text(formats.PINO, line.encode()) is None
