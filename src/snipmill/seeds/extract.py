"""The top-level functions of a Python file that have a docstring, from tree-sitter's syntax tree.

Robust to code that today's Python cannot parse. Does not cover methods and classes, other languages, or whether a
function is worth keeping: see `rules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from snipmill.text.code import syntax_tree


@dataclass(frozen=True, slots=True)
class Function:
    """One function as written, decorators included, and what the rules ask about it. Lines count from 1."""

    name: str
    code: str
    line_start: int
    line_end: int
    docstring_quotes: str
    has_arguments: bool
    returns_value: bool
    modules: frozenset[str]


def extract_functions(code: bytes) -> Iterator[Function]:
    """The documented top-level functions of a file, in order.

    Args:
        code: the file's bytes in UTF-8.
    """
    root = syntax_tree(code)
    imports = _imported_names(root)
    for child in root.children:
        definition = child
        if child.type == "decorated_definition":
            definition = child.child_by_field_name("definition") or child
        if definition.type != "function_definition" or definition.has_error:
            continue
        quotes = _docstring_quotes(definition)
        if quotes is not None:
            yield _function(child, definition, quotes, imports)


def _function(whole: Node, definition: Node, quotes: str, imports: dict[str, str]) -> Function:
    name = definition.child_by_field_name("name")
    parameters = definition.child_by_field_name("parameters")
    used = {_text(node) for node in _walk(definition) if node.type == "identifier"}
    modules = {imports[name] for name in used & imports.keys()}
    modules.update(_imported_names(definition, deep=True).values())
    return Function(
        name=_text(name) if name is not None else "",
        code=_text(whole),
        line_start=whole.start_point[0] + 1,
        line_end=whole.end_point[0] + 1,
        docstring_quotes=quotes,
        has_arguments=parameters is not None and any(node.is_named for node in parameters.children),
        returns_value=_returns_value(definition),
        modules=frozenset(modules),
    )


def _text(node: Node) -> str:
    return node.text.decode("utf-8", "replace") if node.text is not None else ""


def _walk(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(current.children)


def _docstring_quotes(definition: Node) -> str | None:
    body = definition.child_by_field_name("body")
    statements = (
        [node for node in body.children if node.is_named and node.type != "comment"] if body is not None else []
    )
    if not statements or statements[0].type != "expression_statement":
        return None
    string = statements[0].children[0] if statements[0].children else None
    if string is None or string.type != "string":
        return None
    text = _text(string).lstrip("rRuU")
    if len(text.strip("'\" \n")) == 0:
        return None
    return text[:3] if text[:3] in ('"""', "'''") else text[:1]


def _returns_value(definition: Node) -> bool:
    """A `return` with a value, or a `yield`, in the function itself and not in one inside it."""
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


def _imported_names(root: Node, deep: bool = False) -> dict[str, str]:
    """Local name -> top-level module, for the import statements of a module (or anywhere below, where deep)."""
    names: dict[str, str] = {}
    for node in _walk(root) if deep else root.children:
        if node.type == "import_statement":
            for child in node.named_children:
                dotted = _text(child.child_by_field_name("name") or child)
                alias = child.child_by_field_name("alias")
                top = dotted.partition(".")[0]
                names[_text(alias) if alias is not None else top] = top
        elif node.type == "import_from_statement":
            source = node.child_by_field_name("module_name")
            top = _text(source).partition(".")[0] if source is not None else ""
            for child in node.children_by_field_name("name"):
                alias = child.child_by_field_name("alias")
                target = _text(alias) if alias is not None else _text(child.child_by_field_name("name") or child)
                names[target] = top or "."
    return names
