"""How varied the tasks of a data set are, as figures that a paper would print."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snipmill.similarity.semantic import embed
from snipmill.similarity.shingles import ngram_hashes, word_hashes

MOST_TEXTS = 20_000  # instructions that are looked at
_MOST_EMBEDDED = 2_000
_RUN = 3  # words
_MOST_FREQUENT = 10


@dataclass(frozen=True)
class Figure:
    """One figure: its name, its value as text, and what it means."""

    name: str
    value: str
    meaning: str


def concept_figures(concepts: Counter[str], rows: int) -> list[Figure]:
    """How many concepts there are, and how concentrated they are.

    Args:
        concepts: for each concept, the number of rows that have it.
        rows: how many rows there are.
    """
    total = concepts.total()
    if not total:
        return []
    entropy = -sum(count / total * math.log(count / total) for count in concepts.values())
    top = sum(count for _, count in concepts.most_common(_MOST_FREQUENT))
    return [
        Figure("Distinct concepts", f"{len(concepts):,}", f"on {rows:,} rows, {total / rows:.1f} on each"),
        Figure(
            "Effective number of concepts",
            f"{math.exp(entropy):,.0f}",
            "the exponential of the entropy: so many concepts of equal frequency would be as varied (Hill number of order 1)",
        ),
        Figure(
            f"Share of the {_MOST_FREQUENT} most frequent concepts",
            f"{top / total:.1%}",
            "of all mentions; a large share means that tasks are alike",
        ),
    ]


def text_figures(instructions: Sequence[str]) -> list[Figure]:
    """How often instructions use words in runs that no other uses (distinct-3, Li et al. 2016).

    Args:
        instructions: a random sample of them.
    """
    hashes = [ngram_hashes(word_hashes(text), _RUN) for text in instructions]
    runs = np.concatenate(hashes) if hashes else np.zeros(0, dtype=np.uint64)
    if not len(runs):
        return []
    share = len(np.unique(runs)) / len(runs)
    meaning = (
        f"distinct runs of {_RUN} words, of all, in {len(instructions):,} instructions; it falls as a data set grows"
    )
    return [Figure(f"Distinct-{_RUN}", f"{share:.3f}", meaning)]


def embedding_figures(instructions: Sequence[str], embedder: Any) -> list[Figure]:
    """How far instructions are from each other in meaning.

    Args:
        instructions: in random order.
        embedder: a model2vec model.
    """
    texts = instructions[:_MOST_EMBEDDED]
    if len(texts) < 2:
        return []
    vectors = embed(embedder, texts)
    count = len(texts)
    # The mean over all pairs follows from the length of the sum: |sum|^2 = count + 2 * (sum over pairs of cosines).
    total = float(np.square(vectors.sum(axis=0)).sum())
    cosine = (total - count) / (count * (count - 1))
    meaning = f"mean cosine distance between the embeddings of {count:,} instructions; 0 is all the same"
    return [Figure("Embedding spread", f"{1 - cosine:.3f}", meaning)]
