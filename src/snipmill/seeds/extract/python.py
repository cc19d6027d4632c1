"""Extracts the documented functions of a Python file, and optionally its methods and classes, from a tree-sitter tree.

Tolerates code that the running Python cannot parse. Does not cover whether a function is worth keeping (`rules`), the
context that it needs from its file (`module`), and nested functions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import pairwise

from tree_sitter import Node

from snipmill.config import Kind
from snipmill.seeds.extract.function import Function
from snipmill.seeds.extract.module import modules_inside, text_of
from snipmill.text.code import syntax_tree

_FUNCTIONS: tuple[Kind, ...] = ("function",)
_SELF = ("self", "cls")
# The start of an unindented definition, including its decorators.
_AT_MARGIN = re.compile(r"^(?:@.+\n)*(?:async )?(?:def|class) ", re.MULTILINE)


def extract_functions(root: Node, kinds: Collection[Kind] = _FUNCTIONS) -> Iterator[Function]:
    """The documented functions of a syntax tree, in order.

    Args:
        root: the tree of a whole file.
        kinds: which of functions, methods and classes to extract.
    """
    for whole in root.children:
        if whole.start_point[1]:
            continue  # indented, after broken code: it belongs to a class or a function
        if whole.type == "ERROR" and b"def " in (whole.text or b""):
            yield from _recovered(whole, kinds)
            continue
        definition = _definition(whole)
        if definition.type == "function_definition":
            if "function" in kinds:
                yield from _function(whole, definition)
        elif definition.type == "class_definition":
            if "class" in kinds:
                yield from _class(whole, definition)
            if "method" in kinds and not definition.has_error:
                yield from _methods(whole, definition)


def _recovered(region: Node, kinds: Collection[Kind]) -> Iterator[Function]:
    """The functions of a region with a syntax error: each unindented definition is parsed separately."""
    code = text_of(region)
    starts = [match.start() for match in _AT_MARGIN.finditer(code)]
    for start, end in pairwise([*starts, len(code)]):
        line = region.start_point[0] + code.count("\n", 0, start)
        piece = syntax_tree(code[start:end].encode("utf-8", "surrogatepass"))
        for found in extract_functions(piece, kinds) if not piece.has_error else ():
            yield replace(found, line_start=found.line_start + line, line_end=found.line_end + line)


def first_error(root: Node) -> int | None:
    """The line of the first syntax error, counted from 1; None if there is none."""
    node: Node | None = root
    if not root.has_error:
        return None
    while node is not None and node.type != "ERROR" and not node.is_missing:
        inner = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inner is None:
            break
        node = inner
    return node.start_point[0] + 1 if node is not None else None


def _definition(node: Node) -> Node:
    return (node.child_by_field_name("definition") or node) if node.type == "decorated_definition" else node


def _function(whole: Node, definition: Node) -> Iterator[Function]:
    yield from _as_it_stands("function", whole, definition, [definition])


def _class(whole: Node, definition: Node) -> Iterator[Function]:
    inner = [_definition(member) for member in _members(definition)]
    yield from _as_it_stands(
        "class", whole, definition, [method for method in inner if method.type == "function_definition"]
    )


def _as_it_stands(kind: Kind, whole: Node, definition: Node, bodies: list[Node]) -> Iterator[Function]:
    """A documented function or class. `bodies` are the functions to check for arguments and return values."""
    quotes = _docstring_quotes(definition)
    if quotes is not None:
        yield Function(
            kind=kind,
            name=text_of(definition.child_by_field_name("name")),
            code=text_of(whole),
            line_start=whole.start_point[0] + 1,
            line_end=whole.end_point[0] + 1,
            docstring_quotes=quotes,
            has_arguments=any(map(_has_arguments, bodies)),
            returns_value=any(map(_returns_value, bodies)),
            broken=definition.has_error,
            modules=modules_inside(definition),
        )


def _methods(whole: Node, definition: Node) -> Iterator[Function]:
    name = text_of(definition.child_by_field_name("name"))
    for member in _members(definition):
        method = _definition(member)
        quotes = _docstring_quotes(method) if method.type == "function_definition" else None
        if quotes is None:
            continue
        own_name = text_of(method.child_by_field_name("name"))
        code = _class_around(whole, definition, name, own_name)
        yield Function(
            kind="method",
            name=f"{name}.{own_name}",
            code=code,
            line_start=member.start_point[0] + 1,
            line_end=member.end_point[0] + 1,
            docstring_quotes=quotes,
            has_arguments=_has_arguments(method),
            returns_value=_returns_value(method),
            modules=modules_inside(method),
        )


def _members(definition: Node) -> list[Node]:
    body = definition.child_by_field_name("body")
    return [child for child in body.children if child.is_named] if body is not None else []


def _class_around(whole: Node, definition: Node, name: str, method: str) -> str:
    """The class, reduced to the method and the members that it uses, directly or indirectly."""
    by_name: dict[str, list[int]] = {}
    members = _members(definition)
    for index, member in enumerate(members):
        for bound in _bound_by(member):
            by_name.setdefault(bound, []).append(index)
    used = re.compile(rf"(?<![\w.])(?:self|cls|{re.escape(name)})\.(\w+)")
    waiting, chosen = {method}, set[int]()
    while waiting:
        wanted = waiting.pop()
        # An attribute that no member binds is an instance attribute, set by `__init__`.
        for index in by_name.get(wanted, by_name.get("__init__", [])):
            if index not in chosen:
                chosen.add(index)
                waiting.update(used.findall(text_of(members[index])))
    if whole.type == "decorated_definition":  # such as a dataclass: keep its fields
        chosen |= {index for index, member in enumerate(members) if member.type == "expression_statement"}
    body = definition.child_by_field_name("body")
    assert body is not None and whole.text is not None
    head = whole.text[: body.start_byte - whole.start_byte].decode("utf-8", "replace").rstrip()
    indent = " " * body.start_point[1]
    return head + "".join(f"\n{indent}{text_of(members[index])}\n" for index in sorted(chosen)).rstrip("\n")


def _bound_by(member: Node) -> list[str]:
    inner = _definition(member)
    if inner.type in ("function_definition", "class_definition"):
        return [text_of(inner.child_by_field_name("name"))]
    if inner.type == "expression_statement" and inner.children and inner.children[0].type == "assignment":
        return re.findall(r"\w+", text_of(inner.children[0].child_by_field_name("left")))
    return []


def _has_arguments(definition: Node) -> bool:
    parameters = definition.child_by_field_name("parameters")
    named = [node for node in parameters.children if node.is_named] if parameters is not None else []
    return any(text_of(node) not in _SELF and node.type != "comment" for node in named)


def _docstring_quotes(definition: Node) -> str | None:
    body = definition.child_by_field_name("body")
    first = next((node for node in body.children if node.is_named and node.type != "comment"), None) if body else None
    if first is None or first.type != "expression_statement" or not first.children:
        return None
    string = first.children[0]
    text = text_of(string).lstrip("rRuU")
    if string.type != "string" or not text.strip("'\" \t\n\\"):
        return None
    return text[:3] if text[:3] in ('"""', "'''") else text[:1]


def _returns_value(definition: Node) -> bool:
    """Whether the function itself, not a nested one, has a `return` with a value or a `yield`."""
    body = definition.child_by_field_name("body")
    stack = list(body.children) if body is not None else []
    while stack:
        node = stack.pop()
        if node.type == "return_statement" and any(child.is_named for child in node.children):
            return True
        if node.type == "yield":
            return True
        if node.type not in ("function_definition", "lambda", "class_definition"):
            stack.extend(node.children)
    return False
