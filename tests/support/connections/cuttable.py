"""A connection to this machine that can be cut: while a file named for the host is in the folder MOBIUS_CUT, nobody reaches it."""

from __future__ import annotations

import os

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: cuttable
short_description: A local connection that tests can cut
description: Fails as a lost host does while a file says so.
author: MOBIUS operations (@mobius-ops)
options: {}
"""


class Connection(LocalConnection):
    """As local, with a switch."""

    transport = "mobius_cuttable"

    def _reach(self) -> None:
        if os.path.exists(os.path.join(os.environ["MOBIUS_CUT"], self._play_context.remote_addr)):
            raise AnsibleConnectionFailure(f"{self._play_context.remote_addr} was cut off by the test")

    def exec_command(self, *words, **options):
        self._reach()
        return super().exec_command(*words, **options)

    def put_file(self, *words, **options):
        self._reach()
        return super().put_file(*words, **options)

    def fetch_file(self, *words, **options):
        self._reach()
        return super().fetch_file(*words, **options)
