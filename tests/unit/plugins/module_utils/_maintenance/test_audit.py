"""The parts of the security audit, each on real files, sockets and logs."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import time

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import audit, exposure, quarterly


def names(part, context):
    return [(cause.name, cause.severity) for cause in part(context)[0]]


def test_files_with_secrets_that_everybody_may_read(patient):
    patient.backup()
    assert names(audit.permissions, patient.context()) == []
    [archive] = [name for name in os.listdir(patient.layout.backups) if name.endswith(".zip")]
    path = os.path.join(patient.layout.backups, archive)
    os.chmod(path, 0o644)
    assert names(audit.permissions, patient.context()) == [("secret_readable", 3)]
    os.chmod(patient.layout.env_file, 0o604)
    [cause] = audit.permissions(patient.context())[0]
    assert (cause.name, set(cause.subjects)) == ("env_readable", {patient.layout.env_file, path})


def test_a_folder_of_root_that_everybody_may_write_to(patient):
    os.chmod(patient.layout.state, 0o777)
    assert names(audit.permissions, patient.context()) == [("folder_writable", 2)]


@pytest.mark.parametrize(
    "days, found", [(90, []), (15, [("certificate_ends", 3)]), (2, [("certificate_expired", 2)]), (-4, [("certificate_expired", 2)])]
)
def test_certificates_in_files(patient, authority, days, found):
    assert names(audit.certificates, patient.context(certificates=[authority.certificate("a.example", days=days)])) == found


def test_certificates_that_are_served_also_of_checks(patient, authority, secure):
    server = secure(authority.certificate("127.0.0.1", days=-2))
    context = patient.context(certificates=[f"127.0.0.1:{server.port}"], checks=[{"url": f"{server.base}/health"}])
    [cause] = audit.certificates(context)[0]
    assert (cause.name, cause.subjects) == ("certificate_expired", (f"127.0.0.1:{server.port}",)) and "(ended)" in cause.text


def test_a_certificate_that_is_served_on_ipv6(patient):
    """Where nothing listens, the connection is refused, and not the address."""
    context = patient.context(checks=[{"url": "https://[::1]:1/health"}])
    assert audit.certificate_places(context) == ["[::1]:1"]
    with pytest.raises(OSError) as found:
        audit.certificate_days("[::1]:1")
    assert not isinstance(found.value, socket.gaierror)


def test_a_certificate_that_cannot_be_read_is_said(patient, tmp_path):
    (tmp_path / "none.pem").write_text("no certificate")
    causes, lines = audit.certificates(patient.context(certificates=[str(tmp_path / "none.pem"), "/nowhere.pem"]))
    assert [(one.name, one.severity, len(one.subjects)) for one in causes] == [("certificate_unread", 0, 2)]
    assert "it could not be read (no certificate)" in lines[0]


@pytest.mark.parametrize(
    "family, address, open_to_others",
    [
        (socket.AF_INET, "127.0.0.1", False),
        (socket.AF_INET6, "::1", False),
        (socket.AF_INET6, "::ffff:127.0.0.1", False),
        (socket.AF_INET, "0.0.0.0", True),
        (socket.AF_INET6, "::", True),
    ],
)
def test_ports_that_other_hosts_may_reach(patient, family, address, open_to_others):
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        port = server.getsockname()[1]
        assert (port in exposure.exposed()) == open_to_others
        found = [cause for cause in exposure.ports(patient.context())[0] if str(port) in cause.subjects]
        assert bool(found) == open_to_others
        assert not any(str(port) in cause.subjects for cause in exposure.ports(patient.context(open_ports=[port]))[0])


def test_systemd_s_own_judgement_is_read(tmp_path):
    unit = tmp_path / "try.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    argv = ["systemd-analyze", "security", "--no-pager", "--offline=true", str(unit)]
    printed = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    assert exposure.exposure(printed) > 7, printed
    assert exposure.exposure("Failed to connect") is None


def test_units_are_left_out_where_systemd_runs_none(patient):
    assert exposure.units(patient.context()) == ([], ["units: systemd does not run the service"])


@pytest.mark.parametrize("text", ["-----BEGIN RSA PRIVATE KEY-----", "key AKIAABCDEFGHIJKLMNOP", "ghp_" + "a" * 36, "xoxb-1234567890ab"])
def test_texts_that_are_secret_wherever_they_stand(patient, text):
    fs.write_text(os.path.join(patient.layout.component("logs"), "b.log"), f"says {text}\n")
    assert names(audit.secrets_in_logs, patient.context()) == [("secret_in_log", 2)]


def test_a_secret_in_a_packed_log_and_across_two_blocks(patient, secret):
    assert names(audit.secrets_in_logs, patient.context()) == []
    with gzip.open(os.path.join(patient.layout.component("logs"), "b.log.1.gz"), "wb") as stream:
        stream.write(b"x" * (1024**2 - 5) + secret.encode())
    causes, lines = audit.secrets_in_logs(patient.context())
    assert [cause.subjects for cause in causes] == [(os.path.join(patient.layout.component("logs"), "b.log.1.gz"),)]
    assert secret not in repr((causes, lines))


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8bnonsense", gzip.compress(b"", mtime=0)[:10] + b"\xff" * 40, gzip.compress(b"x" * 99, mtime=0)[:-9]],
    ids=["nonsense", "wrong body", "cut"],
)
def test_a_log_that_is_badly_packed_does_not_stop_the_search(patient, secret, content):
    with open(os.path.join(patient.layout.component("logs"), "a.log.2.gz"), "wb") as stream:
        stream.write(content)
    fs.write_text(os.path.join(patient.layout.component("logs"), "z.log"), secret)
    assert names(audit.secrets_in_logs, patient.context()) == [("secret_in_log", 2)]


def test_old_keys(patient, tmp_path):
    key = tmp_path / "sign"
    key.write_text("key")
    assert names(audit.keys, patient.context(sign_key=str(key))) == []
    past = time.time() - 40 * 86400
    os.utime(key, (past, past))
    [cause] = audit.keys(patient.context(sign_key=str(key), key_days=30))[0]
    assert (cause.name, cause.subjects) == ("key_old", (str(key),)) and "(40 days)" in cause.text
    assert "key /nowhere: No such file or directory" in audit.keys(patient.context(keys=["/nowhere"]))[1]


def test_a_part_that_cannot_be_looked_at_keeps_no_other_from_being(patient, monkeypatch):
    def lost(_context):
        raise OSError(5, "Input/output error")

    def found(_context):
        return [audit.Cause("key_old", 3, "A key is old.")], ["a line"]

    monkeypatch.setattr(audit, "PARTS", (lost, found))
    told = quarterly.security_audit(patient.context("quarterly"))
    assert "Lost could not be looked at: [Errno 5] Input/output error" in told.text and "A key is old." in told.text
    assert told.evidence == ("a line",)
