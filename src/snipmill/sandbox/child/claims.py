"""Finds values that make a check hold whatever it compares: objects that claim to equal, contain or exceed everything.

No method of the program is called while it runs. A type that overrides a comparison is noted, and an empty instance of it is asked
once the program has ended.
"""

from __future__ import annotations

import operator
import sys
import types

from snipmill.sandbox.child.own_builtins import BUILTINS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__builtins__ = BUILTINS  # programs may replace builtins

_DEPTH = 2
_MOST_ITEMS = 100
_EQUAL, _ORDER, _CONTAINS = "equal", "order", "contain"
_CLAIM = {"==": _EQUAL, "in": _CONTAINS, "<": _ORDER, "<=": _ORDER, ">": _ORDER, ">=": _ORDER}
_METHODS = {_EQUAL: ("__eq__",), _ORDER: ("__lt__", "__le__", "__gt__", "__ge__"), _CONTAINS: ("__contains__",)}
_ASKED: dict[str, tuple[Callable[[Any, Any], Any], ...]] = {
    _EQUAL: (operator.eq,),
    _ORDER: (operator.lt, operator.le, operator.gt, operator.ge),
    _CONTAINS: (operator.contains,),
}
_ALWAYS_TRUE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
    type,
)
# The comparison that a method of `unittest.TestCase` makes.
METHODS = {
    "assertEqual": "==",
    "assertSequenceEqual": "==",
    "assertListEqual": "==",
    "assertTupleEqual": "==",
    "assertDictEqual": "==",
    "assertSetEqual": "==",
    "assertCountEqual": "==",
    "assertAlmostEqual": "==",
    "assertIn": "in",
    "assertGreater": ">",
    "assertGreaterEqual": ">=",
    "assertLess": "<",
    "assertLessEqual": "<=",
}
_ARRAYS = frozenset(
    {"assert_array_equal", "assert_allclose", "assert_array_almost_equal", "assert_equal", "assert_almost_equal"}
    | {"allclose", "isclose", "array_equal"}
)


def why_true(value: object, own: frozenset[str]) -> str:
    """Why a true value is true whatever the code does; empty where it might have been false.

    Args:
        value: what was asserted.
        own: names of the modules whose types are the program's.
    """
    kind = type(value)
    if kind in _ALWAYS_TRUE or issubclass(kind, type):
        return f"a {kind.__name__} is always true"
    if is_mock(value):
        return "a mock is always true"
    if kind.__module__ in own and not _overriding(kind, ("__bool__", "__len__"), own):
        return "an object without a truth value of its own is always true"
    return ""


def why_equal(symbol: str, left: object, right: object) -> str:
    """Why a comparison with a mock holds whatever the code does."""
    if symbol not in _CLAIM or left is right:
        return ""
    one, other = is_mock(left), is_mock(right)
    if one != other and (symbol != "in" or other):
        return "a mock equals, contains or exceeds everything that it is told to"
    return ""


def why_empty(name: str, arguments: tuple[Any, ...]) -> str:
    """Why a comparison of arrays holds: one is empty, so nothing of the other is compared."""
    if name not in _ARRAYS or len(arguments) < 2:
        return ""
    sizes = [_size(argument) for argument in arguments[:2]]
    return "an empty array is compared with a value" if 0 in sizes and sizes[0] != sizes[1] else ""


def _size(value: Any) -> int:
    if type(value).__module__ == "numpy":
        return int(value.size)
    return len(value) if type(value) in (list, tuple) else 1


def is_empty_array(value: Any) -> bool:
    """Whether a value is an array of numpy or pandas without elements."""
    return type(value).__module__.partition(".")[0] in ("numpy", "pandas") and getattr(value, "size", 1) == 0


def is_mock(value: object) -> bool:
    """Whether a value was made by `unittest.mock`, `ANY` included."""
    return "unittest.mock" in sys.modules and any(base.__module__ == "unittest.mock" for base in type(value).__mro__)


def noted_types(symbol: str, left: object, right: object, own: frozenset[str]) -> Iterator[tuple[type, str, bool]]:
    """The program's own types on both sides that override the comparison: type, claim, and whether it is a whole side."""
    claim = _CLAIM.get(symbol)
    if claim is None:
        return
    sides = (right,) if symbol == "in" else (left, right)
    for side in sides:
        for kind, whole in _own_types(side, _DEPTH if claim == _EQUAL else 0, own):
            if _overriding(kind, _METHODS[claim], own):
                yield kind, claim, whole


def _own_types(value: Any, depth: int, own: frozenset[str]) -> Iterator[tuple[type, bool]]:
    kind = type(value)
    if kind.__module__ in own:
        yield kind, True
    elif depth > 0 and kind in (list, tuple, set, frozenset, dict) and len(value) <= _MOST_ITEMS:
        for item in list(value.values()) if kind is dict else list(value):
            for inner, _ in _own_types(item, depth - 1, own):
                yield inner, False


def _overriding(kind: type, methods: tuple[str, ...], own: frozenset[str]) -> types.FunctionType | None:
    """The program's function that stands for the first of the methods that a type of its own overrides."""
    for base in kind.__mro__:
        if base.__module__ not in own:
            continue
        for method in methods:
            function = base.__dict__.get(method)
            if isinstance(function, types.FunctionType):
                return function
    return None


def claims(kind: type, claim: str, own: frozenset[str]) -> bool:
    """Whether an instance of a type, which has no attributes, compares true with anything."""
    strangers: tuple[object, ...] = (object(),) if claim != _ORDER else (object(), float("nan"))
    return any(all(_holds(ask, kind, stranger, own) for stranger in strangers) for ask in _ASKED[claim])


def _holds(ask: Callable[[Any, Any], Any], kind: type, stranger: object, own: frozenset[str]) -> bool:
    try:
        return ask(_bare(kind, own), stranger) is True
    except BaseException:  # the program's own method may raise anything; then it does not always hold
        return False


def _bare(kind: type, own: frozenset[str]) -> Any:
    for base in kind.__mro__:
        if base.__module__ not in own:
            make: Any = base.__new__
            return make(kind)
    raise TypeError


def first_line(kind: type, claim: str, own: frozenset[str]) -> int:
    """The line of the method that makes a claim."""
    function = _overriding(kind, _METHODS[claim], own)
    return function.__code__.co_firstlineno if function is not None else 0
