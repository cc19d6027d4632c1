"""Finds values that make a check hold whatever it compares: objects that claim to equal, contain or exceed everything.

No method of the program is called while it runs. A type that overrides a comparison is noted, and an instance of it, with
meaningless attributes, is asked once the program has ended.
"""

from __future__ import annotations

import operator
import sys
import types
from collections import deque

from snipmill.sandbox.child.own_builtins import BUILTINS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__builtins__ = BUILTINS  # programs may replace builtins

_DEPTH = 5
_MOST_ITEMS = 100
EQUAL, ORDER, CONTAINS, DIFFER, NEVER_DIFFER = "equal", "exceed", "contain", "differ", "never differ"
_CLAIM = {"==": EQUAL, "<": ORDER, "<=": ORDER, ">": ORDER, ">=": ORDER}
_METHODS = {
    EQUAL: ("__eq__",),
    DIFFER: ("__ne__", "__eq__"),
    NEVER_DIFFER: ("__ne__", "__eq__"),
    ORDER: ("__lt__", "__le__", "__gt__", "__ge__"),
    CONTAINS: ("__contains__",),
}
_ASKED: dict[str, tuple[Callable[[Any, Any], Any], ...]] = {
    EQUAL: (operator.eq,),
    DIFFER: (lambda bare, _: bare != bare,),
    NEVER_DIFFER: (lambda bare, stranger: not (bare != stranger),),  # noqa: SIM202
    ORDER: (operator.lt, operator.le, operator.gt, operator.ge),
    CONTAINS: (operator.contains,),
}
_ALWAYS_TRUE: tuple[type, ...] = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
    type,
    map,
    filter,
    zip,
    type(iter([])),
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
    "assertNotEqual": "!=",
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
NOTHING_TO_CHECK = "there is nothing for `all` or `any` to check"
_WIDE = 1e6  # a tolerance that is so many times the expected value proves nothing


class Noted:
    """A type of the program that overrides a comparison, and where it decided one.

    Attributes:
        kind: the type.
        method: the function that overrides it.
        claim: what an instance may claim: to equal, exceed or contain everything, or to differ from everything.
        whole: whether all that one side of the comparison consists of is of such types.
        attributes: the names of an instance's attributes.
    """

    def __init__(self, kind: type, claim: str, method: object, *, whole: bool, attributes: tuple[str, ...]) -> None:
        self.kind = kind
        self.method = method
        self.claim = claim
        self.whole = whole
        self.attributes = attributes


def why_true(value: object, own: frozenset[str]) -> str:
    """Why a true value is true whatever the code does; empty where it might have been false.

    Args:
        value: what was asserted.
        own: names of the modules whose types are the program's.
    """
    kind = type(value)
    if kind in _ALWAYS_TRUE or issubclass(kind, type) or kind.__name__ == "partial":
        return f"a {kind.__name__} is always true"
    if is_mock(value):
        return "a mock is always true"
    if kind.__module__ in own and not any(
        name in base.__dict__ for base in kind.__mro__ if base is not object for name in ("__bool__", "__len__")
    ):
        return "an object without a truth value of its own is always true"
    return ""


def why_equal(symbol: str, left: object, right: object) -> str:
    """Why a comparison holds whatever the code does: with a mock that equals everything, or within a tolerance that is too wide."""
    if symbol not in ("==", "in", "<", "<=", ">", ">=") or left is right:
        return ""
    if any(map(_is_wide, (left, right))):
        return "its tolerance is far wider than the value"
    if "unittest.mock" not in sys.modules:
        return ""
    if symbol == "in" and is_mock(right):
        return "a mock contains what it is told to"
    if _is_all_mocks(left) != _is_all_mocks(right):
        return "a mock equals everything, or what it is told to"
    return ""


def _is_all_mocks(side: object) -> bool:
    found = list(_leaves([side], _DEPTH))
    return bool(found) and all(map(is_mock, found))


def _is_wide(value: Any) -> bool:
    kind = type(value)
    if not kind.__module__.startswith("_pytest.") or not kind.__name__.startswith("Approx"):
        return False
    try:
        return bool(float(value.tolerance) >= _WIDE * max(1.0, abs(value.expected)))
    except Exception:  # of other kinds than numbers
        return False


