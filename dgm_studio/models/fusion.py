"""How the posteriors of single modalities become one: products, mixtures, and mixtures of products of experts.

An expert is a diagonal posterior of every datum, [N, Z]. Where its modality is missing its standard deviation is
infinite; such rows take no part, exactly, in whatever is made of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dgm_studio.core.requests import Fusing
from dgm_studio.core.updates import Problem
from dgm_studio.models.capabilities import Posterior

RULES = ("poe", "moe", "mopoe")
MOST_IN_POWER_SET = 6  # modalities: 63 components
Experts = Mapping[str, Posterior]


@dataclass(frozen=True)
class Mixture:
    """q(z | given) = sum over c of w_c q_c(z), for each of N data; one component of weight 1 for a product.

    Args:
        components: Diagonal posteriors of [N, Z], finite everywhere.
        log_weights: [N, C], normalised over C; minus infinity where a component takes no part.
        names: The modalities behind every component.
    """

    components: tuple[Posterior, ...]
    log_weights: Float[Tensor, "n c"]
    names: tuple[tuple[str, ...], ...]

    @property
    def mean(self) -> Float[Tensor, "n z"]:
        """Of the mixture."""
        if len(self.components) == 1:
            return self.components[0].mean
        weights = self.log_weights.exp().unsqueeze(-1)
        return (weights * torch.stack([c.mean for c in self.components], 1)).sum(1)

    @property
    def std(self) -> Float[Tensor, "n z"]:
        """Of the mixture, by the law of total variance."""
        if len(self.components) == 1:
            return self.components[0].std
        weights = self.log_weights.exp().unsqueeze(-1)
        means, stds = (torch.stack([getattr(c, of) for c in self.components], 1) for of in ("mean", "std"))
        return (weights * ((means - self.mean.unsqueeze(1)).square() + stds.square())).sum(1).sqrt()

    def sample(self, generator: torch.Generator, k: int = 1) -> Float[Tensor, "k n z"]:
        """k draws for each datum: of every component, of which one is chosen by its weight."""
        if len(self.components) == 1:
            return self.components[0].sample(generator, k)
        drawn = self.stratified(generator, k)
        chosen = torch.multinomial(self.log_weights.exp(), k, replacement=True, generator=generator)
        index = chosen.t()[None, :, :, None].expand(1, *drawn.shape[1:])
        return drawn.gather(0, index)[0]

    def stratified(self, generator: torch.Generator, k: int = 1) -> Float[Tensor, "c k n z"]:
        """k draws from every component; those of components that take no part are finite and mean nothing."""
        return torch.stack([c.sample(generator, k) for c in self.components])

    def log_prob(self, z: Float[Tensor, "*k n z"]) -> Float[Tensor, "*k n"]:
        """log q(z | given), nats."""
        if len(self.components) == 1:
            return self.components[0].log_prob(z)
        parts = torch.stack([c.log_prob(z) for c in self.components], -1)
        return torch.logsumexp(self.log_weights + parts, -1)


def missing(expert: Posterior) -> Bool[Tensor, " n"]:
    """Rows in which an expert's modality is missing."""
    return torch.isinf(expert.std).all(-1)


def absent_where(expert: Posterior, gone: Bool[Tensor, " n"]) -> Posterior:
    """The expert, taken out of the rows that are true."""
    rows = gone.unsqueeze(-1)
    return dataclasses.replace(
        expert, mean=expert.mean.masked_fill(rows, 0.0), std=expert.std.masked_fill(rows, math.inf)
    )


