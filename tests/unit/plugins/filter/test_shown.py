# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(shown), as Ansible's own callback shows what it gives."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from support.playbooks import BIN, ROOT

PLAY = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "{{ page | mobius.ops.shown }}"}}]}]


@pytest.mark.parametrize(("form", "words"), [("json", '"one  two",'), ("yaml", "one  two\n")])
def test_a_page_of_several_lines(tmp_path, form, words):
    (tmp_path / "play.yml").write_text(json.dumps(PLAY))
    (tmp_path / "ansible.cfg").touch()
    (tmp_path / "vars.json").write_text(json.dumps({"page": "one  two\nthree: four"}))
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", "-e", "@vars.json", "play.yml"],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_CALLBACK_RESULT_FORMAT": form,
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert words in done.stdout and "\\n" not in done.stdout, done.stdout
