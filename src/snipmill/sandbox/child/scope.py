"""Where in a program a statement stands: in which definitions, and what is known of the names around it."""

from __future__ import annotations

from snipmill.sandbox.child.bindings import Bindings
from snipmill.sandbox.child.statements import needs_no_argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from typing import Any


class Scope:
    """The surroundings of a statement.

    Attributes:
        path: names of the enclosing definitions.
        in_class: directly in a class.
        in_test: inside a definition that is named like a test.
        is_direct: at module level, or in a test function and not in one inside it.
        is_async: in an `async def`.
        is_conditional: in an `if` or a `try` of the module.
        bindings: what names of the innermost function are bound to.
        patched: names that are bound to what a patched function returns.
        later: the statements behind this one in its function.
    """

    def __init__(self, bindings: Bindings) -> None:
        self.path: tuple[str, ...] = ()
        self.in_class = False
        self.in_test = False
        self.is_direct = True
        self.is_async = False
        self.is_conditional = False
        self.bindings = bindings
        self.patched: frozenset[str] = frozenset()
        self.later: list[ast.stmt] = []

    @property
    def is_inner(self) -> bool:
        """Whether a function that stands here is inside another one."""
        return bool(self.path) and not self.in_class

    def expects_to_run(self, node: ast.FunctionDef | ast.AsyncFunctionDef, *, is_test: bool) -> bool:
        """Whether a function that stands here, and holds checks, is meant to run: a test, or what can be called as it is."""
        if self.is_conditional:
            return False
        if is_test or self.is_inner:
            return is_test or node.name.startswith("test")
        in_tests = self.in_test or not self.in_class
        return in_tests and not node.decorator_list and needs_no_argument(node, method=self.in_class)

    def inside(self, name: str = "", **changes: Any) -> Scope:
        """The scope of a block, or of a definition of this name, that stands here."""
        scope = Scope(self.bindings)
        scope.__dict__.update(self.__dict__, **changes)
        if name:
            scope.path = (*self.path, name)
        return scope