def product(experts: Experts, precision: Mapping[str, float] | None = None, prior: bool = True) -> Posterior:
    """The product of Gaussian experts, by default with the prior N(0, I) as one of them (Wu and Goodman 2018, eq. 4).

    T = [1] + sum_i f_i T_i and mean = sum_i f_i T_i mean_i / T, all relative to the largest precision, so that nothing
    over- or underflows. A row without any expert is the prior, also where the prior is no expert.

    Args:
        experts: By modality; missing rows have an infinite standard deviation.
        precision: Factors f_i on the precision; 1 where not named, 0 takes the expert out.
        prior: Whether the prior is an expert.

    Raises:
        ValueError: There is no expert at all, so nobody knows the number of data.
    """
    if not experts:
        raise ValueError("a product needs at least one expert")
    logs = []
    for name, expert in experts.items():
        factor = (precision or {}).get(name, 1.0)
        log_precision = -2.0 * expert.std.log()
        if factor != 1.0:
            log_precision = log_precision + (math.log(factor) if factor > 0 else -math.inf)
        logs.append(log_precision)
    largest = torch.stack(logs).detach().amax(0)
    prior_log = torch.zeros_like(largest)
    if not prior:
        prior_log = prior_log.masked_fill(largest > -math.inf, -math.inf)
    largest = torch.maximum(largest, prior_log)
    # Added up one by one: an expert that is absent then adds an exact zero, whatever stands before or after it.
    total, weighted = torch.exp(prior_log - largest), torch.zeros_like(largest)
    for expert, log_precision in zip(experts.values(), logs, strict=True):
        share = torch.exp(log_precision - largest)
        total = total + share
        weighted = weighted + share * expert.mean.masked_fill(log_precision == -math.inf, 0.0)
    return Posterior(weighted / total, torch.exp(-0.5 * (largest + total.log())))


def one(posterior: Posterior, names: tuple[str, ...]) -> Mixture:
    """A single posterior as a mixture of one."""
    rows = posterior.mean.shape[0]
    return Mixture((posterior,), posterior.mean.new_zeros(rows, 1), (names,))


def mixture(experts: Experts, weights: Mapping[str, float] | None = None, empty: Posterior | None = None) -> Mixture:
    """The mixture of experts (Shi et al. 2019, equation 3), with weight only on what is given.

    Args:
        experts: Whole posteriors by modality, Gaussian or Laplace; missing rows have an infinite standard deviation.
        weights: Relative weights of the components; 1 where not named.
        empty: What stands in rows where a modality is missing, [1, Z] or [N, Z]: the prior, which the mixture is
            where nothing is given. N(0, 1) by default.

    Raises:
        ValueError: There is no expert at all, so nobody knows the number of data.
    """
    if not experts:
        raise ValueError("a mixture needs at least one expert")
    gone = torch.stack([missing(e) for e in experts.values()], 1)
    factors = [(weights or {}).get(name, 1.0) for name in experts]
    components = tuple(_standing_in(e, gone[:, i], empty) for i, e in enumerate(experts.values()))
    return Mixture(components, _log_weights(gone, factors, components[0].mean), tuple((n,) for n in experts))


def mixture_of_products(
    experts: Experts, precision: Mapping[str, float] | None = None, prior: bool = True, empty: Posterior | None = None
) -> Mixture:
    """One product for each non-empty subset of the modalities, all of the same weight (Sutter et al. 2021, eq. 7).

    Args:
        experts: As for `product`; in a row only the subsets of what is given take part.
        precision: Factors on the precision of the experts.
        prior: Whether the prior is an expert of every product.
        empty: What stands where nothing is given; N(0, 1) by default.

    Raises:
        Problem: There are too many modalities for all of their subsets.
    """
    if len(experts) > MOST_IN_POWER_SET:
        why = rules("gaussian", "mopoe", len(experts))["mopoe"]
        raise Problem(why, f"Take at most {MOST_IN_POWER_SET} modalities, or a product of experts.")
    gone = {name: missing(e) for name, e in experts.items()}
    names = subsets(tuple(experts))
    lacking = torch.stack([torch.stack([gone[n] for n in subset]).any(0) for subset in names], 1)
    products = [product({n: experts[n] for n in subset}, precision, prior) for subset in names]
    components = tuple(_standing_in(p, lacking[:, i], empty) for i, p in enumerate(products))
    return Mixture(components, _log_weights(lacking, [1.0] * len(names), components[0].mean), names)


