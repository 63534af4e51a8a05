"""Enclosures of small networks on boxes by affine arithmetic: what lets a region be left out with certainty.

Every number is kept as centre + sum of coefficient times symbol + an error, the symbols in [-1, 1] (de Figueiredo and
Stolfi 2004), three symbols for the box's sides and one lump of error for everything that is not linear, as in the
"fixed" mode of Sharp and Jacobson (2022, section 4). A linear layer maps such forms exactly; an activation is enclosed
between two parallel lines (Chebyshev's best ones over the range).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDING = 1e-5  # relative; sums in single precision err by less over a few hundred terms
TURNS = 24  # of bisection for the tangent of a smooth activation


@dataclass(frozen=True)
class Form:
    """Numbers that depend on where in a box one is.

    Args:
        centre: [B, N].
        sides: Coefficients of the box's three sides, [3, B, N].
        error: What is left, not negative, [B, N].
    """

    centre: Tensor
    sides: Tensor
    error: Tensor

    def range(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest value, [B, N] each."""
        reach = self.sides.abs().sum(0) + self.error
        reach = reach + ROUNDING * (self.centre.abs() + reach)
        return self.centre - reach, self.centre + reach


def box_form(centre: Float[Tensor, "b d"], half: Float[Tensor, " b"]) -> Form:
    """The coordinates of cubes with these centres and half sides."""
    dims = centre.shape[1]
    sides = torch.zeros(dims, len(centre), dims)
    for axis in range(dims):
        sides[axis, :, axis] = half
    return Form(centre, sides, torch.zeros_like(centre))


def linear(form: Form, weight: Tensor, bias: Tensor | None) -> Form:
    """x -> x W^T + b; the error passes through |W|."""
    centre = form.centre @ weight.T
    return Form(centre if bias is None else centre + bias, form.sides @ weight.T, form.error @ weight.abs().T)


def between(form: Form, slope: Tensor, low: Tensor, high: Tensor) -> Form:
    """A function that lies between slope x + low and slope x + high over the form's range."""
    middle, spread = 0.5 * (low + high), 0.5 * (high - low)
    return Form(slope * form.centre + middle, slope * form.sides, slope.abs() * form.error + spread.clamp(min=0))


def relu(form: Form) -> Form:
    """max(x, 0): the chord over a range that holds zero, and its parallel through zero."""
    low, high = form.range()
    crossing = (low < 0) & (high > 0)
    chord = high / (high - low).clamp(min=1e-30)
    slope = torch.where(crossing, chord, (low >= 0).to(low))
    upper = torch.where(crossing, -chord * low, torch.zeros_like(low))
    return between(form, slope, torch.zeros_like(low), upper)


def monotone(
    form: Form, f: Callable[[Tensor], Tensor], slope_of: Callable[[Tensor], Tensor], inflection: float | None
) -> Form:
    """An increasing smooth activation.

    Args:
        form: Its argument.
        f: The activation.
        slope_of: Its derivative.
        inflection: Where it turns from convex to concave; None when it is convex everywhere.
    """
    low, high = form.range()
    at_low, at_high = f(low), f(high)
    chord = (at_high - at_low) / (high - low).clamp(min=1e-30)
    convex = torch.ones_like(low, dtype=torch.bool) if inflection is None else high <= inflection
    bent = convex if inflection is None else convex | (low >= inflection)
    # On one side of the inflection: the chord, and the tangent that is parallel to it.
    touch = _where_slope(slope_of, chord, low, high, convex)
    tangent = f(touch) - chord * touch
    ends = torch.stack([at_low - chord * low, at_high - chord * high])
    # Across it the least slope keeps f - slope x increasing, so that its ends are the extremes.
    least = torch.minimum(slope_of(low), slope_of(high))
    slope = torch.where(bent, chord, least)
    lower = torch.where(bent, torch.minimum(tangent, ends.amin(0)), at_low - least * low)
    upper = torch.where(bent, torch.maximum(tangent, ends.amax(0)), at_high - least * high)
    return _safe(between(form, slope, lower, upper), f, low, high)


