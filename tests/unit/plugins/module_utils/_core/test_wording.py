# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a service is, in words."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, wording


def facts(**changes):
    return {
        "status": "running",
        "pid": 7,
        "port": 5001,
        "uptime": 50,
        "restarts": 0,
        "last_exit": None,
        "release": "r2",
        "console": "shared/logs/console.log",
        **changes,
    }


def ended(seconds):
    return lambda: {"when": clock.iso(clock.now() - datetime.timedelta(seconds=seconds)), "how": "SIGKILL"}


@pytest.mark.parametrize("seconds, text", [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (10 * 86400, "10 d")])
def test_duration(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    "count, text", [(0, ""), (1, "n0"), (2, "n0 and n1"), (3, "n0, n1 and n2"), (12, "n0, n1, n2, n3, n4, n5, n6, n7, n8, n9 and 2 more")]
)
def test_listed(count, text):
    assert wording.listed([f"n{number}" for number in range(count)]) == text


DOWN = {"pid": None, "uptime": 0, "release": None}


@pytest.mark.parametrize(
    "changes, live, fault, well, words",
    [
        ({}, "r2", "", True, "mobius runs (process 7, port 5001, up 50 s, release r2)."),
        ({"restarts": 2, "last_exit": ended(600), "uptime": 599}, "r2", "", True, "restarted 2 times"),
        ({"restarts": 2, "uptime": 5}, "r2", "", False, "its process ended and it was restarted"),
        ({"restarts": 2, "last_exit": ended(5)}, "r2", "", False, "ended by SIGKILL"),
        ({"release": None}, "r2", "", True, "release unknown"),
        ({"release": "r1"}, "r2", "", False, "release r2 should be live"),
        ({}, "r2", "health: status 500", False, "UNHEALTHY: health: status 500"),
        ({"status": "unsupervised"}, "r2", "", False, "it will not be restarted"),
        ({**DOWN, "status": "stopped"}, None, "", False, "no release is live"),
        ({**DOWN, "status": "stopped"}, "r2", "", False, "DOWN: it was stopped"),
        ({**DOWN, "status": "killed"}, "r2", "", False, "its process and its supervisor were killed"),
        ({**DOWN, "status": "failed", "restarts": 3, "last_exit": ended(5)}, "r2", "", False, "given up after 3 restarts"),
        ({**DOWN, "status": "restarting", "restarts": 1, "last_exit": ended(1)}, "r2", "", False, "being started again"),
        ({**DOWN, "status": "failed", "last_exit": {"when": None, "how": "exit-code"}}, "r2", "", False, "its process ended,"),
        ({**DOWN, "status": "starting"}, "r2", "", False, "DOWN: starting"),
    ],
)
def test_each_state_has_its_words(changes, live, fault, well, words):
    given = {name: value() if callable(value) else value for name, value in changes.items()}
    found, message = wording.service_message("mobius", facts(**given), live, fault)
    assert found is well and words in message
    assert message.endswith(".") and (well or "Run" in message or "ansible-playbook" in message or "Deploy" in message or "Look" in message)


EVIL = "\x1b[2J\x1b]0;owned\x07|\x9b31m|\x7f|\r|\0|\u202egnp.exe|\u2066|\u2028|\ufeff|\ud800|\U000e0041"


def test_nothing_that_commands_a_terminal_is_shown():
    shown = wording.clean(f"a\tb\nä😀\u200d{EVIL}")
    assert shown.startswith("a\tb\nä😀\u200d") and shown.encode("utf-8")
    assert not [sign for sign in shown[5:] if ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or (sign in EVIL and ord(sign) > 0x2000)]
    assert wording.clean("one\r\ntwo") == "one\ntwo"


def test_a_result_is_cleaned_all_through():
    found = wording.cleaned({"\x1b": ["\x07", {"a": ("\u202e", 1, None)}], "n": 1.5})
    assert found == {"\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}", {"a": ["\N{REPLACEMENT CHARACTER}", 1, None]}], "n": 1.5}


@pytest.mark.parametrize("text", ["plain", "```", "a\n````\nb", "`" * 50])
def test_no_text_ends_its_block_of_code(text):
    first, inside, last = wording.fenced(text)
    assert first == last and set(first) == {"`"} and first not in inside and inside == text


def test_a_text_in_markdown_is_nothing_but_text():
    shown = wording.in_markdown("# <script>x</script>\n[a](javascript:b) `c` &lt; *d*\x1b")
    assert "<" not in shown and "\n" not in shown and "\x1b" not in shown and "&amp;lt;" in shown
    assert r"\# &lt;script>" in shown and r"\[a\](javascript" in shown and r"\`c\`" in shown


@pytest.mark.parametrize(
    "size, text", [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (3 * 10**9, "3.0 GB"), (4.2e12, "4.2 TB")]
)
def test_human_size(size, text):
    assert wording.human_size(size) == text
