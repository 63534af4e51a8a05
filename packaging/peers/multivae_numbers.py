"""Our networks inside MultiVae's models, and both sides' numbers on shared weights: see cross_multivae.py."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar
from unittest import mock

import torch
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MMVAE as PeerMMVAE
from multivae.models import MVAE as PeerMVAE
from multivae.models import MMVAEConfig as PeerMMVAEConfig
from multivae.models import MVAEConfig as PeerMVAEConfig
from multivae.models.base.base_utils import stable_poe
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder
from torch import Tensor, nn
from torch.nn import functional as F

from dgm_studio.data import registry as data
from dgm_studio.data.dataset import Part
from dgm_studio.models import cross_bounds, fusion, registry, strata
from dgm_studio.models.capabilities import Posterior, draw_normal
from dgm_studio.models.laplace import MEAN_MARGIN, PICTURE_SCALE, draw_laplace
from dgm_studio.models.mvae import LOG_STD_RANGE
from dgm_studio.training.config import TrainingConfig
from dgm_studio.training.optimising import Figures, Optimising
from dgm_studio.training.order import Order
from dgm_studio.training.randomness import Randomness

BATCH = 100  # divides the 4000 training examples
RATE = 1e-3
NEVER = 10_000_000
PLAIN = {
    "batch": BATCH,
    "micro_batch": BATCH,
    "learning_rate": RATE,
    "schedule": "constant",
    "warmup": 0,
    "weight_decay": 0.0,
    "clip": 0.0,
    "ema": 0.0,
    "valid_every": NEVER,
    "save_every": NEVER,
    "snapshot_every": NEVER,
}
PEER_FLOOR = 1e-6  # of the scales of its prior
Views = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One comparison of two trainings."""

    system: str
    data: str
    epochs: int
    config: dict[str, Any] = field(default_factory=dict)
    rate: float = RATE


CASES = {
    "mvae": Case("mvae", "mnist5k", 60),
    "mmvae": Case("mmvae", "mnist-digits8", 40, {"dropout": 0.0}),
    "mvae, slower": Case("mvae", "mnist5k", 20, rate=3e-4),
}


# -- our networks in their terms ---------------------------------------------------------------------------------------


class Encoder(BaseEncoder):
    """The network of one of our encoders; classes come one-hot, as it sees them itself."""

    def __init__(self, network: nn.Module, system: str) -> None:
        super().__init__()
        self.network, self.system = network, system

    def forward(self, x: Tensor) -> ModelOutput:
        mean, raw = self.network.network(x).chunk(2, 1)
        return ModelOutput(
            embedding=mean, log_covariance=2.0 * raw.clamp(*LOG_STD_RANGE) if self.system == "mvae" else raw
        )


class Decoder(BaseDecoder):
    """The network of one of our decoders: logits, or means of Laplace pixels."""

    def __init__(self, network: nn.Module, system: str) -> None:
        super().__init__()
        self.network, self.system = network, system

    def forward(self, z: Tensor) -> ModelOutput:
        raw = self.network.network(z)
        if self.system == "mmvae":
            raw = torch.sigmoid(raw).clamp(MEAN_MARGIN, 1.0 - MEAN_MARGIN)
        return ModelOutput(reconstruction=raw)


def peer_of(system: str, ours: Any) -> Any:
    """MultiVae's model around the very networks of ours."""
    encoders = {n: Encoder(ours.encoders[ours.keys[n]], system) for n in ours.named}
    decoders = {n: Decoder(ours.decoders[ours.keys[n]], system) for n in ours.named}
    about: dict[str, Any] = {"n_modalities": len(ours.named), "latent_dim": ours.latent}
    if system == "mvae":
        kinds = {n: "bernoulli" if m.kind == "image" else "categorical" for n, m in ours.named.items()}
        return PeerMVAE(PeerMVAEConfig(**about, decoders_dist=kinds, warmup=0), encoders, decoders)
    about["input_dims"] = {n: tuple(m.shape) for n, m in ours.named.items()}
    about["decoders_dist"] = dict.fromkeys(ours.named, "laplace")
    about["decoder_dist_params"] = {n: {"scale": PICTURE_SCALE} for n in ours.named}
    config = PeerMMVAEConfig(**about, uses_likelihood_rescaling=True, K=1, loss="dreg_looser")
    return PeerMMVAE(config, encoders, decoders)


