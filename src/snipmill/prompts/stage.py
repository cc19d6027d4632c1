"""What a generation stage is: a name, two pure functions, and what ends its completions.

`stages/generate.py` carries any of them out. Does not cover which server answers, or how often it is asked.
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
    """The seed and the values from which a task's random properties are drawn."""

    seed: int = 0
    categories: tuple[str, ...] = CATEGORIES
    difficulties: tuple[str, ...] = DIFFICULTIES


@dataclass(frozen=True, slots=True)
class ChatForm:
    """How the answers of a chat model differ from completions.

    Attributes:
        read: (answer) -> the completion that a base model would have written.
        cut, hopeless: as those of the stage, for answers.
    """

    read: Callable[[str], str]
    cut: Callable[[str], str | None]
    hopeless: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class GenerationStage(Generic[In, Out]):
    """A generation stage.

    Attributes:
        name: its name in files, rejects and reports.
        mode: which examples and which system sentence it shows.
        build: (record, examples, system sentence, draws) -> prompt.
        parse: (record, id of the new record, sample index, completion, draws) -> new record, or why it is malformed.
        cut: (text so far) -> the finished text, or None while more is needed.
        hopeless: (text so far) -> whether no continuation can still be parsed.
        stop: strings that end a completion. A chat ends by itself, and may use these strings.
        chat: how answers in a chat are read, where they need more than completions.
        first_tokens: for how many candidates of the first token probabilities are requested.
        kind_of_task: (record, draws) -> the task's category and difficulty, if there is a task.
    """

    name: str
    mode: Mode
    build: Callable[[In, Sequence[Example], str, Draws], Prompt]
    parse: Callable[[In, str, int, Completion, Draws], Out | Malformed]
    cut: Callable[[str], str | None] | None = None
    hopeless: Callable[[str], bool] | None = None
    stop: tuple[str, ...] = (EXAMPLE_HEADING,)
    kind_of_task: Callable[[In, Draws], tuple[str, str]] | None = None
    chat: ChatForm | None = None
    first_tokens: int = 0
