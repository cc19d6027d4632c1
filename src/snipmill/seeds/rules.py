"""The published rules for seeds, each with a reason code: which functions are worth growing a task from.

Does not cover near duplicates, types, licences and contamination.
"""

from __future__ import annotations

import re

from snipmill.seeds.extract import Function
from snipmill.text.sections import Malformed

DENIED_MODULES = frozenset({"os", "sys", "subprocess", "argparse", "setuptools", "distutils", "matplotlib", "seaborn"})
MAX_LINES = 150
_UNFINISHED = re.compile(r"\b(todo|fixme|bug)\b", re.IGNORECASE)


def check_function(function: Function, max_lines: int = MAX_LINES) -> Malformed | None:
    """The first rule that a function breaks, or None.

    Source: the seed-gathering step of StarCoder2-Instruct, with imports and words matched as such and not as substrings.
    """
    lines = function.line_end - function.line_start + 1
    if len(function.docstring_quotes) != 3:
        return Malformed("docstring-not-triple-quoted", f"{function.name}: its docstring has single quotes.")
    if not function.has_arguments:
        return Malformed("no-arguments", f"{function.name} takes no arguments.")
    if not function.returns_value:
        return Malformed("no-return-value", f"{function.name} returns nothing.")
    if lines > max_lines:
        return Malformed("too-long", f"{function.name} has {lines} lines; at most {max_lines} are used.")
    unfinished = _UNFINISHED.search(function.code)
    if unfinished:
        return Malformed("unfinished", f"{function.name} says {unfinished.group()!r}.")
    denied = sorted(function.modules & DENIED_MODULES)
    if denied:
        return Malformed("denied-import", f"{function.name} uses {', '.join(denied)}.")
    return None