def peer_data(ours: Any, views: Views) -> MultimodalBaseDataset:
    """Examples as MultiVae takes them: classes one-hot."""
    like = next(ours.parameters()).dtype
    hot = {
        n: F.one_hot(x, len(ours.named[n].categories)) if ours.named[n].kind == "label" else x for n, x in views.items()
    }
    return MultimodalBaseDataset({n: x.to(like) for n, x in hot.items()})


def everything(part: Part) -> Views:
    """All examples of a part."""
    return part.views(torch.arange(len(part)))


def built(name: str, seed: int) -> Any:
    """Our model with its first weights."""
    case = CASES[name]
    return registry.build(case.system, case.config, data.card(case.data).modalities, seed)


# -- the same numbers --------------------------------------------------------------------------------------------------


def greatest(one: Tensor, other: Tensor, relative: bool = False) -> float:
    """The greatest difference, absolute or over the greater of 1 and the size of the other."""
    apart = (one.double() - other.double()).abs()
    return float((apart / other.double().abs().clamp(min=1.0) if relative else apart).max())


def product_numbers(rows: int = 10_000, latent: int = 16, most: int = 4) -> list[dict[str, Any]]:
    """Products of 1 to 4 experts and the prior with log-variances in [-20, 20]; a line for each precision."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(most, rows, latent, generator=generator)
    stds = (20.0 * torch.rand(most, rows, latent, generator=generator) - 10.0).exp()
    found = []
    for kind in (torch.float32, torch.float64):
        worst: dict[str, float] = {}
        for count in range(1, most + 1):
            mean, std = means[:count].to(kind), stds[:count].to(kind)
            q = fusion.product({str(i): Posterior(mean[i], std[i]) for i in range(count)})
            own, theirs = (q.mean, 2.0 * q.std.log()), their_product(mean, std)
            truth = their_product(means[:count].double(), stds[:count].double())
            exact = {"": (own, theirs), ", ours from float64": (own, truth), ", theirs from float64": (theirs, truth)}
            for which, (one, other) in exact.items():
                each = {f"mean{which}": greatest(one[0], other[0])}
                each[f"log variance, relative{which}"] = greatest(one[1], other[1], relative=True)
                worst |= {name: max(value, worst.get(name, 0.0)) for name, value in each.items()}
        found.append({"precision": str(kind).removeprefix("torch."), **worst})
    return found


def their_product(means: Tensor, stds: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of experts [E, N, Z] and the prior, which is handed in as one more."""
    mean, log_var = (torch.cat([t, torch.zeros_like(t[:1])]) for t in (means, 2.0 * stds.log()))
    found: tuple[Tensor, Tensor] = stable_poe(mean, log_var)
    return found


def mvae_numbers() -> dict[str, float]:
    """Bounds of all subsets, the objective and its gradient, float32."""
    ours = built("mvae", 0)
    peer = peer_of("mvae", ours)
    views = data.load(CASES["mvae"].data).split("test").views(torch.arange(BATCH))
    inputs, shape = peer_data(ours, views), (1, BATCH, ours.latent)
    found: dict[str, float] = {}
    for subset in fusion.subsets(tuple(ours.named)):
        noise = draw_normal(shape, torch.zeros(()), torch.Generator().manual_seed(1))
        with torch.no_grad(), fed([noise[0]]):
            theirs = -peer._compute_elbo_subset(inputs, list(subset), 1.0)[0]
            own = cross_bounds.elbo(ours, views, torch.Generator().manual_seed(1), subset, subset).mean()
        found[f"bound of {' + '.join(subset)}, relative"] = greatest(own, theirs, relative=True)
    # Our objective draws all its parts at once: everything, then each alone, as theirs takes them one by one.
    noise = draw_normal((3 * BATCH, ours.latent), torch.zeros(()), torch.Generator().manual_seed(2))
    weights = [p for p in ours.parameters() if p.requires_grad]
    with fed(list(noise.split(BATCH))):
        theirs = peer(inputs).loss
    own = ours.loss(views, torch.Generator().manual_seed(2))["loss"].mean()
    found["objective, relative"] = greatest(own.detach(), theirs.detach(), relative=True)
    found["gradient, relative to its greatest"] = gradients_apart(own, theirs, weights, weights)
    return found


