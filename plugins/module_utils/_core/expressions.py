# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JMESPath expressions: what an operator asks of a JSON answer (https://jmespath.org)."""

from __future__ import annotations

import typing as t

from .errors import InputError, StateError

try:
    import jmespath
except ImportError:
    jmespath = None  # type: ignore[assignment]


def require_library(what: str, where: str) -> None:
    """:raises StateError: when the library is not there."""
    if jmespath is None:
        raise StateError(
            what, f"the Python library jmespath {where}", "none", "Install the package python3-jmespath there (mobius.ops.setup does)"
        )


def require(subject: str, expression: str) -> None:
    """:raises InputError: when an expression is none. Without the library nothing can be told; :func:`search` says so."""
    if not expression or not jmespath:
        return
    try:
        jmespath.compile(expression)
    except (jmespath.exceptions.JMESPathError, ValueError, TypeError, RecursionError) as error:
        found = str(error).split("\n", maxsplit=1)[0] if isinstance(expression, str) else repr(expression)[:80]
        raise InputError(subject, "a JMESPath expression", found, "Correct it") from error


def search(expression: str, document: t.Any, what: str = "smoke tests", where: str = "where they run") -> t.Any:
    """What an expression finds; ``None`` when it finds nothing or does not fit. :raises StateError: without the library."""
    require_library(what, where)
    try:
        return jmespath.search(expression, document)
    except (jmespath.exceptions.JMESPathError, ArithmeticError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None  # it asks of a text what only a number has, or of an endless number a whole one, or the like
