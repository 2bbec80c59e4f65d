# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JMESPath expressions: what an operator asks of a JSON answer (https://jmespath.org)."""
from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, StateError

try:
    import jmespath
except ImportError:
    jmespath = None


def require(what: str, expression: str) -> None:
    """:raises InputError: when an expression is none. Without the library nothing can be told; :func:`search` says so."""
    if expression and jmespath:
        try:
            jmespath.compile(expression)
        except jmespath.exceptions.JMESPathError as error:
            told = str(error).split("\n", maxsplit=1)[0]
            raise InputError(f"{what}, {expression}", "a JMESPath expression", told, "Correct it") from error


def search(expression: str, document: t.Any, what: str = "smoke tests") -> t.Any:
    """What an expression finds; ``None`` when it finds nothing or does not fit. :raises StateError: without the library."""
    if jmespath is None:
        raise StateError(what, "the Python library jmespath where they run", "none",
                         "Install the package python3-jmespath there (mobius.ops.setup does)")
    try:
        return jmespath.search(expression, document)
    except jmespath.exceptions.JMESPathError:
        return None
