"""The tasks of the false-pass benchmark: instructions out of MBPP, without its tests and without its function names.

    python benchmarks/false_passes/tasks.py ../shared/benchmarks/sanitized-mbpp.json > instructions.jsonl

Each instruction is a task's own sentence and the names of the parameters, so that the hidden tests mean the same thing as
the sentence; the function's name is left to the model, as in a real run. Tasks are drawn with a seed; those are left out
whose tests need more than one call of one function to be read (set-up code, imports, several functions).
"""

from __future__ import annotations

import ast
import json
import random
import re
import sys
from pathlib import Path

COUNT = 96


def main() -> None:
    """Write the instructions to standard output."""
    tasks = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    usable = [(task, signature) for task in tasks if (signature := tested_signature(task)) is not None]
    random.Random("false-passes").shuffle(usable)
    for task, (_, parameters) in usable[:COUNT]:
        sentence = re.sub(r"\s+", " ", task["prompt"]).strip().rstrip(".")
        named = ", ".join(f"`{name}`" for name in parameters)
        plural = "parameters, in this order, are" if len(parameters) > 1 else "parameter is"
        record = {
            "id": f"mbpp-{task['task_id']}",
            "instruction": f"{sentence}. Its {plural} {named}.",
            "category": "function",
            "difficulty": "easy",
        }
        sys.stdout.write(json.dumps(record) + "\n")


def tested_signature(task: dict[str, object]) -> tuple[str, list[str]] | None:
    """The name and parameters of the one function that the tests call, or None where the task is not that simple."""
    if task["test_imports"]:
        return None
    functions = [node for node in ast.parse(str(task["code"])).body if isinstance(node, ast.FunctionDef)]
    called = {
        node.func.id
        for test in task["test_list"]  # type: ignore[attr-defined]
        for node in ast.walk(ast.parse(test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    tested = [function for function in functions if function.name in called]
    if len(tested) != 1:
        return None
    arguments = tested[0].args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or not arguments.args:
        return None
    return tested[0].name, [argument.arg for argument in arguments.args]


if __name__ == "__main__":
    main()
