"""Bounds on log p of any part of a datum given any part, for every model whose modalities share one z.

All in nats, summed over what is scored, with weight 1 on every likelihood and on the KL: beta and the weights of the
modalities never reach this file. z is always drawn, never the posterior's mean: with the mean nothing is bounded.
Mixtures are drawn from component by component (Shi et al. 2019, section 3.3), with the whole mixture as density.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from dgm_studio.core.requests import Fusing
from dgm_studio.models import bounds
from dgm_studio.models.bounds import ImportanceBound
from dgm_studio.models.capabilities import Joint, Likelihood, Posterior, Views
from dgm_studio.models.priors import Prior, StandardNormal

Names = tuple[str, ...]


class SharedLatent(Protocol):
    """p(z) prod_m p(x_m | z) and q(z | any part)."""

    def infer(self, given: Views, fusing: Fusing | None = None) -> Joint:
        """q(z | given)."""

    def generate(self, z: Tensor, names: Names = ()) -> dict[str, Likelihood]:
        """p(x_m | z) of the modalities named, of all by default."""

    def latent_prior(self) -> Prior:
        """p(z), as a value that holds until the weights change."""


@dataclass(frozen=True)
class ConditionalBound:
    """log p(target | given) as the difference of two importance-weighted bounds; itself no bound.

    Args:
        log_prob: [N], nats.
        joint: Of target and given together.
        given: Of what is given alone.
    """

    log_prob: Float[Tensor, " n"]
    joint: ImportanceBound
    given: ImportanceBound


def chosen(views: Views, names: Names) -> Views:
    """The modalities named; all when none is."""
    return {name: views[name] for name in names if name in views} if names else views


def log_likelihoods(model: SharedLatent, scored: Views, z: Float[Tensor, "*k n z"]) -> dict[str, Float[Tensor, "*k n"]]:
    """log p(x_m | z) for any number of latents of every datum; 0 where x_m is missing."""
    lead = z.shape[:-2]
    found = model.generate(z.reshape(-1, z.shape[-1]), tuple(scored))
    repeats = math.prod(lead)
    return {
        name: found[name].log_prob(x.expand(repeats, *x.shape).flatten(0, 1)).view(z.shape[:-1])
        for name, x in scored.items()
        if name in found
    }


def log_weights(
    model: SharedLatent, scored: Views, q: Joint, z: Float[Tensor, "*k n z"], prior: Prior | None = None
) -> Float[Tensor, "*k n"]:
    """log w = sum_m log p(x_m | z) + log p(z) - log q(z | given). At the true posterior it is log p, whatever z is."""
    prior = prior or model.latent_prior()
    return _joint_log_prob(model, scored, z, prior) - q.log_prob(z)


def _joint_log_prob(model: SharedLatent, scored: Views, z: Tensor, prior: Prior) -> Tensor:
    found = prior.log_prob(z)
    for term in log_likelihoods(model, scored, z).values():
        found = found + term
    return found


def closed_kl(prior: Prior, q: Posterior) -> Float[Tensor, "n z"] | None:
    """KL(q(z_d | given) || p(z_d)) where there is a closed form, else nothing."""
    if isinstance(prior, StandardNormal):
        return q.kl_per_dim() if type(q) is Posterior else None
    own = getattr(prior, "kl_per_dim", None)
    found: Tensor | None = None if own is None else own(q)
    return found


def elbo(
    model: SharedLatent,
    views: Views,
    generator: torch.Generator,
    given: Names = (),
    scored: Names = (),
    samples: int = 1,
    fusing: Fusing | None = None,
) -> Float[Tensor, " n"]:
    """E_q(z | given)[sum over scored m of log p(x_m | z)] - KL(q(z | given) || p(z)), [N], nats.

    The KL is in closed form where there is one, else by the same draws. With given = scored it is the evidence lower
    bound of that part of the datum (Wu and Goodman 2018, equation 2).

    Args:
        model: What infers and generates.
        views: The data.
        generator: Of z.
        given: Modalities that the posterior sees; all by default.
        scored: Modalities whose likelihood counts; those given by default.
        samples: Draws, of every component of a mixture.
        fusing: A rule of fusion; the model's own by default.
    """
    q, prior = model.infer(chosen(views, given), fusing), model.latent_prior()
    target = chosen(views, scored or given)
    kl = closed_kl(prior, q.components[0]) if len(q.components) == 1 else None
    total: Tensor | None = None
    for size in bounds.chunks(samples, len(q.log_weights) * len(q.components)):
        z = stratified(q, generator, size)
        if kl is None:
            terms = log_weights(model, target, q, z, prior)
        else:
            terms = torch.stack(list(log_likelihoods(model, target, z).values())).sum(0)
        found = _weighted(terms.sum(1), q.log_weights)
        total = found if total is None else total + found
    assert total is not None
    mean = total / samples
    return mean if kl is None else mean - kl.sum(-1)


def importance_bound(
    model: SharedLatent,
    views: Views,
    k: int,
    generator: torch.Generator,
    given: Names = (),
    scored: Names = (),
    fusing: Fusing | None = None,
) -> ImportanceBound:
    """log of sum_c w_c (1/K) sum_k p(scored, z_ck) / q(z_ck | given), streamed: memory does not grow with K.

    A lower bound on log p(scored) in expectation that rises with K (Burda et al. 2016, theorem 1); its exponential is
    unbiased.

    Args:
        model: What infers and generates.
        views: The data.
        k: Draws, of every component of a mixture.
        generator: Of z.
        given: Modalities that the posterior sees; all by default.
        scored: Modalities whose likelihood counts; those given by default.
        fusing: A rule of fusion; the model's own by default.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"an importance-weighted bound needs at least one sample, not {k}")
    q, prior = model.infer(chosen(views, given), fusing), model.latent_prior()
    target = chosen(views, scored or given)
    first: Tensor | None = None
    second: Tensor | None = None
    for size in bounds.chunks(k, len(q.log_weights) * len(q.components)):
        z = stratified(q, generator, size)
        w = log_weights(model, target, q, z, prior) + q.log_weights.t().unsqueeze(1)
        one, two = torch.logsumexp(w.flatten(0, 1), 0), torch.logsumexp(2.0 * w.flatten(0, 1), 0)
        first = one if first is None else torch.logaddexp(first, one)
        second = two if second is None else torch.logaddexp(second, two)
    assert first is not None and second is not None  # k >= 1
    return ImportanceBound(first - math.log(k), torch.exp(2.0 * first - second))


