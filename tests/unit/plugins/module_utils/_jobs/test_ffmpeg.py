"""What the FFmpeg of a host can do, as it says, and as it shows."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._jobs import ffmpeg


@pytest.fixture
def fake(tmp_path):
    """An ffmpeg that is a script."""

    def make(text):
        path = tmp_path / "ffmpeg"
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return str(path)

    return make


def test_the_real_one():
    wanted = {"encoders": ["libx264", "aac", "libnone"], "decoders": ["h264", "nodec"], "filters": ["scale", "nofilter"]}
    found = ffmpeg.look("ffmpeg", wanted)
    assert found["missing"] == {"encoders": ["libnone"], "decoders": ["nodec"], "filters": ["nofilter"]}
    assert found["encodes"] == [{"encoder": "libx264", "error": ""}, {"encoder": "aac", "error": ""}]
    assert os.path.isabs(found["path"]) and found["version"][0].isdigit()
    assert ffmpeg.look("ffmpeg", {"encoders": ["aac"]}, tried=False)["encodes"] == []


def test_an_encoder_whose_output_does_not_decode(fake):
    path = fake("""case "$*" in
  *-version*) echo 'ffmpeg version 7 Copyright';;
  *-encoders*) echo ' V....D libx264  H.264';;
  *testsrc*) echo rubbish >&0;;
  *) echo 'Invalid data found when processing input' >&2; exit 1;;
esac
""")
    assert ffmpeg.look(path, {"encoders": ["libx264"]})["encodes"] == [
        {"encoder": "libx264", "error": "Invalid data found when processing input"}
    ]


def test_one_of_two_encoders_that_fails_is_named(fake):
    path = fake("""case "$*" in
  *-version*) echo 'ffmpeg version 7 Copyright';;
  *-encoders*) printf ' V....D h264_nvenc  NVENC\\n V....D libx264  H.264\\n A....D aac  AAC\\n';;
  *h264_nvenc*) echo 'Cannot load libcuda.so.1' >&2; exit 1;;
esac
""")
    found = ffmpeg.look(path, {"encoders": ["libx264", "h264_nvenc", "aac"]})["encodes"]
    assert [(one["encoder"], one["error"]) for one in found] == [("libx264", ""), ("h264_nvenc", "Cannot load libcuda.so.1"), ("aac", "")]


def test_encoders_that_work_are_tried_in_one_start(fake, tmp_path):
    path = fake(f"""echo "$*" >> {tmp_path}/starts
case "$*" in
  *-version*) echo 'ffmpeg version 7 Copyright';;
  *-encoders*) printf ' V....D libx264  H.264\\n A....D aac  AAC\\n';;
esac
""")
    assert ffmpeg.look(path, {"encoders": ["libx264", "aac"]})["encodes"] == [
        {"encoder": "libx264", "error": ""},
        {"encoder": "aac", "error": ""},
    ]
    encode, decode = (tmp_path / "starts").read_text().splitlines()[2:]
    assert "-map 0 -map 1 -c:0 libx264 -c:1 aac" in encode and "-map 0 -f null" in decode


def test_an_encoder_that_the_real_one_cannot_open_with_these_pictures_is_named():
    found = ffmpeg.look("ffmpeg", {"encoders": ["libx264", "h263", "aac"]})["encodes"]  # H.263 knows five sizes, and 64x64 is none of them
    assert [one["encoder"] for one in found if one["error"]] == ["h263"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("echo 'libavdevice.so.59: cannot open' >&2; exit 127\n", "ffmpeg: expected it to start, found exit status 127 (libavdevice.so.59"),
        ("echo nothing\n", "to tell its version, found 'nothing'"),
    ],
)
def test_one_that_does_not_start(fake, text, said):
    with pytest.raises(StateError) as caught:
        ffmpeg.look(fake(text), {})
    assert said in str(caught.value) and "Repair the installation of FFmpeg" in str(caught.value)


def test_one_that_is_not_there():
    with pytest.raises(StateError, match="expected the program no-ffmpeg, found none on the PATH"):
        ffmpeg.look("no-ffmpeg", {})


def test_a_file_that_takes_too_long_is_not_waited_for(fake, tmp_path):
    assert "expected an end within 0.2 s" in ffmpeg.decode(fake("exec sleep 60\n"), str(tmp_path), 0.2)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_may_run_it():
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    assert ffmpeg.look("ffmpeg", {"encoders": ["libx264"]}, **nobody)["encodes"] == [{"encoder": "libx264", "error": ""}]


def test_a_name_that_looks_like_an_option_or_a_protocol_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "No such file" in ffmpeg.decode("ffmpeg", "file:concat:/etc/hosts")
