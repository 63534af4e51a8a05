"""A plane through a latent space: decoded tiles, and densities with the lines that enclose parts of their mass."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dgm_studio.core import pictures as arrange
from dgm_studio.core.cards import Capability
from dgm_studio.core.requests import DecodeTiles, DrawDensity, DrawMap
from dgm_studio.core.updates import Frame, Problem, Progress, Update
from dgm_studio.explore.answers import answers
from dgm_studio.explore.contours import Grid, contour, mass_level
from dgm_studio.explore.latents import Encoded, encoded
from dgm_studio.explore.loaded import LoadedModel, as_bytes

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

Doubles = npt.NDArray[np.float64]
FRACTIONS = (0.5, 0.9)
MOST_CELLS = 16  # along one side of a tile
MOST_COLUMNS = 512
MOST_MAP_CELLS = 10_000
ROWS_AT_ONCE = 8
LEVEL_COLUMNS = 160  # of the grid on which mass is summed
PRIOR_REACH = 5.0  # standard deviations of the prior that hold its mass for that sum
LEVEL_DRAWS = 2000
DRAWS_AT_ONCE = 250


@dataclass(frozen=True)
class Plane:
    """z(x, y) = origin + x u + y v.

    Args:
        origin: [Z].
        u: [Z].
        v: [Z].
    """

    origin: Tensor
    u: Tensor
    v: Tensor

    def at(self, x: Tensor, y: Tensor) -> Tensor:
        """Latents [N, Z] of plane coordinates [N] each."""
        return self.origin + x[:, None] * self.u + y[:, None] * self.v

    def coordinates(self, z: Doubles) -> Doubles:
        """Plane coordinates [N, 2] of the points of the plane nearest to z [N, Z]."""
        basis = torch.stack([self.u, self.v]).double().cpu().numpy()
        return np.asarray((z - self.origin.double().cpu().numpy()) @ np.linalg.pinv(basis))

    @property
    def name(self) -> tuple[Any, ...]:
        """What distinguishes it, for looking up what was worked out on it."""
        return tuple(self.origin.tolist()), tuple(self.u.tolist()), tuple(self.v.tolist())


def plane_of(model: LoadedModel, asked: DecodeTiles | DrawDensity | DrawMap) -> Plane:
    """The plane of a request.

    Raises:
        Problem: Wrong sizes, or two directions that span no plane.
    """
    origin, u, v = model.vectors((asked.origin, asked.u, asked.v), "A vector of the plane")
    lengths = float(u.norm() * v.norm())
    sine = math.sqrt(max(0.0, 1.0 - (float(u @ v) / lengths) ** 2)) if lengths > 0 else 0.0
    if sine < 1e-4:
        raise Problem("The two directions point the same way and span no plane.", "Choose another one for one axis.")
    return Plane(origin, u, v)


@answers(DecodeTiles)
def decode_tiles(bench: Workbench, asked: DecodeTiles) -> Iterator[Update]:
    """One tile after the other, from the middle of the wanted ones outwards."""
    model = bench.model(asked.model)
    model.need(Capability.DECODES)
    model.need_pictures()
    plane = plane_of(model, asked)
    if not 1 <= asked.per_tile <= MOST_CELLS or not -16 <= asked.level <= 24:
        raise Problem("These tiles are too fine to be decoded.", f"Ask for 1 to {MOST_CELLS} cells a side.")
    for i, j in outwards(asked.tiles):
        z = plane.at(*_cells(i, j, asked, model.device))
        sheet = arrange.tile(as_bytes(torch.cat(list(model.decoded(z)))), columns=asked.per_tile)
        data = {"picture": sheet, "level": asked.level, "i": i, "j": j}
        yield Frame(f"tile/{asked.level}/{i}/{j}", data)


def outwards(tiles: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Tiles by distance from the middle of all of them.

    >>> outwards(((0, 0), (1, 0), (2, 0)))
    [(1, 0), (0, 0), (2, 0)]
    """
    if not tiles:
        return []
    unique = sorted({(int(i), int(j)) for i, j in tiles})
    ci, cj = (sum(t[axis] for t in unique) / len(unique) for axis in (0, 1))
    return sorted(unique, key=lambda t: (t[0] - ci) ** 2 + (t[1] - cj) ** 2)


def _cells(i: int, j: int, asked: DecodeTiles, device: torch.device) -> tuple[Tensor, Tensor]:
    """Plane coordinates of the cells' middles, row by row from the top."""
    side, n = 2.0**-asked.level, asked.per_tile
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    x, y = (i + middles) * side, (j + middles.flip(0)) * side
    return x.repeat(n).float().to(device), y.repeat_interleave(n).float().to(device)


