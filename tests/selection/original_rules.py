"""The rules by which the original project sanitises and selects, written down from what they do, for comparison.

A response is a text; `None` stands for a row that is dropped.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

TAGS = ("[Reasoning]", "[Implementation]", "[Explanation]", "[Tests]")
DEFINING = ("def", "class", "import", "from")
PLACEHOLDERS = ("todo", "fixme", "write your code here", "your code here", "your code goes here", "notimplemented")


def blocks(text: str, language: str | None = None) -> list[str]:
    """What stands between pairs of three backticks, wherever these are; the rest of the first line is the language."""
    found, position = [], 0
    while (start := text.find("```", position)) >= 0:
        line_end = text.find("\n", start + 3)
        named = text[start + 3 : line_end if line_end >= 0 else start + 3].strip()
        begin = line_end + 1 if named else start + 3
        end = text.find("```", begin)
        if end < 0:
            break
        if language is None or named.lower() == language:
            found.append(text[begin:end].strip())
        position = end + 3
    return found


def sections(response: str) -> list[str] | None:
    """Reasoning, implementation, explanation and tests of a response that may become a row."""
    if any(response.count(tag) != 1 for tag in TAGS):
        return None
    places = [response.index(tag) for tag in TAGS]
    if places != sorted(places):
        return None
    ends = [*places[1:], len(response)]
    parts = [response[place + len(tag) : end].strip() for tag, place, end in zip(TAGS, places, ends, strict=True)]
    tests = blocks(parts[3], "python")
    if not blocks(parts[1], "python") or len(tests) != 1 or parts[3].count("```") != 2:
        return None
    parts[3] = parts[3][: parts[3].rindex("```") + 3]
    lines = parts[3].splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith("/"):
            parts[3] = "".join(lines[:number]).strip()
            break
    code = [line for line in tests[0].splitlines() if line and line[0].isalpha()]
    if "assert" not in parts[3] or all(line.startswith(DEFINING) for line in code):
        return None
    return parts


def render(
    response: str, *, raw: bool, reasoning: bool, explanation: bool, tests: bool, complete: bool = False
) -> str | None:
    """A response as a row shows it."""
    parts = sections(response)
    if parts is None or (complete and any(word in response.lower() for word in PLACEHOLDERS)):
        return None
    kept = zip(TAGS, parts, (reasoning, True, explanation, tests), strict=True)
    return "\n\n".join(f"{tag}\n{part}" if raw else part for tag, part, wanted in kept if wanted)


def select(rows: Iterable[tuple[str, str]], *, names: bool) -> list[int]:
    """The numbers of the (instruction, response) rows that stay, gone through in their order."""
    seen: set[str] = set()
    kept = []
    for number, (instruction, response) in enumerate(rows):
        keys = {"".join(instruction.split()), "".join(response.split())}
        if keys & seen:
            continue
        if names:
            try:
                tree = ast.parse(blocks(response)[0])
            except SyntaxError:
                continue
            functions = [
                node.name for node in _in_order(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            if " ".join(functions) in seen:
                continue
            keys.add(" ".join(functions))
        seen |= keys
        kept.append(number)
    return kept


def _in_order(node: ast.AST) -> Iterable[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)
