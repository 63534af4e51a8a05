"""Values of every kind of modality on their way from a request to a model and from a model to a Frame.

The forms are those of `core.requests.crossing`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dgm_studio.core.cards import Capability, Modality
from dgm_studio.core.packed import unpack
from dgm_studio.core.requests import Given
from dgm_studio.core.updates import Problem, Progress
from dgm_studio.data.texts import text_of, tokens
from dgm_studio.explore.loaded import LoadedModel, as_bytes, as_floats
from dgm_studio.explore.samples import rows_of
from dgm_studio.models.modal import present
from dgm_studio.training.readings import ABSENT, likeliest

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

Views = dict[str, Tensor]
ONE_INDEX = ("label", "categorical")
NUMBERS = ("real", "positive")
WITHIN = 0.9  # share of the probability between the "low" and "high" of a number


def modalities_of(model: LoadedModel) -> dict[str, Modality]:
    """What a model crosses, by name and in its order.

    Raises:
        Problem: The model has a single modality or none.
    """
    if Capability.CROSSES not in model.card.capabilities:
        raise Problem(f"{model.card.title} does not cross modalities.", "Choose a model of several modalities.")
    own = getattr(model.module, "modalities", model.card.modalities)
    return {modality.name: modality for modality in own}


def views_of(bench: Workbench, model: LoadedModel, given: Given) -> Generator[Progress, None, Views]:
    """What is known of a datum, one row, by modality; what nobody knows is left out.

    Raises:
        Problem: No such example, an unknown modality, or a value that does not fit.
    """
    known = modalities_of(model)
    for name in (*given.values, *given.missing):
        if name not in known:
            raise Problem(f"{model.card.title} has no modality called {name!r}.", f"It has {', '.join(known)}.")
    part = (yield from bench.dataset(model.card.data)).split(given.split)
    example = part.views(rows_of(part, given.index, 1, given.split))
    found = {}
    for name, modality in known.items():
        value = tensor_of(modality, given.values[name]) if name in given.values else example.get(name)
        if value is not None and name not in given.missing and bool(present(modality, value)):
            found[name] = value.to(model.device)
    return found


def tensor_of(modality: Modality, value: Any) -> Tensor:
    """A value of a request as a model sees it, [1, *S]; what is missing in it is marked as `Views` has it.

    Raises:
        Problem: It is no value of this modality.
    """
    if modality.kind == "text":
        if not isinstance(value, str):
            raise _wrong(modality, "a sentence")
        return tokens([value], modality.categories, modality.shape[0])
    if modality.kind in ONE_INDEX:
        return torch.tensor([_index(modality, value, modality.categories)])
    if modality.kind == "attributes":
        wanted = modality.columns
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(wanted):
            raise _wrong(modality, f"{len(wanted)} indices, one for each of {', '.join(c.name for c in wanted)}")
        return torch.tensor([[_index(modality, v, c.categories) for v, c in zip(value, wanted, strict=True)]])
    if modality.kind == "image":
        return _picture(modality, value)
    if value is None:
        return torch.full((1, *modality.shape), math.nan)
    flat = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    return torch.from_numpy(_numbers(modality, flat, modality.shape, f"{math.prod(modality.shape)} numbers"))[None]


def _wrong(modality: Modality, wanted: str) -> Problem:
    return Problem(f"The value of {modality.name} does not fit.", f"It takes {wanted}.")


def _index(modality: Modality, value: Any, categories: Sequence[str]) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value < len(categories):
        raise _wrong(modality, f"a whole number from 0 to {len(categories) - 1}, or -1 where nobody knows")
    return value


def _numbers(modality: Modality, value: Any, shape: tuple[int, ...], wanted: str) -> Any:
    """Numbers of a request as float32 of a shape; None becomes NaN."""
    try:
        found = np.asarray(value, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise _wrong(modality, wanted) from error
    if found.shape != tuple(shape) or np.isinf(found).any():
        raise _wrong(modality, wanted)
    if modality.kind == "positive" and (found <= 0).any():
        raise _wrong(modality, "a number above 0")
    return found


def _picture(modality: Modality, value: Any) -> Tensor:
    channels, height, width = modality.shape
    shape = (height, width) if channels == 1 else (height, width, channels)
    grey = "grey" if channels == 1 else "colour"
    wanted = f"{height} rows of {width} {grey} bytes"
    if isinstance(value, str):
        try:
            value = unpack(value)
        except ValueError as error:
            raise _wrong(modality, wanted) from error
    found = torch.from_numpy(_numbers(modality, value, shape, wanted))
    x = found[None] if channels == 1 else found.permute(2, 0, 1)
    gone = (x < 0).any(0, keepdim=True)
    if bool((x > 255).any()):
        raise _wrong(modality, "bytes from 0 to 255, or -1 where it is erased")
    return (x / 255.0).masked_fill(gone, math.nan)[None].contiguous()


# -- to a Frame ------------------------------------------------------------------------------------------------------


def given_form(modality: Modality, value: Tensor) -> Any:
    """A known value [1, *S] as a Frame carries it; what is missing of it is 0 in pictures and rows of probabilities."""
    if modality.kind == "image":
        return as_bytes(value)[0]
    if modality.kind in ONE_INDEX:
        return _certain(int(value), len(modality.categories))
    if modality.kind == "attributes":
        return [_certain(int(v), len(c.categories)) for v, c in zip(value[0], modality.columns, strict=True)]
    if modality.kind == "text":
        return text_of(value[0].cpu(), modality.categories)
    if modality.kind in NUMBERS:
        return dict.fromkeys(("mean", "low", "high"), float(value.flatten()[0]))
    return as_floats(value[0])


def _certain(index: int, size: int) -> Any:
    found = np.zeros(size, np.float32)
    if index >= 0:
        found[index] = 1.0
    return found


def generated_forms(modality: Modality, likelihood: Any, generator: torch.Generator | None = None) -> list[Any]:
    """Generated values as a Frame carries them, one for each of N latents.

    Args:
        modality: Which.
        likelihood: p(x | z) for N latents.
        generator: Draws images and numbers from p(x | z); without, their means are shown.
    """
    if modality.kind in ONE_INDEX:
        return list(as_floats(likelihood.mean))
    if modality.kind == "attributes":
        return [list(row) for row in zip(*(as_floats(p) for p in likelihood.probabilities), strict=True)]
    if modality.kind == "text":
        return [text_of(row, modality.categories) for row in likeliest(likelihood, modality).cpu()]
    x = likelihood.mean if generator is None else likelihood.sample(generator)
    if modality.kind == "image":
        return list(as_bytes(x))
    if modality.kind in NUMBERS:
        low, high = likelihood.interval(WITHIN)
        columns = (v.detach().flatten().tolist() for v in (x, low, high))
        return [dict(zip(("mean", "low", "high"), row, strict=True)) for row in zip(*columns, strict=True)]
    return list(as_floats(x))


def in_words(modality: Modality, value: Any, seen: str = "", *, sure: bool = False) -> str:
    """A value in Frame form in words.

    Args:
        modality: Which.
        value: In Frame form.
        seen: What a judge sees in it, which stands for a picture.
        sure: Leaves out how probable a category is.

    >>> in_words(Modality("digit", "label", (), ("no", "yes")), np.float32([0.25, 0.75]))
    'yes (75 %)'
    """
    if modality.kind == "text":
        return str(value)
    if modality.kind in ONE_INDEX:
        best = int(np.argmax(value))
        return modality.categories[best] + ("" if sure else f" ({100 * float(value[best]):.0f} %)")
    if modality.kind == "attributes":
        likeliest_of = zip(modality.columns, value, strict=True)
        said = [(c.name, c.categories[int(np.argmax(v))]) for c, v in likeliest_of if np.any(v)]
        return ", ".join(f"{name} {category}" for name, category in said if category not in ABSENT)
    if modality.kind in NUMBERS:
        return f"{value['mean']:.3g} {modality.unit}".strip()
    return seen


def rows_for(names: Sequence[str], asked: Sequence[Sequence[str]] = ()) -> tuple[tuple[str, ...], ...]:
    """What to condition on, the largest first: as asked, else every part of what is known.

    Of more than four modalities: all, all but one, and singles.

    Args:
        names: Modalities that are known.
        asked: Rows of a request; what is not known is left out of them.

    >>> rows_for(("a", "b"))
    (('a', 'b'), ('a',), ('b',))
    """
    if asked:
        return tuple(tuple(n for n in names if n in row) for row in asked)
    if not names:
        return ((),)
    size = len(names)
    kept = [bits for bits in range(1, 2**size) if size <= 4 or bits.bit_count() in (1, size - 1, size)]
    subsets = [tuple(n for k, n in enumerate(names) if bits >> k & 1) for bits in kept]
    place = {name: k for k, name in enumerate(names)}
    return tuple(sorted(subsets, key=lambda row: (-len(row), [place[n] for n in row])))
