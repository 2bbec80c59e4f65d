# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of the security audit: modes of files, certificates, secrets in logs, old keys; ports and units are in :mod:`exposure`.

Each part returns causes and lines of evidence; one that cannot be done says why, and the others go on.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import re
import socket
import ssl
import stat
import time
import typing as t
import urllib.parse
import zlib

from .._core import addresses, dotenv, foreign, walk, wording
from .._core.errors import OpsError
from .._core.html_page import count
from .._logs import files as log_files
from .._logs import run as logs_run
from .._observe import thresholds
from .._observe.http import certificate
from .._service import registry as service_registry
from .._target.layout import Layout
from . import exposure
from .exposure import Part
from .findings import Cause, Context, listed, many

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
#: Texts that are secret wherever they stand.
_SECRETS = re.compile(
    rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    rb"|\bxox[baprs]-[A-Za-z0-9-]{10,}"
)
#: What each of them has in it: a search for these is several times as fast.
_MARKS = (b"PRIVATE KEY-----", b"AKIA", *(b"gh%c_" % letter for letter in b"pousr"), *(b"xox%c-" % letter for letter in b"baprs"))
#: Bytes of a log that are searched, the newest; seconds for a handshake.
_SEARCHED, _PATIENCE = 256 * 1024**2, 10.0
_KEY_NAMES = (".pem", ".key", ".p12", ".pfx")


def secret_files(layout: Layout, keys: t.Iterable[str]) -> t.Iterator[tuple[str, os.stat_result]]:
    """Files that hold secrets: everything in ``shared/config``, archives, and the keys that settings name."""
    for top in (layout.component("config"), layout.backups):
        for folder in walk.walk(top) if os.path.isdir(top) else ():
            for name, status in folder.entries:
                if stat.S_ISREG(status.st_mode) and (top != layout.backups or name.endswith(".zip")):
                    yield os.path.join(top, folder.relative, name), status
    for path in keys:
        with contextlib.suppress(OSError):
            yield path, os.stat(path)


def permissions(context: Context) -> Part:
    """Files with secrets that everybody may read or write, and root's folders that others may write to."""
    layout, causes, lines = context.layout, [], []
    found = list(secret_files(layout, keys_of(context)))
    readable = [path for path, status in found if status.st_mode & 0o007]
    if readable:
        env = [path for path in readable if os.path.basename(path).startswith(".env")]
        name, severity = ("env_readable", 2) if env else ("secret_readable", 3)
        causes.append(
            Cause(
                name,
                severity,
                f"Every user of the host may read {listed(env or readable)}. Take that right away: chmod o= {(env or readable)[0]}.",
                tuple(readable),
            )
        )
    writable = []
    for path in (layout.root, layout.state, layout.releases, layout.backups, layout.monitor_logs, layout.incidents, layout.reports):
        with contextlib.suppress(OSError):
            if os.lstat(path).st_mode & 0o002:
                writable.append(path)
    if writable:
        causes.append(
            Cause(
                "folder_writable",
                2,
                f"Every user of the host may write to {listed(writable)}. Take that right away: chmod o-w {writable[0]}.",
                tuple(writable),
            )
        )
    lines.append(f"permissions: {count(len(found), 'file')} with secrets looked at, {len(readable)} of them open to all users")
    return causes, lines


def certificates(context: Context) -> Part:
    """Certificates that have ended or soon do, in files and where they are served."""
    warning, critical = thresholds.merge(context.request.thresholds)["certificate_days"]
    causes, lines = [], []
    ended: list[tuple[str, float]] = []
    soon: list[tuple[str, float]] = []
    unread = []
    for place in certificate_places(context):
        try:
            days = certificate_days(place)
        except (OSError, ValueError) as error:
            lines.append(f"certificate {place}: it could not be read ({wording.one_line(str(error))})")
            unread.append(place)
            continue
        lines.append(f"certificate {place}: {f'ended {-days:.0f} days ago' if days < 0 else f'{days:.0f} days left'}")
        if days < warning:
            (ended if days < critical else soon).append((place, days))
    for name, severity, those in (("certificate_expired", 2, ended), ("certificate_ends", 3, soon)):
        if those:
            words = listed([f"{place} ({'ended' if days < 0 else f'{days:.0f} days left'})" for place, days in those])
            causes.append(
                Cause(
                    name,
                    severity,
                    f"{many(those, 'certificate', 'has have')} to be renewed: {words}.",
                    tuple(place for place, _days in those),
                )
            )
    if unread:
        causes.append(
            Cause(
                "certificate_unread",
                0,
                f"{many(unread, 'certificate', 'was were')} not read: {listed(unread)}. Look at the path, or whether the port answers.",
                tuple(unread),
            )
        )
    return causes, lines


