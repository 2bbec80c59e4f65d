# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""YAML files of the collection itself, read once by a process."""

from __future__ import annotations

import functools
import typing as t

import yaml


@functools.cache
def read(path: str) -> t.Any:
    """What a file of the collection says. The caller does not change it, since others get the same object.

    Ansible's own loader remembers where each value stands, and copies all of a file whenever it is asked for. That took a quarter of the
    processor time of a playbook, because twenty settings look at one file.
    """
    with open(path, encoding="utf-8") as stream:
        return yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
