"""Analyses Python code with tree-sitter's syntax tree, which is fast and tolerates code that does not parse.

Covers names, top-level statements and comments. Does not check syntax: the compiler does (`syntax_error`), and for
programs the sandbox.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc

import tree_sitter_python
from tree_sitter import Language, Node, Parser, Query, QueryCursor

from snipmill.python_tree import parse_module
from snipmill.text.lexemes import comment_spans, is_plain, without_long_strings

_DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
_LINES_MAY_GO_ON = re.compile(r"""\"{3}|'{3}|\\$|;|\r""", re.MULTILINE)
_DOC_COMMENT = re.compile(r"\s*(?:/\*\*.*?\*/|(?:[ \t]*//[/!][^\n]*\n)+)", re.DOTALL)
_COMMENT_MARKS = re.compile(r"^\s*(?:/\*\*|//[/!]|\*(?!/))")
_TOP_ASSERT = re.compile(r"^assert\b", re.MULTILINE)
_DEFINITIONS = frozenset(
    {
        "function_definition",
        "class_definition",
        "decorated_definition",
        "import_statement",
        "import_from_statement",
        "future_import_statement",
        "comment",
    }
)


@cache
def _language() -> Language:
    return Language(tree_sitter_python.language())


@cache
def _parser() -> Parser:
    return Parser(_language())


@cache
def _query(source: str) -> Query:
    return Query(_language(), source)


def syntax_tree(code: bytes) -> Node:
    """The root of the syntax tree of Python code in UTF-8."""
    return _parser().parse(code).root_node


def _encode(code: str) -> bytes:
    return code.encode("utf-8", "surrogatepass")


def _nodes(root: Node, query: str, capture: str) -> list[Node]:
    return QueryCursor(_query(query)).captures(root).get(capture, [])


def function_names(code: str) -> list[str]:
    """The names of all functions and methods in order of appearance."""
    parts = code.split('"""')
    if "'''" not in code and len(parts) % 2 and not any("def " in part for part in parts[1::2]):
        return _DEFINITION.findall(code)  # no string contains what looks like a definition
    if is_plain(code):
        return _DEFINITION.findall(without_long_strings(code))
    root = syntax_tree(_encode(code))
    nodes = _nodes(root, "(function_definition name: (identifier) @name)", "name")
    return [_text(node) for node in sorted(nodes, key=lambda node: node.start_byte)]


def _text(node: Node) -> str:
    return node.text.decode("utf-8", "surrogatepass") if node.text is not None else ""


def documented_functions(code: str) -> list[tuple[str, str]]:
    """The (name, docstring with its quotes) of the functions that have a docstring, in order of appearance."""
    if '"""' not in code and "'''" not in code:
        return []
    root = syntax_tree(_encode(code))
    found: list[tuple[str, str]] = []
    for node in _nodes(root, "(function_definition) @f", "f"):
        name, string = node.child_by_field_name("name"), _docstring_node(node)
        if name is not None and string is not None:
            found.append((_text(name), _text(string)))
    return found


def split_docstring(code: str) -> tuple[str, str]:
    """The docstring of the last function or class of a snippet, without quotes and indentation, and the code without it.

    Code without a docstring is returned unchanged, with an empty docstring.
    """
    raw = _encode(code)
    for whole in reversed(syntax_tree(raw).children):
        definition = whole.child_by_field_name("definition") or whole
        if definition.type == "class_definition":  # a method: its class, with this method and perhaps helpers
            inner = _nodes(definition, "(function_definition) @f", "f")
            definition = next((one for one in (definition, *inner) if _docstring_node(one) is not None), definition)
        string = _docstring_node(definition)
        if string is not None and not raw[raw.rfind(b"\n", 0, string.start_byte) + 1 : string.start_byte].strip():
            end = string.end_byte + len(raw[string.end_byte :]) - len(raw[string.end_byte :].lstrip(b"\n"))
            start = raw.rfind(b"\n", 0, string.start_byte) + 1
            text = _text(string).lstrip("rRuU").strip("\"'")
            rest = (raw[:start] + raw[end:]).decode("utf-8", "surrogatepass")
            return cleandoc(text), rest
    return "", code