def subsets(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Every non-empty subset, the smallest first.

    >>> subsets(("x", "y"))
    (('x',), ('y',), ('x', 'y'))
    """
    sizes = range(1, len(names) + 1)
    return tuple(itertools.chain.from_iterable(itertools.combinations(names, size) for size in sizes))


def fuse(
    experts: Experts,
    fusing: Fusing | None,
    trained_rule: str,
    prior: bool = True,
    empty: Posterior | None = None,
    kind: str = "gaussian",
) -> Mixture:
    """The joint posterior by the rule the encoders were trained with, or by another one that fits them.

    A mixture of the experts of a product takes each of them together with the prior: the posterior of one modality
    alone, which its own ELBO has trained.

    Args:
        experts: As a model's `experts` gives them.
        fusing: What is asked; None takes the model's own rule.
        trained_rule: "poe", "moe" or "mopoe".
        prior: Whether the prior was an expert in training.
        empty: Posterior where nothing is given; N(0, 1) by default.
        kind: "gaussian" or "laplace" experts.

    Raises:
        Problem: The rule means nothing on these encoders.
    """
    asked = fusing or Fusing()
    rule, prior, factors = asked.rule or trained_rule, prior and asked.prior_expert, asked.precision
    known = rules(kind, trained_rule, len(experts))
    why = known.get(rule, f"There is no rule of fusion called {rule}.")
    if why:
        raise Problem(why, f"Choose {' or '.join(r for r, w in known.items() if not w)}.")
    if rule == "poe":
        return one(product(experts, factors, prior), tuple(experts))
    if rule == "mopoe":
        return mixture_of_products(experts, factors, prior, empty)
    if trained_rule == "moe":
        return mixture(experts, factors, empty)
    gone = {name: missing(e) for name, e in experts.items()}
    alone = {n: absent_where(product({n: e}, None, prior), gone[n]) for n, e in experts.items()}
    return mixture(alone, factors, empty)


def rules(kind: str, trained: str, count: int = 2) -> dict[str, str]:
    """Every rule of fusion: "" where encoders can be combined by it, else in a sentence why not.

    Args:
        kind: "gaussian" or "laplace": what the encoders give.
        trained: The rule they were trained with.
        count: How many modalities there are.
    """
    if kind == "laplace":
        why = (
            "The product of two Laplace densities is no Laplace density, so these experts have no joint of their kind."
        )
        return {"poe": why, "moe": "", "mopoe": why}
    if trained == "moe":
        why = (
            "These encoders learnt whole posteriors, with the prior inside, not factors without it: "
            "a product would count the prior once for every modality."
        )
        return {"poe": why, "moe": "", "mopoe": why}
    many = f"{count} modalities have {2**count - 1} subsets, too many to take the product of each."
    return {"poe": "", "moe": "", "mopoe": many if count > MOST_IN_POWER_SET else ""}


def _standing_in(posterior: Posterior, gone: Tensor, empty: Posterior | None) -> Posterior:
    """The posterior with something finite in its missing rows."""
    rows = gone.unsqueeze(-1)
    mean, std = (0.0, 1.0) if empty is None else (empty.mean, empty.std)
    like = posterior.mean
    return dataclasses.replace(
        posterior,
        mean=torch.where(rows, torch.as_tensor(mean, dtype=like.dtype, device=like.device), posterior.mean),
        std=torch.where(rows, torch.as_tensor(std, dtype=like.dtype, device=like.device), posterior.std),
    )


def _log_weights(gone: Tensor, factors: list[float], like: Tensor) -> Tensor:
    """Normalised over the components that take part; equal where none does, for all of them are then the prior."""
    logs = torch.tensor([math.log(f) if f > 0 else -math.inf for f in factors], dtype=like.dtype, device=like.device)
    found = logs.expand(gone.shape).masked_fill(gone, -math.inf)
    nothing = (found == -math.inf).all(1, keepdim=True)
    return torch.log_softmax(found.masked_fill(nothing, 0.0), 1)
