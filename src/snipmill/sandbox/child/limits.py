"""Resource limits of programs: those that their zygote shares with them, and those that each sets for itself."""

from __future__ import annotations

import resource
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST_FILES = 256  # descriptors of one process


class Limits:
    """What one program may use: seconds of wall time, bytes of address space, of output and of files, and tasks."""

    def __init__(self, timeout: float, memory: int, output: int, disk: int, tasks: int) -> None:
        self.timeout = timeout
        self.memory = memory
        self.output = output
        self.disk = disk
        self.tasks = tasks


def set_standing_limits(limits: Limits) -> None:
    """Those resource limits of programs that their zygote can live with: children inherit them."""
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_NOFILE, MOST_FILES),
    ):
        resource.setrlimit(kind, _bounded(kind, value))


def limiting(limits: Limits, tasks: int | None) -> list[Callable[[], object]]:
    """The resource limits that only a program and its children can have.

    The kernel counts tasks by user. None sets no limit: where no process can be made, the stacks of threads count as memory.
    """
    wanted = [(resource.RLIMIT_AS, limits.memory), (resource.RLIMIT_CPU, int(limits.timeout) + 2)]
    if tasks is not None:
        wanted.append((resource.RLIMIT_NPROC, tasks))
    return [partial(resource.setrlimit, kind, _bounded(kind, value)) for kind, value in wanted]


def _bounded(kind: int, value: int) -> tuple[int, int]:
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return bound, bound
