"""The FFmpeg of a host, through the module."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.modules import ffmpeg_info


def test_all_is_there(run_module):
    result = run_module(ffmpeg_info, {"filters": ["scale", "drawtext"], "decoders": ["png"]})
    assert result["well"] and not result["changed"] and result["missing"] == {"encoders": [], "decoders": [], "filters": []}
    assert result["message"].startswith(f"FFmpeg {result['version']} has what is wanted; libx264, aac encode and decode.")


def test_what_is_missing_is_named_at_once(run_module):
    result = run_module(ffmpeg_info, {"encoders": ["aac", "libnone"], "filters": ["nofilter"], "decoders": ["nodec"]})
    assert not result["well"]
    assert ": no encoder libnone; no decoder nodec; no filter nofilter. Install a build that has what renders need." in result["message"]


def test_encoders_are_not_tried_when_that_is_not_wanted(run_module):
    result = run_module(ffmpeg_info, {"try_encoders": False})
    assert result["encodes"] == [] and result["message"].endswith("has what is wanted.")


def test_a_host_without_it(run_module):
    result = run_module(ffmpeg_info, {"program": "no-ffmpeg"})
    assert result["failed"] and "found none on the PATH. Install FFmpeg (mobius.ops.setup does)" in result["msg"]


def test_a_user_that_the_host_does_not_have(run_module):
    result = run_module(ffmpeg_info, {"user": "no-such-user"})
    assert result["failed"] and "user no-such-user: expected a user of the target, found none." in result["msg"]
