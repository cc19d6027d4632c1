"""What a reviewer is asked about an answer: how likely its instruction is, given the code; and whether the one does the other.

Both compare the instruction with the code, so they can see what all samples misread alike. The likelihood is back-translation
(Coder-Reviewer, Zhang et al. 2022, arXiv 2211.16490): the log probability of the instruction given the code, held against the same
given its signature alone. The two questions are each other's opposite, so that a model which likes to say yes says it to both.
Pure functions; the examples are in `reviewing.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from snipmill.prompts.prompt import EXAMPLE_HEADING, Prompt, render_completion
from snipmill.text.fences import find_fences

Question = Literal["does", "fails"]
QUESTIONS: tuple[Question, ...] = ("does", "fails")
_ASKED: Mapping[Question, str] = {
    "does": "Is every part of the task done by this code?",
    "fails": "Is some part of the task not done, or done wrongly, by this code?",
}
_DESCRIBE = (
    "Each example shows code, and the task that the code solves: what it does, with every condition, and no more."
)
_JUDGE = (
    "Each example shows a task, code that somebody wrote for it, and a question about both. Code may leave out a condition, count "
    "one too many or too few, do the opposite, or return something else. The answer is yes or no."
)
_FLOOR = 1e-6
_LEAST = -30.0  # servers say -9999 of what they round to nothing
_REAL = 0.02  # the least probability of both words together, below which the model meant something else


@dataclass(frozen=True)
class Shown:
    """An example: a task, code, and whether the code does what the task asks."""

    task: str
    code: str
    is_right: bool


def parse_examples(text: str) -> tuple[Shown, ...]:
    """The examples of `reviewing.md`, right and wrong ones in turn."""
    found = []
    for part in text.split("\n## ")[1:]:
        heading, _, body = part.partition("\n")
        task, _, _ = body.partition("```")
        found.append(Shown(" ".join(task.split()), find_fences(body)[0].code.strip(), heading.strip() == "right"))
    return tuple(found)


def likelihood_prompt(code: str, examples: Sequence[Shown], shots: int) -> str:
    """The prompt that an instruction follows, for any model: plain text, since nobody answers.

    Args:
        code: bare code, or its signature alone.
        examples: of which the right ones are shown.
        shots: how many of these.
    """
    shown = [one for one in examples if one.is_right][:shots]
    prompt = Prompt(_DESCRIBE, tuple((_code(one.code), one.task) for one in shown), _code(code))
    return render_completion(prompt)


def question_prompt(question: Question, instruction: str, code: str, examples: Sequence[Shown], shots: int) -> Prompt:
    """The prompt that asks for yes or no.

    Args:
        question: which of the two.
        instruction: what the code should do.
        code: bare code.
        examples: right and wrong ones in turn.
        shots: how many of these are shown; they ask the two questions in turn, so that neither has one answer.
    """
    shown = []
    for number, one in enumerate(examples[:shots]):
        asked = QUESTIONS[number // 2 % 2]
        answer = "yes" if one.is_right == (asked == "does") else "no"
        shown.append((_question(asked, one.task, one.code), answer))
    return Prompt(_JUDGE, tuple(shown), _question(question, instruction, code))


def _code(code: str) -> str:
    return f"### Code\n```python\n{code}\n```\n\n### Task"


def _question(question: Question, task: str, code: str) -> str:
    return f"### Task\n{task}\n\n{_code(code).removesuffix('### Task')}### Question\n{_ASKED[question]}\n\n### Answer"


def stop() -> tuple[str, ...]:
    """What ends an answer."""
    return (EXAMPLE_HEADING, "\n")


def log_odds(first: Mapping[str, float], text: str) -> float | None:
    """The logit of yes against no, from the log probabilities of first tokens or else from the word itself; None without either.

    Args:
        first: log probabilities of what could have come first.
        text: what was said.
    """
    said = {"yes": 0.0, "no": 0.0}
    for token, value in first.items():
        word = token.strip(" \n\t▁Ġ\"'*.").casefold()
        if word in said:
            said[word] += math.exp(min(max(value, _LEAST), 0.0))
    if sum(said.values()) >= _REAL:
        # A word that was not told is less likely than all that were, and has a part of what they leave.
        told = [math.exp(min(max(value, _LEAST), 0.0)) for value in first.values()]
        floor = max(min(*told, 1 - sum(told)), _FLOOR)
        return math.log(max(said["yes"], floor)) - math.log(max(said["no"], floor))
    word = text.strip(" \n\t\"'*.").partition(" ")[0].strip(",.:;!*").casefold()
    return {"yes": 3.0, "no": -3.0}.get(word)


def mean(values: Sequence[float]) -> float:
    """The mean log probability of a token, in nats. One that is next to impossible does not outweigh all others."""
    return math.fsum(max(value, _LEAST) for value in values) / len(values)
