"""Logs in blocks of whole lines: every byte once, whatever is in them."""

from __future__ import annotations

import gzip
import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._logs import stream

MEGABYTE = 1024 * 1024


def opened(path, content, packed=False, limit=1 << 40):
    path.write_bytes(content)
    return stream.Reader(os.open(path, os.O_RDONLY), packed, limit)


def lines(count):
    return b"".join(b"line %d of the log\n" % number for number in range(count))


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_are_the_whole_file_in_whole_lines(tmp_path, packed):
    content = lines(200_000)
    with opened(tmp_path / "a.log", gzip.compress(content, 1) if packed else content, packed) as reader:
        blocks = list(reader.blocks())
    assert b"".join(blocks) == content and len(blocks) > 3 and all(block.endswith(b"\n") for block in blocks)
    assert (reader.offset, reader.head, reader.tail) == (len(content), content[:1024], content[-1024:])
    assert (reader.unfinished, reader.trouble, reader.more, reader.long_lines) == (b"", "", False, 0)


def test_a_last_line_without_its_end_is_left(tmp_path):
    with opened(tmp_path / "a.log", b"one\ntwo\nthr") as reader:
        assert list(reader.blocks()) == [b"one\ntwo\n"] and (reader.offset, reader.unfinished) == (8, b"thr")


@pytest.mark.parametrize("behind", [b"", b"after\n" * 300_000])
def test_of_a_line_of_ten_megabytes_its_beginning_is_kept(tmp_path, behind):
    long = b"x" * 10 * MEGABYTE
    with opened(tmp_path / "a.log", b"before\n" + long + b"\n" + behind) as reader:
        found = list(reader.blocks())
    assert b"".join(found) == b"before\n" + b"x" * stream.KEPT + b"\n" + behind and max(map(len, found)) <= 2 * MEGABYTE
    assert reader.offset == 8 + len(long) + len(behind) and reader.long_lines == 1


@pytest.mark.parametrize("packed", [False, True])
def test_reading_goes_on_where_it_ended(tmp_path, packed):
    content = lines(100_000)
    place = content.index(b"line 60000 ")
    with opened(tmp_path / "a.log", gzip.compress(content, 1) if packed else content, packed) as reader:
        assert reader.seek(place) and reader.tail == content[place - 1024 : place]
        assert b"".join(reader.blocks()) == content[place:] and reader.offset == len(content) and reader.head == content[:1024]


@pytest.mark.parametrize("packed", [False, True])
def test_a_place_behind_the_end_is_none(tmp_path, packed):
    with opened(tmp_path / "a.log", gzip.compress(b"a\n") if packed else b"a\n", packed) as reader:
        assert not reader.seek(5)


@pytest.mark.parametrize("damage", ["cut", "bits", "no gzip", "behind"])
def test_of_a_broken_gzip_what_can_be_read_is(tmp_path, damage):
    content = os.urandom(200_000).hex().encode().replace(b"7", b"\n")
    data = bytearray(gzip.compress(content))
    data = {
        "cut": data[: len(data) // 2],
        "bits": data[:60_000] + bytes(9) + data[60_009:],
        "no gzip": b"\x1f\x8bnothing",
        "behind": data + b"rubbish",
    }[damage]
    with opened(tmp_path / "a.log.gz", bytes(data), True) as reader:
        found = b"".join(reader.blocks())
    assert reader.trouble.startswith("broken gzip") and (len(found) > 50_000 or damage == "no gzip")
    assert damage == "bits" or content.startswith(found)


def test_a_limit_ends_it_and_the_rest_is_there_for_the_next(tmp_path):
    content = lines(200_000)
    with opened(tmp_path / "a.log", content, limit=MEGABYTE + 100) as reader:
        found = b"".join(reader.blocks())
    assert reader.more and content.startswith(found) and MEGABYTE - 100 < reader.offset == len(found) <= MEGABYTE + 100
