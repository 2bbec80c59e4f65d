"""Arguments for a module that runs in this process."""

from __future__ import annotations

import contextlib
import json
import typing as t

from ansible.module_utils import basic

try:
    from ansible.module_utils.testing import patch_module_args as given
except ImportError:  # ansible-core 2.16

    @contextlib.contextmanager
    def given(module_args: dict[str, t.Any]) -> t.Iterator[None]:
        """What ansible-core 2.17 and newer bring themselves."""
        old, basic._ANSIBLE_ARGS = basic._ANSIBLE_ARGS, json.dumps({"ANSIBLE_MODULE_ARGS": module_args}).encode()
        try:
            yield
        finally:
            basic._ANSIBLE_ARGS = old


__all__ = ["given"]
