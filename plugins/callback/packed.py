# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps packed modules from one run to the next."""

from __future__ import annotations

DOCUMENTATION = r"""
name: packed
type: aggregate
short_description: Keep packed modules from one run to the next
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - In each run, Ansible packs every module with all that it imports. This callback keeps the packed modules of this collection and of
    Ansible itself, so that the next run begins with them. A change of a file of the collection, another version of Ansible or of
    Python make it pack them again.
  - Packed modules may carry their bytecode, so that the host does not compile them for each task.
  - It changes nothing else. Without a folder that only the user may write to, it does nothing and says so.
options:
  folder:
    description: Folder of the packed modules on the controller.
    type: path
    default: ~/.cache/mobius.ops/packed
    env:
      - name: MOBIUS_PACKED_FOLDER
    ini:
      - section: callback_mobius_packed
        key: folder
  bytecode:
    description:
      - For which hosts modules carry bytecode beside their source. It makes them three times as large, and helps where a host has the
        same minor version of Python as the controller. Other hosts use the source.
      - V(local) means a run whose first host has the connection C(local).
    type: str
    choices: [local, always, never]
    default: local
    env:
      - name: MOBIUS_PACKED_BYTECODE
    ini:
      - section: callback_mobius_packed
        key: bytecode
requirements:
  - callbacks_enabled = mobius.ops.packed in ansible.cfg, or ANSIBLE_CALLBACKS_ENABLED=mobius.ops.packed
"""

import os
import sys
import typing as t

from ansible import constants as C
from ansible import module_utils
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__

from ansible_collections.mobius.ops.plugins.plugin_utils import packed_modules

PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class CallbackModule(CallbackBase):
    """Gives a run the modules that are kept, and keeps what it has packed."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mobius.ops.packed"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *words: t.Any, **options: t.Any) -> None:
        super().__init__(*words, **options)
        self._store: packed_modules.Store | None = None
        self._name = ""

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Give the first play that may run modules on hosts what is kept."""
        hosts = self._hosts(play)
        if self._name or hosts == ["localhost"] or os.path.islink(self._cache()):  # a link: it is kept already, as the tests do
            return
        self._name = self._fingerprint()
        try:
            store = packed_modules.Store(os.path.expanduser(self.get_option("folder")), self._name, self._has_bytecode(play, hosts))
            store.give(self._cache())
            self._store = store
        except OSError as error:
            self._display.warning(f"Packed modules are not kept: {self._reason(error)}.")

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """Keep what was packed, unless the collection has changed since. Trouble is told with -v only: the outcome stays the last line."""
        if self._store and self._fingerprint() == self._name:
            try:
                self._store.take(self._cache())
            except OSError as error:
                self._display.v(f"Packed modules are not kept: {self._reason(error)}.")

    def _reason(self, error: OSError) -> str:
        return f"{error.filename or self.get_option('folder')}: {error.strerror}"

    @staticmethod
    def _cache() -> str:
        return os.path.join(C.DEFAULT_LOCAL_TMP, "ansiballz_cache")

    @staticmethod
    def _hosts(play: t.Any) -> list[str]:
        inventory = play.get_variable_manager()._inventory
        return [host.name for host in inventory.get_hosts(play.hosts)]

    def _has_bytecode(self, play: t.Any, hosts: list[str]) -> bool:
        wanted = self.get_option("bytecode")
        if wanted != "local" or not hosts:
            return bool(wanted == "always")
        manager = play.get_variable_manager()
        return bool(manager.get_vars(play=play, host=manager._inventory.get_host(hosts[0])).get("ansible_connection") == "local")

    @staticmethod
    def _fingerprint() -> str:
        own = (os.path.join(PLUGINS, "module_utils"), os.path.join(PLUGINS, "modules"))
        others = [path for path in C.DEFAULT_MODULE_UTILS_PATH if os.path.isdir(path)]  # these win over Ansible's own
        return packed_modules.fingerprint([*own, *others], __version__, sys.version, module_utils.__file__)