@contextlib.contextmanager
def fed(noises: list[Tensor]) -> Iterator[None]:
    """MultiVae's MVAE draws these, one after the other."""

    def sample(mean: Tensor, log_var: Tensor, **_: Any) -> Tensor:
        return mean + (0.5 * log_var).exp() * noises.pop(0)

    with mock.patch("multivae.models.mvae.mvae_model.rsample_from_gaussian", sample):
        yield


class FedLaplace(torch.distributions.Laplace):
    """Draws what it is given."""

    noises: ClassVar[list[Tensor]] = []

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.loc + self.scale * FedLaplace.noises.pop(0)


def mmvae_numbers(k: int, floor: bool) -> dict[str, float]:
    """log w and the gradient of the looser bound by DReG, float64, with a prior that is not uniform.

    Args:
        k: Draws of every expert.
        floor: Whether theirs keeps the 1e-6 that it adds to the prior's scales and ours does not.
    """
    ours = built("mmvae", 0).double()
    with torch.no_grad():
        ours.prior.logits.normal_(generator=torch.Generator().manual_seed(3))
    peer = peer_of("mmvae", ours).double()
    peer.prior_log_var.data.copy_(ours.prior.logits.data.unsqueeze(0))
    peer.post_dist = FedLaplace
    peer.prior_dist = lambda mean, scale: torch.distributions.Laplace(mean, scale - (0.0 if floor else PEER_FLOOR))
    views = data.load(CASES["mmvae"].data).split("test").views(torch.arange(BATCH))
    views = {name: x.double() for name, x in views.items()}
    inputs, like = peer_data(ours, views), torch.zeros((), dtype=torch.float64)

    def draws() -> list[Tensor]:
        generator = torch.Generator().manual_seed(4)
        return [draw_laplace((k, BATCH, ours.latent), like, generator) for _ in views]

    FedLaplace.noises = draws()
    out = peer(inputs, K=k, compute_loss=False, detailed_output=True)
    theirs, _ = peer.compute_k_lws(out.qz_xs_detach, out.zss, out.recon, inputs)
    q, factors = ours.infer(views), ours.factors()
    z = q.stratified(torch.Generator().manual_seed(4), k)
    logs = cross_bounds.log_likelihoods(ours, views, z)
    scaled = torch.stack([factors[name] * log for name, log in logs.items()]).sum(0)
    lw = ours.latent_prior().log_prob(z) + scaled - strata.log_density(q, z, "dreg")
    FedLaplace.noises = draws()
    loss = ours.loss(views, torch.Generator().manual_seed(4))["loss"].sum() if k == 1 else _looser(q, z, lw)
    networks = [*ours.encoders.parameters(), *ours.decoders.parameters()]
    pair = ([*networks, ours.prior.logits], [*networks, peer.prior_log_var])
    return {
        "log w": greatest(lw.detach(), torch.stack(list(theirs.values())).detach()),
        "gradient, relative to its greatest": gradients_apart(loss, peer(inputs, K=k).loss, *pair),
    }


def _looser(q: Any, z: Tensor, lw: Tensor) -> Tensor:
    """What `MMVAE.loss` minimises, for a K other than the model's own."""
    return -strata.objective(q, z, z, lw, "looser", "dreg").sum()


def gradients_apart(one: Tensor, other: Tensor, of_one: list[Tensor], of_other: list[Tensor]) -> float:
    """The greatest difference over all weights, over the greatest entry of the second gradient."""
    first, second = torch.autograd.grad(one, of_one), torch.autograd.grad(other, of_other)
    a, b = (torch.cat([g.flatten() for g in gradients]) for gradients in (first, second))
    return float((a - b).abs().max() / b.abs().max())