def _where_slope(
    slope_of: Callable[[Tensor], Tensor], wanted: Tensor, low: Tensor, high: Tensor, rising: Tensor
) -> Tensor:
    """Where a slope that rises (or falls) over the range has a value."""
    for _ in range(TURNS):
        middle = 0.5 * (low + high)
        right = torch.where(rising, slope_of(middle) < wanted, slope_of(middle) > wanted)
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    return 0.5 * (low + high)


def _safe(found: Form, f: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Form:
    """Room for the rounding of the activation itself."""
    return Form(found.centre, found.sides, found.error + ROUNDING * torch.maximum(f(low).abs(), f(high).abs()))


def softplus(form: Form) -> Form:
    """log(1 + exp(x))."""
    return monotone(form, torch.nn.functional.softplus, torch.sigmoid, None)


def tanh(form: Form) -> Form:
    """The hyperbolic tangent."""
    return monotone(form, torch.tanh, lambda x: 1 - torch.tanh(x).square(), 0.0)


def sigmoid(form: Form) -> Form:
    """1 / (1 + exp(-x))."""
    return monotone(form, torch.sigmoid, lambda x: torch.sigmoid(x) * (1 - torch.sigmoid(x)), 0.0)


def leaky_relu(form: Form, leak: float) -> Form:
    """max(x, leak x), 0 <= leak <= 1."""
    found = relu(form)
    return Form(
        (1 - leak) * found.centre + leak * form.centre,
        (1 - leak) * found.sides + leak * form.sides,
        (1 - leak) * found.error + leak * form.error,
    )


def sine(form: Form) -> Form:
    """sin(x): between parallels of the slope in the middle, tight only where the range is a small part of a turn."""
    low, high = form.range()
    half = 0.5 * (high - low)
    middle = 0.5 * (low + high)
    slope = torch.where(half < torch.pi / 2, torch.cos(middle), torch.zeros_like(middle))
    # |sin x - sin m - cos m (x - m)| <= r^2 / 2, and sin lies in [-1, 1] whatever the slope is.
    error = torch.minimum(half.square() / 2, torch.where(slope == 0, torch.ones_like(half), half.square() / 2))
    centre = torch.where(slope == 0, torch.zeros_like(middle), torch.sin(middle) - slope * middle)
    return between(form, slope, centre - error, centre + error)


ACTIVATIONS: dict[str, Callable[[Form], Form]] = {
    "relu": relu,
    "softplus": softplus,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "sine": sine,
    "none": lambda form: form,
}


@dataclass(frozen=True)
class Layer:
    """activation(x W^T + b), after (x, constant part folded into b) was joined by the coordinates where `skip` is set.

    Args:
        weight: [out, in].
        bias: [out].
        activation: A name in `ACTIVATIONS`.
        skip: Weight [out, 3] of the coordinates, which come in again here; None where they do not.
    """

    weight: Tensor
    bias: Tensor
    activation: str
    skip: Tensor | None = None


class LayeredField:
    """A perceptron as a field that can enclose its values.

    Args:
        layers: From the coordinates to one value.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)

    def __call__(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Values at points."""
        h = x
        for layer in self.layers:
            y = torch.addmm(layer.bias, h, layer.weight.T)
            if layer.skip is not None:
                y = torch.addmm(y, x, layer.skip.T)
            h = _plain(layer.activation)(y)
        return h[:, 0]

    def bounds(self, centre: Float[Tensor, "b 3"], half: Float[Tensor, " b"]) -> tuple[Tensor, Tensor]:
        """Enclosures of the values on cubes, [B] each."""
        box = form = box_form(centre, half)
        for layer in self.layers:
            form = linear(form, layer.weight, layer.bias)
            if layer.skip is not None:
                again = linear(box, layer.skip, None)
                form = Form(form.centre + again.centre, form.sides + again.sides, form.error + again.error)
            form = ACTIVATIONS[layer.activation](form)
        low, high = form.range()
        return low[:, 0], high[:, 0]


def _plain(name: str) -> Callable[[Tensor], Tensor]:
    return {
        "relu": torch.relu,
        "softplus": torch.nn.functional.softplus,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "sine": torch.sin,
        "none": lambda x: x,
    }[name]
