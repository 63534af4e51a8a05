"""What a value says of the factors of the data, whoever made it: a judge reads pictures, everything else speaks.

A label is its own reading, attributes are theirs column by column, a sentence is read by its words. Pictures need a
judge (`models.judge`); without one they say nothing. Numbers tell no category, so nothing is read from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from dgm_studio.core.cards import DataCard, Factor, Modality, ModelCard
from dgm_studio.data.dataset import Part
from dgm_studio.data.texts import text_of, words
from dgm_studio.models.judge import Judge, judge_for

NOBODY_KNOWS = -1
ABSENT = ("no", "none", "without")  # the category that a sentence leaves unsaid
BREAKS = frozenset({",", ";", ".", "and", "with"})
PROOF_TEXTS = 200  # sentences of the training part that show whether a factor can be read from words
READABLE = 0.95  # share of those in which the words must say what the annotation says


class Reader(Protocol):
    """Reads factors from values of one modality."""

    @property
    def name(self) -> str:
        """Who reads."""

    @property
    def accuracy(self) -> float:
        """Share of what was read right where the truth is known."""

    @property
    def factors(self) -> tuple[Factor, ...]:
        """What is read, in this order."""

    def shares(self, values: Tensor) -> dict[str, Tensor]:
        """How much of every category is seen in values [N, *S]: [N, C] by factor; rows of 0 where nothing is read."""


@dataclass(frozen=True)
class PictureReader:
    """What a judge sees in pictures [N, C, H, W].

    Args:
        judge: Its probabilities are the shares.
    """

    judge: Judge

    @property
    def name(self) -> str:
        """Of the judge."""
        return self.judge.name

    @property
    def accuracy(self) -> float:
        """On the test part, mean over its factors."""
        return self.judge.accuracy

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Of the judge."""
        return self.judge.factors

    def shares(self, values: Float[Tensor, "n *shape"]) -> dict[str, Tensor]:
        """Probabilities [N, C] of the categories of every factor; an erased pixel is paper."""
        return {name: logits.softmax(1) for name, logits in self.judge.logits(values.nan_to_num(0.0)).items()}

    def read_features(self, features: Float[Tensor, "n f"]) -> dict[str, Tensor]:
        """The category that is seen most, by factor, from the judge's features of pictures: [N] each."""
        parts = self.judge.heads(features).split([len(f.categories) for f in self.factors], 1)
        return {f.name: logits.argmax(1) for f, logits in zip(self.factors, parts, strict=True)}


