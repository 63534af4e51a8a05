"""Systems are found by name and refused in words."""

from __future__ import annotations

import sys

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from dgm_studio import models
from dgm_studio.core.cards import Capability, Modality, Paper
from dgm_studio.core.forms import FormError
from dgm_studio.core.updates import Problem
from dgm_studio.models import registry
from dgm_studio.models.vae import VAEConfig

PICTURE = (Modality("image", "image", (1, 8, 8)),)
PAIR = (*PICTURE, Modality("digit", "label", (), tuple("012")))
ABOUT = {
    "title": "T",
    "summary": "S",
    "paper": Paper("A", 2000, "P"),
    "config": VAEConfig,
    "tiny": {},
    "objective": "",
    "symbols": (),
    "modality_kinds": ("image",),
}


def test_capabilities_are_read_from_the_methods_of_a_class() -> None:
    class Half(nn.Module):
        def encode(self, x: Tensor) -> Tensor:
            return x

        def elbo(self, x: Tensor) -> Tensor:
            return x

    assert registry.capabilities_of(Half) == {Capability.ENCODES}
    vae = registry.systems()["vae"].capabilities
    assert vae == {Capability.ENCODES, Capability.DECODES, Capability.SAMPLES, Capability.SCORES}


def test_an_unknown_system_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Problem, match="no system called vea") as caught:
        registry.build("vea", {}, PICTURE)
    assert "vae" in caught.value.action


def test_settings_out_of_range_and_unknown_settings_are_refused() -> None:
    with pytest.raises(FormError, match="out of range"):
        registry.build("vae", {"latent": 0}, PICTURE)
    with pytest.raises(FormError) as caught:
        registry.build("vae", {"laten": 3}, PICTURE)
    assert "latent" in caught.value.action


@pytest.mark.parametrize(
    ("kind", "shape", "change"),
    [
        ("label", (10,), {}),
        ("image", (1, 7, 9), {"network": "conv"}),
        ("points", (2,), {"network": "conv"}),
        ("points", (2,), {"likelihood": "bernoulli"}),
    ],
)
def test_what_does_not_fit_the_data_is_refused_in_words(kind, shape, change) -> None:
    with pytest.raises(Problem) as caught:
        registry.build("vae", change, (Modality("m", kind, shape),))
    assert caught.value.action


def test_small_pictures_get_a_perceptron_and_labels_beside_them_are_passed_over() -> None:
    label, picture = Modality("y", "label", (10,)), Modality("x", "image", (1, 5, 5))
    assert registry.build("vae", registry.tiny("vae"), (label, picture)).shape == (1, 5, 5)


def test_building_leaves_the_random_state_of_the_process_alone() -> None:
    before = torch.get_rng_state()
    registry.build("vae", registry.tiny("vae"), PICTURE, seed=9)
    assert torch.equal(before, torch.get_rng_state())


def test_a_class_without_a_loss_and_a_taken_name_are_refused() -> None:
    with pytest.raises(TypeError, match="loss"):
        registry.system(name="lossless", **ABOUT)(nn.Linear)

    class Trained(nn.Module):
        def loss(self, batch: Tensor, generator: torch.Generator, step: int = 0) -> dict[str, Tensor]:
            return {"loss": batch.flatten(1).sum(1)}

    with pytest.raises(ValueError, match="belongs to VAE"):
        registry.system(name="vae", **ABOUT)(Trained)
    assert registry.system_class("vae").__name__ == "VAE"


ONE_FILE = '''
"""A system in one file: independent pixels."""

from dataclasses import dataclass

import torch
from torch import nn

from dgm_studio.core.cards import Paper
from dgm_studio.core.forms import option
from dgm_studio.models.registry import system


@dataclass(frozen=True)
class PixelsConfig:
    start: float = option(0.0, "Logit of every pixel before training.", low=-5.0, high=5.0)


@system(name="pixels", title="Pixels", summary="Every pixel on its own.", paper=Paper("A. Nonymous", 2026, "Pixels"),
        config=PixelsConfig, tiny={}, objective="log <i>p</i>(<i>x</i>)", symbols=(), modality_kinds=("image",))
class Pixels(nn.Module):
    def __init__(self, config, modalities):
        super().__init__()
        self.logits = nn.Parameter(torch.full(modalities[0].shape, config.start))

    def loss(self, batch, generator, step=0):
        score = (batch * self.logits - nn.functional.softplus(self.logits)).flatten(1).sum(1)
        return {"loss": -score, "log_prob": score}

    def log_prob_bound(self, x, k, generator):
        return self.loss(x, generator)["log_prob"]

    def elbo(self, x, generator, samples=1):
        return self.loss(x, generator)["log_prob"]
'''


def test_a_new_file_in_the_package_is_a_new_system(tmp_path, monkeypatch) -> None:
    (tmp_path / "pixels_of_a_test.py").write_text(ONE_FILE)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    registry._import_all.cache_clear()
    try:
        card = registry.systems()["pixels"]
        assert card.capabilities == {Capability.SCORES} and card.fields[0].name == "start"
        model = registry.build("pixels", {"start": 2.0}, PICTURE)
        assert float(model.logits.detach().mean()) == 2.0 and registry.parameters_of(model) == 64
    finally:
        registry._entries.pop("pixels", None)
        sys.modules.pop("dgm_studio.models.pixels_of_a_test", None)
        registry._import_all.cache_clear()


def test_every_symbol_with_a_live_value_has_one() -> None:
    for name, card in registry.systems().items():
        model = registry.build(name, registry.tiny(name), PAIR)
        batch = {"image": torch.rand(2, 1, 8, 8), "digit": torch.tensor([1, -1])}
        terms = model.loss(batch if registry.takes_views(model) else batch["image"], torch.Generator())
        for symbol in card.symbols:
            kind, _, key = symbol.source.partition(":")
            assert kind in ("", "metric", "config")
            assert kind != "metric" or key in terms, key
            assert kind != "config" or key in {f.name for f in card.fields}, key


def test_a_wrong_shape_is_refused_by_the_annotations_and_by_the_model() -> None:
    model = registry.build("vae", registry.tiny("vae"), PICTURE)
    assert model.latent == 3
    model.decode(torch.zeros(2, 3))
    for wrong in (torch.zeros(2, 4), torch.zeros(3), torch.zeros(2, 3, dtype=torch.int64)):
        with pytest.raises(TypeCheckError):
            model.decode(wrong)
    with pytest.raises(TypeCheckError):
        model.encode(torch.zeros(2, 1, 8, 8, dtype=torch.int64))
    with pytest.raises(Problem, match=r"\(1, 8, 8\), not \(1, 8, 9\)"):
        model.encode(torch.zeros(2, 1, 8, 9))
