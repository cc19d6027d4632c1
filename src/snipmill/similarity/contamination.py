"""Finds rows that contain a benchmark's text: runs of words, canonical solutions, function names with their docstrings.

An index holds hashes of the benchmark items, not their texts. Does not cover making an index from a benchmark's files
or reading one from disk (`stages/benchmark_files.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from snipmill.similarity.shingles import Hashes, ngram_hashes, word_hashes, words
from snipmill.text.code import documented_functions

NGRAM = 13
_SHORTEST_DOCSTRING = 6  # words, including the name; shorter ones are too common to identify an item
_COMMON = 3  # a run of words that this many items share is boilerplate of the benchmark


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One task of a benchmark."""

    name: str
    prompt: str
    solution: str = ""
    tests: str = ""


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """Fingerprints of benchmarks: sorted 64-bit hashes of runs of `n` words, and for each the number of its item.

    `exact` maps the hash of a whole solution, in words, to its item. `sources` says where each benchmark comes from and
    under which licence.
    """

    n: int
    sources: dict[str, str]
    items: list[str]
    grams: bytes
    owners: bytes
    exact: dict[str, int]


@dataclass(frozen=True, slots=True)
class Match:
    """The contamination of a row: the benchmark item, how it was found, and the matching text of the row."""

    item: str
    kind: str
    text: str


def build_index(items: Sequence[Item], sources: dict[str, str], n: int = NGRAM) -> Index:
    """Fingerprints of items. Runs of words that three or more items share are left out."""
    owners: dict[int, set[int]] = defaultdict(set)
    exact: dict[str, int] = {}
    for number, item in enumerate(items):
        for text in (item.prompt, item.solution, item.tests):
            hashes = word_hashes(text)
            if len(hashes) >= n:
                for gram in ngram_hashes(hashes, n).tolist():
                    owners[gram].add(number)
        for key in [_exact_key(item.solution), *_function_keys(item.prompt), *_function_keys(item.solution)]:
            if key is not None:
                exact.setdefault(key, number)
    kept = sorted((gram, min(numbers)) for gram, numbers in owners.items() if len(numbers) < _COMMON)
    grams = np.array([gram for gram, _ in kept], dtype="<u8")
    numbers = np.array([owner for _, owner in kept], dtype="<u4")
    names = [item.name for item in items]
    return Index(n=n, sources=sources, items=names, grams=grams.tobytes(), owners=numbers.tobytes(), exact=exact)


def _exact_key(code: str) -> str | None:
    """A hash of the words of some code; None if the code is too short to identify an item."""
    hashes = word_hashes(code)
    if len(hashes) < 8:
        return None
    return f"{int(ngram_hashes(hashes, len(hashes))[0]):016x}"


def _function_keys(code: str) -> list[str]:
    """A key for each function's name with its docstring, if they are long enough to identify an item."""
    keys: list[str] = []
    for name, docstring in documented_functions(code):
        hashes = word_hashes(f"{name} {docstring}")
        if len(hashes) >= _SHORTEST_DOCSTRING:
            keys.append(f"doc{int(ngram_hashes(hashes, len(hashes))[0]):016x}")
    return keys


class Decontaminator:
    """Looks rows up in indexes, whose arrays it holds."""

    def __init__(self, indexes: Iterable[Index]) -> None:
        self._indexes = [
            (index, np.frombuffer(index.grams, dtype="<u8"), np.frombuffer(index.owners, dtype="<u4"))
            for index in indexes
        ]

    def find(self, texts: Sequence[str], codes: Sequence[str] = ()) -> Match | None:
        """The first benchmark item found in a row's texts or code blocks, or None."""
        for code in codes:
            for key in [_exact_key(code), *_function_keys(code)]:
                for index, _, _ in self._indexes:
                    if key is not None and key in index.exact:
                        kind = "name and docstring" if key.startswith("doc") else "exact solution"
                        return Match(index.items[index.exact[key]], kind, code.strip()[:200])
        for text in texts:
            hashes = word_hashes(text)
            for index, grams, owners in self._indexes:
                match = self._overlap(index, grams, owners, text, hashes)
                if match is not None:
                    return match
        return None

    @staticmethod
    def _overlap(index: Index, grams: Hashes, owners: np.ndarray, text: str, hashes: Hashes) -> Match | None:
        if len(hashes) < index.n or not len(grams):
            return None
        found = ngram_hashes(hashes, index.n)
        places = np.minimum(np.searchsorted(grams, found), len(grams) - 1)
        hits = np.flatnonzero(grams[places] == found)
        if not len(hits):
            return None
        first = int(hits[0])
        shown = b" ".join(words(text)[first : first + index.n]).decode("utf-8", "replace")
        return Match(index.items[int(owners[places[first]])], f"{index.n} words in a row", shown)
