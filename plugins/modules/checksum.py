#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: checksum
short_description: Writes or verifies SHA-256 sidecars of files
version_added: 0.1.0
description:
  - Keeps C(<file>.sha256) beside each file, with the file's bare name, as C(sha256sum) writes it. C(sha256sum -c),
    run in the folder, accepts it.
  - Several files are read at once.
options:
  paths:
    description:
      - The files.
    type: list
    elements: path
    required: true
  state:
    description:
      - V(present) writes the sidecars that are missing or do not fit. It takes each file to be right as it is.
      - V(verified) writes nothing, and fails when a file differs from its sidecar or one of the two is missing.
    type: str
    choices: [present, verified]
    default: present
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - Fails when no file is given; with O(state=present), and writing nothing, when one of the files does not exist; with
    O(state=verified), when any file is not as its sidecar says. The result has RV(files) in the last two cases too.
extends_documentation_fragment:
  - mobius.ops.shared.attributes
author:
  - MOBIUS operations (@mobius-ops)
"""

EXAMPLES = r"""
- name: Give an artifact its sidecar
  mobius.ops.checksum:
    paths: [/srv/artifacts/mobius-1.4.0.tar.gz]

- name: Check what was copied from another host
  mobius.ops.checksum:
    paths:
      - /srv/copies/dhash_production_20261123_060000.zip
      - /srv/copies/dhash_production_20261122_060000.zip
    state: verified
"""

RETURN = r"""
files:
  description: Each file, in the order of O(paths).
  returned: success, and failure because of a file
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /srv/artifacts/mobius-1.4.0.tar.gz
    sha256:
      description: SHA-256 of the file as it is; none when there is no such file.
      type: str
    status:
      description:
        - V(ok) when the sidecar fits, V(written) when it was written, or would be in check mode.
        - V(mismatch), V(malformed_sidecar) (it holds no digest of this file in a form that C(sha256sum -c) reads), V(missing_sidecar) or
          V(missing_file) otherwise.
      type: str
      sample: ok
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import checksums, threads
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError

FOUND = {
    "mismatch": "another content",
    "malformed_sidecar": "a sidecar without a line of sha256sum for this file",
    "missing_sidecar": "no sidecar",
    "missing_file": "no such file",
}


def refuse(files: list[checksums.Examined], bad: list[checksums.Examined], expected: str, todo: str) -> IntegrityError:
    """The failure that names the first bad file and how many there are."""
    more = f" (and {len(bad) - 1} more of {len(files)} files)" if len(bad) > 1 else ""
    return IntegrityError(f"file {bad[0]['path']}", expected, FOUND[bad[0]["status"]] + more, todo, {"files": files})


def verify(files: list[checksums.Examined]) -> None:
    """:raises IntegrityError: when some file is not as its sidecar says."""
    bad = [file for file in files if file["status"] != "ok"]
    if bad:
        todo = "Fetch the sidecar again" if bad[0]["status"] == "malformed_sidecar" else "Fetch the file again with its sidecar"
        raise refuse(files, bad, "the content that its sidecar names", todo)


def write(files: list[checksums.Examined], check_mode: bool) -> list[checksums.Examined]:
    """Write the sidecars that are not right. :raises IntegrityError: when a file is missing, before any is written."""
    missing = [file for file in files if file["status"] == "missing_file"]
    if missing:
        raise refuse(files, missing, "a file", "Correct the path")
    wrong = [file for file in files if file["status"] != "ok"]
    for file in wrong:
        if not check_mode:
            checksums.write(file["path"], str(file["sha256"]))
    written: list[checksums.Examined] = [{**file, "status": "written"} if file in wrong else file for file in files]
    return written


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Write or verify the sidecars of all paths."""
    paths = list(dict.fromkeys(params["paths"]))
    if not paths:
        raise InputError("paths", "at least one file", "an empty list", "Name the files")
    before = {path: checksums.read(path) for path in paths}
    files = threads.in_threads(checksums.examine, paths)
    if params["state"] == "verified":
        verify(files)
    else:
        files = write(files, check_mode)
    changed = [file for file in files if file["status"] == "written"]
    return arguments.Answer(
        bool(changed),
        {"files": files},
        {
            "before": "".join(f"{before[file['path']]}  {file['path']}\n" for file in changed if before[file["path"]]),
            "after": "".join(f"{file['sha256']}  {file['path']}\n" for file in changed),
        },
    )


def main() -> None:
    """Module entry point."""
    spec = {
        "paths": {"type": "list", "elements": "path", "required": True},
        "state": {"type": "str", "choices": ["present", "verified"], "default": "present"},
    }
    arguments.execute(AnsibleModule(argument_spec=spec, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