@answers(DrawMap)
def draw_map(bench: Workbench, asked: DrawMap) -> Iterator[Update]:
    """The whole rectangle as one sheet, what is decoded so far after every slice."""
    model = bench.model(asked.model)
    model.need(Capability.DECODES)
    model.need_pictures()
    plane = plane_of(model, asked)
    width, height = _extent(asked)
    rows = max(1, round(asked.columns * height / width))
    if not asked.columns >= 1 or asked.columns * rows > MOST_MAP_CELLS:
        raise Problem(f"A map of {asked.columns} by {rows} pictures is too large.", "Ask for fewer columns.")
    x = asked.left + (torch.arange(asked.columns, dtype=torch.float64) + 0.5) * width / asked.columns
    y = asked.top - (torch.arange(rows, dtype=torch.float64) + 0.5) * height / rows
    flat = [g.float().to(model.device) for g in (x.repeat(rows), y.repeat_interleave(asked.columns))]
    sheets: npt.NDArray[np.uint8] | None = None
    done = 0
    for part in model.decoded(plane.at(*flat)):
        shown = as_bytes(part)
        if sheets is None:
            sheets = np.zeros((asked.columns * rows, *shown.shape[1:]), np.uint8)
        sheets[done : done + len(shown)] = shown
        done += len(shown)
        picture = arrange.tile(sheets, columns=asked.columns)
        yield Frame("map", {"picture": picture, "rows": rows, "columns": asked.columns, "ready": done})


# -- densities ---------------------------------------------------------------------------------------------------------


@answers(DrawDensity)
def draw_density(bench: Workbench, asked: DrawDensity) -> Iterator[Update]:
    """Prior and aggregate posterior restricted to the plane, with lines that enclose half and nine tenths of each."""
    model = bench.model(asked.model)
    plane = plane_of(model, asked)
    x, y = _axes(asked)
    data: dict[str, Any] = {"x": x.astype(np.float32), "y": y.astype(np.float32), "contours": []}
    if Capability.SAMPLES in model.card.capabilities:
        prior = Grid(x, y, prior_on(model, plane, x, y))
        levels = prior_levels(model, plane)
        data["prior"] = prior.values.astype(np.float32)
        data["contours"] += _lines("prior", prior, levels)
        yield Frame("density", dict(data))
    if Capability.ENCODES in model.card.capabilities and model.card.data:
        posteriors = yield from encoded(bench, model, asked.split, asked.count)
        levels = yield from posterior_levels(model, plane, posteriors, (asked.split, asked.count))
        mixture = PlaneMixture(plane, posteriors)
        posterior = Grid(x, y, (yield from mixture.on(x, y)))
        data["posterior"] = posterior.values.astype(np.float32)
        data["contours"] = data["contours"] + _lines("posterior", posterior, levels)
        yield Frame("density", dict(data))


def _extent(asked: DrawDensity | DrawMap) -> tuple[float, float]:
    width, height = asked.right - asked.left, asked.top - asked.bottom
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise Problem("The rectangle of the map is empty.", "Give left < right and bottom < top.")
    return width, height


def _axes(asked: DrawDensity) -> tuple[Doubles, Doubles]:
    width, height = _extent(asked)
    if not 2 <= asked.columns <= MOST_COLUMNS:
        raise Problem(f"A density cannot have {asked.columns} columns.", f"Ask for 2 to {MOST_COLUMNS}.")
    rows = min(MOST_COLUMNS, max(2, 1 + round((asked.columns - 1) * height / width)))
    return np.linspace(asked.left, asked.right, asked.columns), np.linspace(asked.bottom, asked.top, rows)


def _lines(kind: str, grid: Grid, levels: tuple[float, ...]) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "fraction": fraction, "level": level, "lines": contour(grid, level)}
        for fraction, level in zip(FRACTIONS, levels, strict=True)
    ]


def prior_on(model: LoadedModel, plane: Plane, x: Doubles, y: Doubles) -> Doubles:
    """log p(z(x, y)), [B, A] nats."""
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    flat = [torch.from_numpy(g.ravel()).float().to(model.device) for g in (grid_x, grid_y)]
    log_prob = model.prior_log_prob(plane.at(*flat))
    return np.asarray(log_prob.double().cpu().numpy().reshape(grid_x.shape), np.float64)


