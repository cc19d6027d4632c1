"""Tasks with hidden tests that `calibrate` asks: those that ship, or a file of the user's.

HumanEval (openai/human-eval, MIT) and MBPP's sanitised tasks (google-research, CC-BY-4.0) ship, with a second form of most of them:
rewritten, with other names, constants and hidden inputs, since a model may have seen the first. They are made by
`benchmarks/calibration_tasks.py`.
"""

from __future__ import annotations

import gzip
import keyword
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import msgspec

from snipmill.errors import UsageError
from snipmill.randomness import rank
from snipmill.records import Instruction, content_hash
from snipmill.tables.table import Table
from snipmill.tables.values import decode_row

ORIGINAL, REWRITTEN, OWN = "original", "rewritten", "own"


class Form(msgspec.Struct, frozen=True):
    """One way in which a task is told, and tests of it."""

    instruction: str
    tests: list[str]


class ShippedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the file that ships."""

    id: str
    source: str
    instruction: str
    entry_point: str
    tests: list[str]
    rewritten: Form | None = None


@dataclass(frozen=True)
class HiddenTask:
    """A task in one form.

    Attributes:
        task: the same for all forms of a task.
        source: of which set.
        form: `original`, `rewritten`, or `own` where it is the user's.
        instruction: what the model is asked.
        entry_point: the name that the tests call.
        tests: pieces of Python, each of which must run without an exception.
    """

    task: str
    source: str
    form: str
    instruction: str
    entry_point: str
    tests: tuple[str, ...]

    @property
    def record(self) -> Instruction:
        """As the stage of responses reads it."""
        record_id = f"i-{content_hash('calibration', self.task, self.form, self.instruction)}"
        return Instruction(
            id=record_id,
            seed="",
            concepts=[],
            instruction=self.instruction,
            category="function",
            difficulty="easy",
            parents={"task": self.task, "form": self.form},
        )


def shipped_tasks(count: int, forms: tuple[str, ...], seed: int) -> list[HiddenTask]:
    """Some of the tasks that ship, drawn with a seed: the forms of each behind each other.

    Args:
        count: of tasks.
        forms: which forms are wanted; tasks without a second form are not drawn where it is.
        seed: of the draw.
    """
    packed = files("snipmill.engine").joinpath("calibration_tasks.jsonl.gz").read_bytes()
    lines = gzip.decompress(packed).splitlines()
    tasks = [msgspec.json.decode(line, type=ShippedTask) for line in lines]
    able = [task for task in tasks if REWRITTEN not in forms or task.rewritten is not None]
    drawn = sorted(able, key=lambda task: rank(seed, "calibrate", task.id))[:count]
    return [one for task in drawn for one in _forms_of(task) if one.form in forms]


def _forms_of(task: ShippedTask) -> Iterator[HiddenTask]:
    yield HiddenTask(task.id, task.source, ORIGINAL, task.instruction, task.entry_point, tuple(task.tests))
    if task.rewritten is not None:
        form = task.rewritten
        yield HiddenTask(task.id, task.source, REWRITTEN, form.instruction, task.entry_point, tuple(form.tests))


def own_tasks(path: str, count: int, seed: int) -> tuple[list[HiddenTask], list[str]]:
    """Tasks of a file of the user's: `instruction`, `entry_point`, and `tests` as a text or a list of texts.

    Args:
        path: of the file.
        count: of tasks, at most.
        seed: of the draw.

    Returns:
        the tasks, and a sentence for each row that is none.

    Raises:
        UsageError: the file holds no tasks.
        SnipmillError: it cannot be read.
    """
    table, found, faults, seen = Table(path), list[HiddenTask](), list[str](), set[str]()
    for number, value in table.rows():
        row = decode_row(value)
        task = _own_task(row, number) if isinstance(row, dict) else f"it {row.problem}"
        if isinstance(task, HiddenTask) and task.task in seen:
            task = f"a task before it has the id {task.task!r}, too."
        if isinstance(task, str):
            faults.append(f"{table.place(number)}: {task}")
        else:
            seen.add(task.task)
            found.append(task)
    if not found:
        why = f" The first row: {faults[0]}" if faults else ""
        raise UsageError(f"{path} holds no tasks with `instruction`, `entry_point` and `tests`.{why}")
    return sorted(found, key=lambda task: rank(seed, "calibrate", task.task))[:count], faults


def _own_task(row: dict[str, Any], number: int) -> HiddenTask | str:
    """A task, or what is wrong with a row."""
    instruction, entry_point, tests = (row.get(name) for name in ("instruction", "entry_point", "tests"))
    if not isinstance(instruction, str) or not instruction.strip():
        return "it has no text under `instruction`."
    if not isinstance(entry_point, str) or not entry_point.isidentifier() or keyword.iskeyword(entry_point):
        return "it has no name under `entry_point`."
    texts = [tests] if isinstance(tests, str) else tests
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        return "it has no texts under `tests`."
    if not all(map(_is_text, (instruction, *texts))):
        return "it has half of a character (a lone surrogate)."
    given = row.get("id")
    name = str(given) if isinstance(given, str | int) and given != "" else f"row {number}"
    return HiddenTask(name, "own", OWN, instruction, entry_point, tuple(texts))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
