"""Bounds of a mixture posterior drawn from component by component, and what is sent back through them (MMVAE).

With q = sum_c w_c q_c and lw_ck = log p(x, z_ck) - log q(z_ck) at z_ck ~ q_c, always with the whole mixture below
(Shi et al. 2019, section 3.3):

tight    log sum_c w_c 1/K sum_k exp lw_ck
looser   sum_c w_c log 1/K sum_k exp lw_ck

The looser one trains every encoder; the tight one leaves most of the weight, and so of the gradient, to the component
that is best already. Shapes: z [C, K, N, Z], lw [C, K, N], log weights of the components [N, C]; minus infinity takes
a component out, exactly.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.models.capabilities import Joint, Posterior

BOUNDS = ("looser", "tight")
GRADIENTS = ("dreg", "dreg-mixture", "iwae")


def bound(
    log_weights: Float[Tensor, "c k n"], of_components: Float[Tensor, "n c"], which: str = "looser"
) -> Float[Tensor, " n"]:
    """The looser or the tight bound, [N], nats.

    Raises:
        ValueError: There is no such bound.
    """
    k = log_weights.shape[1]
    each = torch.logsumexp(log_weights, 1) - math.log(k)
    if which == "tight":
        return torch.logsumexp(each + of_components.t(), 0)
    if which == "looser":
        return weighed(each, of_components)
    raise ValueError(f"no bound is called {which}")


def weighed(of: Float[Tensor, "c n *rest"], of_components: Float[Tensor, "n c"]) -> Float[Tensor, "n *rest"]:
    """Mean over the components; one without weight adds an exact zero, whatever it holds."""
    weights = of_components.t().exp().view(*of.shape[:2], *[1] * (of.ndim - 2))
    return torch.where(weights > 0, weights * of, torch.zeros_like(of)).sum(0)


def shares(
    log_weights: Float[Tensor, "c k n"], of_components: Float[Tensor, "n c"], which: str = "looser"
) -> Float[Tensor, "c k n"]:
    """Normalised importance weights, without gradient.

    Over k within each component for the looser bound, over all draws for the tight one.
    """
    lw = log_weights.detach()
    if which == "looser":
        return torch.softmax(lw, 1)
    whole = lw + of_components.detach().t().unsqueeze(1)
    return torch.softmax(whole.flatten(0, 1), 0).view_as(lw)


def log_density(q: Joint, z: Float[Tensor, "c k n z"], gradient: str = "iwae") -> Float[Tensor, "c k n"]:
    """log q(z) of the whole mixture, with those parameters held that the gradient does not reach directly.

    Args:
        q: The mixture.
        z: Draws, the first axis by the component they come from.
        gradient: "iwae" holds nothing; "dreg" holds all; "dreg-mixture" holds those of the component z comes from.

    Raises:
        ValueError: There is no such gradient.
    """
    if gradient not in GRADIENTS:
        raise ValueError(f"no gradient is called {gradient}")
    held = [_held(c) for c in q.components]
    rows = []
    for c, some in enumerate(z):
        parts = [
            (held[j] if gradient == "dreg" or (gradient == "dreg-mixture" and j == c) else component).log_prob(some)
            for j, component in enumerate(q.components)
        ]
        rows.append(torch.logsumexp(q.log_weights + torch.stack(parts, -1), -1))
    return torch.stack(rows)


def log_density_per_dim(q: Joint, z: Float[Tensor, "c k n z"]) -> Float[Tensor, "c k n z"]:
    """log q(z_d | z_1 ... z_{d-1}): the mixture's marginal over d dimensions minus that over d - 1; sums to log q."""
    parts = torch.stack([component.log_prob_per_dim(z).cumsum(-1) for component in q.components], -1)
    marginals = torch.logsumexp(q.log_weights.unsqueeze(1) + parts, -1)
    return torch.cat([marginals[..., :1], marginals[..., 1:] - marginals[..., :-1]], -1)


def handle(z: Float[Tensor, "c k n z"], gradient: str) -> Float[Tensor, "c k n z"]:
    """The draws that everything after goes through, for `objective` to put its hook on."""
    return z.clone() if gradient == "dreg-mixture" else z


def objective(
    q: Joint,
    z: Float[Tensor, "c k n z"],
    used: Float[Tensor, "c k n z"],
    log_weights: Float[Tensor, "c k n"],
    which: str = "looser",
    gradient: str = "dreg",
    hook: str = "same",
) -> Float[Tensor, " n"]:
    """The bound, whose gradient is estimated as asked; its value does not depend on that.

    "dreg" is what Shi et al. (2019) train with: of log q only the path through z is kept, and multiplied once more by
    the share of the draw (Tucker et al. 2019, equation 8). That identity asks that z come from the density whose score
    is dropped. Here z comes from q_c while the score is that of the mixture, so with two components and K > 1 it is
    biased; unbiased it is for one component, and for K = 1 of the looser bound (Roeder et al. 2017).

    "dreg-mixture" is the identity applied to what z does come from. Of the mixture's score with respect to q_c's own
    parameters, r_c(z) grad log q_c(z) with the responsibility r_c = w_c q_c / q, integration by parts leaves

        ((1 - r_c) s + r_c s^2) d lw/dz - s d r_c/dz

    along the path, s the share; the other components' scores stay as they are. Unbiased for both bounds and any K.

    Args:
        q: The mixture.
        z: Draws as they came, the first axis by component.
        used: What `handle` made of them, through which `log_weights` were computed.
        log_weights: With `log_density(q, used, gradient)` in them.
        which: "looser" or "tight".
        gradient: One of `GRADIENTS`.
        hook: "same" puts the hook on the draws that are used; "copy" on a copy that nothing depends on, where it
            never runs: the known mistake that the cross bench shows.
    """
    value = bound(log_weights, q.log_weights, which)
    if gradient == "iwae" or not used.requires_grad:
        return value
    s = shares(log_weights, q.log_weights, which)
    hooked = used if hook == "same" else used.clone()
    if gradient == "dreg":
        hooked.register_hook(lambda g: g * s.unsqueeze(-1))
        return value
    r = _responsibility(q, z)
    factor = (1.0 - r.detach() + r.detach() * s).unsqueeze(-1)
    hooked.register_hook(lambda g: g * factor)
    lost = (s * r).sum(1)
    correction = weighed(lost, q.log_weights.detach()) if which == "looser" else lost.sum(0)
    return value - (correction - correction.detach())


def _responsibility(q: Joint, z: Tensor) -> Float[Tensor, "c k n"]:
    """Of the component that each draw comes from; a function of z alone."""
    held = [_held(c) for c in q.components]
    parts = torch.stack([q.log_weights.detach()[:, j] + c.log_prob(z) for j, c in enumerate(held)])
    return torch.stack([torch.softmax(parts[:, c], 0)[c] for c in range(len(held))])


def _held(component: Posterior) -> Posterior:
    return dataclasses.replace(component, mean=component.mean.detach(), std=component.std.detach())
