# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A kernel that allows no mount namespace."""

from __future__ import annotations

import subprocess

import pytest

#: Runs a command there: as root of a user namespace whose limit of mount namespaces is used up.
_WITHOUT = ["unshare", "--user", "--map-root-user", "sh", "-c", 'echo 0 > /proc/sys/user/max_mnt_namespaces && exec "$@"', "sh"]


def without(*command: str) -> list[str]:
    """The argv of a command where the kernel allows no mount namespace; the test is skipped on a system that has no such place."""
    if subprocess.run([*_WITHOUT, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system allows no user namespaces, so that a kernel without mount namespaces cannot be had")
    return [*_WITHOUT, *command]
