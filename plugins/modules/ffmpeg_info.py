#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: ffmpeg_info
short_description: Tell what the FFmpeg of a host can do, and try it
version_added: 0.1.0
description:
  - Tells version and path, and which of the wanted encoders, decoders and filters are missing.
  - Each wanted encoder makes a fifth of a second of a made-up picture or sound, and what it makes is decoded again. So an encoder that
    is only listed, for its hardware is missing say, is told.
  - M(mobius.ops.preflight) does the same with the encoders.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.reads_only
options:
  program:
    description:
      - The program, a name on the C(PATH) or an absolute path.
    type: str
    default: ffmpeg
  user:
    description:
      - Who runs the program; by default the user that runs the module. As root, name the service's user here, unless only root can
        write to the program.
    type: str
  encoders:
    description: Encoders that it must have.
    type: list
    elements: str
    default: [libx264, aac]
  decoders:
    description: Decoders that it must have.
    type: list
    elements: str
    default: []
  filters:
    description: Filters that it must have, such as C(drawtext), which not every build has.
    type: list
    elements: str
    default: []
  try_encoders:
    description: Whether each wanted encoder that it has is tried.
    type: bool
    default: true
seealso:
  - module: mobius.ops.ffmpeg_job
  - module: mobius.ops.preflight
"""

EXAMPLES = r"""
- name: Can this host render?
  mobius.ops.ffmpeg_info:
    encoders: [libx264, aac]
    filters: [drawtext, zoompan, loudnorm]
  register: ffmpeg

- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ ffmpeg.message }}"
"""

RETURN = r"""
well:
  description: Whether nothing is missing, and every encoder that was tried works.
  returned: success
  type: bool
message:
  description: What is wrong, or that nothing is, in one sentence.
  returned: success
  type: str
  sample: "FFmpeg 5.1.6-0+deb12u1 has what is wanted; libx264, aac encode and decode."
version:
  description: The version as the program tells it.
  returned: success
  type: str
path:
  description: Where the program is.
  returned: success
  type: str
missing:
  description: Wanted names that it does not have.
  returned: success
  type: dict
  contains:
    encoders:
      description: Names of encoders.
      type: list
      elements: str
    decoders:
      description: Names of decoders.
      type: list
      elements: str
    filters:
      description: Names of filters.
      type: list
      elements: str
encodes:
  description: The encoders that were tried.
  returned: success
  type: list
  elements: dict
  contains:
    encoder:
      description: Its name.
      type: str
    error:
      description: Why a moment could not be encoded and decoded again; empty when it could.
      type: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._jobs import ffmpeg
from ansible_collections.mobius.ops.plugins.module_utils._service import supervisor


def run(params: arguments.Params, _check_mode: bool) -> arguments.Answer:
    """Ask and try; nothing stays of what is made."""
    found = ffmpeg.look(
        params["program"], {kind: params[kind] for kind in ffmpeg.KINDS}, params["try_encoders"], **supervisor.account(params["user"])
    )
    said = message(found)
    return arguments.Answer(False, {**found, "well": not troubles(found), "message": said})


def troubles(found: ffmpeg.Found) -> list[str]:
    """What is wrong, each in some words."""
    missing = [f"no {kind.removesuffix('s')} {name}" for kind, names in found["missing"].items() for name in names]
    return missing + [f"{one['encoder']} fails: {one['error'].rstrip('.')}" for one in found["encodes"] if one["error"]]


def message(found: ffmpeg.Found) -> str:
    """The same as a sentence, also of what is well."""
    bad, tried = troubles(found), ", ".join(one["encoder"] for one in found["encodes"])
    if bad:
        return f"FFmpeg {found['version']}: {'; '.join(bad)}. Install a build that has what renders need."
    return f"FFmpeg {found['version']} has what is wanted" + (f"; {tried} encode and decode." if tried else ".")


def main() -> None:
    """Run as an Ansible module."""
    names = {"type": "list", "elements": "str"}
    arguments.execute(
        AnsibleModule(
            argument_spec={
                "program": {"type": "str", "default": "ffmpeg"},
                "user": {"type": "str"},
                "encoders": {**names, "default": ["libx264", "aac"]},
                "decoders": {**names, "default": []},
                "filters": {**names, "default": []},
                "try_encoders": {"type": "bool", "default": True},
            },
            supports_check_mode=True,
        ),
        run,
    )


if __name__ == "__main__":
    main()
