"""Paths against closed forms: straight lines of a flat decoder, great circles of a sphere, Shoemake's formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from dgm_studio.core.requests import DecodeLatent, FollowPath
from dgm_studio.core.updates import Frame, Problem
from dgm_studio.data import registry
from dgm_studio.explore.paths import linear, spherical
from dgm_studio.explore.workbench import Workbench

from .conftest import SHAPE, Linear, frame

RMS = math.sqrt(math.prod(SHAPE))  # Frames give lengths as root mean squares over the values of a picture


def test_a_linear_decoders_geodesic_is_the_straight_line(bench: Workbench) -> None:
    a, b = (-1.0, 0.5), (2.0, -0.3)
    data = frame(bench.answer(FollowPath("linear", (a, b), "geodesic", count=17)), "path")
    straight = np.linspace(a, b, 17)
    assert np.abs(data["z"] - straight).max() < 1e-3
    wanted = float((Linear(2).weight.detach() @ (torch.tensor(b) - torch.tensor(a))).norm()) / RMS
    assert data["length"][-1] == pytest.approx(wanted, rel=1e-4)
    assert data["settled"]


@pytest.mark.parametrize(("a", "b"), [((0.0, 1.0), (2.0, 1.0)), ((-0.4, -0.3), (1.5, 1.2))])
def test_on_a_sphere_the_geodesic_is_the_great_circle(
    bench: Workbench, a: tuple[float, float], b: tuple[float, float]
) -> None:
    geodesic = frame(bench.answer(FollowPath("curved", (a, b), "geodesic", count=32)), "path")
    straight = frame(bench.answer(FollowPath("curved", (a, b), "linear", count=32)), "path")
    on = [np.array([math.cos(t) * math.cos(s), math.cos(t) * math.sin(s), math.sin(t)]) for s, t in (a, b)]
    angle = math.acos(float(on[0] @ on[1]))
    assert geodesic["length"][-1] * RMS == pytest.approx(angle, rel=0.01)
    assert geodesic["length"][-1] < 0.97 * straight["length"][-1]
    normal = np.cross(on[0], on[1])
    s, t = geodesic["z"].T.astype(float)
    points = np.stack([np.cos(t) * np.cos(s), np.cos(t) * np.sin(s), np.sin(t)], 1)
    assert np.abs(points @ normal / np.linalg.norm(normal)).max() < 0.02
    paces = np.diff(geodesic["length"])
    assert paces.max() / paces.min() < 1.05


def test_a_geodesic_is_never_longer_than_the_straight_path(bench: Workbench) -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        a, b = (tuple(2.0 * rng.standard_normal(3)) for _ in range(2))
        lengths = {
            kind: frame(bench.answer(FollowPath("vae", (a, b), kind, count=25)), "path")["length"][-1]
            for kind in ("linear", "geodesic")
        }
        assert lengths["geodesic"] <= lengths["linear"] * 1.001


def test_a_relaxing_geodesic_is_shown_on_its_way_and_only_gets_better(bench: Workbench) -> None:
    asked = FollowPath("curved", ((0.0, 1.1), (2.2, 1.1)), "geodesic", count=24)
    energies = [u.data["energy"] for u in bench.answer(asked) if isinstance(u, Frame)]
    assert len(energies) > 3
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(energies))


def test_a_geodesic_of_many_points_yields_between_slices(bench: Workbench) -> None:
    steps, longest = bench.answer(FollowPath("vae", ((2.0, 0.0, 0.0), (0.0, 2.0, 1.0)), "geodesic", count=300)), 0
    sizes: list[int] = []
    bench.model("vae").module.decoder.register_forward_hook(lambda _m, _i, out: sizes.append(len(out)))
    for _ in range(60):
        before = len(sizes)
        next(steps)
        longest = max(longest, sum(sizes[before:]))
    assert longest <= 3 * bench.model("vae").slice


@pytest.mark.parametrize("kind", ["linear", "spherical", "geodesic"])
def test_a_path_passes_through_all_its_anchors(bench: Workbench, kind: str) -> None:
    anchors = ((0.0, 1.0), (1.0, 0.2), (2.0, 0.9))
    data = frame(bench.answer(FollowPath("curved", anchors, kind, count=31, closed=True)), "path")
    assert len(data["z"]) == 31 and len(data["anchors"]) == 4
    assert np.allclose(data["z"][data["anchors"]], [*anchors, anchors[0]], atol=1e-6)
    picture = frame(bench.answer(DecodeLatent("curved", anchors[1])), "decoded")["picture"]
    assert np.abs(data["pictures"][data["anchors"][1]].astype(int) - picture).max() <= 1


def test_the_great_circle_keeps_angle_even_and_ends_exact() -> None:
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    path = spherical(a, b, torch.linspace(0, 1, 7))
    assert torch.allclose(path.norm(dim=1), torch.full((7,), 2.0), atol=1e-6)
    angles = torch.atan2(path[:, 1], path[:, 0])
    assert torch.allclose(angles, torch.linspace(0, math.pi / 2, 7), atol=1e-6)


@pytest.mark.parametrize("b", [[0.0, 0.0], [3.0, 0.0], [-1.0, 0.0]])
def test_where_no_great_circle_is_defined_the_path_is_straight(b: list[float]) -> None:
    a, t = torch.tensor([1.0, 0.0]), torch.linspace(0, 1, 5)
    assert torch.equal(spherical(a, torch.tensor(b), t), linear(a, torch.tensor(b), t))


def test_figures_along_a_path_equal_brute_force(bench: Workbench) -> None:
    data = frame(bench.answer(FollowPath("linear", ((0.0, 0.0), (1.0, 2.0)), "linear", count=5)), "path")
    part = registry.load("digits8").split("valid")
    posterior = Linear(2).requires_grad_(False).encode(part.batch(torch.arange(min(1000, len(part)))))
    normal = torch.distributions.Normal(posterior.mean.double(), posterior.std.double())
    for k, z in enumerate(torch.from_numpy(data["z"]).double()):
        wanted = float(normal.log_prob(z).sum(1).logsumexp(0)) - math.log(len(posterior.mean))
        assert data["log_posterior"][k] == pytest.approx(wanted, abs=1e-3)
        assert data["log_prior"][k] == pytest.approx(-0.5 * float(z @ z) - math.log(2 * math.pi), abs=1e-5)
    assert data["latent_length"][-1] == pytest.approx(math.sqrt(5), rel=1e-5)


@pytest.mark.parametrize(
    ("anchors", "kind", "count"),
    [
        (((0.0, 0.0),), "linear", 9),
        (((0.0, 0.0),) * 9, "linear", 99),
        (((0.0, 0.0),) * 2, "cubic", 9),
        (((0.0,),) * 2, "linear", 9),
        (((0.0, 0.0),) * 4, "linear", 3),
    ],
)
def test_a_path_that_cannot_be_drawn_is_a_problem(
    bench: Workbench, anchors: tuple[tuple[float, ...], ...], kind: str, count: int
) -> None:
    with pytest.raises(Problem):
        list(bench.answer(FollowPath("linear", anchors, kind, count)))


def test_equal_anchors_make_a_path_that_stands_still(bench: Workbench) -> None:
    for kind in ("linear", "spherical", "geodesic"):
        data = frame(bench.answer(FollowPath("curved", ((0.3, 0.4),) * 3, kind, count=9)), "path")
        assert np.allclose(data["z"], [0.3, 0.4], atol=1e-5) and data["length"][-1] == pytest.approx(0.0, abs=1e-5)
