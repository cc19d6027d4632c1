"""Looks at the values that checks compare: whether they could have come out otherwise."""

from __future__ import annotations

import builtins
import operator

from snipmill.sandbox.child import claims
from snipmill.sandbox.child.claims import CONTAINS, DIFFER, EQUAL, NEVER_DIFFER, ORDER, Noted
from snipmill.sandbox.child.own_builtins import BUILTINS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__builtins__ = BUILTINS  # programs may replace builtins

EVERYTHING = "one side equals, exceeds or contains everything, so the comparison proves nothing"
_PLAIN = frozenset({int, str, float, bool, bytes, complex, type(None)})
_SIZED = (list, tuple, str, bytes, dict, set, frozenset, range)
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is": operator.is_,
    "is not": operator.is_not,
    "in": lambda left, right: left in right,
    "not in": lambda left, right: left not in right,
}
# What the result of a comparison shows that a type does not claim: where `!=` holds, it does not equal everything.
_DENIED: dict[tuple[str, bool], tuple[str, ...]] = {
    ("==", False): (EQUAL, NEVER_DIFFER),
    ("==", True): (DIFFER,),
    ("!=", True): (EQUAL, NEVER_DIFFER),
    ("!=", False): (DIFFER,),
    ("in", False): (EQUAL, CONTAINS),
    ("not in", True): (EQUAL, CONTAINS),
    **{(symbol, False): (ORDER,) for symbol in ("<", "<=", ">", ">=")},
}


def is_plain(value: Any) -> bool:
    """Whether a value is one of Python's own kinds, or a list of such values: most are, and there is nothing more to see."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is list or kind is tuple:
        return _PLAIN.issuperset(map(type, value))
    return False


class Values:
    """What the values of the checks so far say.

    Attributes:
        cut_short: lines of loops over `zip` that left items out.
        in_condition: whether parts of a condition were looked at since the last check.
    """

    def __init__(self, own: frozenset[str]) -> None:
        self.cut_short: set[int] = set()
        self.in_condition = False
        self._own = own
        self._nothing_compared = ""  # why the condition that is being evaluated compares nothing
        self._compared = [0, 0]  # comparisons in that condition, and those of them that hold always
        self._noted: dict[tuple[object, str], tuple[Noted, dict[int, int]]] = {}
        self._denied: set[tuple[object, str]] = set()  # methods that were seen to say otherwise

    def why_condition_is_empty(self) -> str:
        """Why the condition that was just evaluated proves nothing; empty if it may prove something."""
        total, always = self._compared
        reason = self._nothing_compared or (EVERYTHING if total and total == always else "")
        self._nothing_compared, self._compared, self.in_condition = "", [0, 0], False
        return reason

    def look(self, site: int, symbol: str, left: Any, right: Any, *, holds: bool) -> tuple[bool, str]:
        """Look at the two sides of a comparison.

        Returns:
            Whether types of the program decide it, and why it holds whatever the code does.
        """
        if is_plain(left) and is_plain(right):
            return False, ""
        found = list(claims.noted_types(symbol, left, right, self._own, holds=holds))
        for noted in found:
            key = (noted.method, noted.claim)
            self._denied.update((noted.method, claim) for claim in _DENIED.get((symbol, holds), ()))
            if key in self._denied:
                continue
            _, sites = self._noted.setdefault(key, (noted, {}))
            sites[site] = sites.get(site, 0) + noted.whole
        return bool(found), claims.why_equal(symbol, left, right) if holds else ""

    def nested(self, site: int, symbol: str, left: Any, right: Any) -> Any:
        """A comparison inside a condition."""
        result = OPERATORS[symbol](left, right)
        self.in_condition = True
        if result is True or result is False:
            _, why = self.look(site, symbol, left, right, holds=result)
            self._compared[0] += 1
            self._compared[1] += bool(why)
        return result

    def all(self, function: Any, items: Any) -> Any:
        """Stand for `all(items)`, or for the method `all` of the items where the function is None."""
        return self._quantified(function, items, "all", builtins.all, until=False)

    def any(self, function: Any, items: Any) -> Any:
        """Stand for `any(items)`, or for the method `any` of the items where the function is None."""
        return self._quantified(function, items, "any", builtins.any, until=True)

    def _quantified(self, function: Any, items: Any, name: str, builtin: Any, *, until: bool) -> Any:
        if function is None:
            if claims.is_empty_array(items):
                self._nothing_compared, self.in_condition = claims.NOTHING_TO_CHECK, True
            return getattr(items, name)()
        if function is not builtin and function is not BUILTINS[name]:
            return function(items)
        is_empty = True
        for item in items:
            is_empty = False
            if bool(item) == until:
                return until
        if is_empty:
            self._nothing_compared, self.in_condition = claims.NOTHING_TO_CHECK, True
        return not until

    def arrays(self, function: Any) -> Callable[..., Any]:
        """Stand for a function that compares arrays in a condition."""

        def compared(*args: Any, **kwargs: Any) -> Any:
            self._nothing_compared, self.in_condition = claims.why_empty(getattr(function, "__name__", ""), args), True
            return function(*args, **kwargs)

        return compared

    def zip(self, line: int, function: Any) -> Callable[..., Any]:
        """Stand for `zip` in a loop over checks, and note if it leaves items out."""

        def zipped(*parts: Any) -> Any:
            sizes = {len(part) for part in parts if isinstance(part, _SIZED)}
            if function is BUILTINS["zip"] and len(sizes) > 1:
                self.cut_short.add(line)
            return function(*parts)

        return zipped

    def always_holding(self) -> Iterator[tuple[Noted, dict[int, int]]]:
        """The types that hold whatever they are compared with, now that the program has ended, with the checks that they decided.

        Of each check, the number of times that one side consisted of such types alone.
        """
        for key, (noted, sites) in self._noted.items():
            if key not in self._denied and claims.claims(noted, self._own):
                yield noted, sites
