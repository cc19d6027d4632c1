"""The layouts of published data sets: which columns hold the task, the answer, and the tests.

A layout is known by its columns. The columns that a user names take precedence. Does not cover in which form tests are written
(`foreign_tests`), nor finding the code in an answer (`answer_code`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from snipmill.errors import UsageError
from snipmill.verification.chat_columns import MODELS, USERS, decoded, text_or_turn, turn
from snipmill.verification.foreign_tests import ForeignTests

Row = Mapping[str, Any]
Read = Callable[[Row], Any]

_TESTS = ("tests", "test", "unit_tests", "test_code", "test_cases", "testcase", "test_list")
_ENTRY_POINTS = ("entry_point", "test_entry_point", "fn_name", "func_name", "function_name")
_CHATS = ("messages", "conversations", "conversation")


@dataclass(frozen=True)
class Columns:
    """Which columns of a data set hold what; None is for what its layout says.

    Attributes:
        instruction: the task.
        response: the answer.
        tests: the tests, where they are not in the answer.
        entry_point: the function or method that the tests call `candidate`.
        module: the name by which the tests import the answer.
    """

    instruction: str | None = None
    response: str | None = None
    tests: str | None = None
    entry_point: str | None = None
    module: str | None = None


@dataclass(frozen=True)
class Layout:
    """How to read the rows of a data set.

    Attributes:
        name: as `--layout` takes it.
        sets: some data sets that have it.
        columns: by which it is known; all must be there.
        task, answer: give a text, or None where a row has none.
        tests: gives the tests; None where they are in the answer.
        entry_point, module: give names that the tests need.
    """

    name: str
    sets: str
    columns: tuple[str, ...]
    task: Read
    answer: Read
    tests: Read = lambda row: _first(row, _TESTS)
    entry_point: Read = lambda row: _first(row, _ENTRY_POINTS)
    module: Read = lambda _row: None


@dataclass(frozen=True)
class Item:
    """One row: its task, its answer, and its tests where they stand apart."""

    task: str
    answer: str
    tests: ForeignTests | None


def _column(name: str) -> Read:
    return lambda row: row.get(name)


def _first(row: Row, names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "", [], {})), None)


def _with_input(row: Row) -> str | None:
    """The task of Alpaca, with the input that it speaks of."""
    task = row.get("instruction")
    return "\n\n".join(filter(None, (task, _text(row.get("input"))))) if isinstance(task, str) else None


def _first_item(name: str) -> Read:
    def read(row: Row) -> Any:
        value = decoded(row.get(name))
        return value[0] if isinstance(value, list) and value else value if isinstance(value, str) else None

    return read


def _joined(*names: str, between: str = "\n") -> Read:
    """The texts of several columns, one after the other; the last one must be there."""

    def read(row: Row) -> str | None:
        if not isinstance(row.get(names[-1]), str):
            return None
        parts = (_text(row.get(name)) for name in names)
        return between.join(part for part in parts if part)

    return read


def _python_solution(row: Row) -> str | None:
    """The first Python solution of CodeContests, where the languages are numbered: 1 is Python 2, 3 is Python 3."""
    solutions = decoded(row.get("solutions"))
    if not isinstance(solutions, dict):
        return None
    languages, texts = solutions.get("language"), solutions.get("solution")
    if not isinstance(languages, list) or not isinstance(texts, list):
        return None
    found = (text for language, text in zip(languages, texts, strict=False) if language in (3, "PYTHON3"))
    return next(found, None)


def _contest_tests(row: Row) -> Any:
    """All inputs of CodeContests with their outputs."""
    groups = [decoded(row.get(name)) for name in ("public_tests", "private_tests", "generated_tests")]
    lists = [group for group in groups if isinstance(group, dict)]
    given = [one for group in lists for one in group.get("input") or []]
    expected = [one for group in lists for one in group.get("output") or []]
    return {"inputs": given, "outputs": expected} if given else None


def _with_setup(tests: str, *setups: str) -> Read:
    """A list of assertions, after the code that they need."""

    def read(row: Row) -> Any:
        checks = decoded(row.get(tests))
        before = [_text(row.get(name)) for name in setups]
        lines = [*before, *checks] if isinstance(checks, list) else [*before, checks]
        return "\n".join(line for line in lines if isinstance(line, str) and line.strip()) or None

    return read


def _chat(column: str) -> Layout:
    return Layout(column, "chat data", (column,), turn(column, USERS), turn(column, MODELS))


def _simple(name: str, sets: str, task: str, answer: str, tests: str | None = None) -> Layout:
    if tests is None:
        return Layout(name, sets, (task, answer), _column(task), _column(answer))
    return Layout(name, sets, (task, answer, tests), _column(task), _column(answer), _column(tests))


_TRL = Layout(
    "trl", "prompt-completion data of TRL", ("prompt", "completion"),
    lambda row: text_or_turn(row, "prompt", USERS), lambda row: text_or_turn(row, "completion", MODELS),
)  # fmt: skip
# The first that fits is taken: one whose columns are among those of another stands behind it.
LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "humaneval", "HumanEval, HumanEval+", ("prompt", "canonical_solution", "test", "entry_point"),
        _column("prompt"), _joined("prompt", "canonical_solution", between=""), _column("test"),
    ),
    Layout(
        "leetcode", "LeetCodeDataset", ("query", "completion", "entry_point", "test"),
        _column("query"), _joined("prompt", "completion"), _column("test"),
    ),
    Layout(
        "opencoder", "opc-sft-stage2", ("instruction", "code", "testcase", "entry_point"),
        _column("instruction"), _column("code"), _column("testcase"),
    ),
    Layout(
        "kodcode-r1", "KodCode-V1-SFT-R1", ("question", "r1_solution", "test_code"),
        _column("question"), _column("r1_solution"), _column("test_code"),
    ),
    _simple("kodcode", "KodCode-V1", "question", "solution", "test_code"),
    _simple("kodcode-test", "KodCode, early", "question", "solution", "test"),
    Layout(
        "apps", "APPS, TACO", ("question", "solutions", "input_output"),
        _column("question"), _first_item("solutions"), _column("input_output"),
    ),
    _simple("problem-io", "problems with input and output", "problem", "solution", "input_output"),
    Layout(
        "codecontests", "CodeContests", ("description", "solutions", "private_tests"),
        _column("description"), _python_solution, _contest_tests,
    ),
    Layout(
        "mbpp", "MBPP", ("text", "code", "test_list"),
        _column("text"), _column("code"), _with_setup("test_list", "test_setup_code"),
    ),
    Layout(
        "mbpp-sanitized", "MBPP, sanitised; MBPP+", ("prompt", "code", "test_list"),
        _column("prompt"), _column("code"), _with_setup("test_list", "test_imports"),
    ),
    Layout(
        "lbpp", "LBPP", ("instruction", "completion", "test_list"),
        _column("instruction"), _column("completion"), _with_setup("test_list", "test_setup"),
        module=lambda _row: "code",
    ),
    _simple("instruction-response", "snipmill, self-oss-instruct, Evol-Instruct", "instruction", "response"),
    Layout(
        "alpaca", "Alpaca, CodeAlpaca", ("instruction", "output"),
        _with_input, _column("output"),
    ),
    _simple("opencodeinstruct", "OpenCodeInstruct", "input", "output", "unit_tests"),
    _simple("oss-instruct", "Magicoder-OSS-Instruct", "problem", "solution"),
    _simple("codefeedback", "CodeFeedback", "query", "answer"),
    *map(_chat, _CHATS),
    _TRL,
    _simple("prompt-response", "", "prompt", "response"),
    _simple("question-answer", "", "question", "answer"),
    _simple("question-response", "", "question", "response"),
    _simple("question-solution", "", "question", "solution"),
    _simple("input-output", "OpenCodeReasoning", "input", "output"),
)  # fmt: skip


def layout_named(name: str) -> Layout:
    """The layout with a name.

    Raises:
        UsageError: there is none.
    """
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise UsageError(f"There is no layout {name!r}; there are {', '.join(one.name for one in LAYOUTS)}.")


def layout_of(names: Iterable[str]) -> Layout | None:
    """The first layout all of whose columns are there; None if there is no such one."""
    there = set(names)
    return next((layout for layout in LAYOUTS if there.issuperset(layout.columns)), None)


def with_columns(layout: Layout | None, columns: Columns) -> Layout | None:
    """A layout in which the columns that a user names take the place of its own; None while task or answer has none."""
    named = {
        "task": columns.instruction,
        "answer": columns.response,
        "tests": columns.tests,
        "entry_point": columns.entry_point,
        "module": columns.module,
    }
    reads: dict[str, Any] = {part: _column(name) for part, name in named.items() if name is not None}
    if layout is not None:
        return replace(layout, **reads)
    return Layout("columns", "", (), **reads) if reads.keys() >= {"task", "answer"} else None


def read_item(row: Row, layout: Layout) -> Item | None:
    """A row as a layout reads it; None where it has no task or no answer."""
    task, answer = layout.task(row), layout.answer(row)
    if not isinstance(task, str | list) or not isinstance(answer, str | list):
        return None
    return Item(
        _text(task), _text(answer), foreign_tests(layout.tests(row), layout.entry_point(row), layout.module(row))
    )


def foreign_tests(tests: Any, entry_point: Any = None, module: Any = None) -> ForeignTests | None:
    """The tests of a row; None where it has none."""
    if isinstance(tests, bool | float) or tests is None or tests in ("", b"", [], {}):
        return None
    if isinstance(tests, bytes):
        tests = tests.decode("utf-8", "replace")
    text = tests if isinstance(tests, str) else json.dumps(tests, default=str)
    return ForeignTests(text, _text(entry_point), _text(module))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else "" if value is None else str(value)
