# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signatures of archives, by the real ssh-keygen."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._core import checksums, fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError, OpsError, StateError


@pytest.fixture
def signed(keys, tmp_path):
    """An archive (any file will do here) with its sidecar and its signature."""
    archive = str(tmp_path / "dhash_production_20261123_160000.zip")
    with open(archive, "wb") as stream:
        stream.write(b"zip " * 1000)
    seal(archive, keys.private)
    return archive


def seal(archive, key):
    """Sidecar and signature of what is there now."""
    digest = fs.sha256_file(archive)
    checksums.write(archive, digest)
    with open(archive + signature.SUFFIX, "wb") as stream:
        stream.write(signature.sign(key, archive, digest))


def holds(policy, archive):
    return signature.check(policy, archive, fs.sha256_file(archive))


def test_a_signature_holds(keys, signed):
    assert holds(keys.policy(), signed) is True


def test_without_a_signature_it_is_told_and_no_error(keys, signed):
    os.unlink(signed + signature.SUFFIX)
    assert holds(keys.policy(), signed) is False


def test_a_person_verifies_with_plain_commands(keys, signed):
    folder, name = os.path.split(signed)
    line = (
        f"ssh-keygen -Y verify -f {keys.allowed()} -I mobius-backup -n mobius-backup -s {name}.sha256.sig < {name}.sha256"
        f" && sha256sum -c {name}.sha256"
    )
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and 'Good "mobius-backup" signature' in done.stdout and "OK" in done.stdout


def test_a_person_signs_with_plain_commands(keys, signed):
    os.unlink(signed + signature.SUFFIX)
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", keys.private, "-n", "mobius-backup", signed + ".sha256"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    assert holds(keys.policy(), signed) is True


def test_a_changed_archive_is_caught_though_its_sidecar_was_written_anew(keys, signed):
    with open(signed, "ab") as stream:
        stream.write(b"!")
    checksums.write(signed, fs.sha256_file(signed))
    with pytest.raises(IntegrityError, match=r"expected a signature of it by mobius-backup, found a wrong one \(.*incorrect signature\)"):
        holds(keys.policy(), signed)


def test_the_archive_is_what_counts_and_not_its_sidecar(keys, signed):
    with open(signed, "ab") as stream:
        stream.write(b"!")
    with pytest.raises(IntegrityError, match="a wrong one"):
        holds(keys.policy(), signed)


def test_a_renamed_archive_is_caught(keys, signed):
    other = signed.replace("20261123", "20261124")
    for suffix in ("", signature.SUFFIX):
        shutil.copy(signed + suffix, other + suffix)
    checksums.write(other, fs.sha256_file(other))
    with pytest.raises(IntegrityError, match="20261124"):
        holds(keys.policy(), other)


def test_an_unknown_key_is_wrong(keys, signed):
    seal(signed, keys.other)
    with pytest.raises(IntegrityError, match="a wrong one"):
        holds(keys.policy(), signed)


def test_another_name_than_the_key_has_is_wrong(keys, signed):
    with pytest.raises(IntegrityError, match="by somebody, found a wrong one"):
        holds(keys.policy(signer="somebody"), signed)


@pytest.mark.parametrize("option", ['valid-before="20200101"', 'namespaces="file"', "cert-authority"])
def test_a_key_that_may_not_is_wrong(keys, signed, option):
    with pytest.raises(IntegrityError, match="a wrong one"):
        holds(keys.policy(options=option), signed)


def test_a_revoked_key_is_wrong(keys, signed):
    assert holds(keys.policy(keys=[keys.private, keys.other]), signed)
    with pytest.raises(IntegrityError, match="a wrong one"):
        holds(keys.policy(keys=[keys.other]), signed)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: open(path, "wb").close(),
        lambda path: fs.write_text(path, "junk\n"),
        lambda path: (os.unlink(path), os.mkfifo(path)),
        lambda path: (os.unlink(path), os.mkdir(path)),
        lambda path: (os.unlink(path), os.symlink("/nowhere", path)),
        lambda path: os.truncate(path, 100),
    ],
    ids=["empty", "junk", "pipe", "folder", "dangling", "cut"],
)
def test_what_is_no_signature_is_wrong_and_not_missing(keys, signed, make):
    make(signed + signature.SUFFIX)
    with pytest.raises(IntegrityError, match="a wrong one"):
        holds(keys.policy(), signed)