@dataclass(frozen=True)
class LabelReader:
    """A label or a categorical says what it is.

    Args:
        factor: What it tells.
        order: Index into the factor's categories for each of the label's own, -1 for a word the factor lacks; [C].
    """

    factor: Factor
    order: Tensor
    name: str = "the value itself"
    accuracy: float = 1.0

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The one."""
        return (self.factor,)

    def shares(self, values: Int64[Tensor, " n"]) -> dict[str, Tensor]:
        """One row of a single 1 for each value [N]."""
        known = self.order.to(values.device)[values.clamp(min=0)]
        return {self.factor.name: one_hot(torch.where(values < 0, NOBODY_KNOWS, known), self.factor)}


@dataclass(frozen=True)
class ColumnsReader:
    """Attributes say what they are, column by column.

    Args:
        factors: The columns.
    """

    factors: tuple[Factor, ...]
    name: str = "the value itself"
    accuracy: float = 1.0

    def shares(self, values: Int64[Tensor, "n a"]) -> dict[str, Tensor]:
        """One row of a single 1 for each value of each column of [N, A]."""
        return {factor.name: one_hot(values[:, k], factor) for k, factor in enumerate(self.factors)}


@dataclass(frozen=True)
class WordsReader:
    """A sentence says what its words say.

    Args:
        factors: What can be read from sentences of this kind.
        rivals: All factors of the data: a word that two of them use belongs to whichever is named beside it.
        vocabulary: The words of the tokens.
        accuracy: On sentences of the data.
    """

    factors: tuple[Factor, ...]
    rivals: tuple[Factor, ...]
    vocabulary: tuple[str, ...]
    accuracy: float = 1.0
    name: str = "its words"

    def shares(self, values: Int64[Tensor, "n length"]) -> dict[str, Tensor]:
        """One row of a single 1 for each sentence, from tokens [N, L]."""
        said = [phrases(text_of(row, self.vocabulary)) for row in values.cpu()]
        found = {}
        for factor in self.factors:
            plan = Plan.of(factor, self.rivals)
            read = torch.tensor([plan.category(some) for some in said], dtype=torch.int64, device=values.device)
            found[factor.name] = one_hot(read, factor)
        return found


def one_hot(indices: Int64[Tensor, " n"], factor: Factor) -> Float[Tensor, "n c"]:
    """Rows of a single 1, of zeros where the index is -1."""
    found = F.one_hot(indices.clamp(min=0), len(factor.categories)).float()
    return found * (indices >= 0).unsqueeze(1)


def phrases(text: str) -> list[frozenset[str]]:
    """The words of a sentence between commas, "and" and "with".

    >>> [sorted(p) for p in phrases("a smiling person with tan skin and a red shirt")]
    [['a', 'person', 'smiling'], ['skin', 'tan'], ['a', 'red', 'shirt']]
    """
    found: list[set[str]] = [set()]
    for word in words(text):
        if word in BREAKS:
            found.append(set())
        else:
            found[-1].add(word)
    return [frozenset(some) for some in found if some]


@dataclass(frozen=True)
class Plan:
    """How a factor is looked for in phrases.

    Args:
        about: A phrase with one of these words is about the factor.
        named: Index and words of each category that is said, and whether another factor uses one of these words.
        unsaid: Index of the category that means absence, or -1.
    """

    about: frozenset[str]
    named: tuple[tuple[int, frozenset[str], bool], ...]
    unsaid: int

    @classmethod
    @cache
    def of(cls, factor: Factor, rivals: tuple[Factor, ...]) -> Plan:
        """For a factor among others of the same data."""
        foreign = {word for other in rivals if other.name != factor.name for c in other.categories for word in words(c)}
        said = [(k, frozenset(words(c))) for k, c in enumerate(factor.categories) if c not in ABSENT]
        unsaid = next((k for k, c in enumerate(factor.categories) if c in ABSENT), NOBODY_KNOWS)
        named = tuple((k, own, not own.isdisjoint(foreign)) for k, own in said)
        return cls(frozenset(words(factor.name)), named, unsaid)

    def category(self, said: Sequence[frozenset[str]]) -> int:
        """Which category the phrases name: its index, or -1.

        Words that another factor uses too count only in phrases about this one. A factor that can be absent is, when
        nothing is said of it.
        """
        about = [some for some in said if not some.isdisjoint(self.about)]
        for index, own, shared in self.named:
            if any(own <= some for some in (about if shared else said)):
                return index
        if about and len(self.named) == 1:  # "a beard", of which there is one kind
            return self.named[0][0]
        return NOBODY_KNOWS if about or not said else self.unsaid


def readers_for(
    card: DataCard | ModelCard, modalities: Sequence[Modality], part: Part | None = None, device: str = "cpu"
) -> dict[str, Reader]:
    """A reader for each modality that tells a category; numbers and pictures without a judge have none.

    Args:
        card: Of the data, or of a model trained on them.
        modalities: Those of interest.
        part: Examples by which sentences prove that they can be read; without, sentences are not.
        device: Where judges live.
    """
    found: dict[str, Reader | None] = {}
    for modality in modalities:
        if modality.kind == "image":
            judge = judge_for(card, modality.name, device)
            found[modality.name] = None if judge is None else PictureReader(judge)
        elif modality.kind in ("label", "categorical"):
            found[modality.name] = _label_reader(card, modality)
        elif modality.kind == "attributes":
            found[modality.name] = ColumnsReader(modality.columns)
        elif modality.kind == "text" and part is not None:
            found[modality.name] = _words_reader(card, modality, part)
    return {name: reader for name, reader in found.items() if reader is not None}


def _label_reader(card: DataCard | ModelCard, modality: Modality) -> LabelReader:
    told = next((f for f in card.factors if f.name == (modality.about or modality.name)), None)
    if told is None:
        told = Factor(modality.about or modality.name, modality.categories)
    place = {word: index for index, word in enumerate(told.categories)}
    return LabelReader(told, torch.tensor([place.get(word, NOBODY_KNOWS) for word in modality.categories]))


def _words_reader(card: DataCard | ModelCard, modality: Modality, part: Part) -> WordsReader | None:
    rows = torch.arange(min(PROOF_TEXTS, len(part)))
    texts = part.views(rows).get(modality.name)
    offered = tuple(f for f in card.factors if f.name in part.factors)
    if texts is None or not offered or not len(rows):
        return None
    read = reading(WordsReader(offered, offered, modality.categories), texts)
    right = {f.name: float((read[f.name] == part.factors[f.name][rows]).double().mean()) for f in offered}
    proven = tuple(f for f in offered if right[f.name] >= READABLE)
    mean = sum(right[f.name] for f in proven) / max(1, len(proven))
    return WordsReader(proven, offered, modality.categories, mean) if proven else None


def reading(reader: Reader, values: Tensor) -> dict[str, Tensor]:
    """The category that is seen most, by factor: [N], -1 where nothing is read."""
    found = {}
    for name, shares in reader.shares(values).items():
        best, index = shares.max(1)
        found[name] = torch.where(best > 0, index, NOBODY_KNOWS)
    return found


def truths(part: Part, readers: Mapping[str, Reader], rows: Tensor) -> dict[str, Tensor]:
    """What is true of examples [N], by factor: the annotations, else what a label says of itself; -1 where unknown."""
    found = {name: values[rows] for name, values in part.factors.items()}
    views: dict[str, Tensor] = {}
    for name, reader in readers.items():
        if any(f.name not in found for f in reader.factors) and not isinstance(reader, PictureReader):
            views = views or part.views(rows)
            found.update({k: v for k, v in reading(reader, views[name]).items() if k not in found})
    return found


def likeliest(likelihood: Any, modality: Modality) -> Tensor:
    """One value for each latent, as `Views` has it and without chance.

    The mean of what is measured, the most probable category, the most probable token at each place up to the first
    end. Of a bag of words every word that is expected at least once in two texts, the likeliest first.

    Args:
        likelihood: p(x | z) of the modality for N latents.
        modality: Which.
    """
    if modality.kind in ("label", "categorical"):
        found: Tensor = likelihood.mean.argmax(-1)
        return found
    if modality.kind == "attributes":
        return torch.stack([column.argmax(-1) for column in likelihood.probabilities], 1)
    if modality.kind == "text":
        return _likeliest_text(likelihood.mean, likelihood.logits.stride(1) == 0)
    mean: Tensor = likelihood.mean
    return mean


def _likeliest_text(probabilities: Float[Tensor, "n length v"], bag: bool) -> Int64[Tensor, "n length"]:
    length = probabilities.shape[1]
    if bag:
        share, tokens = probabilities[:, 0, 1:].topk(min(length, probabilities.shape[2] - 1))
        said = F.pad(tokens + 1, (0, length - tokens.shape[1]))
        return said * F.pad(share * length >= 0.5, (0, length - tokens.shape[1]))
    tokens = probabilities.argmax(-1)
    return tokens * (tokens > 0).long().cumprod(1)
