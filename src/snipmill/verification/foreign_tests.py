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
import math
import re
import sys
from dataclasses import dataclass
from typing import Any

from snipmill.languages import PYTHON
from snipmill.reasons import Reason
from snipmill.sandbox.program import Program
from snipmill.text.fences import find_fences
from snipmill.text.sections import Malformed
from snipmill.verification.programs import join_program
from snipmill.verification.statements import DEFINITIONS, bound_names, names_in, parse

# Names under which tests import an answer of which they know nothing else.
_ANSWERS = frozenset(
    {"answer", "code", "implementation", "main", "module", "my_module", "program", "solution", "solutions"}
    | {"your_code", "your_module", "your_solution"}
)
_ENTRY = re.compile(r"[A-Za-z_]\w*(\(\))?(\.[A-Za-z_]\w*)*")
_BOM = "\ufeff"
_TYPING = "from typing import *"
# JSON has no tuples, so a tuple equals a list of the same items.
_PLAIN = """\
def _plain(value):
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
"""


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
    implementation, text = implementation.lstrip(_BOM), tests.text.lstrip(_BOM)
    value = _parse_value(text)
    if value is not None:
        return _from_json(implementation, value, tests)
    tree = parse(text)
    if tree is None:
        fences = find_fences(text)
        text = "\n\n".join(fence.code for fence in fences if fence.is_in(PYTHON) or not fence.info.strip())
        tree = parse(text) if text else None
    if tree is None:
        if "assert" in tests.text or "def test" in tests.text:
            return Malformed(Reason.SYNTAX_ERROR, "The tests are not valid Python.")
        return _unknown("they are neither Python nor JSON")
    if all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Name) for node in tree.body):
        return _unknown("they hold values and nothing that is checked")
    return _from_python(implementation, text, tree, tests)


def _parse_value(text: str) -> list[Any] | dict[str, Any] | None:
    """Tests that are a value: JSON, or a list as Python writes it."""
    if not text.lstrip().startswith(("[", "{", '"')):
        return None
    for reading in (json.loads, ast.literal_eval):
        try:
            value = reading(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list | dict):
            return value
    return None


def _unknown(why: str) -> Malformed:
    return Malformed(Reason.UNKNOWN_TESTS, f"The tests are in no layout that is known: {why}.")


# Python ---------------------------------------------------------------------------------------------------------------


def _from_python(implementation: str, text: str, tree: ast.Module, tests: ForeignTests) -> Program | Malformed:
    answer = parse(implementation)
    defined = _defined(answer) if answer is not None else set()
    if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)):
        text = _without_relative_imports(text, tree, defined)
        tree = parse(text) or tree
    if _awaits_candidate(tree):
        entry = _entry_point(implementation, tests.entry_point) or _only_function(answer)
        if not entry:
            return _unknown("`check(candidate)` needs the name of what it checks, in a column of entry points")
        text += f"\n\ncheck({entry})"
    modules = _answer_modules(tree, defined, tests.module)
    if answer is not None and not modules and not names_in([parse(text) or tree]) & defined:
        modules = _unknown_modules(tree)
        if not modules and not _finds_names_by_text(text):
            return Malformed(Reason.VACUOUS, "The tests use nothing that the answer defines.")
    program = join_program(implementation, text)
    return Program(source=program.source, tests_line=program.tests_line, modules=modules)


def _without_relative_imports(text: str, tree: ast.Module, defined: set[str]) -> str:
    """The tests with `from .solution import f` as `from solution import f`."""
    lines = text.split("\n")
    for node in reversed([one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.level]):
        names = ", ".join(f"{one.name} as {one.asname}" if one.asname else one.name for one in node.names)
        if node.module:
            changed = f"from {node.module} import {names}"
        elif {one.name for one in node.names} <= defined | {"*"}:
            changed = f"from solution import {names}"
        else:
            changed = f"import {names}"
        indent = lines[node.lineno - 1][: node.col_offset]
        lines[node.lineno - 1 : node.end_lineno] = [f"{indent}{changed}"]
    return "\n".join(lines)


