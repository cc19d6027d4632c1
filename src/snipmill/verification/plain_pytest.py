"""Turns the parameters and fixtures of pytest's test functions into plain statements that bind them.

A test with parameters is expanded once for each set of values. A fixture becomes a plain function, and its name is bound to the
result.
A test that needs one of pytest's own fixtures, such as `tmp_path`, is left out.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Mapping, Sequence

from snipmill.sandbox.child.syntax import with_values

Binding = list[ast.stmt]
Fixtures = Mapping[str, ast.FunctionDef]
_MOST_SETS = 40  # sets of parameters of one test


def fixture_name(definition: ast.stmt) -> str | None:
    """The name under which tests ask for a fixture, or None if a definition is none."""
    if not isinstance(definition, ast.FunctionDef):
        return None
    for decorator in definition.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        if ast.unparse(call.func if call is not None else decorator) in ("pytest.fixture", "fixture"):
            given = {keyword.arg: keyword.value for keyword in call.keywords} if call is not None else {}
            name = given.get("name")
            if {"params", "autouse", "scope"} & given.keys() or not _can_be_plain(definition):
                return None
            return str(name.value) if isinstance(name, ast.Constant) else definition.name
    return None


def _can_be_plain(definition: ast.FunctionDef) -> bool:
    """Whether a fixture returns its value, or yields it in a statement of its own."""
    yields = sum(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(definition))
    plain = sum(isinstance(one, ast.Expr) and isinstance(one.value, ast.Yield) for one in definition.body)
    return yields == plain <= 1 and not definition.args.kwonlyargs


def prepares_tests(definition: ast.stmt) -> bool:
    """Whether a definition runs before each test without being asked for: an `autouse` fixture, or `setup_function`."""
    if not isinstance(definition, ast.FunctionDef):
        return False
    marks = " ".join(map(ast.unparse, definition.decorator_list))
    return definition.name in ("setup_function", "setup_module") or ("fixture" in marks and "autouse=True" in marks)


def plain_fixture(definition: ast.FunctionDef, name: str) -> ast.FunctionDef:
    """A fixture as a plain function that returns its value; what it does afterwards is left out."""
    made = copy.deepcopy(definition)
    made.decorator_list, made.name = [], name
    body: list[ast.stmt] = []
    for statement in made.body:
        value = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(value, ast.Yield):
            body.append(ast.Return(value.value))
            break
        body.append(statement)
    made.body = body
    return ast.fix_missing_locations(made)


def expand(
    test: ast.FunctionDef, fixtures: Fixtures, *, decorators: Sequence[ast.expr] = (), method: bool = False
) -> list[list[ast.stmt]]:
    """The bodies of a test, one for each set of its parameters, with all its arguments bound; none if that is not possible.

    Args:
        test: a test function, or a method.
        fixtures: the fixtures that the tests define, by name.
        decorators: those of the test's class.
        method: whether the first argument is `self`.
    """
    names = [argument.arg for argument in test.args.args][method:]
    marks = [*decorators, *test.decorator_list]
    if not all(map(_is_understood, marks)) or test.args.kwonlyargs or _returns(test.body):
        return []
    sets = itertools.islice(itertools.product(*map(_values, map(_parametrize, marks))), _MOST_SETS)
    found = []
    for parts in sets:
        if None in parts:
            return []
        values = {name: value for part in parts if part is not None for name, value in part.items()}
        bound = _bind(names, values, fixtures, (), set())
        if bound is None:
            return []
        body = [copy.deepcopy(statement) for statement in test.body]
        literal = {name: value for name, value in values.items() if name in names and _may_replace(name, value, body)}
        kept = [one for one in bound if not (isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) in literal)]
        found.append([ast.fix_missing_locations(with_values(one, literal)) for one in (*kept, *body)])
    return found


def _is_understood(decorator: ast.expr) -> bool:
    """Whether a decorator leaves a test as it is, parameters aside: any mark that neither skips it nor changes what it needs."""
    name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
    owner, _, mark = name.rpartition(".")
    return owner.endswith("mark") and mark not in ("skip", "skipif", "xfail", "usefixtures")


def _returns(body: Sequence[ast.stmt]) -> bool:
    """Whether a function may return before its end: then its statements cannot stand outside of it."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Return):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))
    return False


