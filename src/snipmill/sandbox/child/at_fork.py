"""Collects the at-fork hooks of modules, so that they run only for the programs that need them.

The hooks of `threading` and `random` each add half a millisecond to every fork. A zygote has one thread and uses no
random numbers, so a program that mentions neither module needs no hooks.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class AtFork:
    """The hooks that modules register between `collect` and `leave`. Call `collect` before the modules are imported."""

    def __init__(self) -> None:
        self._register = os.register_at_fork
        self._collected: list[dict[str, Any]] = []

    def collect(self) -> None:
        """Collect the hooks that are registered from now on, instead of registering them."""
        os.register_at_fork = lambda **hooks: self._collected.append(hooks)

    def leave(self) -> None:
        """Restore the normal registration of hooks."""
        os.register_at_fork = self._register

    def catch_up(self, source: str | None) -> None:
        """Register the hooks for a program's own forks, and run those of the modules that it mentions, or all.

        To be called in the process of a program that imports something.

        Args:
            source: the program; None where the packages that are loaded may use any module.
        """
        for hooks in self._collected:
            self._register(**hooks)
            child = hooks.get("after_in_child")
            if child is not None and (source is None or child.__module__ in source):
                child()
