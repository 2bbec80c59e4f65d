# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signatures of archives, by OpenSSH's ``ssh-keygen -Y``: a file ``<archive>.sha256.sig`` beside the sidecar.

What is signed is the sidecar's line, so both the content and the name of an archive are covered. A check makes that
line of the archive itself, so a sidecar that was written anew along with the archive does not help.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import tempfile
import typing as t

from .._core import causes, checksums, commands
from .._core.errors import InputError, IntegrityError, OpsError, StateError

#: What the name of a signature ends with; ``ssh-keygen -Y sign`` of a sidecar gives it the same name.
SUFFIX = checksums.SUFFIX + ".sig"
#: Signatures for other purposes by the same key do not count.
NAMESPACE = "mobius-backup"
#: Nobody is there to answer a question, and only the key that was named may sign.
_NEVER = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS", "SSH_AUTH_SOCK")


@dataclasses.dataclass(frozen=True)
class Policy:
    """Whose signature an archive must have."""

    allowed_signers: str
    signer: str

    def require(self) -> None:
        """:raises OpsError: when no signature at all could be checked; that says nothing about an archive."""
        if not self.signer or not self.signer.isprintable():
            raise InputError("signer", f"a name that is in {self.allowed_signers}", repr(self.signer), "Correct it")
        if not os.path.isfile(self.allowed_signers) or not os.access(self.allowed_signers, os.R_OK):
            raise StateError(
                f"allowed signers {self.allowed_signers}",
                "a file that can be read",
                "none" if not os.path.lexists(self.allowed_signers) else "something else",
                "Put the file there, or correct the path (mobius_backup_allowed_signers)",
            )
        _require_program()


def policy(allowed_signers: str | None, signer: str | None) -> Policy | None:
    """The policy that a module's options make, ready for use; ``None`` when signatures are not asked for."""
    if not allowed_signers:
        return None
    made = Policy(allowed_signers, signer or "")
    made.require()
    return made


def require_key(key: str) -> None:
    """:raises OpsError: when *key* is not a private key that can sign without a question, kept from other users."""
    subject, todo = f"signing key {key}", "Correct the path (mobius_backup_sign_key)"
    try:
        status = os.stat(key)
    except OSError as error:
        raise StateError(subject, "a private key", error.strerror or "none", todo) from None
    if not stat.S_ISREG(status.st_mode):
        raise StateError(subject, "a private key", "something that is no file", todo)
    if status.st_mode & 0o077:
        raise StateError(
            subject,
            "a file that only its owner can read (mode 0600)",
            f"mode {stat.S_IMODE(status.st_mode):04o}",
            "Replace the key if somebody else may have read it, and run chmod 600",
        )
    exit_status, _public, words = _run(["-y", "-P", "", "-f", key])
    if exit_status:
        if "passphrase" in words:
            raise StateError(
                subject,
                "a private key without a passphrase, because nobody is there to type it",
                "one that is encrypted",
                "Make one for backups alone: ssh-keygen -t ed25519 -N '' -f FILE",
            )
        raise StateError(subject, "a private key", words or "something else", todo)


def sign(key: str, path: str, digest: str) -> bytes:
    """The signature of an archive that is to be called *path* and has this digest. :raises OpsError: when there is none."""
    require_key(key)
    content = checksums.line(path, digest)
    status, made, words = _run(["-Y", "sign", "-f", key, "-n", NAMESPACE], content)
    if status or not made.startswith("-----BEGIN SSH SIGNATURE-----"):
        raise OpsError(f"signing key {key}", "a signature", words or "none", "Look whether the key is whole: ssh-keygen -y -f FILE")
    return made.encode("ascii")


def made_by(key: str, path: str, digest: str) -> bool:
    """Whether an archive with this digest was signed by this very key."""
    exit_status, public, _words = _run(["-y", "-P", "", "-f", key])
    with tempfile.NamedTemporaryFile() as signers:
        signers.write(f'own namespaces="{NAMESPACE}" {public}'.encode())
        signers.flush()
        try:
            return exit_status == 0 and check(Policy(signers.name, "own"), path, digest)
        except IntegrityError:
            return False


def check(wanted: Policy, path: str, digest: str) -> bool:
    """Whether an archive with this digest has a signature.

    :raises IntegrityError: when it has one that is not right: of other content, another name, key or purpose.
    """
    signature = path + SUFFIX
    if not os.path.lexists(signature):
        return False
    words = "no file"
    if os.path.isfile(signature):
        status, said, words = _run(
            ["-Y", "verify", "-f", wanted.allowed_signers, "-I", wanted.signer, "-n", NAMESPACE, "-s", signature],
            checksums.line(path, digest),
        )
        if status == 0:
            return True
        words = words or said.strip()
    raise IntegrityError(
        f"archive {path}",
        f"a signature of it by {wanted.signer}",
        f"a wrong one ({words.rstrip('.')})",
        "Do not restore it before you know who changed what; take another archive",
    )


def _require_program() -> None:
    if not shutil.which("ssh-keygen"):
        raise StateError(
            "signatures of backups", "the program ssh-keygen on the target", "none on its PATH", "Install the package openssh-client there"
        )


def _run(arguments: list[str], content: bytes = b"") -> tuple[int, str, str]:
    """Exit status, output and last words of ``ssh-keygen``; it reads *content*, and can ask nobody anything."""
    _require_program()
    environment = {name: value for name, value in os.environ.items() if name not in _NEVER}
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        stream.seek(0)
        done = commands.capture(
            ["ssh-keygen", *arguments], stdin=t.cast(t.BinaryIO, stream), env={**environment, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
        )
    return done.returncode, done.stdout, causes.cause(done.stderr)