def prior_levels(model: LoadedModel, plane: Plane) -> tuple[float, ...]:
    """Heights of log p(z(x, y)) that enclose the fractions of the plane's mass."""

    def make() -> tuple[float, ...]:
        # Draws say where the prior's mass is, whatever its kind; their spread seen on the plane bounds the sum.
        draws = model.module.sample_latent(512, model.generator(0)).double().cpu().numpy()
        seen = plane.coordinates(draws)
        middle, spread = seen.mean(0), PRIOR_REACH * seen.std(0) + 1e-6
        x, y = (np.linspace(middle[k] - spread[k], middle[k] + spread[k], LEVEL_COLUMNS) for k in (0, 1))
        grid = Grid(x, y, prior_on(model, plane, x, y))
        return tuple(mass_level(grid, fraction) for fraction in FRACTIONS)

    return model.noted(("prior levels", plane.name), make)


def posterior_levels(
    model: LoadedModel, plane: Plane, posteriors: Encoded, which: tuple[str, int]
) -> Generator[Progress, None, tuple[float, ...]]:
    """Heights of the restricted aggregate posterior that enclose the fractions of the plane's mass."""
    name = ("posterior levels", plane.name, which)
    known = model.note(name)
    if known is not None:
        return known  # type: ignore[no-any-return]
    mixture = PlaneMixture(plane, posteriors)
    heights = []
    x, y = mixture.draw(LEVEL_DRAWS, torch.Generator().manual_seed(0))
    for start in range(0, LEVEL_DRAWS, DRAWS_AT_ONCE):
        some = slice(start, start + DRAWS_AT_ONCE)
        heights.append(mixture.log_prob(x[some], y[some]))
        yield Progress(start, LEVEL_DRAWS, "Density of the data")
    # The region of highest density that holds a part f of the mass is bounded by the (1 - f) quantile of the density at
    # draws from it (Hyndman 1996, section 3.2); no grid, however narrow the posteriors are.
    levels = tuple(float(torch.cat(heights).quantile(1.0 - fraction)) for fraction in FRACTIONS)
    model.write(name, levels)
    return levels


class PlaneMixture:
    """The aggregate posterior (1/N) sum_n q(z | x_n) restricted to a plane, exactly.

    On the plane the exponent of every diagonal Gaussian is a parabola of (x, y); its six coefficients are worked out
    once, and a grid then costs one matrix product whatever the number of latent dimensions.

    Args:
        plane: Where.
        posteriors: Whose.
    """

    def __init__(self, plane: Plane, posteriors: Encoded) -> None:
        mean, std = posteriors.mean.double().cpu(), posteriors.std.double().cpu()
        offset = (plane.origin.double().cpu() - mean) / std
        u, v = plane.u.double().cpu() / std, plane.v.double().cpu() / std
        constant = -std.log().sum(1) - 0.5 * mean.shape[1] * math.log(2 * math.pi) - math.log(len(mean))
        self.terms = torch.stack(
            [
                constant - 0.5 * offset.square().sum(1),
                -(offset * u).sum(1),
                -(offset * v).sum(1),
                -0.5 * u.square().sum(1),
                -(u * v).sum(1),
                -0.5 * v.square().sum(1),
            ],
            1,
        )

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """log density at plane coordinates, float64 [M] each: [M], nats."""
        ones = torch.ones_like(x)
        basis = torch.stack([ones, x, y, x * x, x * y, y * y])
        return torch.logsumexp(self.terms @ basis, 0)

    def on(self, x: Doubles, y: Doubles) -> Generator[Progress, None, Doubles]:
        """log density on a grid, [B, A] nats, a few rows between yields."""
        columns = torch.from_numpy(x)
        rows = []
        for start in range(0, len(y), ROWS_AT_ONCE):
            slab = torch.from_numpy(y[start : start + ROWS_AT_ONCE])
            flat = self.log_prob(columns.repeat(len(slab)), slab.repeat_interleave(len(columns)))
            rows.append(flat.reshape(len(slab), len(columns)).numpy())
            yield Progress(start + len(slab), len(y), "Density of the data")
        return np.concatenate(rows)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Plane coordinates of draws from the restricted mixture, [count] each."""
        _, b, c, d, e, f = self.terms.T
        precision = torch.stack([torch.stack([-2 * d, -e], -1), torch.stack([-e, -2 * f], -1)], -2)
        slope = torch.stack([b, c], -1)
        centre = torch.linalg.solve(precision, slope)
        log_mass = self.terms[:, 0] + 0.5 * (slope * centre).sum(-1) - 0.5 * torch.logdet(precision)
        chosen = torch.multinomial(torch.softmax(log_mass, 0), count, replacement=True, generator=generator)
        noise = torch.randn(count, 2, 1, dtype=torch.float64, generator=generator)
        # With P = L L', the covariance P^-1 is that of L'^-1 times standard normal draws.
        factor = torch.linalg.cholesky(precision)[chosen]
        spread = torch.linalg.solve_triangular(factor.mT, noise, upper=True)[..., 0]
        x, y = (centre[chosen] + spread).unbind(-1)
        return x, y
