# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A root for made-up input, with a file beside it that nothing may touch."""

from __future__ import annotations

import os

from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


class Decoyed:
    """An empty root in a folder, and a decoy beside it."""

    def __init__(self, folder: str) -> None:
        os.chmod(folder, 0o755)  # helpers are other users
        self.top, self.layout, self.decoy = folder, Layout(os.path.join(folder, "root")), os.path.join(folder, "decoy")
        for place in self.layout.folders():
            os.makedirs(place, exist_ok=True)
        self.write(self.decoy, b"as it was")

    @staticmethod
    def write(path: str, content: bytes) -> None:
        """Write a file."""
        with open(path, "wb") as stream:
            stream.write(content)

    def require_unharmed(self) -> None:
        """Nothing was touched beside the root, and nothing was made there."""
        with open(self.decoy, "rb") as stream:
            assert stream.read() == b"as it was"
        assert sorted(os.listdir(self.top)) == ["decoy", "root"], os.listdir(self.top)
