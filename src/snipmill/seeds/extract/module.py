"""A Python file as a list of top-level statements, and the context that a function needs from them to stand alone.

Names are resolved transitively, from the function to the statements that bind them, until all are bound. Does not cover
names that exist only at run time (globals() and the like).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from snipmill.reasons import Reason
from snipmill.seeds.extract.inference import infer_import
from snipmill.seeds.extract.names import Names, names_of
from snipmill.text.code import syntax_tree
from snipmill.text.sections import Malformed

_IMPORTS = ("import_statement", "import_from_statement", "future_import_statement")
_DEFINED = ("function_definition", "class_definition")
_ANNOTATED = re.compile(r"->|\w[ \t]*:[ \t]*[\w\"'\[(]")  # also matches slices and lambdas: an extra line is harmless
# A statement that mutates the object that a module-level name is bound to.
_CHANGED = re.compile(r"^\s*(\w+)(?:(?:\[[^\n]*\]|\.\w+) *[-+*/|&%@^<>]{0,3}=(?!=)|(?:\.\w+)+\()", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `from source import name as local`, or `import name as local` if there is no source."""

    local: str
    name: str
    source: str | None
    explicit: bool  # whether `as` was written

    @property
    def module(self) -> str:
        """The full name of the imported module."""
        return self.source if self.source is not None else self.name

    @property
    def top(self) -> str:
        """The top-level package that must be available; empty for a relative import."""
        return self.module.partition(".")[0]

    @property
    def is_submodule(self) -> bool:
        """Whether it binds a package by importing a submodule: `import xml.dom`."""
        return self.source is None and not self.explicit and "." in self.name

    @property
    def code(self) -> str:
        """The import as a separate statement."""
        whole = f"{self.name} as {self.local}" if self.explicit else self.name
        return f"import {whole}" if self.source is None else f"from {self.source} import {whole}"


@dataclass(slots=True)
class Statement:
    """A top-level statement other than an import. Its names are looked up on demand."""

    code: str
    bound: frozenset[str]
    _names: Names | None = None

    def needed(self) -> frozenset[str]:
        """The names that the statement needs.

        Raises:
            SyntaxError: the running Python cannot parse it.
        """
        if self._names is None:
            self._names = names_of(self.code)
        return self._names.needed


@dataclass(frozen=True, slots=True)
class Context:
    """The code to put before a function, and the top-level packages that this code imports."""

    code: str
    modules: frozenset[str]


