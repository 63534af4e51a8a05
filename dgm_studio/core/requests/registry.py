"""Every kind of request by name, to and from plain data."""

from __future__ import annotations

from typing import Any, TypeVar

from dgm_studio.core import cards
from dgm_studio.core.updates import Problem

RequestT = TypeVar("RequestT")
_KINDS: dict[str, type[Any]] = {}


def request(cls: type[RequestT]) -> type[RequestT]:
    """Register a request class under its name; the name is what files and sessions hold."""
    _KINDS[cls.__name__] = cls
    return cls


def kinds() -> tuple[type[Any], ...]:
    """Every kind of request."""
    return tuple(_KINDS.values())


def to_json(asked: Any) -> dict[str, Any]:
    """A request as JSON-able data: {"ask": class name, ...fields}."""
    return {"ask": type(asked).__name__, **cards.as_json(asked)}


def from_json(data: dict[str, Any]) -> Any:
    """The inverse of `to_json`.

    Raises:
        Problem: A request this version does not know, or one that lacks a field.
    """
    kind = _KINDS.get(str(data.get("ask")))
    if kind is None:
        raise Problem(f"This version does not know the request {data.get('ask')}.", "Update DGM Studio to open it.")
    try:
        return cards.from_json(kind, {k: v for k, v in data.items() if k != "ask"})
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise Problem(f"The request {data.get('ask')} is incomplete: {error}.") from error