def _entry_point(implementation: str, told: str) -> str:
    """What is under test, as an expression: a method of the class `Solution` by its instance; empty where a text is no name."""
    if _ENTRY.fullmatch(told) is None:
        return ""
    if told.startswith("Solution.") and re.search(r"^class Solution\b", implementation, re.MULTILINE):
        told = told.replace("Solution.", "Solution().", 1)
    is_function = (
        re.search(rf"^(async )?def {told}\b", implementation, re.MULTILINE) is not None if "." not in told else True
    )
    has_solution = re.search(r"^class Solution\b", implementation, re.MULTILINE) is not None and told != "Solution"
    return f"Solution().{told}" if has_solution and not is_function else told


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
        isinstance(node, ast.FunctionDef)
        and node.name == "check"
        and len(node.args.args) - len(node.args.defaults) == 1
        for node in tree.body
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
            all_defined = "*" not in names and names <= defined
            if node.module == told or _is_answer(node.module, all_defined=all_defined):
                found[node.module] = None
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == told or _is_answer(alias.name, all_defined=False):
                    found[alias.name] = None
    return tuple(found)


def _unknown_modules(tree: ast.Module) -> tuple[str, ...]:
    """The only module that tests import from and that is not installed: what they test, where nothing else can be."""
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    roots = {module: module.partition(".")[0] for module in found}
    missing = [one for one, root in roots.items() if root not in sys.stdlib_module_names and not _is_installed(root)]
    return (missing[0],) if len(missing) == 1 else ()


def _finds_names_by_text(text: str) -> bool:
    """Whether tests may reach the answer without naming it as code does."""
    return any(
        word in text for word in ("globals", "eval", "exec", "import_module", "__import__", "getattr", "patch", "*")
    )


def _is_answer(module: str, *, all_defined: bool) -> bool:
    """Whether a module can only be the answer: by its name, or because it is not installed and all that is imported is there."""
    root, _, _ = module.partition(".")
    if root in sys.stdlib_module_names:
        return False
    return not _is_installed(root) and (all_defined or module.rpartition(".")[2] in _ANSWERS)


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
    told = value.get("fn_name") if isinstance(value, dict) else None
    if not isinstance(told, str) and tests.entry_point and not any(map(_is_text, (given for given, _ in pairs))):
        told = tests.entry_point
    is_functional = any(isinstance(item, dict) and item.get("testtype") == "functional" for item in _items(value))
    if not isinstance(told, str) and not is_functional:
        return Program(source=implementation, dialogues=tuple((_lines(one), _lines(other)) for one, other in pairs))
    entry = _entry_point(implementation, told if isinstance(told, str) else tests.entry_point)
    if not entry:
        return _unknown("arguments of a function whose name is not told, in a column of entry points")
    try:
        calls = (
            [_functional(one, other) for one, other in pairs] if is_functional else [_of_apps(*pair) for pair in pairs]
        )
    except (ValueError, RecursionError):
        return _unknown("arguments that are no JSON")
    # APPS wraps the results of a function in lists, but not always: its harness takes both forms.
    wrapped = not is_functional and all(isinstance(result, list) and len(result) == 1 for _, result in calls)
    checks = (
        f"assert _plain({entry}({', '.join(map(_literal, given))})) "
        + (f"in ({_literal(result[0])}, {_literal(result)})" if wrapped else f"== {_literal(result)}")
        for given, result in calls
    )
    typing = "" if "typing" in implementation else f"{_TYPING}\n"  # these harnesses provide it
    return join_program(typing + implementation, "\n".join((_PLAIN, *checks)))


def _is_text(given: Any) -> bool:
    """Whether an input is what a script reads: a text, or lines."""
    return isinstance(given, str) or (
        isinstance(given, list) and bool(given) and all(isinstance(one, str) for one in given)
    )


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


def _functional(given: Any, expected: Any) -> tuple[list[Any], Any]:
    """Arguments and result of LiveCodeBench: JSON in texts, one argument in each line."""
    arguments = [json.loads(line) for line in given.splitlines() if line.strip()] if isinstance(given, str) else given
    result = json.loads(expected) if isinstance(expected, str) and expected.strip() else expected
    return (arguments if isinstance(arguments, list) else [arguments]), result


def _of_apps(given: Any, expected: Any) -> tuple[list[Any], Any]:
    return (given if isinstance(given, list) else [given]), expected


def _literal(value: Any) -> str:
    """A JSON value as Python."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)