def _parametrize(decorator: ast.expr) -> ast.Call | None:
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("mark.parametrize"):
        return decorator
    return None


def _values(call: ast.Call | None) -> list[dict[str, ast.expr] | None]:
    """The sets of values that a decorator gives; [{}] if it gives none, [None] if they cannot be read."""
    if call is None:
        return [{}]
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    names = _names(call.args[0] if call.args else given.get("argnames"))
    values = call.args[1] if len(call.args) > 1 else given.get("argvalues")
    if names is None or not isinstance(values, ast.List | ast.Tuple) or "indirect" in given:
        return [None]
    return [_one_set(names, item) for item in values.elts]


def _names(node: ast.expr | None) -> list[str] | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [name.strip() for name in node.value.split(",") if name.strip()]
    if isinstance(node, ast.List | ast.Tuple) and all(isinstance(item, ast.Constant) for item in node.elts):
        return [str(item.value) for item in node.elts if isinstance(item, ast.Constant)]
    return None


def _one_set(names: list[str], item: ast.expr) -> dict[str, ast.expr] | None:
    if isinstance(item, ast.Call) and ast.unparse(item.func) in ("pytest.param", "param"):
        parts: Sequence[ast.expr] = item.args
        if any(keyword.arg == "marks" for keyword in item.keywords):
            return None
    elif len(names) == 1:
        parts = [item]
    else:
        parts = item.elts if isinstance(item, ast.Tuple | ast.List) else []
    return dict(zip(names, parts, strict=True)) if len(parts) == len(names) else None


def _bind(
    names: Sequence[str], values: Mapping[str, ast.expr], fixtures: Fixtures, asking: tuple[str, ...], done: set[str]
) -> Binding | None:
    """Statements that bind names to values or to what fixtures return; None if there is neither, or a circle.

    Args:
        names: what to bind.
        values: of parameters.
        fixtures: by name.
        asking: the fixtures that ask for these names.
        done: names that are bound already; a fixture is called once for each test.
    """
    bound: Binding = []
    for name in names:
        if name in done:
            continue
        if name in values:
            value: ast.expr = copy.deepcopy(values[name])
        elif name in fixtures and name not in asking:
            arguments = [argument.arg for argument in fixtures[name].args.args]
            needed = _bind(arguments, values, fixtures, (*asking, name), done)
            if needed is None:
                return None
            bound += needed
            value = ast.Call(ast.Name(name, ast.Load()), [ast.Name(one, ast.Load()) for one in arguments], [])
        else:
            return None
        done.add(name)
        bound.append(ast.Assign([ast.Name(name, ast.Store())], value))
    return [ast.fix_missing_locations(statement) for statement in bound]


def _may_replace(name: str, value: ast.expr, body: Sequence[ast.stmt]) -> bool:
    """Whether a parameter may be replaced by its value: a constant, or a literal that is used once; and it is not bound anew."""
    nodes = [node for one in body for node in ast.walk(one)]
    uses = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    if any(not isinstance(node.ctx, ast.Load) for node in uses) or any(_binds(node, name) for node in nodes):
        return False
    in_loop = any(
        isinstance(outer, ast.For | ast.While | ast.comprehension | ast.FunctionDef | ast.Lambda)
        and any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(outer))
        for one in body
        for outer in ast.walk(one)
    )
    return isinstance(value, ast.Constant) or (len(uses) <= 1 and not in_loop)


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a node binds a name otherwise than by an assignment."""
    if isinstance(node, ast.arg):
        return node.arg == name
    if isinstance(node, ast.ExceptHandler | ast.FunctionDef | ast.ClassDef | ast.MatchAs | ast.MatchStar):
        return node.name == name
    return isinstance(node, ast.alias) and (node.asname or node.name) == name
