"""What journalctl exports as lines of text. Source of the form: systemd's "Journal Export Formats", and the output of systemd 252."""

from __future__ import annotations

import struct

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._logs import journal

BOOT = "_BOOT_ID=0b1f\n_MACHINE_ID=7e\n_HOSTNAME=web1\n"


def entry(number, message):
    head = f"__CURSOR=s=a;i={number}\n__REALTIME_TIMESTAMP={1795768434000000 + number * 1000000}\n__MONOTONIC_TIMESTAMP=5\n{BOOT}".encode()
    if message is None:
        return head + b"\n"
    if b"\n" in message or b"\x1b" in message:
        return head + b"MESSAGE\n" + struct.pack("<Q", len(message)) + message + b"\n\n"
    return head + b"MESSAGE=" + message + b"\n\n"


EXPORT = b"".join(
    entry(number, message)
    for number, message in enumerate(
        [b"started", b"2026-11-27T08:33:55.000Z ERROR boom", b"Error: x\n\n    at a", b'{"level":50,"msg":"no"}', None, b"\x1b[31mred", b""]
    )
)
LINES = (
    b"2026-11-27T08:33:54Z started\n2026-11-27T08:33:55.000Z ERROR boom\n2026-11-27T08:33:56Z Error: x |  |     at a\n"
    b'{"level":50,"msg":"no"}\n2026-11-27T08:33:59Z \x1b[31mred\n2026-11-27T08:34:00Z \n'
)


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_entries_are_lines_with_their_time(size):
    found = journal.Journal("mobius.service", "", 0, 1 << 30)
    assert b"".join(found.lines(EXPORT[at : at + size] for at in range(0, len(EXPORT), size))) == LINES
    assert (found.cursor, found.entries, found.trouble) == ("s=a;i=6", 6, "")


def test_an_entry_without_end_is_left_out(monkeypatch):
    monkeypatch.setattr(journal, "ENTRY", 1000)
    found = journal.Journal("mobius.service", "", 0, 1 << 30)
    pieces = [
        entry(1, b"one"),
        b"MESSAGE\n" + struct.pack("<Q", 1 << 60) + b"x" * 2000,
        b"\n\n" + entry(2, b"two"),
        b"MESSAGE=" + b"y" * 4000,
    ]
    assert b"".join(found.lines(pieces)).splitlines() == [b"2026-11-27T08:33:55Z one", b"2026-11-27T08:33:56Z two"] and found.left_out == 2


def test_a_limit_ends_it():
    found = journal.Journal("mobius.service", "", 0, 1000)
    assert len(list(found.lines([entry(number, b"x" * 300) for number in range(100)]))) == 3 and found.cursor == "s=a;i=2"


def test_the_command():
    first, later, since = (journal.Journal("mobius.service", *more, 1 << 30) for more in (("", 0), ("s=a;i=6", 0), ("", 1795768434.5)))
    assert first.command() == ["journalctl", "--unit=mobius.service", "--output=export", "--output-fields=MESSAGE", "--no-pager", "--quiet"]
    assert "--after-cursor=s=a;i=6" in later.command() and "--since=@1795768434" in since.command()


def program(tmp_path, monkeypatch, script):
    path = tmp_path / "journalctl"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    monkeypatch.setattr(journal, "PROGRAM", str(path))


def test_a_program_that_fails_is_told(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "echo 'Failed to seek to cursor: Invalid argument'; exit 1\n")
    found = journal.Journal("mobius.service", "", 0, 1 << 30)
    assert list(found.blocks()) == [] and found.trouble == "Failed to seek to cursor: Invalid argument"


def test_a_host_without_the_program(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "PROGRAM", str(tmp_path / "none"))
    found = journal.Journal("mobius.service", "", 0, 1 << 30)
    assert list(found.blocks()) == [] and found.trouble.endswith("none: No such file or directory")


def test_what_it_prints_is_read_and_it_is_ended_at_the_limit(tmp_path, monkeypatch):
    (tmp_path / "export").write_bytes(EXPORT)
    program(tmp_path, monkeypatch, f"while :; do cat '{tmp_path}/export'; done\n")
    found = journal.Journal("mobius.service", "", 0, 100_000)
    assert b"".join(found.blocks()).startswith(LINES) and found.trouble == ""
