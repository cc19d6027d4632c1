"""Reads the corpora that stand in text files: programs with a name, and what is right for each.

A line `=== name | word | word` begins a program; its implementation follows, a line `---`, and its tests. Lines before the first
program are comments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class CorpusProgram:
    """A program of a corpus: implementation, tests, and the words of its first line."""

    implementation: str
    tests: str
    words: tuple[str, ...] = ()


@cache
def corpus(name: str) -> dict[str, CorpusProgram]:
    """The programs of a corpus by name.

    Args:
        name: the file's name without its ending: `honest_script`, `honest_unittest`, `honest_pytest`, `honest_seen`,
            `honest_packages`, `weak`.
    """
    text = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    _, *parts = f"\n{text}".split("\n=== ")
    found: dict[str, CorpusProgram] = {}
    for part in parts:
        first, _, body = part.partition("\n")
        title, *words = map(str.strip, first.split("|"))
        implementation, _, tests = f"\n{body}".partition("\n---\n")
        if title in found:
            raise ValueError(f"{name}.txt has two programs named {title!r}.")
        found[title] = CorpusProgram(implementation.strip("\n") + "\n", tests.strip("\n") + "\n", tuple(words))
    return found
