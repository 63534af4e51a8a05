"""What the drawn faces can look like: eight attributes, the variants of the style that show them, and the sentence.

The groups were made by looking at every variant of the style "pixel-art" at 32 x 32. A variant that could pass for two
categories (a fringe between short and bald, a skin tone between tan and dark) is in none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Attribute:
    """A categorical attribute.

    Args:
        name: As in the card.
        key: The style's component or colour list that shows it.
        groups: For each category its variants or colours; an empty group means that the component is left out.
        weights: Probability of each category.
    """

    name: str
    key: str
    groups: dict[str, tuple[str, ...]]
    weights: tuple[float, ...]


def _variants(prefix: str, *numbers: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{n:02d}" for n in numbers)


ATTRIBUTES = (
    Attribute(
        "mouth",
        "mouth",
        {
            "smiling": _variants("happy", 6, 7, 8, 9, 10, 11),
            "serious": _variants("sad", 4, 5, 6),
            "frowning": _variants("sad", 1, 2, 3, 8, 9),
            "astonished": _variants("happy", 1, 12),
        },
        (0.34, 0.22, 0.22, 0.22),
    ),
    Attribute(
        "hair",
        "hair",
        {
            "short": (*_variants("long", 11), *_variants("short", 1, 6, 8, 9, 10, 15, 16, 17, 19, 22)),
            "long": _variants("long", 1, 2, 3, 7, 8, 9, 12, 13, 20, 21),
            "tied": _variants("long", 5, 6, 14, 18, 19),
            "curly": (*_variants("long", 15), *_variants("short", 11, 13)),
            "thinning": _variants("short", 5, 7, 12, 18, 20, 21, 23),
        },
        (0.28, 0.28, 0.16, 0.14, 0.14),
    ),
    Attribute(
        "hair colour",
        "hair",
        {
            "black": ("#28150a",),
            "brown": ("#603a14", "#83623b"),
            "blond": ("#e3c14f", "#f2da86"),
            "red": ("#bd1700",),
            "blue": ("#009bbd",),
            "green": ("#91cb15",),
        },
        (0.20, 0.24, 0.18, 0.14, 0.12, 0.12),
    ),
    Attribute(
        "skin",
        "skin",
        {"light": ("#ffdbac", "#f5cfa0"), "tan": ("#e0b687", "#cb9e6e"), "dark": ("#a26d3d", "#8d5524")},
        (0.34, 0.33, 0.33),
    ),
    Attribute(
        "glasses",
        "glasses",
        {"no": (), "clear": _variants("light", 5, 6, 7), "dark": _variants("dark", 5, 6, 7)},
        (0.5, 0.25, 0.25),
    ),
    Attribute("beard", "beard", {"no": (), "full": _variants("variant", 1, 5, 6, 7, 8)}, (0.65, 0.35)),
    Attribute(
        "hat",
        "hat",
        {"no": (), "beanie": _variants("variant", 1, 3, 4, 8, 9, 10), "cap": _variants("variant", 2, 7)},
        (0.6, 0.2, 0.2),
    ),
    Attribute(
        "shirt",
        "clothing",
        {
            "blue": ("#5bc0de", "#428bca", "#03396c"),
            "green": ("#88d8b0", "#44c585", "#00b159"),
            "red": ("#ff6f69", "#d11141", "#ae0001"),
            "yellow": ("#ffeead", "#ffd969", "#ffc425"),
        },
        (0.25, 0.25, 0.25, 0.25),
    ),
)

# What varies without being annotated.
FREE = {
    "eyesVariant": _variants("variant", 1, 3, 4, 6, 7, 8, 9, 11),
    "eyesColor": ("#76778b", "#697b94", "#647b90", "#5b7c8b", "#588387", "#876658"),
    "mouthColor": ("#e35d6a", "#de0f0d"),  # the two pale ones vanish on tan skin
    "clothesVariant": _variants("variant", 1, 2, 3, 4, 5, 6, 8, 11, 12, 13, 16, 23),
    "glassesColor": ("#323232", "#191919"),
    "hatColor": ("#2e1e05", "#2663a3", "#989789", "#3d8a6b", "#cc6192", "#614f8a", "#a62116"),
}
COLOURS = {"hair colour", "skin", "shirt"}


def draw(rng: np.random.Generator) -> tuple[list[int], dict[str, object]]:
    """A face by chance: every attribute and every free choice on its own.

    Returns:
        The category of each attribute, and the style's options that force them.
    """
    categories: list[int] = []
    options: dict[str, object] = {"accessoriesProbability": 0}
    for attribute in ATTRIBUTES:
        category = int(rng.choice(len(attribute.weights), p=attribute.weights))
        shown = list(attribute.groups.values())[category]
        categories.append(category)
        if attribute.name in COLOURS:
            options[f"{attribute.key}Color"] = [str(rng.choice(shown))]
            continue
        options[f"{attribute.key}Probability"] = 100 if shown else 0
        if shown:
            options[f"{attribute.key}Variant"] = [str(rng.choice(shown))]
    options |= {key: [str(rng.choice(values))] for key, values in FREE.items()}
    return categories, options


def sentence(categories: list[int]) -> str:
    """The attributes in words: "a smiling person with tan skin, short brown hair, a beard and a red shirt"."""
    word = {a.name: list(a.groups)[c] for a, c in zip(ATTRIBUTES, categories, strict=True)}
    article = "an" if word["mouth"][0] in "aeiou" else "a"
    parts = [f"{word['skin']} skin", f"{word['hair']} {word['hair colour']} hair"]
    parts += ["a beard"] if word["beard"] != "no" else []
    parts += [f"{word['glasses']} glasses"] if word["glasses"] != "no" else []
    parts += [f"a {word['hat']}"] if word["hat"] != "no" else []
    return f"{article} {word['mouth']} person with {', '.join(parts)} and a {word['shirt']} shirt"
