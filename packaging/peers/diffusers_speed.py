"""Samples a second: our sampler beside the DDIM pipeline of diffusers, with one and the same network.

The network is ours, wrapped as the pipeline's `unet`; sampler, steps, batch, clipping and first noise are the same, and
so are the pictures, which is checked. Both run by turns in one process on one thread; what counts is processor time,
the best of several turns each.

diffusers is no dependency of the project; see diffusers_samplers.py for how to have it.

    PYTHONPATH=. peer/bin/python packaging/peers/diffusers_speed.py --out packaging/peers/diffusers_speed.json
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from torch import Tensor, nn

from dgm_studio.core.cards import Modality
from dgm_studio.core.requests.denoising import Sampling
from dgm_studio.models.ddpm import DDPM, DDPMConfig
from dgm_studio.models.sampling import Noise, sample, times_of

BAR = 1.2
STEPS = 20
CASES = ((8, 16, 8), (8, 16, 64), (16, 32, 8), (16, 32, 64))  # side, width, pictures at once


class Wrapped(UNet2DModel):
    """Our network where the pipeline expects one of diffusers' own."""

    def __init__(self, model: DDPM, side: int) -> None:
        nn.Module.__init__(self)
        self.inner = model
        self._internal_dict = SimpleNamespace(sample_size=side, in_channels=1)

    def forward(self, image: Tensor, t: Tensor) -> Any:
        """The prediction of v."""
        log_snr = self.inner.noising().log_snr(t.double())
        return SimpleNamespace(sample=self.inner.output(image, log_snr, None))


class Given(Noise):
    """A first noise that was drawn elsewhere."""

    def __init__(self, start: Tensor) -> None:
        super().__init__(0, tuple(start.shape))
        self.given = start

    def start(self) -> Tensor:
        """As given."""
        return self.given.double()


def network(side: int, width: int) -> DDPM:
    """With weights at random, the last layer's too, which would answer 0 otherwise."""
    torch.manual_seed(0)
    model = DDPM(DDPMConfig(width=width), (Modality("image", "image", (1, side, side)),)).eval()
    with torch.no_grad():
        model.network.last.weight.normal_(std=0.02)
    return model


def ours(model: DDPM, start: Tensor) -> Tensor:
    """Pictures in [0, 1]."""
    sampling, noise = Sampling("ddim", STEPS), Given(start)
    with torch.inference_mode():
        *_, last = sample(model, noise.start(), sampling, times_of(model.noising(), sampling), noise)
        assert last is not None
        return (last.x / 2.0 + 0.5).clamp(0.0, 1.0).float()


def theirs(pipeline: Any, start: Tensor) -> Tensor:
    """Pictures in [0, 1]."""
    found = pipeline(
        len(start),
        torch.Generator().manual_seed(1),
        num_inference_steps=STEPS,
        use_clipped_model_output=True,
        output_type="pt",
        return_dict=False,
    )[0]
    assert isinstance(found, Tensor)
    return found


def compared(side: int, width: int, count: int, turns: int) -> dict[str, Any]:
    """One row: samples a processor second on both sides."""
    model = network(side, width)
    table = model.noising().alpha_bar
    before = torch.cat([table.new_ones(1), table[:-1]])
    scheduler = DDIMScheduler(
        trained_betas=(1.0 - table / before).tolist(), prediction_type="v_prediction", timestep_spacing="trailing"
    )
    pipeline = DDIMPipeline(Wrapped(model, side), scheduler)
    pipeline.scheduler = scheduler  # it makes one of "leading" spacing and without betas' own values out of it
    pipeline.set_progress_bar_config(disable=True)
    start = torch.randn((count, 1, side, side), generator=torch.Generator().manual_seed(1))
    apart = float((ours(model, start) - theirs(pipeline, start)).abs().max())
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(turns):
        for name, run in (("ours", lambda: ours(model, start)), ("theirs", lambda: theirs(pipeline, start))):
            begun = time.process_time()
            run()
            spent[name].append(time.process_time() - begun)
    best = {name: min(seconds) for name, seconds in spent.items()}
    return {
        "side": side,
        "width": width,
        "pictures at once": count,
        "greatest difference of a pixel": apart,
        "samples/s, ours": count / best["ours"],
        "samples/s, diffusers": count / best["theirs"],
        "ratio": best["theirs"] / best["ours"],
    }


def main() -> None:
    """Compare, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--turns", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        rows.append(compared(*case, turns=chosen.turns))
        print(rows[-1], flush=True)
    versions = {name: version(name) for name in ("diffusers", "torch")}
    report = {"versions": versions, "python": platform.python_version(), "steps": STEPS, "bar": BAR, "rows": rows}
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
