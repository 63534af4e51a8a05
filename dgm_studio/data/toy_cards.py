"""The cards of the toys in the plane, apart from their mathematics, so that they can be listed without torch."""

from __future__ import annotations

import hashlib

from dgm_studio.core.cards import DataCard, Factor, Modality

TOY_SIZES = {"train": 8000, "valid": 1000, "test": 1000}
TOY_SEED = 2
TOY_VERSION = 1  # raise it whenever a constant of toys.py changes


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return tuple(f"{word} {i}" for i in range(1, count + 1))


_TOYS = {
    "moons": ("Two moons", "Two half circles that reach into each other, blurred.", ("upper", "lower")),
    "pinwheel": ("Pinwheel", "Five Gaussian arms, twisted.", _numbered("arm", 5)),
    "eight-gaussians": ("Eight Gaussians", "Eight round Gaussians on a circle.", _numbered("mode", 8)),
    "checkerboard": ("Checkerboard", "Uniform on eight squares of a four by four board.", _numbered("square", 8)),
    "swiss-roll": ("Swiss roll", "A spiral of one and a half turns, blurred.", ("inner", "middle", "outer")),
}


def toy_cards() -> tuple[DataCard, ...]:
    """One card per toy."""
    return tuple(
        DataCard(
            name=name,
            title=title,
            summary=f"{summary} {sum(TOY_SIZES.values()):,} points in the plane, with their exact density.",
            modalities=(Modality("points", "points", (2,)),),
            factors=(Factor("part", parts),),
            counts=dict(TOY_SIZES),
            split_seed=TOY_SEED,
            licence="MIT",
            credit="DGM Studio",
            source=f"generated from seed {TOY_SEED}",
            changes="Standardised by the exact mean and standard deviation when a model sees it.",
            # of the recipe and not of the points: a cosine may differ in its last bit between two machines
            sha256=hashlib.sha256(f"{name} {TOY_VERSION} {TOY_SEED} {sorted(TOY_SIZES.items())}".encode()).hexdigest(),
            synthetic=True,
        )
        for name, (title, summary, parts) in _TOYS.items()
    )
