"""What a generation stage is: a name, two pure functions, and what ends its completions.

The runner (`pipeline`) is written once over this. Does not cover which server answers, or how often it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from snipmill.config import CATEGORIES, DIFFICULTIES
from snipmill.prompts.fewshot import Example, Mode
from snipmill.prompts.prompt import EXAMPLE_HEADING, Prompt
from snipmill.records import Completion
from snipmill.text.sections import Malformed

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Draws:
    """What the random properties of a task are drawn from."""

    seed: int = 0
    categories: tuple[str, ...] = CATEGORIES
    difficulties: tuple[str, ...] = DIFFICULTIES


@dataclass(frozen=True, slots=True)
class Stage(Generic[In, Out]):
    """A generation stage.

    Attributes:
        name: its name in files, rejects and reports.
        mode: which examples and which system sentence it shows.
        build: (record, examples, system sentence, draws) -> prompt.
        parse: (record, id of the new record, sample index, completion, draws) -> new record or what is wrong with it.
        cut: (text so far) -> the finished text, or None while more is needed.
        hopeless: (text so far) -> whether no continuation can still be parsed.
        stop: strings that end a completion.
        first_tokens: the probabilities of as many tokens that could begin the completion are asked for.
        kind_of_task: (record, draws) -> the task's category and difficulty, where there is a task.
    """

    name: str
    mode: Mode
    build: Callable[[In, Sequence[Example], str, Draws], Prompt]
    parse: Callable[[In, str, int, Completion, Draws], Out | Malformed]
    cut: Callable[[str], str | None] | None = None
    hopeless: Callable[[str], bool] | None = None
    stop: tuple[str, ...] = (EXAMPLE_HEADING,)
    kind_of_task: Callable[[In, Draws], tuple[str, str]] | None = None
    first_tokens: int = 0
