"""What of an answer runs only as a script: its main guard, and what reads standard input or the command line as it is loaded."""

from __future__ import annotations

import ast

from snipmill.verification.statements import DEFINITIONS, bound_names, names_in, parse

_CALLS = frozenset({"input", "raw_input", "getpass", "parse_args", "parse_known_args"})
_READERS = frozenset({"read", "readline", "readlines"})


def reads_input(node: ast.AST) -> bool:
    """Whether a node itself reads standard input or the command line, as `input()` does, or stands for it, as `sys.stdin` does."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        return name in _CALLS or ast.unparse(node).startswith(("open(0", "fileinput.", "os.read(0"))
    return (isinstance(node, ast.Attribute) and node.attr == "stdin") or (
        isinstance(node, ast.Name) and node.id == "stdin"
    )


def without_script_part(code: str) -> str:
    """An answer for tests that call its functions: without what runs only as a script, with as many lines.

    That is `if __name__ == "__main__"`, every statement at module level that reads input or calls what does, and every one that
    needs what these have bound.
    """
    code = code.replace("\r\n", "\n")
    tree = parse(code)
    if tree is None or "\r" in code:
        return code
    reading = _reading_definitions(tree)
    removed: list[ast.stmt] = []
    lost: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, (*DEFINITIONS, ast.Import, ast.ImportFrom)):
            continue
        needs = names_in([statement])
        if _is_main_guard(statement) or _waits(statement, reading) or (lost & needs):
            removed.append(statement)
            lost |= bound_names(statement)
        elif _is_alias(statement):
            reading |= bound_names(statement)  # `read = sys.stdin.readline`
    return _without(code, removed, tree)


def _reading_definitions(tree: ast.Module) -> set[str]:
    """The functions and classes of an answer that read input, themselves or through others."""
    definitions = [one for one in tree.body if isinstance(one, DEFINITIONS)]
    reading = {one.name for one in definitions if any(map(reads_input, ast.walk(one)))}
    while True:
        more = {one.name for one in definitions if one.name not in reading and _calls(one, reading)}
        if not more:
            return reading
        reading |= more


def _calls(node: ast.AST, names: set[str]) -> bool:
    return any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in names
        for inner in ast.walk(node)
    )


def _waits(statement: ast.stmt, reading: set[str]) -> bool:
    """Whether a statement reads input as it runs; what it defines for later does not count."""
    if _calls(statement, reading):
        return True
    waits = False
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            waits = waits or reads_input(node) or _reads_stream(node) or any(map(_is_stream, node.args))
        elif isinstance(node, ast.For | ast.comprehension):
            waits = waits or _is_stream(node.iter)
        elif isinstance(node, ast.Subscript):
            waits = waits or ast.unparse(node.value) in ("sys.argv", "argv")
    return waits


def _is_stream(node: ast.AST) -> bool:
    return not isinstance(node, ast.Call) and reads_input(node)


def _reads_stream(call: ast.Call) -> bool:
    """Whether a call is `sys.stdin.read()` or the like, also through `sys.stdin.buffer`."""
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in _READERS
        and any(map(_is_stream, ast.walk(function.value)))
    )


def _is_alias(statement: ast.stmt) -> bool:
    """Whether a statement gives reading another name, without reading."""
    return isinstance(statement, ast.Assign) and any(map(_is_stream, ast.walk(statement.value)))


def _is_main_guard(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.If) or statement.orelse or not isinstance(statement.test, ast.Compare):
        return False
    sides = {ast.unparse(side) for side in (statement.test.left, *statement.test.comparators)}
    return sides == {"__name__", "'__main__'"} and isinstance(statement.test.ops[0], ast.Eq)


def _without(code: str, removed: list[ast.stmt], tree: ast.Module) -> str:
    """Code without some of its statements, with as many lines."""
    lines = code.split("\n")
    for statement in removed:
        first, last = statement.lineno - 1, (statement.end_lineno or statement.lineno) - 1
        shares = any(
            one is not statement and one.lineno - 1 <= last and (one.end_lineno or one.lineno) - 1 >= first
            for one in tree.body
        )
        if not shares:
            lines[first : last + 1] = [""] * (last - first + 1)
        elif first == last:  # beside another statement, after a semicolon
            raw = lines[first].encode()
            length = (statement.end_col_offset or 0) - statement.col_offset
            place = slice(statement.col_offset, statement.end_col_offset)
            raw = raw[: place.start] + b"pass"[:length].ljust(length) + raw[place.stop :]
            lines[first] = raw.decode()
    return "\n".join(lines)
