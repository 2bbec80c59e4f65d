#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: release_artifact
short_description: Build the artifact of a release, once
version_added: 0.1.0
description:
  - Turns a source into one gzipped tar file with a manifest (every file with its SHA-256) and a C(.sha256) beside it.
    That file is what every host gets. It is built on the controller.
  - The same source, version, O(npm_ci_args) and O(environment) give the same release id. An artifact that was built before is used again.
  - A build installs the dependencies of each C(package-lock.json) once, with C(npm ci), and keeps them for later builds. Without
    O(build_command) it installs none.
  - A C(package.json) with dependencies and without a C(package-lock.json) is refused before the build, and so is the lock file of another
    package manager, such as C(pnpm-lock.yaml) or C(yarn.lock).
  - A build that takes longer than some seconds is shown live, with the lines that npm and the build command print.
  - A build that is interrupted (SIGINT, SIGTERM or SIGHUP) ends its programs and removes its temporary folders. What a killed one leaves
    behind is removed by the next build.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.attributes
options:
  source:
    description:
      - A folder with the application, a C(.tar.gz) or C(.tgz) file with its C(.sha256) beside it, or a git URL, also as C(user@host:path).
      - A folder is taken with what is not committed in it, unless O(ref) is given. A bare repository is asked for its branch.
      - Submodules of a git source are fetched. A source whose submodules or Git LFS files are missing is refused, and so is one with links
        that lead out of it.
      - A tar file that this module built is used as it is. Another one is taken as source and built.
      - A URL must not have a user, password or token in it. Use a git credential helper, C(GIT_ASKPASS) or an SSH key. Git never
        asks for a password; it fails.
    type: str
    required: true
  version:
    description:
      - The release's version. Needed unless the source is an artifact, which tells its own.
    type: str
    default: ""
  ref:
    description:
      - Branch, tag or commit of a git source; its default branch when empty. With the folder of a checkout, what was committed there.
      - C(refs/heads/NAME) or C(refs/tags/NAME) where a branch and a tag have one name.
    type: str
    default: ""
  store:
    description: Folder that artifacts are written to, and the build's dependencies below it.
    type: path
    required: true
  npm_ci_args:
    description:
      - Further arguments of C(npm ci) in the build, such as V(--ignore-scripts). C(--include=dev) is always given.
      - They are a part of the release id, unless there are none.
    type: list
    elements: str
    default: []
  environment:
    description:
      - Further environment variables of the build command and of C(npm ci), such as C(REACT_APP_BACKEND_URL). C(npm ci) does not get those
        that begin with C(REACT_APP_), C(VITE_) or C(NEXT_PUBLIC_), which only bundlers of clients read.
      - They are a part of the release id, unless there are none. The artifact states their names, and of the values a common digest only.
      - B(Not for secrets.) A client's bundler writes the values into files that every visitor gets. Values of variables that are named like
        secrets (such as C(…_KEY) or C(…_TOKEN)) are hidden in messages and in the live output all the same.
    type: dict
    default: {}
    version_added: 0.1.0
  build_command:
    description: The command that builds the application or its client, run at the top of the source. None when empty.
    type: list
    elements: str
    default: [npm, run, build]
  ship_npm_ci_args:
    description:
      - Also install what the application needs at run time, once per lock file, with C(npm ci) and these arguments, and pack it for
        hosts that reach no package registry. Not when it is left out.
      - They have to be the O(mobius.ops.release#module:npm_ci_args) of the hosts.
      - When they differ from the build's arguments in C(--omit=dev) only, and O(environment) has nothing that C(npm ci) gets, the build's
        installation is copied and its development dependencies are removed (C(npm prune)), instead of another C(npm ci).
    type: list
    elements: str
    version_added: 0.1.0
  shared_folders:
    description:
      - Paths in a release that all releases share. Files of the source there are no part of the release, because the application would
        never see them. They are listed.
    type: list
    elements: str
    default: []
    version_added: 0.1.0
  required_files:
    description: Files that the application must have after the build. None when empty.
    type: list
    elements: str
    default: [src/api/index.js, client/build/index.html]
    version_added: 0.1.0
  built_folders:
    description:
      - Folders that O(build_command) makes. What a source has there is no part of the release id, and is overwritten by the build.
      - Do not name a folder that O(build_command) does not make anew. Versions that differ there only would have the same id.
    type: list
    elements: str
    default: [client/build]
    version_added: 0.1.0
  output_file:
    description:
      - A file that gets what the build does and prints while it runs.
      - Set by the collection itself.
    type: path
    version_added: 0.1.0
attributes:
  check_mode:
    support: full
    details: Checks the source. The artifact's checksum is known only when it was built before.
  diff_mode:
    support: none
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Build version 1.4.0 from a checkout
  mobius.ops.release_artifact:
    source: /home/ops/mobius
    version: 1.4.0
    store: /var/cache/mobius/artifacts
  delegate_to: localhost
  run_once: true

- name: Take what CI has built
  mobius.ops.release_artifact:
    source: /srv/ci/mobius-1.4.0.tar.gz
    store: /var/cache/mobius/artifacts
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
path:
  description: The artifact's path on the controller; none in check mode when it still has to be built.
  returned: success
  type: str
sha256:
  description: The artifact's SHA-256.
  returned: success
  type: str
size:
  description: The artifact's size in bytes.
  returned: success
  type: int
release_id:
  description: The id of the release, made of the version and the source's digest.
  returned: success
  type: str
  sample: 1.4.0-5f1d2c3b
version:
  description: The release's version.
  returned: success
  type: str
source:
  description: Where it came from; for git with the commit.
  returned: success
  type: str
digest:
  description: SHA-256 over the names and contents of the source's files, and over O(npm_ci_args) and O(environment) unless both are empty.
  returned: success
  type: str
committed:
  description: When the source was committed, ISO 8601 UTC; of a git source, none otherwise.
  returned: success
  type: str
dependencies:
  description:
    - What was packed for O(ship_npm_ci_args); none without it, without a lock file, and in check mode before the artifact is built.
  returned: success
  type: dict
  contains:
    key:
      description: Hash of the files that npm reads, the arguments, the machine and Node; the name below C(deps/) on a host.
      type: str
    runtime:
      description: Platform, architecture, libc and module ABI of the controller's Node, for which they were installed.
      type: str
      sample: linux-x64-glibc-115
    path:
      description: The archive on the controller; none in check mode when it still has to be packed.
      type: str
    sha256:
      description: Its SHA-256.
      type: str
    size:
      description: Its size in bytes.
      type: int
    built:
      description: Whether it was packed now, or would be.
      type: bool
hidden:
  description: Files of the source in O(shared_folders), which the application will not see; none for an artifact that was given as one.
  returned: success
  type: list
  elements: str
  sample: [data/games.json]
built:
  description: Whether it was built now, or would be.
  returned: success
  type: bool
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import interrupt
from ansible_collections.mobius.ops.plugins.module_utils._deploy import build, build_output, dependencies, dependency_bundle


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Find or build the artifact."""
    settings = build.Settings.of(params["npm_ci_args"], params["environment"])
    output = build_output.output(params["output_file"], settings.environment)
    builder = build.Builder(
        params["store"],
        params["npm_ci_args"],
        params["build_command"],
        params["environment"],
        output,
        params["shared_folders"],
        params["required_files"],
        params["built_folders"],
    )
    shipped, wanted = None, params["ship_npm_ci_args"]
    with interrupt.interruptible("the build", pipe=1):  # standard output: its reader is the playbook
        artifact = builder.make(params["source"], params["version"], params["ref"], check_mode)
        if wanted is not None and artifact["path"]:
            npm = settings.npm(output)
            npm = dependencies.Npm(wanted, output=output, whole=None if npm.environment else npm.args)
            shipped = dependency_bundle.pack(artifact["path"], params["store"], npm, check_mode)
    return arguments.Answer(artifact["built"] or bool(shipped and shipped["built"]), {**artifact, "dependencies": shipped})


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "ref": {"type": "str", "default": ""},
            "store": {"type": "path", "required": True},
            "npm_ci_args": {"type": "list", "elements": "str", "default": []},
            "environment": {"type": "dict", "default": {}},
            "build_command": {"type": "list", "elements": "str", "default": ["npm", "run", "build"]},
            "ship_npm_ci_args": {"type": "list", "elements": "str"},
            "shared_folders": {"type": "list", "elements": "str", "default": []},
            "required_files": {"type": "list", "elements": "str", "default": list(build.REQUIRED)},
            "built_folders": {"type": "list", "elements": "str", "default": list(build.BUILT)},
            "output_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