def test_every_flipped_byte_of_a_signature_is_wrong_or_harmless(keys, signed):
    path = signed + signature.SUFFIX
    with open(path, "rb") as stream:
        content = stream.read()
    caught = 0
    for offset in range(0, len(content), 7):
        with open(path, "wb") as stream:
            stream.write(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
        try:
            holds(keys.policy(), signed)  # ssh-keygen passes over line breaks and what follows the last line
        except IntegrityError:
            caught += 1
    assert caught >= len(range(0, len(content), 7)) - 3


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_may_read_is_refused(keys, mode):
    os.chmod(keys.private, mode)
    with pytest.raises(StateError, match=rf"only its owner can read \(mode 0600\), found mode {mode:04o}"):
        signature.require_key(keys.private)


def test_a_key_with_a_passphrase_gets_one_clear_sentence(keys, tmp_path):
    locked = keys.make("locked", passphrase="something long")
    with pytest.raises(StateError) as caught:
        signature.require_key(locked)
    assert str(caught.value) == (
        f"signing key {locked}: expected a private key without a passphrase, because nobody is there to type it, "
        "found one that is encrypted. Make one for backups alone: ssh-keygen -t ed25519 -N '' -f FILE."
    )


def test_no_passphrase_is_asked_for_on_a_terminal(keys, tmp_path):
    """A controlling terminal is what ssh-keygen asks at when its input is none."""
    locked = keys.make("locked", passphrase="something long")
    child, terminal = pty.fork()
    if child == 0:
        try:
            signature.sign(locked, "/x/a.zip", "0" * 64)
        except StateError:
            os._exit(7)
        finally:
            os._exit(1)
    deadline, said = time.monotonic() + HANG, b""
    while time.monotonic() < deadline and select.select([terminal], [], [], deadline - time.monotonic())[0]:
        try:
            piece = os.read(terminal, 1000)
        except OSError:  # the other end is closed
            break
        said += piece
        if b"passphrase" in said:
            os.kill(child, 9)
    status = os.waitpid(child, 0)[1]
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 7 and b"assphrase" not in said


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "a private key, found No such file or directory"),
        ("junk", "a private key, found"),
        ("folder", "something that is no file"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path, content, words):
    path = tmp_path / "key"
    if content == "folder":
        path.mkdir()
    elif content:
        path.write_text(content)
        path.chmod(0o600)
    with pytest.raises(StateError, match=words):
        signature.require_key(str(path))


def test_a_public_key_does_not_sign(keys):
    os.chmod(keys.private + ".pub", 0o600)
    with pytest.raises(OpsError, match="signing key"):
        signature.sign(keys.private + ".pub", "/x/a.zip", "0" * 64)


def test_without_the_program_there_is_a_sentence(keys, signed, monkeypatch, tmp_path):
    policy = keys.policy()
    monkeypatch.setenv("PATH", str(tmp_path))
    for work in (policy.require, lambda: signature.require_key(keys.private), lambda: holds(policy, signed)):
        with pytest.raises(StateError) as caught:
            work()
        assert str(caught.value) == (
            "signatures of backups: expected the program ssh-keygen on the target, found none on its "
            "PATH. Install the package openssh-client there."
        )


def test_policy_of_options(keys, tmp_path):
    assert signature.policy(None, "mobius-backup") is None and signature.policy("", "x") is None
    assert signature.policy(keys.allowed(), "me") == signature.Policy(keys.allowed(), "me")
    with pytest.raises(StateError, match=r"allowed signers .*nothing.*a file that can be read, found none"):
        signature.policy(str(tmp_path / "nothing"), "me")
    with pytest.raises(StateError, match="found something else"):
        signature.policy(str(tmp_path), "me")
    with pytest.raises(InputError, match="signer: expected a name"):
        signature.policy(keys.allowed(), "")
