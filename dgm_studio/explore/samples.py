"""Draws from models, reconstructions, encodings of single pictures, and examples of data."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dgm_studio.core.cards import Capability, DataCard
from dgm_studio.core.requests import EncodePicture, OpenData, Reconstruct, SamplePrior, ShowThumbnail
from dgm_studio.core.updates import Frame, Problem, Progress, Result, Update
from dgm_studio.data import folder
from dgm_studio.explore.answers import answers
from dgm_studio.explore.loaded import LoadedModel, as_bytes, as_floats

if TYPE_CHECKING:
    from dgm_studio.data.dataset import Part
    from dgm_studio.explore.workbench import Workbench

MOST_SAMPLES = 100_000
BOUND_SAMPLES = 16  # K of the importance-weighted bound that stands beside a reconstruction
BORDER_COUNT = 64  # examples that say whether the data are ink on paper or the reverse
THUMBNAIL_SEED = 7
THUMBNAIL_TRUNCATION = 0.7  # a typical draw rather than a rare one
THUMBNAIL_POINTS = 4000
THUMBNAIL_SIDE = 64
THUMBNAIL_REACH = 3.0  # standard deviations of planar data within the picture


@answers(SamplePrior)
def sample_prior(bench: Workbench, asked: SamplePrior) -> Iterator[Update]:
    """Decoded draws from the prior, all so far after every slice."""
    model = bench.model(asked.model)
    if not 1 <= asked.count <= MOST_SAMPLES:
        raise Problem(f"{asked.count} samples cannot be drawn at once.", f"Ask for 1 to {MOST_SAMPLES:,}.")
    if Capability.DENOISES in model.card.capabilities:
        yield from _denoised(model, asked)
        return
    z = drawn(model, asked.count, asked.seed, asked.truncation)
    for shown, worth in model.growing(z):
        if worth:
            yield Frame("samples", {**model.shown(shown), "z": as_floats(z[: len(shown)]), "of": asked.count})
        else:
            yield Progress(len(shown), asked.count, "Drawing samples")


def _denoised(model: LoadedModel, asked: SamplePrior) -> Iterator[Update]:
    """Samples of a model that has no latents: "z" has no columns."""
    from dgm_studio.explore.denoising_draws import growing_draws  # which builds upon this file

    if asked.truncation != 1.0:
        raise Problem("A model without latents has no prior to truncate.", "Leave the truncation at 1.")
    for news in growing_draws(model, asked.count, asked.seed):
        if isinstance(news, Progress):
            yield news
        elif news[1]:
            nothing = np.zeros((len(news[0]), 0), np.float32)
            yield Frame("samples", {**model.shown(news[0]), "z": nothing, "of": asked.count})


def drawn(model: LoadedModel, count: int, seed: int, truncation: float) -> Tensor:
    """Latents from the prior, [count, Z].

    Raises:
        Problem: The model has no prior or no decoder.
    """
    model.need(Capability.SAMPLES, Capability.DECODES)
    if not 0.0 <= truncation <= 10.0:
        raise Problem(f"A truncation of {truncation:g} makes no sense.", "Choose 0 to 10; 1 is the prior itself.")
    return cast(Tensor, model.module.sample_latent(count, model.generator(seed), truncation))


@answers(ShowThumbnail)
def show_thumbnail(bench: Workbench, asked: ShowThumbnail) -> Iterator[Update]:
    """One fixed draw; for planar data the density of many; of a model that draws nothing what it is made to judge."""
    model = bench.model(asked.model)
    if model.pictures and not model.card.capabilities & {Capability.DENOISES, Capability.SAMPLES}:
        part = (yield from bench.dataset(model.card.data)).split("test")
        yield Frame("thumbnail", {"picture": part.picture(torch.arange(1))[0]})
        return
    if Capability.DENOISES in model.card.capabilities:
        count = 1 if model.pictures else THUMBNAIL_POINTS
        for update in _denoised(model, SamplePrior(asked.model, count, THUMBNAIL_SEED)):
            if isinstance(update, Frame):
                yield Frame("thumbnail", {"picture": _thumbnail(update.data)})
            else:
                yield update
        return
    if model.pictures:
        x = model.decode(drawn(model, 1, THUMBNAIL_SEED, THUMBNAIL_TRUNCATION))
        yield Frame("thumbnail", {"picture": as_bytes(x)[0]})
        return
    x = torch.cat(list(model.decoded(drawn(model, THUMBNAIL_POINTS, THUMBNAIL_SEED, 1.0))))
    yield Frame("thumbnail", {"picture": density_picture(as_floats(x))})


def _thumbnail(samples: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """The first picture, or the density of all points."""
    if "pictures" in samples:
        return cast("npt.NDArray[np.uint8]", samples["pictures"][0])
    return density_picture(samples["points"])


def density_picture(points: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Standardised points [N, 2] as ink [64, 64]: the root of their number in each pixel."""
    edges = np.linspace(-THUMBNAIL_REACH, THUMBNAIL_REACH, THUMBNAIL_SIDE + 1)
    counts, _, _ = np.histogram2d(-points[:, 1], points[:, 0], bins=(edges, edges))
    ink = np.sqrt(counts / max(1.0, float(np.quantile(counts, 0.995))))
    return np.asarray(np.rint(255 * np.clip(ink, 0, 1)), np.uint8)


