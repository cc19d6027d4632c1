"""Resource limits of programs: those inherited from their zygote, and those that each program sets for itself."""

from __future__ import annotations

import resource
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST_FILES = 1024  # maximum number of open descriptors per process


class Limits:
    """Limits of one program: wall time in seconds; address space, output and files in bytes; number of tasks."""

    def __init__(self, timeout: float, memory: int, output: int, disk: int, tasks: int) -> None:
        self.timeout = timeout
        self.memory = memory
        self.output = output
        self.disk = disk
        self.tasks = tasks


def set_standing_limits(limits: Limits) -> None:
    """Set the resource limits that the zygote can share with its programs, which inherit them."""
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_NOFILE, MOST_FILES),
    ):
        resource.setrlimit(kind, _bounded(kind, value))


def limit_own_cpu(seconds: float | None) -> None:
    """Let the kernel end this process when it has used as much CPU time; None takes the limit away."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (hard if seconds is None else int(used + seconds) + 1, hard))


def limiting(limits: Limits, tasks: int | None) -> list[Callable[[], object]]:
    """Prepare the resource limits that apply only to a program and its children.

    The kernel counts tasks per user. None sets no task limit: if no process can be created, the stacks of threads count
    as memory.
    """
    wanted = [(resource.RLIMIT_AS, limits.memory), (resource.RLIMIT_CPU, int(limits.timeout) + 2)]
    if tasks is not None:
        wanted.append((resource.RLIMIT_NPROC, tasks))
    return [partial(resource.setrlimit, kind, _bounded(kind, value)) for kind, value in wanted]


def _bounded(kind: int, value: int) -> tuple[int, int]:
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return bound, bound
