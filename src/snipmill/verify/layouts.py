"""Builds programs from an answer and tests that others wrote for it, in the layouts that published data sets use.

- Tests that import the answer: `from solution import f` (KodCode and many more). The answer becomes a module of that name.
- `def check(candidate)` and the name of an entry point (HumanEval, MultiPL-E).
- A JSON list of assertions (OpenCodeInstruct, MBPP).
- Pairs of standard input and output, as JSON (APPS, CodeContests, Codeforces, LiveCodeBench). The answer runs as a script.
- Arguments and results of a function, as JSON (APPS with `fn_name`, LiveCodeBench with `functional`).
- Statements, test functions and test cases that use the answer's names.

Does not cover finding the answer in a response, or running the program.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from dataclasses import dataclass
from typing import Any

from snipmill.reasons import Reason
from snipmill.sandbox.program import Program
from snipmill.text.fences import python_fences
from snipmill.text.sections import Malformed
from snipmill.verify.programs import join_program
from snipmill.verify.statements import DEFINITIONS, bound_names, parse

# Names under which tests import an answer of which they know nothing else.
_ANSWERS = frozenset(
    {"answer", "code", "implementation", "main", "module", "my_module", "program", "solution", "solutions"}
) | {
    "your_code",
    "your_module",
    "your_solution",
}
_RELATIVE = re.compile(r"^(\s*)from\s+\.+(\w[\w.]*)\s+import\b", re.MULTILINE)
_FROM_HERE = re.compile(r"^(\s*)from\s+\.+\s+import\b", re.MULTILINE)


@dataclass(frozen=True)
class ForeignTests:
    """Tests as a data set has them.

    Attributes:
        text: Python, JSON, or Markdown with one block of Python.
        entry_point: the function or method under test, such as `scale` or `Solution().scale`; empty where it is not told.
        module: the name by which the tests import the answer; empty where it is not told.
    """

    text: str
    entry_point: str = ""
    module: str = ""


def join_foreign(implementation: str, tests: ForeignTests) -> Program | Malformed:
    """The program of an answer and its tests, or why the tests are in no layout that is known."""
    if tests.text.lstrip().startswith(("[", "{")):
        try:
            value = json.loads(tests.text)
        except ValueError:
            value = None
        if isinstance(value, list | dict):
            return _from_json(implementation, value, tests)
    fences = python_fences(tests.text)
    text = fences[0].code if fences else tests.text
    tree = parse(text)
    if tree is None:
        if "assert" in text or "def test" in text:
            return Malformed(Reason.SYNTAX_ERROR, "The tests are not valid Python.")
        return _unknown("they are neither Python nor JSON")
    return _from_python(implementation, text, tree, tests)


def _unknown(why: str) -> Malformed:
    return Malformed(Reason.UNKNOWN_TESTS, f"The tests are in no layout that is known: {why}.")


# Python ---------------------------------------------------------------------------------------------------------------


def _from_python(implementation: str, text: str, tree: ast.Module, tests: ForeignTests) -> Program | Malformed:
    if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)):
        text = _FROM_HERE.sub(r"\1import", _RELATIVE.sub(r"\1from \2 import", text))
        tree = parse(text) or tree
    answer = parse(implementation)
    defined = _defined(answer) if answer is not None else set()
    if _awaits_candidate(tree):
        entry = tests.entry_point or _only_function(answer)
        if not entry:
            return _unknown("`check(candidate)` needs the name of what it checks, in a column of entry points")
        text += f"\n\ncheck({entry})"
    modules = _answer_modules(tree, defined, tests.module)
    program = join_program(implementation, text)
    return Program(source=program.source, tests_line=program.tests_line, modules=modules)


def _defined(tree: ast.Module) -> set[str]:
    return {name for statement in tree.body for name in bound_names(statement)}


def _only_function(tree: ast.Module | None) -> str:
    """The one function of an answer, or the one public method of its class `Solution`."""
    if tree is None:
        return ""
    found = [node for node in tree.body if isinstance(node, DEFINITIONS) and not node.name.startswith("_")]
    if len(found) == 1 and isinstance(found[0], ast.FunctionDef):
        return found[0].name
    for node in found:
        if isinstance(node, ast.ClassDef) and node.name == "Solution":
            methods = [
                one.name for one in node.body if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")
            ]
            return f"Solution().{methods[0]}" if len(methods) == 1 else ""
    return ""


def _awaits_candidate(tree: ast.Module) -> bool:
    """Whether the tests define `check(candidate)` and never call it."""
    defines = any(
        isinstance(node, ast.FunctionDef) and node.name == "check" and len(node.args.args) == 1 for node in tree.body
    )
    calls = any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"
        for node in ast.walk(tree)
    )
    return defines and not calls


def _answer_modules(tree: ast.Module, defined: set[str], told: str) -> tuple[str, ...]:
    """The dotted names by which the tests import the answer."""
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {alias.name for alias in node.names}
            if node.module == told or _is_answer(node.module, all_defined=names <= defined | {"*"}):
                found[node.module] = None
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == told or _is_answer(alias.name, all_defined=False):
                    found[alias.name] = None
    return tuple(found)


def _is_answer(module: str, *, all_defined: bool) -> bool:
    """Whether a module can only be the answer: by its name, or because it is not installed and all that is imported is there."""
    root, _, _ = module.partition(".")
    if root in sys.stdlib_module_names:
        return False
    return module.rpartition(".")[2] in _ANSWERS or (all_defined and not _is_installed(root))


def _is_installed(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a name that stands for something else, such as `__main__`
        return True
    return spec is not None and "-packages" in (spec.origin or "")  # not a folder or a file that happens to lie here


# JSON -----------------------------------------------------------------------------------------------------------------


def _from_json(implementation: str, value: list[Any] | dict[str, Any], tests: ForeignTests) -> Program | Malformed:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        text = "\n".join(item.strip("\n") for item in value)
        tree = parse(text)
        return _from_python(implementation, text, tree, tests) if tree is not None else _unknown("a list of texts")
    pairs = _pairs(value)
    if not pairs:
        return _unknown("JSON without inputs and outputs")
    entry = tests.entry_point
    if isinstance(value, dict) and isinstance(value.get("fn_name"), str):
        entry = value["fn_name"]
    elif not any(isinstance(item, dict) and item.get("testtype") == "functional" for item in _items(value)):
        return Program(source=implementation, dialogues=tuple((_lines(one), _lines(other)) for one, other in pairs))
    if not entry:
        return _unknown("arguments of a function whose name is not told, in a column of entry points")
    if "." not in entry and re.search(r"^class Solution\b", implementation, re.MULTILINE):
        entry = f"Solution().{entry}"
    try:
        text = "\n".join(_call_check(entry, _arguments(one), _result(other)) for one, other in pairs)
    except ValueError:
        return _unknown("arguments that are no JSON")
    return join_program(implementation, text)


def _items(value: list[Any] | dict[str, Any]) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _pairs(value: list[Any] | dict[str, Any]) -> list[tuple[Any, Any]]:
    """Inputs with their outputs; empty where the value has none."""
    if isinstance(value, dict):
        for given, expected in (("inputs", "outputs"), ("input", "output")):
            one, other = value.get(given), value.get(expected)
            if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
                return list(zip(one, other, strict=True))
            if isinstance(one, str) and isinstance(other, str):
                return [(one, other)]
        return []
    if not all(isinstance(item, dict) and {"input", "output"} <= item.keys() for item in value):
        return []
    return [(item["input"], item["output"]) for item in value]


def _lines(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _arguments(given: Any) -> list[Any]:
    """The arguments of a call: a list, or one JSON value in each line of a text."""
    if isinstance(given, str):
        return [json.loads(line) for line in given.splitlines() if line.strip()]
    return given if isinstance(given, list) else [given]


def _result(expected: Any) -> Any:
    return json.loads(expected) if isinstance(expected, str) and expected.strip() else expected


def _call_check(entry: str, arguments: list[Any], expected: Any) -> str:
    call = f"{entry}({', '.join(map(repr, arguments))})"
    if isinstance(expected, list) and len(expected) == 1:  # APPS wraps some results in a list
        return f"assert {call} in ({expected!r}, {expected[0]!r})"
    return f"assert {call} == {expected!r}"
