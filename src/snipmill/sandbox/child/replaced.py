"""Replaces functions of the standard library by watching ones, also where that was done for an earlier program of the process."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
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
