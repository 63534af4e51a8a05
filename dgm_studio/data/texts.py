"""Sentences as rows of tokens and back: words and punctuation marks over a fixed vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]")
END, UNKNOWN = "", "?"  # token 0 fills a row after its text; token 1 stands for words outside the vocabulary


def words(text: str) -> list[str]:
    """Lower-case words and marks.

    >>> words("A person, smiling.")
    ['a', 'person', ',', 'smiling', '.']
    """
    return WORD.findall(text.lower())


def vocabulary(texts: Iterable[str], largest: int = 2000) -> tuple[str, ...]:
    """The empty token, the unknown one and the most frequent words, commonest first."""
    return ranked(Counter(word for text in texts for word in words(text)), largest)


def ranked(counts: Counter[str], largest: int = 2000) -> tuple[str, ...]:
    """The vocabulary of words that were counted already."""
    common = sorted(counts, key=lambda word: (-counts[word], word))
    return (END, UNKNOWN, *common[: largest - 2])


def tokens(texts: Sequence[str], categories: Sequence[str], length: int) -> Int64[Tensor, "n length"]:
    """Rows of `length` tokens; longer texts are cut, a text without words is a row of -1 (missing)."""
    number = {word: i for i, word in enumerate(categories)}
    found = torch.zeros(len(texts), length, dtype=torch.int64)
    for row, text in zip(found, texts, strict=True):
        ids = [number.get(word, 1) for word in words(text)][:length]
        if ids:
            row[: len(ids)] = torch.tensor(ids)
        else:
            row.fill_(-1)
    return found


def text_of(row: Int64[Tensor, " length"], categories: Sequence[str]) -> str:
    """A row of tokens in words; marks stick to the word before them.

    >>> text_of(torch.tensor([2, 4, 3, 0, 0]), ("", "?", "one", "two", ","))
    'one, two'
    """
    found = ""
    for token in row.tolist():
        word = categories[token] if token > 0 else ""
        found += word if not found or (len(word) == 1 and not word.isalnum()) else f" {word}" if word else ""
    return found
