# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a certificate ends, read from its bytes: Python's ssl tells it of verified certificates only."""

from __future__ import annotations

import calendar
import time

UTC_TIME = 0x17
VERSION = 0xA0


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, beginning and end of the content of the DER element at a position."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    return der[at], start, start + length


def ends(der: bytes) -> float | None:
    """Seconds since 1970 at which an X.509 certificate stops to be valid; ``None`` when the bytes are something else."""
    try:
        at = _element(der, _element(der, 0)[1])[1]  # inside the certificate's signed part
        tag, _start, end = _element(der, at)
        at = end if tag == VERSION else at
        for _field in ("serial number", "algorithm", "issuer"):
            at = _element(der, at)[2]
        at = _element(der, _element(der, at)[1])[2]  # validity, after its beginning
        tag, start, end = _element(der, at)
        text = der[start:end].decode("ascii")
        if tag == UTC_TIME:
            text = ("19" if text >= "50" else "20") + text
        return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))
    except (IndexError, ValueError):
        return None
