# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter smoke_page."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.filter.smoke_page import FilterModule, smoke_page


def test(name, status, reason="", found="", errors=(), flaky=False):
    attempts = [{"outcome": "failed", "error": text} for text in errors] + ([{"outcome": "ok", "error": ""}] if status == "passed" else [])
    return {"name": name, "status": status, "reason": reason, "found": found, "flaky": flaky, "attempts": attempts, "seconds": 0.26}


test.__test__ = False


def page(*tests, **facts):
    return smoke_page(
        {
            "passed": False,
            "counts": {"passed": 2, "failed": 2, "skipped": 1, "flaky": 1},
            "elapsed": 3.21,
            "base_url": "http://a",
            "release": "r1",
            "left": {},
            "tests": list(tests),
            **facts,
        }
    )


def test_what_failed_comes_first_and_every_attempt_is_told():
    lines = page(
        test("health", "passed", found="status 200, 3 ms"),
        test("clip", "skipped", "no ffprobe"),
        test("client", "passed", found="status 200, 4 ms", errors=["status 500", "closed"], flaky=True),
        test("upload", "failed", "status 503", errors=["status 503"]),
        test("static", "failed", "status 501", errors=["status 500", "status 501"]),
        left={"/uploads/a.png": "no root was given"},
    ).splitlines()
    assert lines == [
        "FAILED: 2 failed, 2 passed, 1 skipped, 1 flaky; 3.2 s, http://a, release r1",
        "",
        "  test    status   tries  seconds",
        "  upload  FAILED   1      0.3      status 503",
        "  static  FAILED   2      0.3      status 501 (2 attempts: status 500; status 501)",
        "  client  flaky    3      0.3      status 200, 4 ms; before: status 500; closed",
        "  clip    skipped         0.3      no ffprobe",
        "  health  passed   1      0.3      status 200, 3 ms",
        "  stays: /uploads/a.png (no root was given)",
    ]


def test_without_a_base_or_a_release():
    assert page(test("disk", "passed", found="1 GB free"), passed=True, base_url="", release="").startswith(
        "PASSED: 2 failed, 2 passed, 1 skipped, 1 flaky; 3.2 s, this host, release unknown\n"
    )


def test_without_tests_the_reason_is_shown():
    assert smoke_page({"msg": "suite: expected a list of steps."}) == "suite: expected a list of steps." and smoke_page({}) == "no test ran"
    assert FilterModule().filters() == {"smoke_page": smoke_page}