def stratified_log_weights(
    model: SharedLatent,
    views: Views,
    k: int,
    generator: torch.Generator,
    given: Names = (),
    scored: Names = (),
    fusing: Fusing | None = None,
) -> tuple[Joint, Tensor]:
    """All log w one by one, [C, K, N], without the components' own weights; and the posterior they belong to."""
    q, prior = model.infer(chosen(views, given), fusing), model.latent_prior()
    target = chosen(views, scored or given)
    sizes = bounds.chunks(k, len(q.log_weights) * len(q.components))
    parts = [log_weights(model, target, q, stratified(q, generator, size), prior) for size in sizes]
    return q, torch.cat(parts, 1)


def conditional_bound(
    model: SharedLatent,
    views: Views,
    target: Names,
    given: Names,
    k: int,
    generator: torch.Generator,
    fusing: Fusing | None = None,
) -> ConditionalBound:
    """log p(target | given) = log p(target, given) - log p(given), each by K draws from its own posterior.

    Args:
        model: What infers and generates.
        views: The data.
        target: Modalities that are asked about.
        given: Modalities that are known; no name twice.
        k: Draws, of every component of a mixture.
        generator: Of z.
        fusing: A rule of fusion; the model's own by default.
    """
    both = (*given, *(name for name in target if name not in given))
    joint = importance_bound(model, views, k, generator, both, both, fusing)
    alone = importance_bound(model, views, k, generator, given, given, fusing)
    return ConditionalBound(joint.log_prob - alone.log_prob, joint, alone)


def stratified(q: Joint, generator: torch.Generator, k: int) -> Float[Tensor, "c k n z"]:
    """k draws from every component of a joint posterior."""
    return torch.stack([component.sample(generator, k) for component in q.components])


def _weighted(by_component: Float[Tensor, "c n"], logs: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
    weights = logs.t().exp()
    return torch.where(weights > 0, weights * by_component, torch.zeros_like(weights)).sum(0)
