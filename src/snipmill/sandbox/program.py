"""What the sandbox is asked to run, and under which limits."""

from __future__ import annotations

import msgspec

TIERS = ("namespaces", "uid", "landlock", "seatbelt", "none")  # from the strongest to none at all


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A Python program.

    `tests_line` is the line (from 1) where its tests part begins; None where the program is one text, of which the
    checks at module level and in test functions count.
    """

    source: str
    tests_line: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one program may use.

    `timeout` is wall time in seconds; `memory` is address space, `output` what it may write to stdout and stderr, and
    `disk` what it may write to files, all in bytes; `tasks` counts its processes and threads.
    """

    timeout: float = 10.0
    memory: int = 1 << 30
    output: int = 1 << 20
    disk: int = 128 << 20
    tasks: int = 64
