# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State that a service keeps elsewhere, without a database server."""

from __future__ import annotations

#: Stands for pg_dump and pg_restore: the store is a file somewhere else.
STORE = """
import os, sys
path = os.environ["STORE"]
if sys.argv[1] == "dump":
    with open(path) as stream:
        print(stream.read(), end="")
else:
    with open(path, "w") as stream:
        stream.write(sys.stdin.read())
"""
