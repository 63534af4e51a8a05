"""The type checker behind jaxtyping's import hook in the tests: it enforces the shapes and nothing else.

beartype on every annotation would also insist on float where an int is just as good, and on Protocols that are not made
for isinstance. Shapes are what mypy cannot see.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from types import FunctionType
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the shapes in its annotations enforced; itself when it has none."""
    if not isinstance(function, FunctionType):
        return function
    resolved = {name: _resolve(hint, function.__globals__) for name, hint in function.__annotations__.items()}
    shaped = {name: hint for name, hint in resolved.items() if _has_shape(hint)}
    if not shaped:
        return function
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__, copy.__qualname__, copy.__doc__ = function.__module__, function.__qualname__, function.__doc__
    copy.__annotations__ = shaped
    return typing.cast(Callable[..., Any], beartype(copy))


def _resolve(hint: object, names: dict[str, Any]) -> object:
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, names)
    except NameError:  # imported for mypy only, or defined further down: no shape
        return None


def _has_shape(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_has_shape(part) for part in typing.get_args(hint))
