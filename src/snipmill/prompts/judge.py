"""Judges whether a seed is fit for a task: is its docstring correct, and sufficient to write the code? Yes or no.

The answer is a probability: that of "yes" against "no" as the first token if the server reports it, else 1 or 0 by the
word that was generated. Source of the question: the seed-gathering step of StarCoder2-Instruct, which used the word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from snipmill.languages import PYTHON
from snipmill.prompts.fewshot import Example
from snipmill.prompts.prompt import EXAMPLE_HEADING, Prompt
from snipmill.prompts.stage import Draws, GenerationStage
from snipmill.reasons import Reason
from snipmill.records import Completion, Reject, Seed
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
        return Malformed(Reason.NO_VERDICT, f"The completion begins with neither yes nor no: {completion.text[:40]!r}.")
    return msgspec.structs.replace(seed, judge=round(score, 4))


def apply_threshold(judged: Seed, threshold: float) -> Seed | Reject:
    """The seed where the judge's probability reaches the threshold or was never asked for, else a reject that tells it.

    Kept apart from the asking, so that the threshold can move without a model.
    """
    if judged.judge is None or judged.judge >= threshold:
        return judged
    detail = f"The judge gives it {judged.judge:.2f}, below {threshold}."
    return Reject(id=judged.id, stage=STAGE.name, reason=Reason.JUDGED_UNFIT, detail=detail)


def _of_tokens(first: Mapping[str, float]) -> float | None:
    """The share of "yes" in the probability of both words; None if both words were unlikely."""
    shares = {"yes": 0.0, "no": 0.0}
    for token, logprob in first.items():
        word = token.strip(" \n\t▁Ġ\"'*").casefold()
        if word in shares:
            shares[word] += math.exp(min(logprob, 0.0))
    total = sum(shares.values())
    # If another token comes first (say, a line break), the rest for both words is noise; the generated word counts.
    return shares["yes"] / total if total >= _REAL else None


def _first_word(text: str) -> str | None:
    match = _WORD.match(text)
    return match.group(1).casefold() if match else None


def cut(text: str) -> str | None:
    """The first word; what follows it is ignored."""
    match = _WORD.match(text)
    return match.group() if match else None


STAGE: GenerationStage[Seed, Seed] = GenerationStage(
    name="judge",
    mode="judge",
    build=build,
    parse=parse,
    cut=cut,
    stop=(EXAMPLE_HEADING, "\n###"),
    first_tokens=_ALTERNATIVES,
)