def split_doc_comment(code: str) -> tuple[str, str]:
    """The text of the doc comment at the start of a snippet in another language, without its marks, and the rest."""
    match = _DOC_COMMENT.match(code)
    if match is None:
        return "", code
    lines = [_COMMENT_MARKS.sub("", line).removesuffix("*/").strip() for line in match.group().strip().split("\n")]
    return "\n".join(lines).strip(), code[match.end() :].lstrip("\n")


def _docstring_node(definition: Node) -> Node | None:
    body = definition.child_by_field_name("body")
    first = next((child for child in body.children if child.is_named), None) if body is not None else None
    string = (
        first.children[0] if first is not None and first.type == "expression_statement" and first.children else None
    )
    return string if string is not None and string.type == "string" else None


def _runs_something(root: Node) -> bool:
    return any(child.is_named and child.type not in _DEFINITIONS for child in root.children)


@dataclass(frozen=True, slots=True)
class TestsShape:
    """Properties of tests."""

    has_assert: bool
    runs_something: bool


def shape_of_tests(code: str) -> TestsShape:
    """Whether tests contain an assert statement, and whether anything runs at top level; parses at most once."""
    if _TOP_ASSERT.search(code) and '"""' not in code and "'''" not in code and "\\\n" not in code:
        return TestsShape(has_assert=True, runs_something=True)  # outside strings, only a statement begins like this
    root = syntax_tree(_encode(code))
    top = any(child.type == "assert_statement" for child in root.children)
    return TestsShape(
        top or ("assert" in code and bool(_nodes(root, "(assert_statement) @a", "a"))), _runs_something(root)
    )


def assert_statements(code: str) -> list[str]:
    """The source of the assert statements at top level, in order, each as written."""
    lines = [line for line in code.split("\n") if line.strip()]
    if all(line.startswith("assert ") for line in lines) and _LINES_MAY_GO_ON.search(code) is None:
        return [line.rstrip() for line in lines]  # a continuation line would begin otherwise
    root = syntax_tree(_encode(code))
    return [_text(child) for child in root.children if child.type == "assert_statement"]


def has_assert(code: str) -> bool:
    """Whether the code contains an assert statement anywhere."""
    root = syntax_tree(_encode(code))
    return bool(_nodes(root, "(assert_statement) @a", "a"))


def strip_comments(code: str) -> str:
    """The code without its comments; a line with nothing but a comment is removed.

    `#` inside a string stays, and the layout of the rest does not change.
    """
    if "#" not in code:
        return code
    if is_plain(code):
        return _cut(code, comment_spans(code))
    raw = _encode(code)
    root = syntax_tree(raw)
    spans = sorted((node.start_byte, node.end_byte) for node in _nodes(root, "(comment) @c", "c"))
    # Offsets are in bytes: decode to a text with one character per byte.
    return _cut(raw.decode("latin-1"), spans).encode("latin-1").decode("utf-8", "surrogatepass")


def _cut(code: str, comments: Iterable[tuple[int, int]]) -> str:
    pieces: list[str] = []
    position = 0
    for start, end in comments:
        line_start = max(code.rfind("\n", 0, start), code.rfind("\r", 0, start)) + 1
        if not code[line_start:start].strip(" \t\f"):
            start = line_start
            if code[:line_start].rstrip("\r\n").endswith("\\"):
                pass  # the line goes on here: an empty one must stay
            elif code.startswith("\r\n", end):
                end += 2
            elif code.startswith(("\n", "\r"), end):
                end += 1
        else:
            start = line_start + len(code[line_start:start].rstrip(" \t\f"))
        pieces.append(code[position:start])
        position = end
    pieces.append(code[position:])
    return "".join(pieces)


def syntax_error(code: str) -> str | None:
    """The compiler's error message as `line N: message`, or None if the code is valid Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parse_module(code)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    return None
