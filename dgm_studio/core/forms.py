"""From a config dataclass to a description of its fields that a form, a command line and a check can share."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dgm_studio.core.updates import Problem

ConfigT = TypeVar("ConfigT")
KINDS = ("int", "float", "bool", "choice", "text", "ints")


class FormError(Problem):
    """A setting that does not exist or is out of its range; names the nearest valid name or the range."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting, described.

    Args:
        name: The attribute of the config dataclass.
        kind: One of `KINDS`.
        default: The value when nothing is said.
        low: Least allowed value of a number, or None.
        high: Greatest allowed value of a number, or None.
        choices: Allowed words of a choice.
        help: One sentence for people.
        group: Heading it stands under.
        scale: "linear" or "log", for sliders.
        title: What people read in its place; made of the name where it is "".
    """

    name: str
    kind: str
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""
    group: str = ""
    scale: str = "linear"
    title: str = ""

    @property
    def label(self) -> str:
        """The name in words: `kl_warmup` -> "Kl warmup" is ugly, so known abbreviations keep their capitals."""
        if self.title:
            return self.title
        words = [_ABBREVIATIONS.get(w, w) for w in self.name.split("_")]
        text = " ".join(words)
        return text[:1].upper() + text[1:]


_ABBREVIATIONS = {"kl": "KL", "ema": "EMA", "lr": "LR", "iwae": "IWAE", "vae": "VAE", "id": "ID"}


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    group: str = "",
    log: bool = False,
    title: str = "",
) -> Any:
    """A dataclass field that carries its range, choices and help.

    >>> @dataclass(frozen=True)
    ... class Config:
    ...     latent: int = option(16, "Size of z", low=1, high=512)
    >>> Config().latent
    16
    """
    about = {
        "help": help,
        "low": low,
        "high": high,
        "choices": tuple(choices),
        "group": group,
        "scale": "log" if log else "linear",
        "title": title,
    }
    return dataclasses.field(default=default, metadata=about)


def fields_of(config_class: type[Any]) -> tuple[Field, ...]:
    """Describe every field of a config dataclass, in order.

    Raises:
        TypeError: A field's type is not one a form can show.
    """
    hints = typing.get_type_hints(config_class)
    return tuple(_field(f, hints[f.name]) for f in dataclasses.fields(config_class))


def _field(f: dataclasses.Field[Any], hint: Any) -> Field:
    about = f.metadata
    choices = tuple(about.get("choices", ()))
    if not about:
        return Field(f.name, _kind(hint, choices), f.default)
    return Field(
        name=f.name,
        kind=_kind(hint, choices),
        default=f.default,
        low=about["low"],
        high=about["high"],
        choices=choices,
        help=about["help"],
        group=about["group"],
        scale=about["scale"],
        title=about["title"],
    )


def _kind(hint: Any, choices: tuple[str, ...]) -> str:
    if choices or typing.get_origin(hint) is typing.Literal:
        return "choice"
    for kind, type_ in (("bool", bool), ("int", int), ("float", float), ("text", str)):
        if hint is type_:
            return kind
    if (typing.get_origin(hint) is tuple and typing.get_args(hint) == (int, types.EllipsisType)) or hint == tuple[
        int, ...
    ]:
        return "ints"
    raise TypeError(f"a form cannot show a field of type {hint}")


def check(field: Field, value: Any) -> Any:
    """Return `value` as the field's type, or say why it is refused.

    Raises:
        FormError: Wrong type, not finite, out of range, or not one of the choices.
    """
    converted = _convert(field, value)
    numbers = converted if field.kind == "ints" else (converted,)
    if field.kind in ("int", "float", "ints"):
        for number in numbers:
            low, high = field.low, field.high
            if (low is not None and number < low) or (high is not None and number > high):
                raise FormError(f"{field.name} = {_plain(number)} is out of range.", f"Give a value {_range(field)}.")
    return converted


def _convert(field: Field, value: Any) -> Any:
    wanted = {"int": "a whole number", "float": "a number", "bool": "true or false", "ints": "whole numbers like 64,64"}
    try:
        if field.kind == "int":
            return _whole(value)
        if field.kind == "float":
            number = float(value)
            if isinstance(value, bool) or not math.isfinite(number):
                raise ValueError
            return number
        if field.kind == "bool":
            return _truth(value)
        if field.kind == "ints":
            parts = value.replace(" ", "").split(",") if isinstance(value, str) else list(value)
            return tuple(_whole(p) for p in parts if p != "")
    except (TypeError, ValueError, OverflowError):
        raise FormError(f"{field.name} = {value} is not {wanted[field.kind]}.", f"Give {wanted[field.kind]}.") from None
    text = str(value)
    if field.kind == "choice" and text not in field.choices:
        near = nearest(text, field.choices)
        hint = f"Did you mean {near}? " if near else ""
        raise FormError(f"{field.name} = {text} is not a choice.", f"{hint}Choose one of: {', '.join(field.choices)}.")
    return text


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
        raise ValueError
    if isinstance(value, str):
        number = float(value)
        if number != int(number):
            raise ValueError
        return int(number) if "e" in value.lower() or "." in value else int(value)
    return int(value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "yes", "on", "1"):
        return True
    if text in ("false", "no", "off", "0"):
        return False
    raise ValueError


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _range(field: Field) -> str:
    low, high = field.low, field.high
    if low is not None and high is not None:
        return f"from {_plain(low)} to {_plain(high)}"
    return f"of at least {_plain(low)}" if low is not None else f"of at most {_plain(high or 0.0)}"


def nearest(name: str, names: Iterable[str]) -> str:
    """The name most like the given one, or "" when none is close.

    >>> nearest("laten", ["latent", "beta"])
    'latent'
    """
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return found[0] if found else ""


def check_all(fields: Iterable[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Check a mapping of settings; unknown names are refused with the nearest valid one.

    Raises:
        FormError: An unknown name or a refused value.
    """
    by_name = {f.name: f for f in fields}
    checked = {}
    for name, value in values.items():
        if name not in by_name:
            near = nearest(name, by_name)
            action = f"Did you mean {near}?" if near else f"Valid names: {', '.join(sorted(by_name))}."
            raise FormError(f"There is no setting called {name}.", action)
        checked[name] = check(by_name[name], value)
    return checked


def build(config_class: type[ConfigT], values: Mapping[str, Any] | None = None) -> ConfigT:
    """A config dataclass with these settings and defaults for the rest.

    Raises:
        FormError: An unknown name or a refused value.
    """
    return config_class(**check_all(fields_of(config_class), values or {}))


def parse(fields: Iterable[Field], assignments: Iterable[str]) -> dict[str, Any]:
    """Read `key=value` words of a command line.

    Raises:
        FormError: No `=`, an unknown name or a refused value.
    """
    values = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise FormError(f"{text} is not of the form key=value.", "Write for example --set beta=4.")
        values[name.strip()] = value.strip()
    return check_all(fields, values)
