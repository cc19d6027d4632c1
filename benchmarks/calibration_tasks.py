"""Make the tasks that `snipmill calibrate` asks: HumanEval and MBPP's sanitised tasks, as they are and rewritten.

    python benchmarks/calibration_tasks.py ../shared/benchmarks src/snipmill/engine/calibration_tasks.jsonl.gz

A model may have seen these sets, so each task also gets a form that it has not seen: told in a setting, with other names and
constants, its examples taken out, and hidden tests with other inputs, whose results the reference computes in the sandbox. Where
that gives fewer than three tests, a task has no second form. Left out are tasks whose text needs more than the function itself.
"""

from __future__ import annotations

import ast
import asyncio
import gzip
import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "false_passes"))
from tasks import tested_signature

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Trial, Unit
from snipmill.verify.derived_inputs import derive_inputs, without_expectation
from snipmill.verify.interface import interface
from snipmill.verify.units import assertions

LEAST_TESTS, MOST_TESTS, MOST_CHANGED = 3, 12, 6
SETTINGS = (
    "The operators of a wind farm need this for their nightly report.",
    "A small museum digitises its catalogue, and one step is this.",
    "This is part of the software of a weather balloon.",
    "A cooperative of beekeepers plans its deliveries with a script, and asks for one piece of it.",
    "An archive of sheet music cleans its index with this step.",
    "The timetable of a ferry line is checked by a program, which needs the following.",
)
WORDS = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
}


@dataclass(frozen=True)
class Task:
    """A task with its reference and hidden tests."""

    id: str
    source: str
    instruction: str
    parameters: tuple[str, ...]
    entry: str
    reference: str
    tests: tuple[str, ...]


def mbpp(folder: Path) -> Iterator[Task]:
    """MBPP's sanitised tasks whose tests call one function."""
    for task in json.loads((folder / "sanitized-mbpp.json").read_text(encoding="utf-8")):
        signature = tested_signature(task)
        if signature is None:
            continue
        entry, parameters = signature
        sentence = re.sub(r"\s+", " ", task["prompt"]).strip().rstrip(".") + "."
        tests = tuple(ast.unparse(ast.parse(test)) for test in task["test_list"])
        yield Task(f"mbpp-{task['task_id']}", "MBPP", sentence, tuple(parameters), entry, task["code"], tests)


def human_eval(folder: Path) -> Iterator[Task]:
    """HumanEval's tasks that need no other function, and whose checks are plain assertions."""
    for line in gzip.decompress((folder / "HumanEval.jsonl.gz").read_bytes()).splitlines():
        task = json.loads(line)
        prompt, entry = task["prompt"], task["entry_point"]
        functions = [node for node in ast.parse(prompt).body if isinstance(node, ast.FunctionDef)]
        checks = [node for node in ast.parse(task["test"]).body if isinstance(node, ast.FunctionDef)]
        if len(functions) != 1 or len(checks) != 1:
            continue
        tests = tuple(_checks(checks[0], entry))
        doc = ast.get_docstring(functions[0]) or ""
        arguments = functions[0].args
        if len(tests) < LEAST_TESTS or not doc or not arguments.args or arguments.vararg:
            continue
        number = task["task_id"].rpartition("/")[2]
        parameters = tuple(argument.arg for argument in arguments.args)
        told = f"Write a function that does what this text says.\n\n{doc}"
        reference = prompt + task["canonical_solution"]
        yield Task(f"humaneval-{number}", "HumanEval", told, parameters, entry, reference, tests[:MOST_TESTS])


def _checks(check: ast.FunctionDef, entry: str) -> Iterator[str]:
    """The assertions of a check function about its candidate; none where one of them is of another kind."""
    for node in check.body:
        if not isinstance(node, ast.Assert):
            if isinstance(node, ast.Expr | ast.Pass | ast.Import):
                continue
            return
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        if "candidate" in names and entry not in names:  # else it compares the function with itself
            bare = ast.Assert(node.test, None)
            yield re.sub(r"\bcandidate\b", entry, ast.unparse(bare))


def instruction(text: str, parameters: tuple[str, ...]) -> str:
    """A task's text with the names of the parameters, so that tests can call what comes of it."""
    named = ", ".join(f"`{name}`" for name in parameters)
    plural = "parameters, in this order, are" if len(parameters) > 1 else "parameter is"
    return f"{text.strip()}{' ' if chr(10) not in text else chr(10) * 2}Its {plural} {named}."


