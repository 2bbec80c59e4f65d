# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a JSON text was read while its writer was in the midst of it."""

from __future__ import annotations

import json

#: JSON up to this size is parsed; of a larger text only the two ends are looked at.
PARSED = 4 * 1024 * 1024
#: What may stand around a JSON text: white space, byte-order marks, and the other half of each letter in UTF-16.
_AROUND = b" \t\r\n\0\xef\xbb\xbf\xfe\xff"


def is_torn(head: bytes, tail: bytes, size: int) -> bool:
    """Whether a JSON text is cut. *head* and *tail* are its ends, each all of it when it is a small one."""
    if size <= PARSED:
        try:
            json.loads(head, parse_int=float)
        except RecursionError:  # deeper than Python reads
            return is_cut(head, tail)
        except ValueError:
            return True
        return False
    return is_cut(head, tail)


def is_cut(head: bytes, tail: bytes) -> bool:
    """Whether a JSON text does not end as it begins, in UTF-8 or UTF-16."""
    first, last = head.lstrip(_AROUND)[:1], tail.rstrip(_AROUND)[-1:]
    return (first, last) not in ((b"{", b"}"), (b"[", b"]"))


def begins(head: bytes) -> bool:
    """Whether a text begins as a JSON object or array does."""
    return head.lstrip(_AROUND)[:1] in (b"{", b"[")