def trained_numbers(system: str, seed: int, epochs: int) -> dict[str, Any]:
    """Our loop beside Adam on their loss: the same first weights, batches and draws, float32.

    What is apart after that is rounding; differences between whole trainings are those of orders and draws.
    """
    dataset, ours, other = data.load(CASES[system].data), built(system, seed), built(system, seed)
    part, here = dataset.split("train"), torch.device("cpu")
    steps, order = epochs * len(part) // BATCH, Order(len(part), seed)
    config = TrainingConfig(steps=steps, **PLAIN)
    loop = Optimising(ours, part, config, Order(len(part), seed), Randomness(ours, here, seed))
    peer, noise = peer_of(system, other), Randomness(other, here, seed).noise
    adam = torch.optim.Adam(peer.parameters(), lr=RATE)
    losses = []
    for _ in range(steps):
        batch = peer_data(other, part.views(order.peek(BATCH)))
        order.advance(BATCH)
        loss = their_loss(system, peer, batch, noise)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append((one_step(loop).terms["loss"], loss.item() / (BATCH if system == "mmvae" else 1)))
    apart = [abs(a - b) / abs(b) for a, b in losses]
    first, second, third = (networks_of(model) for model in (ours, other, built(system, seed)))
    return {
        "system": system,
        "seed": seed,
        "steps": steps,
        "loss of the first step, relative": apart[0],
        "loss, relative, greatest": max(apart),
        "root mean square of the weights' difference": float((first - second).square().mean().sqrt()),
        "root mean square of their way": float((second - third).square().mean().sqrt()),
        "KL of ours given each alone, nats": kl_alone(ours, dataset.split("test")),
        "KL of theirs given each alone, nats": kl_alone(other, dataset.split("test")),
    }


@torch.no_grad()
def kl_alone(model: Any, part: Part) -> dict[str, float]:
    """What each modality alone tells z: 0 where its posterior has collapsed."""
    prior, found = model.latent_prior(), {}
    for name, x in everything(part).items():
        kl = cross_bounds.closed_kl(prior, model.infer({name: x}).components[0])
        assert kl is not None
        found[name] = float(kl.sum(1).mean())
    return found


def their_loss(system: str, peer: Any, batch: MultimodalBaseDataset, noise: torch.Generator) -> Tensor:
    """Their training loss with the draws that ours makes from the same generator."""
    like, shape = torch.zeros(()), (BATCH, peer.latent_dim)
    if system == "mvae":
        with fed(list(draw_normal((1, 3 * BATCH, peer.latent_dim), like, noise)[0].split(BATCH))):
            found: Tensor = peer(batch).loss
        return found
    peer.post_dist = FedLaplace
    FedLaplace.noises = [draw_laplace((1, *shape), like, noise) for _ in peer.encoders]
    found = peer(batch).loss
    return found


def one_step(loop: Optimising) -> Figures:
    """The next step of our loop."""
    steps = loop.advance()
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            found: Figures = finished.value
            return found


def networks_of(model: Any) -> Tensor:
    """All weights of the networks, side by side."""
    return torch.cat([p.detach().flatten() for p in (*model.encoders.parameters(), *model.decoders.parameters())])


def same_numbers() -> dict[str, Any]:
    """All of them, with the bars they are held to."""
    return {
        "product": product_numbers(),
        "mvae": mvae_numbers(),
        "mmvae": [
            {"K": k, "its floor of the prior's scales": floor, **mmvae_numbers(k, floor)}
            for k, floor in itertools.product((1, 5), (True, False))
        ],
        # In the last, five epochs, the picture's posterior of both sides collapses: no matter of who trains.
        "the same batches and draws": [
            trained_numbers(*of) for of in (("mvae", 0, 1), ("mmvae", 0, 1), ("mvae", 1, 5))
        ],
        "bars": {"product": 1e-6, "bounds": 1e-4, "log w": 1e-4, "gradient": 1e-5},
    }