def without_examples(text: str) -> str:
    """A text up to its first example."""
    cut = re.split(
        r"\n\s*>>>|\n\s*(?:for )?examples?\b|\bfor example\b|\be\.g\.", text, maxsplit=1, flags=re.IGNORECASE
    )[0]
    return cut.rstrip(" \n:,;(")


def other_constants(task: Task, draws: random.Random) -> Task:
    """The task with another number, where exactly one number of its text is in its reference, and in the same role."""
    tree = ast.parse(task.reference)
    in_code = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is int]
    for match in re.finditer(r"(?<![\w.])(\d+|[a-z]+)(?![\w.])", task.instruction):
        word = match.group(1)
        number = int(word) if word.isdigit() else WORDS.get(word)
        same = [node for node in in_code if node.value == number]
        if number is None or number < 3 or len(same) != 1 or task.instruction.count(word) != 1:
            continue
        same[0].value = number + draws.choice((1, 2, 3))
        changed = task.instruction[: match.start()] + str(same[0].value) + task.instruction[match.end() :]
        return replace(task, instruction=changed, reference=ast.unparse(tree))
    return task


async def rewritten(task: Task, sandbox: Sandbox) -> dict[str, Any] | None:
    """The second form of a task; None where it has none."""
    draws = random.Random(f"rewritten {task.id}")
    text = without_examples(task.instruction)
    if len(text) < 40:
        return None
    other = other_constants(replace(task, instruction=text), draws)
    offers = interface(other.reference)
    asked = [without_expectation(one, {task.entry}) for one in assertions("\n".join(task.tests), offers)]
    changed = [one for _, one in derive_inputs([(one, {task.entry}) for one in asked], 24)]
    if other.reference != task.reference:  # with another constant, the same inputs are new
        changed = [one for one in asked if one is not None] + changed
    units = tuple(
        Unit(setup=one.unit.setup, value=one.unit.value, expected="object()") for one in changed if one.unit.value
    )
    outcomes = await sandbox.try_units(Trial(source=other.reference, units=units, unit_timeout=3.0))
    tests = []
    for unit, outcome in zip(units, outcomes, strict=True):
        value = outcome.exact or outcome.value
        if outcome.status == "failed" and not unit.setup and _is_plain(value):
            tests.append(f"assert {unit.value} == {value}")
    tests = list(dict.fromkeys(tests))[:MOST_TESTS]
    proof = await sandbox.try_units(
        Trial(source=other.reference, units=tuple(Unit(setup=test) for test in tests), unit_timeout=3.0)
    )
    tests = [test for test, outcome in zip(tests, proof, strict=True) if outcome.status == "passed"]
    tests = tests[: max(LEAST_TESTS, min(len(task.tests), MOST_CHANGED))]  # as strict as the first form, or less
    if len(tests) < LEAST_TESTS or len({test.rpartition(" == ")[2] for test in tests}) < 2:
        return None
    told = f"{draws.choice(SETTINGS)} {other.instruction.rstrip('.')}."
    # HumanEval's texts mention the parameters, so they keep their names.
    names = tuple(f"given_{name}" for name in other.parameters) if task.source == "MBPP" else other.parameters
    return {"instruction": instruction(told, names), "tests": tests}


def _is_plain(text: str) -> bool:
    """Whether a value's text is a literal without floats, which may differ in the last digits."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return "." not in re.sub(r"'[^']*'|\"[^\"]*\"", "", text) and value is not None and len(text) < 300


async def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    lines, second = [], 0
    async with Sandbox(limits=Limits(timeout=10)) as sandbox:
        for task in (*mbpp(folder), *human_eval(folder)):
            trial = Trial(source=task.reference, units=tuple(Unit(setup=test) for test in task.tests), unit_timeout=3.0)
            if any(outcome.status != "passed" for outcome in await sandbox.try_units(trial)):
                continue
            line: dict[str, Any] = {
                "id": task.id,
                "source": task.source,
                "instruction": instruction(task.instruction, task.parameters),
                "entry_point": task.entry,
                "tests": list(task.tests),
            }
            again = await rewritten(task, sandbox)
            if again is not None:
                line["rewritten"], second = again, second + 1
            lines.append(json.dumps(line))
    out.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", mtime=0))  # noqa: ASYNC240
    print(f"{len(lines)} tasks, {second} of them with a second form; {out.stat().st_size:,} bytes")  # noqa: ASYNC240


if __name__ == "__main__":
    asyncio.run(main())