@dataclass(slots=True)
class Module:
    """The statements of a file, indexed by the names that they bind."""

    future: list[str] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    # in file order; an int is an index into `statements`
    binders: dict[str, list[Import | int]] = field(default_factory=dict)
    changers: dict[str, list[int]] = field(default_factory=dict)  # statements that mutate what a name is bound to

    @classmethod
    def read(cls, root: Node) -> Module:
        """Read a module from its syntax tree."""
        module = cls()
        for node in root.children:
            if node.type in _IMPORTS:
                module._add_imports(node)
            elif node.is_named and node.type not in ("comment", "ERROR") and not node.has_error:
                module._add_statement(node)
        return module

    def _add_imports(self, node: Node) -> None:
        for found in imports_of(node):
            if found.name == "*":
                self.stars.append(found.module)
            elif found.source == "__future__":
                self.future.append(found.name)
            else:
                self.binders.setdefault(found.local, []).append(found)

    def _add_statement(self, node: Node) -> None:
        code = text_of(node)
        inner = node.child_by_field_name("definition") or node
        names: Names | None = None
        if inner.type in _DEFINED:
            name = inner.child_by_field_name("name")
            bound = frozenset({text_of(name)}) if name is not None else frozenset()
        elif inner.type == "if_statement" and "__name__" in text_of(inner.child_by_field_name("condition")):
            return  # does not run on import, so no function depends on it
        elif inner.type == "expression_statement" and inner.children and inner.children[0].type == "string":
            return
        elif inner.type == "expression_statement" and inner.children and inner.children[0].type == "call":
            bound = frozenset()
        else:
            try:
                names = names_of(code)
            except SyntaxError:
                return
            bound = names.bound
        number = len(self.statements)
        for name_bound in bound:
            self.binders.setdefault(name_bound, []).append(number)
        if inner.type not in _DEFINED:
            for changed in set(_CHANGED.findall(code)) - bound:
                self.changers.setdefault(changed, []).append(number)
        self.statements.append(Statement(code, bound, names))

    def context_of(self, code: str, max_lines: int, allow: Collection[str] = ()) -> Context | Malformed:
        """The context that a function needs to stand alone.

        Args:
            code: the function, as top-level code.
            max_lines: maximum number of context lines, not counting imports.
            allow: reason codes of disabled rules.

        Returns:
            The context, or what is wrong: `syntax-error`, `undefined-name` or `context-too-long`.
        """
        try:
            names = names_of(code)
            unbounded = Reason.CONTEXT_TOO_LONG in allow
            imports, chosen, missing = self._follow(names, sys.maxsize if unbounded else max_lines)
        except SyntaxError as error:
            return Malformed(Reason.SYNTAX_ERROR, f"line {error.lineno or 1}: {error.msg or error}")
        # A star import may bind the missing names, so nothing is inferred if there is one.
        inferred = [f"from {star} import *" for star in self.stars] if missing else []
        for name in sorted(missing) if not self.stars else ():
            found = infer_import(name, code)
            if found is not None:
                inferred.append(found)
            elif Reason.UNDEFINED_NAME not in allow:
                return Malformed(Reason.UNDEFINED_NAME, f"its file does not define or import {name!r}.")
        statements = [self.statements[index].code for index in sorted(chosen)]
        lines = sum(statement.count("\n") + 1 for statement in statements)
        if lines > max_lines and not unbounded:
            return Malformed(Reason.CONTEXT_TOO_LONG, f"it needs {lines} lines of context besides imports.")
        future = sorted(set(self.future)) if _ANNOTATED.search("\n".join([code, *statements])) else []
        heads = [f"from __future__ import {', '.join(future)}"] if future else []
        heads += _import_lines(imports, inferred)
        modules = {found.top for found in imports} | {_module_of(line) for line in inferred}
        for statement in statements:
            if "import" in statement:
                modules |= modules_inside(syntax_tree(statement.encode("utf-8", "surrogatepass")))
        blocks = ["\n".join(heads), *statements]
        return Context("\n\n\n".join(block for block in blocks if block), frozenset(modules))

    def _follow(self, names: Names, max_lines: int) -> tuple[list[Import], set[int], set[str]]:
        imports: dict[str, Import] = {}  # keyed by their code
        chosen: set[int] = set()
        missing: set[str] = set()
        seen = set(names.bound)
        waiting = sorted(names.needed, reverse=True)
        lines = 0
        while waiting and lines <= 4 * max_lines:  # beyond that, it is dropped anyway
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            binders = self.binders.get(name, [])
            if not binders:
                missing.add(name)
                continue
            last = binders[-1]
            if isinstance(last, Import):
                # All imports of submodules bind the name of the package, and all of them are needed.
                submodules = [one for one in binders if isinstance(one, Import) and one.is_submodule]
                imports |= {one.code: one for one in (submodules if last.is_submodule else [last])}
                numbers = []
            else:
                numbers = [one for one in binders if isinstance(one, int)]
            for index in [*numbers, *self.changers.get(name, [])]:
                if index not in chosen:
                    chosen.add(index)
                    statement = self.statements[index]
                    lines += statement.code.count("\n") + 1
                    waiting += sorted(statement.needed() - seen, reverse=True)
        return list(imports.values()), chosen, missing


def text_of(node: Node | None) -> str:
    """The source of a node."""
    return node.text.decode("utf-8", "replace") if node is not None and node.text is not None else ""


def imports_of(node: Node) -> Iterator[Import]:
    """The names that an import statement binds."""
    source: str | None = None
    if node.type == "future_import_statement":
        source = "__future__"
    elif node.type == "import_from_statement":
        source = text_of(node.child_by_field_name("module_name"))
        if any(child.type == "wildcard_import" for child in node.children):
            yield Import("*", "*", source, False)
            return
    for child in node.children_by_field_name("name"):
        alias = child.child_by_field_name("alias")
        name = text_of(child.child_by_field_name("name") or child)
        local = text_of(alias) if alias is not None else (name.partition(".")[0] if source is None else name)
        yield Import(local, name, source, alias is not None)


def modules_inside(definition: Node) -> frozenset[str]:
    """The top-level packages that are imported inside a function."""
    if b"import" not in (definition.text or b""):
        return frozenset()
    modules: set[str] = set()
    stack = [definition]
    while stack:
        node = stack.pop()
        if node.type in ("import_statement", "import_from_statement"):
            modules.update(found.top for found in imports_of(node))
        else:
            stack.extend(node.children)
    return frozenset(modules)


def _import_lines(imports: list[Import], inferred: list[str]) -> list[str]:
    """Sorted import statements; imports from the same module are merged."""
    plain = {found.code for found in imports if found.source is None}
    grouped: dict[str, list[str]] = {}
    for found in imports:
        if found.source is not None:
            grouped.setdefault(found.source, []).append(
                f"{found.name} as {found.local}" if found.explicit else found.name
            )
    joined = {f"from {source} import {', '.join(sorted(names))}" for source, names in grouped.items()}
    return sorted(plain | {line for line in inferred if line.startswith("import ")}) + sorted(
        joined | {line for line in inferred if line.startswith("from ")}
    )


def _module_of(line: str) -> str:
    return line.split()[1].partition(".")[0]
