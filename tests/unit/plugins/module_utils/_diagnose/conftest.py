"""A Node process of each test."""

from __future__ import annotations

import pytest
from support.node_process import Node


@pytest.fixture
def node(tmp_path):
    made = []

    def start():
        made.append(Node(tmp_path))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.communicate()