def why_empty(name: str, arguments: tuple[Any, ...]) -> str:
    """Why a comparison of arrays holds: one is empty, so nothing of the other is compared."""
    if name in ("all", "any") and arguments:
        is_empty = is_empty_array(arguments[0]) or (type(arguments[0]) in (list, tuple) and not arguments[0])
        return NOTHING_TO_CHECK if is_empty else ""
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
    """Whether a value is a mock or `ANY` of `unittest.mock`. Its lists of calls and its sentinels compare as they should."""
    if "unittest.mock" not in sys.modules:
        return False
    return any(
        base.__module__ == "unittest.mock" and base.__name__ in ("NonCallableMock", "_ANY")
        for base in type(value).__mro__
    )


def noted_types(symbol: str, left: object, right: object, own: frozenset[str], *, holds: bool) -> Iterator[Noted]:
    """The program's own types on both sides that override the comparison.

    Args:
        symbol: the comparison.
        left: its left side.
        right: its right side.
        own: names of the modules whose types are the program's.
        holds: whether it held.
    """
    if symbol in ("in", "not in"):
        kind = type(right)
        if kind.__module__ in own:
            method = overriding(kind, _METHODS[CONTAINS], own)
            if method is not None:
                yield Noted(kind, CONTAINS, method, whole=True, attributes=_attributes(right))
            return
        sides, claim = ((left, right), EQUAL)
    else:
        differs = DIFFER if holds else NEVER_DIFFER
        sides, claim = (left, right), differs if symbol == "!=" else _CLAIM.get(symbol, "")
    for side in sides if claim else ():
        found = list(_leaves([side], _DEPTH if claim in (EQUAL, DIFFER, NEVER_DIFFER) else 1))
        methods = [overriding(type(leaf), _METHODS[claim], own) for leaf in found]
        for leaf, method in zip(found, methods, strict=True):
            if method is not None:
                yield Noted(type(leaf), claim, method, whole=None not in methods, attributes=_attributes(leaf))


def _leaves(values: Iterable[Any], depth: int) -> Iterator[Any]:
    """What values consist of: the values in containers of Python's own types, however deep."""
    for value in values:
        kind = type(value)
        if depth > 0 and kind in (list, tuple, set, frozenset, deque) and 0 < len(value) <= _MOST_ITEMS:
            yield from _leaves(list(value), depth - 1)
        elif depth > 0 and kind is dict and 0 < len(value) <= _MOST_ITEMS:
            yield from _leaves(list(value.values()), depth - 1)
        elif depth > 0 and issubclass(kind, tuple) and hasattr(kind, "_fields"):
            yield from _leaves(tuple.__iter__(value), depth - 1)
        else:
            yield value


def _attributes(value: Any) -> tuple[str, ...]:
    try:
        return tuple(object.__getattribute__(value, "__dict__"))
    except AttributeError:  # it has slots, or none
        return ()


def overriding(kind: type, methods: tuple[str, ...], own: frozenset[str]) -> types.FunctionType | None:
    """The program's function that stands for the first of the methods that a type of its own overrides."""
    for base in kind.__mro__:
        if base.__module__ not in own:
            continue
        for method in methods:
            function = base.__dict__.get(method)
            if isinstance(function, types.FunctionType):
                return function
    return None


def claims(noted: Noted, own: frozenset[str]) -> bool:
    """Whether an instance of a type, all of whose attributes are meaningless, compares true with anything."""
    strangers: tuple[object, ...] = (object(),) if noted.claim != ORDER else (object(), float("nan"))
    return any(all(_holds(ask, noted, stranger, own) for stranger in strangers) for ask in _ASKED[noted.claim])


def _holds(ask: Callable[[Any, Any], Any], noted: Noted, stranger: object, own: frozenset[str]) -> bool:
    try:
        return ask(_bare(noted, own), stranger) is True
    except BaseException:  # the program's own method may raise anything; then it does not always hold
        return False


def _bare(noted: Noted, own: frozenset[str]) -> Any:
    base = next(base for base in noted.kind.__mro__ if base.__module__ not in own)
    make: Any = base.__new__
    bare = make(noted.kind)
    for name in noted.attributes:
        object.__setattr__(bare, name, object())
    return bare
