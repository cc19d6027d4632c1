"""What Python code contains, read from tree-sitter's syntax tree: robust to code that does not parse, and fast.

Covers names, top-level statements and comments. Does not judge syntax: that is the compiler's business
(`syntax_error`) and, for programs, the sandbox's.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from functools import cache

import tree_sitter_python
from tree_sitter import Language, Node, Parser, Query, QueryCursor

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


def _encode(code: str) -> bytes:
    return code.encode("utf-8", "surrogatepass")


def _nodes(root: Node, query: str, capture: str) -> list[Node]:
    return QueryCursor(_query(query)).captures(root).get(capture, [])


def function_names(code: str) -> list[str]:
    """The names of all functions and methods in order of appearance."""
    root = _parser().parse(_encode(code)).root_node
    nodes = _nodes(root, "(function_definition name: (identifier) @name)", "name")
    return [_text(node) for node in sorted(nodes, key=lambda node: node.start_byte)]


def _text(node: Node) -> str:
    return node.text.decode("utf-8", "surrogatepass") if node.text is not None else ""


def has_top_level_statement(code: str) -> bool:
    """Whether something stands at top level besides definitions, imports and comments."""
    root = _parser().parse(_encode(code)).root_node
    return any(child.is_named and child.type not in _DEFINITIONS for child in root.children)


def assert_statements(code: str) -> list[str]:
    """The source of the assert statements at top level, in order, each as written."""
    root = _parser().parse(_encode(code)).root_node
    return [_text(child) for child in root.children if child.type == "assert_statement"]


def has_assert(code: str) -> bool:
    """Whether an assert statement stands anywhere in the code."""
    root = _parser().parse(_encode(code)).root_node
    return bool(_nodes(root, "(assert_statement) @a", "a"))


def strip_comments(code: str) -> str:
    """The code without its comments; a line that held nothing else goes with its comment.

    `#` inside a string stays, and the layout of what is left does not change.
    """
    raw = _encode(code)
    root = _parser().parse(raw).root_node
    pieces: list[bytes] = []
    position = 0
    for start, end in _comment_spans(raw, root):
        pieces.append(raw[position:start])
        position = end
    pieces.append(raw[position:])
    return b"".join(pieces).decode("utf-8", "surrogatepass")


def _comment_spans(raw: bytes, root: Node) -> Iterator[tuple[int, int]]:
    nodes = sorted(_nodes(root, "(comment) @c", "c"), key=lambda node: node.start_byte)
    for node in nodes:
        line_start = max(raw.rfind(b"\n", 0, node.start_byte), raw.rfind(b"\r", 0, node.start_byte)) + 1
        start, end = node.start_byte, node.end_byte
        if not raw[line_start:start].strip(b" \t\f"):
            start = line_start
            if raw[end : end + 2] == b"\r\n":
                end += 2
            elif raw[end : end + 1] in (b"\n", b"\r"):
                end += 1
        else:
            start = line_start + len(raw[line_start:start].rstrip(b" \t\f"))
        yield start, end


def syntax_error(code: str) -> str | None:
    """What the compiler says against the code, as `line N: message`, or None where it is Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    return None