@answers(Reconstruct)
def reconstruct(bench: Workbench, asked: Reconstruct) -> Iterator[Update]:
    """Data beside what is decoded from their posterior means; the bounds, which take longer, come afterwards."""
    model = bench.model(asked.model)
    model.need(Capability.ENCODES, Capability.DECODES)
    dataset = (yield from bench.dataset(model.card.data)).seen()
    part = dataset.split(asked.split)
    rows = rows_of(part, asked.start, asked.count, asked.split)
    originals = part.batch(rows).to(model.device)
    pictures: list[Tensor] = []
    for x in torch.split(originals, model.slice):
        pictures.append(model.decode(model.module.encode(x).mean))
        if len(pictures) * model.slice < len(rows):
            yield Progress(len(pictures) * model.slice, len(rows), "Reconstructing")
    (shown,) = model.shown(originals).values()
    data = {
        **model.shown(torch.cat(pictures)),
        "originals": shown,
        "bound": np.full(len(rows), np.nan, np.float32),
        "labels": labels_of(dataset.card, part, rows),
        "indices": rows.numpy().copy(),
    }
    yield Frame("reconstructions", dict(data))
    bounds = yield from _bounds(model, originals, model.generator(asked.seed))
    yield Frame("reconstructions", {**data, "bound": bounds})


