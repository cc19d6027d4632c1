"""Assertions that a model writes from the instruction alone, without having seen any code (CodeT, Chen et al. 2022).

They are more evidence about the samples, and never a row's own tests. The examples are those of the responses: their tests, as far
as these are single lines.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from snipmill.prompts.fewshot import Bank, Example
from snipmill.prompts.prompt import EXAMPLE_HEADING, Prompt
from snipmill.prompts.stage import Draws, GenerationStage
from snipmill.python_tree import parse_module
from snipmill.reasons import Reason
from snipmill.records import Completion, Instruction, WrittenTests, extend
from snipmill.text.fences import find_fences
from snipmill.text.sections import Malformed, parse_sections

_LONGEST = 2_000  # characters of one assertion: longer ones repeat themselves


def system(count: int) -> str:
    """The sentence that asks for so many assertions."""
    return (
        f"Each example shows a programming task, and assertions that every right solution of it passes, at most {count}. Each "
        "assertion is one line of Python that calls what the task asks for and compares the result with the value that the task "
        "demands. They were written before any solution."
    )


def bank_of(bank: Bank, count: int) -> Bank:
    """The examples of a bank with their assertions as answers; those without any are not shown."""
    examples = tuple(replace(example, response=_assertions_of(example, count)) for example in bank.examples)
    return Bank({"I->T": system(count)}, examples)


def _assertions_of(example: Example, count: int) -> str | None:
    sections = parse_sections(example.response or "", example.language)
    if isinstance(sections, Malformed):
        return None
    lines = assertion_lines(sections.tests)[:count]
    return "\n".join(lines) or None


def assertion_lines(text: str) -> list[str]:
    """The assertions in a text that are one line each and can be parsed, without repetitions."""
    lines = (line.strip() for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if _is_assertion(line)))


def _is_assertion(line: str) -> bool:
    if not line.startswith("assert") or len(line) > _LONGEST:
        return False
    try:
        (statement,) = parse_module(line).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    calls = any(isinstance(node, ast.Call) for node in ast.walk(statement))
    return isinstance(statement, ast.Assert) and calls


def cut_after(text: str, count: int) -> str | None:
    """The text up to the last assertion that was asked for, once it is complete; None while more is needed."""
    lines = text.splitlines(keepends=True)
    seen: set[str] = set()
    for number, line in enumerate(lines if text.endswith("\n") else lines[:-1], start=1):
        if _is_assertion(line.strip()):
            seen.add(line.strip())
        if len(seen) == count:
            return "".join(lines[:number])
    return None


def build(record: Instruction, examples: Sequence[Example], system: str, _draws: Draws) -> Prompt:
    """The prompt that asks for assertions."""
    shown = tuple(
        (_question(example.instruction), example.response) for example in examples if example.response is not None
    )
    return Prompt(system, shown, _question(record.instruction))


def _question(instruction: str) -> str:
    return f"### Task\n{instruction}\n\n### Assertions"


def parse(
    record: Instruction, record_id: str, _sample: int, completion: Completion, _draws: Draws
) -> WrittenTests | Malformed:
    """The assertions in a completion, in a block or not."""
    fences = find_fences(completion.text)
    lines = assertion_lines("\n".join(fence.code for fence in fences) if fences else completion.text)
    if not lines:
        return Malformed(Reason.NO_ASSERTIONS, f"The completion has no assertion: {completion.text[:60]!r}.")
    parents = {**record.parents, "instruction": record.id}
    return extend(WrittenTests, record, id=record_id, tests="\n".join(lines), parents=parents)


STAGE: GenerationStage[Instruction, WrittenTests] = GenerationStage(
    name="assertions",
    mode="I->T",
    build=build,
    parse=parse,
    stop=(EXAMPLE_HEADING, "\n###"),
    kind_of_task=lambda record, _draws: (record.category, record.difficulty),
)


def asking_for(count: int) -> GenerationStage[Instruction, WrittenTests]:
    """The stage with completions that end after so many assertions."""
    return replace(STAGE, cut=partial(cut_after, count=count))
