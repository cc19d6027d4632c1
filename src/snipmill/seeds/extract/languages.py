"""Extracts documented functions of languages other than Python from tree-sitter syntax trees, by shared rules.

A function counts as documented if a doc comment is directly before it. It is extracted without context; nothing is
resolved, type-checked or run. The grammars are an optional extra.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tree_sitter import Language, Node, Parser

from snipmill.errors import UsageError
from snipmill.seeds.extract.function import Function
from snipmill.seeds.extract.module import text_of


@dataclass(frozen=True, slots=True)
class _Grammar:
    """How a language writes functions: node types, doc comment markers, and return types that mean no value."""

    module: str
    entry: str
    functions: tuple[str, ...]
    wrappers: tuple[str, ...] = ()  # nodes that may enclose a function; the doc comment precedes them
    marks: tuple[str, ...] = ("/**",)
    no_result: tuple[str, ...] = ("void",)


_GRAMMARS = {
    "C++": _Grammar(
        "tree_sitter_cpp", "language", ("function_definition",), ("template_declaration",), ("/**", "///", "//!")
    ),
    "Java": _Grammar("tree_sitter_java", "language", ("method_declaration",)),
    "PHP": _Grammar("tree_sitter_php", "language_php", ("function_definition", "method_declaration")),
    "Rust": _Grammar("tree_sitter_rust", "language", ("function_item",), (), ("///", "/**"), ()),
    "TypeScript": _Grammar(
        "tree_sitter_typescript",
        "language_typescript",
        ("function_declaration", "method_definition"),
        ("export_statement",),
    ),
}
_RETURNS = ("return_statement", "return_expression", "yield_expression", "co_return_statement")
_INNER = ("lambda_expression", "closure_expression", "arrow_function", "function_expression", "anonymous_function")
_SELVES = ("self_parameter", "comment", "line_comment", "block_comment", "attribute_item")


@cache
def _parser(language: str) -> Parser:
    grammar = _GRAMMARS[language]
    try:
        module = importlib.import_module(grammar.module)
    except ImportError:
        raise UsageError(
            f"Seeds in {language} need its grammar; run `pip install 'snipmill[languages]'` to install it."
        ) from None
    return Parser(Language(getattr(module, grammar.entry)()))


def require_grammar(language: str) -> None:
    """Check that the grammar of a language is installed.

    Raises:
        UsageError: the extra is not installed.
    """
    if language in _GRAMMARS:
        _parser(language)


def extract_documented(code: str, language: str) -> Iterator[Function]:
    """The documented functions and methods of a file, in order, each with its doc comment.

    Args:
        code: the file's text.
        language: any of `LANGUAGES` except Python.
    """
    grammar = _GRAMMARS[language]
    raw = code.encode("utf-8", "surrogatepass")
    stack = [_parser(language).parse(raw).root_node]
    while stack:
        node = stack.pop()
        inner: Node | None = node
        if node.type in grammar.wrappers:
            inner = next((child for child in node.named_children if child.type in grammar.functions), None)
        if inner is not None and inner.type in grammar.functions:
            comment = _doc_comment(node, grammar)
            if comment is not None and inner.child_by_field_name("body") is not None:
                yield _function(node, inner, comment, raw, grammar)
            continue  # nested functions are part of the outer one
        stack.extend(reversed(node.named_children))


def _doc_comment(node: Node, grammar: _Grammar) -> Node | None:
    """The first node of the doc comment before a function. Only comment lines and attributes may be in between."""
    found: Node | None = None
    previous, line = node.prev_named_sibling, node.start_point[0]
    while (previous is not None and "comment" in previous.type) or (
        previous is not None and previous.type == "attribute_item"
    ):
        end = previous.end_point[0] - (previous.end_point[1] == 0)  # a line comment node may end on the next line
        if line - end > 1:
            break
        if previous.type != "attribute_item":
            if not text_of(previous).startswith(grammar.marks):
                break
            found = previous
        line, previous = previous.start_point[0], previous.prev_named_sibling
    return found


def _function(whole: Node, inner: Node, comment: Node, raw: bytes, grammar: _Grammar) -> Function:
    start = raw.rfind(b"\n", 0, comment.start_byte) + 1
    name = inner.child_by_field_name("name") or _deep(inner, "declarator")
    return Function(
        kind="function",
        name=text_of(name).partition("(")[0].strip(),
        code=_dedent(raw[start : whole.end_byte].decode("utf-8", "replace")),
        line_start=comment.start_point[0] + 1,
        line_end=whole.end_point[0] + 1,
        docstring_quotes="",
        has_arguments=_has_arguments(inner),
        returns_value=_returns_value(inner, grammar),
        broken=whole.has_error,
    )


def _deep(node: Node, field: str) -> Node | None:
    found = node.child_by_field_name(field)
    while found is not None and (inner := found.child_by_field_name(field)) is not None:
        found = inner
    return found


def _has_arguments(inner: Node) -> bool:
    parameters = inner.child_by_field_name("parameters")
    declarator = inner.child_by_field_name("declarator")
    while parameters is None and declarator is not None:  # in C++ they are inside the declarator
        parameters = declarator.child_by_field_name("parameters")
        declarator = declarator.child_by_field_name("declarator")
    named = parameters.named_children if parameters is not None else []
    return any(node.type not in _SELVES and text_of(node) != "void" for node in named)


def _returns_value(inner: Node, grammar: _Grammar) -> bool:
    result = inner.child_by_field_name("return_type") or inner.child_by_field_name("type")
    if result is not None and text_of(result).strip(": ") in grammar.no_result:
        return False
    body = inner.child_by_field_name("body")
    if grammar.module == "tree_sitter_rust":
        return result is not None and text_of(result) != "()"  # the last expression is the result
    stack = list(body.named_children) if body is not None else []
    while stack:
        node = stack.pop()
        if node.type in _RETURNS and node.named_children:
            return True
        if node.type not in _INNER and node.type not in grammar.functions:
            stack.extend(node.named_children)
    return False


def _dedent(code: str) -> str:
    """Remove the indentation of the first line from all lines that have it."""
    lines = code.split("\n")
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines)