def certificate_places(context: Context) -> list[str]:
    """Files and HOST:PORT: those of the settings, the proxy's, and those of checks by HTTPS."""
    places = list(context.request.certificates)
    with contextlib.suppress(OpsError):
        proxy = service_registry.load(context.layout, context.request.service).spec.get("proxy")
        places += [proxy["certificate"]] if proxy and proxy.get("certificate") else []
    for check in context.request.checks:
        parsed = urllib.parse.urlsplit(str(check.get("url", "")))
        if parsed.scheme == "https" and parsed.hostname:
            places.append(addresses.netloc(parsed.hostname, parsed.port or 443))
    return list(dict.fromkeys(places))


def certificate_days(place: str) -> float:
    """Days until a certificate ends; the first one of a file counts. :raises ValueError: when there is none."""
    if os.path.isabs(place):
        match = _PEM.search(foreign.read_end(place, foreign.SMALL))
        der = base64.b64decode(match[1]) if match else b""
    else:
        host, _colon, port = place.rpartition(":")
        host = addresses.bare(host)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((host, int(port)), _PATIENCE) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
            der = secure.getpeercert(binary_form=True) or b""
    end = certificate.ends(der)
    if end is None:
        raise ValueError("no certificate")
    return (end - time.time()) / 86400


def secrets_in_logs(context: Context) -> Part:
    """Logs that hold a value of ``.env``, or a text that is secret wherever it stands. The evidence names no secret."""
    layout, request = context.layout, context.request
    known = [text.encode() for text in dotenv.Redactor(layout.env_file).secrets if len(text) >= 6]
    patterns = [*(request.log_files or logs_run.files_of(layout, request.service)), layout.path("monitor_logs", "*.log*")]
    found, _passed = log_files.find(patterns)
    holding = []
    context.meter.phase("search the logs", sum(one.size for one in found), len(found))
    for one in found:
        with contextlib.suppress(OSError, EOFError, zlib.error):
            if _holds(one, known):
                holding.append(one.path)
        context.meter.add(one.size, 1)
    lines = [f"secrets: {count(len(found), 'log')} searched for {count(len(known), 'secret')} of .env and for private keys and tokens"]
    if not holding:
        return [], lines
    return [
        Cause(
            "secret_in_log",
            2,
            f"{many(holding, 'log', 'holds hold')} a secret: {listed(holding)}. "
            "Replace the secret, correct what prints it, and remove the log.",
            tuple(holding),
        )
    ], lines


def _holds(file: log_files.Found, known: list[bytes]) -> bool:
    with os.fdopen(log_files.opened(file), "rb") as raw:
        if not file.packed:
            raw.seek(max(0, file.size - _SEARCHED))
        stream: t.Any = gzip.GzipFile(fileobj=raw) if file.packed else raw
        left, before = _SEARCHED, b""
        while left > 0:
            chunk = stream.read(min(left, 1024**2))
            if not chunk:
                return False
            left, text = left - len(chunk), before + chunk
            if any(secret in text for secret in known) or (any(mark in text for mark in _MARKS) and _SECRETS.search(text)):
                return True
            before = text[-4096:]
    return False


def keys_of(context: Context) -> list[str]:
    """Files with keys: those of the settings, the one that signs backups, the proxy's."""
    named = [*context.request.keys, context.request.sign_key]
    with contextlib.suppress(OpsError):
        proxy = service_registry.load(context.layout, context.request.service).spec.get("proxy")
        named.append(str(proxy.get("certificate") or "") if proxy else "")
    return list(dict.fromkeys(filter(None, named)))


def keys(context: Context) -> Part:
    """Keys that are older than they may be, by the time when their file was written last."""
    found = dict.fromkeys(keys_of(context))
    for path, _status in secret_files(context.layout, ()):
        if os.path.basename(path) == ".env" or path.endswith(_KEY_NAMES):
            found.setdefault(path)
    old, lines = [], []
    for path in found:
        try:
            days = (time.time() - os.stat(path).st_mtime) / 86400
        except OSError as error:
            lines.append(f"key {path}: {error.strerror}")
            continue
        lines.append(f"key {path}: written {days:.0f} days ago")
        if days > context.request.key_days:
            old.append((path, days))
    if not old:
        return [], lines
    words = listed([f"{path} ({days:.0f} days)" for path, days in old])
    return [
        Cause(
            "key_old",
            3,
            f"{many(old, 'key')} older than {context.request.key_days:g} days: {words}. Replace them, then restart the service.",
            tuple(path for path, _days in old),
        )
    ], lines


PARTS: tuple[t.Callable[[Context], Part], ...] = (permissions, certificates, exposure.ports, exposure.units, secrets_in_logs, keys)
