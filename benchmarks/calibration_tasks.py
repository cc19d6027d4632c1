"""Make the tasks that `snipmill calibrate` asks: HumanEval and MBPP's sanitised tasks, as they are and rewritten.

    python benchmarks/calibration_tasks.py ../shared/benchmarks src/snipmill/engine/calibration_tasks.jsonl.gz

A model may have seen these sets, so most tasks also get a form that it has not seen: told in a setting, with other names of the
parameters, without its examples, and with one thing changed about the result, so that remembered code fails the hidden tests.
Inputs stay those of the set, which are valid; the new results are worked out from the old ones, which the reference gives. Left out
are tasks whose text needs more than the function itself. Only where all results are of one simple type is there a second form.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "false_passes"))
from tasks import tested_signature

from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Trial, Unit

LEAST_TESTS, MOST_TESTS = 3, 12
SETTINGS = (
    "The operators of a wind farm need this for their nightly report.",
    "A small museum digitises its catalogue, and one step is this.",
    "This is part of the software of a weather balloon.",
    "A cooperative of beekeepers plans its deliveries with a script, and asks for one piece of it.",
    "An archive of sheet music cleans its index with this step.",
    "The timetable of a ferry line is checked by a program, which needs the following.",
)
# What may show a result of the unchanged task, or say that there is more to it.
TELLING = re.compile(r"example|e\.g\.|=>|->|➞|==|\breturns?\b.*\d|`", re.IGNORECASE)


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


def without_doctests(text: str) -> str:
    """A text without the sessions that show the function at work."""
    kept, in_session = [], False
    for line in text.splitlines():
        in_session = line.lstrip().startswith(">>>") or (in_session and bool(line.strip()))
        if not in_session:
            kept.append(line)
    return "\n".join(kept).strip()


def change(results: list[Any], draws: random.Random) -> tuple[str, list[str]] | None:
    """What is changed about results of one type: a sentence, and each new result as a comparison behind a call."""
    number = draws.randint(3, 9)
    kinds = {type(result) for result in results}
    if kinds == {bool}:
        return "It must return the opposite: False where this holds, and True where it does not.", [
            f"== {not result}" for result in results
        ]
    if kinds == {int}:
        return f"It must return {number} more than the number that this gives.", [
            f"== {result + number}" for result in results
        ]
    if kinds == {str}:
        return "It must return the text that this gives between the signs < and >.", [
            f"== {'<' + result + '>'!r}" for result in results
        ]
    if kinds in ({list}, {tuple}) and any(result != result[::-1] for result in results):
        return "It must return the items that this gives in the reverse order.", [
            f"== {result[::-1]!r}" for result in results
        ]
    return None


def rewritten(task: Task) -> dict[str, Any] | None:
    """The second form of a task; None where it has none."""
    draws = random.Random(f"rewritten {task.id}")
    text = without_doctests(task.instruction)
    head = "Write a function that does what this text says."
    told = text.removeprefix(head).strip()
    if len(told) < 30 or TELLING.search(told) or task.entry in told:
        return None
    calls, results = [], []
    for test in task.tests:
        found = plain(test, task.entry)
        if found is not None:
            calls.append(found[0])
            results.append(found[1])
    changed = change(results, draws) if len(results) >= LEAST_TESTS else None
    if changed is None:
        return None
    sentence, comparisons = changed
    tests = [f"assert {call} {comparison}" for call, comparison in zip(calls, comparisons, strict=True)]
    # HumanEval's texts mention the parameters, so they keep their names.
    names = tuple(f"given_{name}" for name in task.parameters) if task.source == "MBPP" else task.parameters
    body = f"{draws.choice(SETTINGS)} {text.rstrip('.')}. {sentence}"
    return {"instruction": instruction(body, names), "tests": tests}


def plain(test: str, entry: str) -> tuple[str, Any] | None:
    """The call and the result of a test that compares one call with a value; None for any other."""
    (statement,) = ast.parse(test).body
    if not isinstance(statement, ast.Assert) or not isinstance(statement.test, ast.Compare):
        return None
    left, operators, right = statement.test.left, statement.test.ops, statement.test.comparators
    is_call = isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == entry
    if not is_call or len(operators) != 1 or not isinstance(operators[0], ast.Eq | ast.Is):
        return None
    try:
        return ast.unparse(left), ast.literal_eval(right[0])
    except ValueError:
        return None


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
            again = rewritten(task)
            if again is not None:
                line["rewritten"], second = again, second + 1
            lines.append(json.dumps(line))
    out.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", mtime=0))  # noqa: ASYNC240
    print(f"{len(lines)} tasks, {second} of them with a second form; {out.stat().st_size:,} bytes")  # noqa: ASYNC240


if __name__ == "__main__":
    asyncio.run(main())