def _bounds(
    model: LoadedModel, x: Tensor, generator: torch.Generator
) -> Generator[Progress, None, npt.NDArray[np.float32]]:
    """The bound of every datum, [N] nats, a few data between two yields."""
    found: list[Tensor] = []
    size = max(1, 2 * model.slice // BOUND_SAMPLES)
    for some in torch.split(x, size):
        found.append(bound_of(model, some, generator))
        yield Progress(len(found) * size, len(x), "Bounding the likelihood")
    return as_floats(torch.cat(found))


def rows_of(part: Part, start: int, count: int, split: str) -> Tensor:
    """Positions start ... start + count within a split, cut at its end.

    Raises:
        Problem: The start lies outside.
    """
    if not 0 <= start < len(part) or count < 1:
        raise Problem(f"The split {split} has examples 0 to {len(part) - 1}, not {start}.", "Choose one of those.")
    return torch.arange(start, min(start + count, len(part)))


def labels_of(card: DataCard, part: Part, rows: Tensor) -> list[str]:
    """Words for examples: their sentence, else the category of the first annotation, else nothing."""
    if part.texts:
        return [part.texts[int(row)] for row in rows]
    if not card.factors or card.factors[0].name not in part.factors:
        return ["" for _ in rows]
    factor = card.factors[0]
    return [factor.categories[int(k)] for k in part.factors[factor.name][rows]]


def bound_of(model: LoadedModel, x: Tensor, generator: torch.Generator) -> Tensor:
    """The importance-weighted bound on log p(x), [N] nats; NaN when the model does not score."""
    if Capability.SCORES not in model.card.capabilities:
        return torch.full((len(x),), float("nan"))
    return cast(Tensor, model.module.log_prob_bound(x, BOUND_SAMPLES, generator))


@answers(EncodePicture)
def encode_picture(bench: Workbench, asked: EncodePicture) -> Iterator[Update]:
    """The posterior of a drawn picture, of a file, or of an example."""
    model = bench.model(asked.model)
    model.need(Capability.ENCODES)
    x = yield from _seen(bench, model, asked)
    posterior = model.module.encode(x)
    kl = model.kl_per_dim(posterior)[0]
    data: dict[str, Any] = {
        "mean": as_floats(posterior.mean[0]),
        "std": as_floats(posterior.std[0]),
        "kl": float(kl.sum()),
        "kl_per_dim": as_floats(kl),
        "bound": float(bound_of(model, x, model.generator(0))[0]),
    }
    if Capability.DECODES in model.card.capabilities:
        data["reconstruction"] = _one(model, model.decode(posterior.mean))
    yield Frame("posterior", {**data, "picture": _one(model, x)})


def _one(model: LoadedModel, x: Tensor) -> npt.NDArray[Any]:
    (shown,) = model.shown(x).values()
    return cast("npt.NDArray[Any]", shown[0])


def _seen(bench: Workbench, model: LoadedModel, asked: EncodePicture) -> Generator[Progress, None, Tensor]:
    """What is to be encoded, [1, *S]."""
    if asked.file:
        model.need_pictures()
        x = picture_from_file(Path(asked.file), model.modality.shape).to(model.device)
        part = (yield from bench.dataset(model.card.data)).seen().split("train")
        return like_data(x, part)
    if asked.picture:
        model.need_pictures()
        return picture_from_rows(asked.picture, model.modality.shape).to(model.device)
    part = (yield from bench.dataset(model.card.data)).seen().split(asked.split)
    return part.batch(rows_of(part, asked.index, 1, asked.split)).to(model.device)


def picture_from_rows(rows: tuple[Any, ...], shape: tuple[int, ...]) -> Tensor:
    """Rows of bytes as a picture [1, C, H, W] in [0, 1], resized by area when its size is another.

    Raises:
        Problem: Not a rectangle of bytes.
    """
    try:
        given = np.asarray(rows, np.float32)
    except (TypeError, ValueError) as error:
        raise Problem("The drawn picture is not a rectangle of numbers.") from error
    if given.ndim not in (2, 3) or (given.ndim == 3 and given.shape[2] != 3) or min(given.shape) < 1:
        raise Problem(f"A picture has rows and columns of grey or RGB bytes, not the shape {given.shape}.")
    if not np.isfinite(given).all():
        raise Problem("The drawn picture holds a value that is not finite.")
    return fitted(torch.from_numpy(given) / 255.0, shape)


def fitted(picture: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A picture [H, W] or [H, W, 3] in [0, 1] as [1, C, H', W'] of a model."""
    x = picture[None, None] if picture.ndim == 2 else picture.permute(2, 0, 1)[None]
    if x.shape[1] != shape[0]:
        x = x.expand(-1, 3, -1, -1) if shape[0] == 3 else x.mean(1, keepdim=True)
    if tuple(x.shape[2:]) != tuple(shape[1:]):
        x = F.interpolate(x, size=tuple(shape[1:]), mode="bilinear", antialias=True, align_corners=False)
    return x.clamp(0.0, 1.0).contiguous()


def like_data(x: Tensor, part: Part) -> Tensor:
    """A grey picture with ink and paper the way round that the data have them: the border is taken for paper."""
    if x.shape[1] != 1:
        return x
    some = part.batch(torch.arange(min(BORDER_COUNT, len(part))))
    return 1.0 - x if (_border(x) > 0.5) != (_border(some) > 0.5) else x


def _border(x: Tensor) -> float:
    edges = (x[..., 0, :], x[..., -1, :], x[..., :, 0], x[..., :, -1])
    return float(torch.cat([edge.flatten() for edge in edges]).median())


def picture_from_file(path: Path, shape: tuple[int, ...]) -> Tensor:
    """A picture file of the user's as [1, C, H, W], read with the limits and cropped the way that the data room has.

    Raises:
        Problem: No file, not a picture, a damaged or a huge one.
    """
    if not path.is_file():
        raise Problem(f"There is no file {path}.", "Choose another one.")
    try:
        with Image.open(path, formats=folder.FORMATS) as picture:
            pixels = picture.width * picture.height
        if pixels > folder.MOST_PIXELS or path.stat().st_size > folder.MOST_FILE_BYTES:
            raise Problem(f"{path.name} is too large: {folder.TOO_MANY_PIXELS}.", "Make it smaller first.")
        side = min(shape[1], shape[2])
        found = torch.from_numpy(np.array(folder.decode(str(path), side))).float().div(255.0)
    except Problem:
        raise
    except Exception as error:  # on hostile bytes a decoder raises nearly anything
        raise Problem(f"{path.name} is not a picture that can be read.", "Choose a PNG or JPEG file.") from error
    return fitted(found.permute(1, 2, 0), shape)


@answers(OpenData)
def open_data(bench: Workbench, asked: OpenData) -> Iterator[Update]:
    """A data set's card and its first training examples."""
    dataset = yield from bench.dataset(asked.data)
    part = dataset.split("train")
    rows = torch.arange(min(max(0, asked.count), len(part)))
    shown = {"pictures": part.picture(rows)} if part.pictures else {"points": as_floats(part.batch(rows))}
    factors = {name: values[rows].numpy().copy() for name, values in part.factors.items()}
    labels = labels_of(dataset.card, part, rows)
    yield Frame("examples", {**shown, "labels": labels, "factors": factors, "report": dataset.report})
    yield Result(dataset.card)
