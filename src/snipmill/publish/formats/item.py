"""What a format is made of: a task with its evidence in, typed columns out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from snipmill.publish.sampled import SampledTask
from snipmill.records import Row
from snipmill.selection.styles import Look
from snipmill.stages.grade_tests import MatrixEntry
from snipmill.text.thinking import split_thinking

Thinking = Literal["inline", "field", "drop"]
FIELDS_OF_THOUGHT = frozenset({"reasoning_content", "thinking"})  # only there with `--thinking field`


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of a conversation. `reasoning_content` is the trace of thought, as chat templates of models that think read it."""

    role: str
    content: str
    reasoning_content: str | None = None


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """The columns that all formats end with: which row it is, how likely it is right, and whose code it grew from."""

    id: str
    confidence: float | None = None
    source: str | None = None
    path: str | None = None
    license: str | None = None


@dataclass(frozen=True)
class Options:
    """How examples look.

    Attributes:
        thinking: where traces of thought go.
        look: how answers that are no rows of the data set are rendered, so that they look like its rows.
        seed: the run's, for the draws of the style.
    """

    thinking: Thinking
    look: Look
    seed: int


@dataclass(frozen=True)
class GradedTask:
    """A task whose tests were graded.

    Attributes:
        task: the row and the other samples.
        code: the row's implementation.
        tests: its tests.
        matrix: which of its checks notice which wrong programs.
        number: its place in the export, from 0.
    """

    task: SampledTask
    code: str
    tests: str
    matrix: MatrixEntry
    number: int = 0


class Format(NamedTuple):
    """A format.

    Attributes:
        name: as the command line has it.
        about: which trainers take it, in a line.
        columns: the type of its rows.
        of_row: the examples of a row, for formats that need nothing else.
        of_task: the examples of a task with its samples and graded tests.
    """

    name: str
    about: str
    columns: type[msgspec.Struct]
    of_row: Callable[[Row, Options], Iterator[msgspec.Struct]] | None = None
    of_task: Callable[[GradedTask, Options], Iterator[msgspec.Struct]] | None = None


def traced(row: Row, record_id: str | None = None) -> dict[str, Any]:
    """The values of the columns that all formats end with."""
    origin = row.provenance
    return {
        "id": record_id or row.id,
        "confidence": row.verification.confidence if row.verification is not None else None,
        "source": origin.source if origin is not None else None,
        "path": origin.path if origin is not None else None,
        "license": origin.license if origin is not None else None,
    }


def asked(text: str) -> Message:
    """A user's turn."""
    return Message(role="user", content=text)


def answered(text: str, thinking: str | None, options: Options) -> Message:
    """An assistant's turn, with its thought where it belongs."""
    field = thought_field(text, thinking, options)
    return Message(role="assistant", content=answer_text(text, thinking, options), reasoning_content=field)


def answer_text(text: str, thinking: str | None, options: Options) -> str:
    """An answer, with its thought before it if that is wanted. A thought that stands in the text itself is moved."""
    thought, answer = _thought_and_answer(text, thinking)
    if thought is None or options.thinking != "inline":
        return answer
    return f"<think>\n{thought.replace('</think>', '</ think>')}\n</think>\n\n{answer}"


def thought_field(text: str, thinking: str | None, options: Options) -> str | None:
    """The thought, if it is wanted in a field of its own."""
    return _thought_and_answer(text, thinking)[0] if options.thinking == "field" else None


def _thought_and_answer(text: str, thinking: str | None) -> tuple[str | None, str]:
    split = split_thinking(text)
    if split.thinking is None or not split.answer.strip():
        return thinking or None, text
    return thinking or split.thinking or None, split.answer.lstrip("\n")
