"""A control group for each slot, if this machine lets us create one: it limits total memory and the number of tasks.

Resource limits apply to each process of a program. A group limits all of them together, including the files in their
tmpfs. Versions 1 and 2 of the interface are supported, whichever is writable; the sandbox also works without a group.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path

from snipmill.sandbox.program import Limits

_ROOT = Path("/sys/fs/cgroup")
_OVERHEAD = 64 << 20  # bytes for the slot's own processes and for kernel memory that counts towards the group
_PROCESSES = 32  # the slot's own
_MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
_NUMBERS = itertools.count()


class Cgroup:
    """The folders of one slot's group, one for each available controller."""

    def __init__(self, folders: list[Path], memory: int) -> None:
        self._folders = folders
        self._memory = memory
        self._kills = self._oom_kills()

    def add(self, pid: int) -> None:
        """Put a process and all its future children into the group."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                (folder / "cgroup.procs").write_text(str(pid))

    def allow_for(self, held: int) -> None:
        """Raise the limit on memory by the bytes that the slot's own processes hold for packages.

        If one of these was killed for lack of memory, that is not the next program's doing.
        """
        self.ran_out_of_memory()
        limit = str(self._memory + held)
        # A limit with swap must not be below the one without: the order depends on the direction, so both are tried.
        for name in (*_MEMORY_LIMITS, *reversed(_MEMORY_LIMITS)):
            for path in (folder / name for folder in self._folders):
                if path.exists():
                    with contextlib.suppress(OSError):
                        path.write_text(limit)

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed a process of the group for lack of memory since the last call."""
        kills = self._oom_kills()
        more, self._kills = kills > self._kills, kills
        return more

    def _oom_kills(self) -> int:
        for folder in self._folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError, ValueError):
                    for line in (folder / name).read_text().splitlines():
                        key, _, value = line.partition(" ")
                        if key == "oom_kill":
                            return int(value)
        return 0

    def remove(self) -> None:
        """Remove the group. Its processes have been killed, but the kernel may need a moment to release them."""
        for folder in self._folders:
            for _ in range(50):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                else:
                    break


def make_cgroup(limits: Limits) -> Cgroup | None:
    """Create a group with a slot's limits; None if that is not possible."""
    name = f"snipmill-{os.getpid()}-{next(_NUMBERS)}"
    memory = limits.memory + _OVERHEAD
    folders: list[Path] = []
    for controller, own in _own_groups().items():
        tasks = {"pids.max": limits.tasks + _PROCESSES}
        settings: dict[str, int] = {
            "": {"memory.max": memory, "memory.swap.max": 0} | tasks,
            "memory": {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory},
            "pids": tasks,
        }[controller]
        folder = own / name
        _remove_orphans(own)
        try:
            if controller == "":
                (own / "cgroup.subtree_control").write_text("+memory +pids")
            folder.mkdir()
        except OSError:
            continue
        for key, value in settings.items():
            with contextlib.suppress(OSError):  # a kernel without swap accounting lacks some of these files
                (folder / key).write_text(str(value))
        folders.append(folder)
    return Cgroup(folders, memory) if folders else None


def _remove_orphans(own: Path) -> None:
    """Remove empty groups left behind by snipmill processes that were killed."""
    for folder in own.glob("snipmill-*-*"):
        pid = folder.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _own_groups() -> dict[str, Path]:
    """This process's own group for each controller; the empty name stands for version 2."""
    groups: dict[str, Path] = {}
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers and (_ROOT / "cgroup.controllers").exists():
            groups[""] = _ROOT / path.lstrip("/")
        for controller in ("memory", "pids"):
            if controller in controllers.split(","):
                groups[controller] = _ROOT / controller / path.lstrip("/")
    return {name: folder for name, folder in groups.items() if os.access(folder, os.W_OK)}
