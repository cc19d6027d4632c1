"""Replaces functions of the standard library by watching ones, also where that was done for an earlier program of the process."""

from __future__ import annotations

import contextlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def original(function: Any) -> Any:
    """What a function of ours stands for; the function itself, if it is none of ours."""
    return getattr(function, "original", function)


def replace(owner: Any, name: str, function: Any) -> None:
    """Replace `owner.name` by a function, under the same name."""
    function.original = original(getattr(owner, name))
    function.__name__ = name
    function.__qualname__ = f"{owner.__name__}.{name}"
    setattr(owner, name, function)


@contextlib.contextmanager
def unchanged(*owners: tuple[str, str]) -> Iterator[None]:
    """Undo what a program does to modules and classes that the next program of the process uses too.

    Args:
        owners: name of a module, and of a class in it or nothing for the module itself. What is not loaded is left alone.
    """
    loaded = [(sys.modules[module], name) for module, name in owners if module in sys.modules]
    found = [getattr(module, name) if name else module for module, name in loaded]
    kept = [(owner, dict(vars(owner))) for owner in found]
    try:
        yield
    finally:
        for owner, names in kept:
            for name, value in names.items():
                if vars(owner).get(name) is not value:
                    setattr(owner, name, value)
