# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of files in texts."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._cleanup import words


def named(text, path, folders=(), every_folder=False):
    found = words.hashes(text)
    return any(handle and all(hash(word) in found for word in handle) for handle in words.handles(path, folders, every_folder))


@pytest.mark.parametrize(
    "text",
    [
        "/uploads/a.png",
        "https://host/uploads/a.png?size=2#top",
        "see a.png, and go on",
        "A.PNG",
        r"C:\uploads\a.png",
        '["a.png"]',
        "(a.png).",
        "uploads%2Fa.png",
        '{"path":"\\/uploads\\/a.png"}',
        "file=a.png;",
        "a.png\nb.png",
    ],
)
def test_a_name_in_a_text(text):
    assert named(text, "x/a.png")


@pytest.mark.parametrize("text", ["", "a.png.bak", "xa.png", "b.png", "a_png", "a-.png", "png"])
def test_a_name_that_is_not(text):
    assert not named(text, "x/a.png")


@pytest.mark.parametrize(
    "name",
    [
        "my photo (2).png",
        "größe.png",
        "gro\u0308sse.png",
        "照片.jpg",
        "-rf.png",
        "a\nb.png",
        "caf\udce9.png",
        "50%.png",
        "𝒳1.png",
        "😀 x.png",
        "a@2x.png",
        "..png.a",
        "a&b=c.png",
    ],
)
def test_odd_names_are_found_as_text_in_json_and_in_json_in_a_cell(name):
    for text in (f"/uploads/{name}", json.dumps({"path": name}), json.dumps([json.dumps({"a": name})]), f"<{name}>"):
        assert named(text, name), text


def test_names_in_another_unicode_form_are_found():
    assert named("/uploads/gr\u00f6sse.png", "gro\u0308sse.png")


def test_what_is_named_after_a_picture_or_a_job():
    text = "images-1700000000000-123.png mwygqose-046fd1 short.png"
    assert named(text, "thumbnails/thumb_1700000000009_images-1700000000000-123.png")
    assert named(text, "x/mwygqose-046fd1-preview.mp4") and named(text, "render-jobs/mwygqose-046fd1/container.json")
    assert not named(text, "thumb_short.png") and not named(text, "mwygqose-046fd2-preview.mp4")


def test_folders_count_where_they_are_of_one_thing():
    assert named("the project catan", "out/catan/reel.mp4", every_folder=True)
    assert not named("the project catan", "out/catan/reel.mp4") and not named("thumbnails", "thumbnails/a.png", {"thumbnails"}, True)


def test_a_name_without_a_word_has_no_handle():
    assert next(words.handles("- .. -", (), False)) == [] and not named("- .. -", "- .. -")


def test_a_long_text_of_signs_takes_no_time():
    assert words.hashes("a" + "-" * 3_000_000) == {hash("a")} and words.hashes("a-" * 1_000_000)
