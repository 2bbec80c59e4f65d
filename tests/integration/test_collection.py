"""The collection as its users get it: built, installed from its tarball, and run from there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support.playbooks import BIN, ROOT


def test_installed_from_its_tarball(tmp_path):
    subprocess.run(["make", "build"], cwd=ROOT, check=True, capture_output=True)
    [tarball] = sorted((ROOT / ".build" / "dist").glob("mobius-ops-*.tar.gz"))[-1:]
    play = [BIN / "ansible-playbook", "-i"]
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment.pop("ANSIBLE_CONFIG", None)
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "install", "--offline", "-p", tmp_path / "collections", tarball],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(tmp_path / "collections")
    installed = tmp_path / "collections" / "ansible_collections" / "mobius" / "ops"
    for left_out in (".venv", ".build", ".git", "tests/app/node_modules"):
        assert not (installed / left_out).exists()
    names = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    assert {"setup", "deploy", "backup", "rollback", "monitor", "status"} <= set(names)
    for name in names:
        done = subprocess.run(
            [*play, installed / "inventories" / "production", "--syntax-check", f"mobius.ops.{name}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(
        [
            *play,
            installed / "inventories" / "local",
            "mobius.ops.setup",
            "-e",
            f"mobius_root={tmp_path}/mobius",
            "-e",
            '{"mobius_dotenv": {}}',
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (Path(tmp_path) / "mobius" / "state").is_dir()
    check_pages(
        tmp_path, [*play, installed / "inventories" / "local", "mobius.ops.status", "-e", f"mobius_root={tmp_path}/mobius"], environment
    )


def check_pages(folder: Path, command: list[object], environment: dict[str, str]) -> None:
    """The status's page: by Ansible's own callback as it comes, and by the callback of the collection, asked for in each way."""
    plain = said(command, folder, environment)
    assert "TASK [" in plain and '"msg": [' in plain and "\\n" not in plain, plain
    logs = folder / ".ansible" / "mobius-ops"
    assert not logs.exists()
    by_variable = said(command, folder, {**environment, "ANSIBLE_STDOUT_CALLBACK": "mobius.ops.steps"})
    (folder / "ansible.cfg").write_text("[defaults]\nstdout_callback = mobius.ops.steps\n")
    by_file = said(command, folder, environment)
    assert '"Shared folders",\n' in plain
    for text in (by_variable, by_file):
        assert "TASK [" not in text and text.startswith("status\n") and "✓ Look " in text, text
        assert "\n  Shared folders\n    path in the release " in text
    assert len(list(logs.glob("*-status-*.log"))) == 2


def said(command: list[object], folder: Path, environment: dict[str, str]) -> str:
    """What a playbook prints that finds no release: that is said, and no more is wrong."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stdout
