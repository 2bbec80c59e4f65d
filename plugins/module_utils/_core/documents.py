# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one JSON parser: everything that is wrong with a document is a ``ValueError`` with one line of text.

Python's parser recurses: it takes a document of some hundred nested levels or answers with ``RecursionError``, depending on how deep
its caller is, and what works on such a document later recurses too. So documents have a limit of their own.
"""

from __future__ import annotations

import json
import typing as t

#: Levels of nested lists and objects. MOBIUS and the collection's own records use fewer than ten.
DEPTH = 100


def parse(text: str | bytes) -> t.Any:
    """The value of a JSON document. :raises ValueError: when it is none, or nested too deeply."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEPTH} levels") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from None
    if not shallow(value):
        raise ValueError(f"nested deeper than {DEPTH} levels")
    return value


def answer(text: str) -> t.Any:
    """The value of what an application answered, or ``None`` when it is no JSON document.

    Halves of characters, which JSON may hold and no file, address or terminal can, are replaced.
    """
    try:
        return _whole(parse(text))
    except ValueError:
        return None


def _whole(value: t.Any) -> t.Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def shallow(value: t.Any, depth: int = DEPTH) -> bool:
    """Whether a value has at most so many levels of nested lists and objects."""
    level = [value]
    for _number in range(depth):
        level = [
            item
            for each in level
            if isinstance(each, (dict, list))
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return True
    return False
