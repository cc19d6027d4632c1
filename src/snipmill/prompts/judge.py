"""Is a seed fit to grow a task from? Does its docstring alone suffice to write it, and is it true of it: yes or no.

The answer is a probability: of "yes" against "no" as the first token, where the server tells, else the word that came.
Source of the question: the seed-gathering step of StarCoder2-Instruct, which took the word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from snipmill.languages import PYTHON
from snipmill.prompts.fewshot import Example
from snipmill.prompts.prompt import EXAMPLE_HEADING, Prompt
from snipmill.prompts.stage import Draws, Stage
from snipmill.records import Completion, Seed
from snipmill.text.code import split_doc_comment, split_docstring
from snipmill.text.sections import Malformed

_WORD = re.compile(r"[^A-Za-z]*([A-Za-z]+)")
_ALTERNATIVES = 10
_REAL = 0.05


def _question(code: str, language: str) -> str:
    docstring, rest = split_docstring(code) if language == PYTHON else split_doc_comment(code)
    return f"### Description\n{docstring}\n\n### Function\n{rest}\n\n### Answer"


def build(seed: Seed, examples: Sequence[Example], system: str, _draws: Draws) -> Prompt:
    """The prompt that asks for "yes" or "no"."""
    shown = tuple((_question(example.snippet, example.language), example.response or "") for example in examples)
    return Prompt(system, shown, _question(seed.seed, seed.language))


def parse(seed: Seed, _record_id: str, _sample: int, completion: Completion, _draws: Draws) -> Seed | Malformed:
    """The seed with the probability that it is fit; its id stays."""
    score = _of_tokens(completion.first)
    if score is None:
        score = {"yes": 1.0, "no": 0.0}.get(_first_word(completion.text) or "")
    if score is None:
        return Malformed("no-verdict", f"The completion begins with neither yes nor no: {completion.text[:40]!r}.")
    return msgspec.structs.replace(seed, judge=round(score, 4))


def _of_tokens(first: Mapping[str, float]) -> float | None:
    """The share of "yes" in the probability of both words; None where neither could well have come."""
    shares = {"yes": 0.0, "no": 0.0}
    for token, logprob in first.items():
        word = token.strip(" \n\t▁Ġ\"'*").casefold()
        if word in shares:
            shares[word] += math.exp(min(logprob, 0.0))
    total = sum(shares.values())
    # Where another token comes first (a line break, say), what is left for both words is noise: the word that came counts.
    return shares["yes"] / total if total >= _REAL else None


def _first_word(text: str) -> str | None:
    match = _WORD.match(text)
    return match.group(1).casefold() if match else None


def cut(text: str) -> str | None:
    """The first word: what comes after it says nothing."""
    match = _WORD.match(text)
    return match.group() if match else None


STAGE: Stage[Seed, Seed] = Stage(
    name="judge",
    mode="judge",
    build=build,
    parse=parse,
    cut=cut,
    stop=(EXAMPLE_HEADING, "\n###"),
    first_tokens=_ALTERNATIVES,
)
