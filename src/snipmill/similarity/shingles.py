"""Hashes of a text's words and runs of words, for finding near duplicates and contamination.

A word is a run of letters, digits, underscores and non-ASCII characters, in lower case, so code and prose are treated
alike and layout does not matter. Hashes are the same on every machine and in every process.
"""

from __future__ import annotations

import re
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
_WORD = re.compile(rb"[\w\x80-\xff]+")
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASE = 0x100000001B3  # odd, so that multiplication by it modulo 2**64 is invertible


def words(text: str) -> list[bytes]:
    """The words of a text in order."""
    return _WORD.findall(text.lower().encode("utf-8", "surrogatepass"))


def word_hashes(text: str) -> Hashes:
    """A 64-bit hash of each word, shape (words,)."""
    found = words(text)
    raw = np.fromiter(map(crc32, found), dtype=np.uint64, count=len(found))
    mixed: Hashes = (raw + np.uint64(1)) * _MIX
    return mixed ^ (mixed >> np.uint64(29))


def ngram_hashes(hashes: Hashes, n: int) -> Hashes:
    """A hash of each run of n words, shape (words - n + 1,); of the whole text if it is shorter."""
    if len(hashes) <= n:  # a single run: one product with the powers instead of one step per word
        whole: Hashes = (hashes * _powers(len(hashes))).sum(keepdims=True, dtype=np.uint64)
        return whole[: len(hashes)]
    length = len(hashes) - n + 1
    result = np.zeros(length, dtype=np.uint64)
    for offset, power in enumerate(_powers(n)):
        result += hashes[offset : offset + length] * power
    return result


def _powers(count: int) -> Hashes:
    """The powers of the base modulo 2**64, from exponent 0."""
    rounded = 1 << max(count - 1, 15).bit_length()
    return _rounded_powers(rounded)[:count]


@lru_cache(maxsize=32)
def _rounded_powers(count: int) -> Hashes:
    return np.cumprod(
        np.concatenate(([1], np.full(count - 1, _BASE, dtype=np.uint64))).astype(np.uint64), dtype=np.uint64
    )
