"""Keeps what modules want done in every forked child, so that it is done for the programs that it is for.

`threading` and `random` each put half a millisecond of work on every fork. A zygote has one thread and nothing random, so a
program that speaks of neither needs none of it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class AtFork:
    """What has been registered while `collect` was in force. Begin before the modules are imported."""

    def __init__(self) -> None:
        self._register = os.register_at_fork
        self._collected: list[dict[str, Any]] = []

    def collect(self) -> None:
        """Take over what is registered from here on."""
        os.register_at_fork = lambda **hooks: self._collected.append(hooks)

    def leave(self) -> None:
        """Let modules register as they do elsewhere."""
        os.register_at_fork = self._register

    def catch_up(self, source: str) -> None:
        """In the process of a program that imports something: do what its modules want done, and register it for its own forks."""
        for hooks in self._collected:
            self._register(**hooks)
            child = hooks.get("after_in_child")
            if child is not None and child.__module__ in source:
                child()
