# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that several modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of shared options; ``mobius.ops.shared.ROOT`` and so on."""

    DOCUMENTATION = r"""
options: {}
"""
    ROOT = r"""
options:
  root:
    description:
      - The application's root folder on the target.
    type: path
    required: true
"""
    ENV = r"""
options:
  env:
    description:
      - The environment's name, such as V(production) or V(staging).
      - It is a part of the names of backups and logs.
    type: str
    required: true
"""
    FLEET = r"""
options:
  fleet:
    description:
      - A key that all hosts of a run share. They give the incident of the same cause the same id then. It should begin with the date.
    type: str
    default: ""
"""
    COMPONENTS = r"""
options:
  components:
    description:
      - The parts of the application's state.
      - V(all) stands for V(config), V(database), V(uploads), V(generated) and V(logs).
    type: list
    elements: str
    default: [all]
"""
    SIGNATURES = r"""
options:
  allowed_signers:
    description:
      - Path on the target of the keys whose signatures count, in the form of C(ssh-keygen)'s I(ALLOWED SIGNERS), a line a key, such
        as C(mobius-backup namespaces="mobius-backup" ssh-ed25519 AAAA…).
      - An archive needs a signature C(<archive>.sha256.sig) by one of them then. Without one it is V(unverified); with one
        that is wrong (of other content, another name, or an unknown key) it is V(corrupt).
      - No signatures are looked at when it is not given.
    type: path
  signer:
    description:
      - The name in O(allowed_signers) of who must have signed.
    type: str
    default: mobius-backup
"""
    PROGRESS = r"""
options:
  progress:
    description:
      - With V(all) the controller shows how far the work is while it goes on, once it takes longer than five seconds. The work
        runs in the background of the target then, so that it goes on when the connection breaks or the controller is ended.
      - With V(none) nothing is shown, and the work runs within the connection, as it does with the task's C(async).
    type: str
    choices: [all, none]
    default: all
  progress_file:
    description:
      - The record of the work on the target, while it goes on in the background there.
      - Set by the collection itself, to a new name in C(ansible_async_dir) each time.
    type: path
  progress_wait:
    description:
      - Begin nothing, but look for so many seconds how the work goes on whose record is O(progress_file).
      - Set by the collection itself.
    type: float
"""
    ATTRIBUTES = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what it would do without changing the target.
  diff_mode:
    description: Returns what it changed, or would change, when in diff mode.
  idempotent:
    description: When run twice in a row without changes in between, the second run changes nothing.
"""
    READS_ONLY = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what it would do without changing the target.
    support: full
    details: Never changes anything.
  diff_mode:
    description: Returns what it changed, or would change, when in diff mode.
    support: none
  idempotent:
    description: When run twice in a row without changes in between, the second run changes nothing.
    support: full
"""
