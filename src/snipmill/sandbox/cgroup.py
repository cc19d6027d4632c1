"""A control group for each slot, where this machine lets us make one: it bounds memory and tasks in sum.

Resource limits bound each process of a program; a group bounds all of them together, and the files in their tmpfs. Version 2
and version 1 of the interface are used, whichever is writable; none is needed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path

from snipmill.sandbox.program import Limits

_ROOT = Path("/sys/fs/cgroup")
_OVERHEAD = 64 << 20  # the slot's own processes, and what the kernel counts to it
_NUMBERS = itertools.count()


class Cgroup:
    """The folders of one slot's group, one for each controller that could be had."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._kills = self._oom_kills()

    def add(self, pid: int) -> None:
        """Put a process, and all that it will make, into the group."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                (folder / "cgroup.procs").write_text(str(pid))

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed something in the group for memory since this was last asked."""
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
        """Remove the group; its processes have been killed, and the kernel may take a moment to see that."""
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
    """A group with a slot's limits, or None where none can be made."""
    name = f"snipmill-{os.getpid()}-{next(_NUMBERS)}"
    memory = limits.memory + _OVERHEAD
    folders: list[Path] = []
    for controller, own in _own_groups().items():
        settings = {
            "": {"memory.max": memory, "memory.swap.max": 0, "pids.max": limits.tasks + 8},
            "memory": {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory},
            "pids": {"pids.max": limits.tasks + 8},
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
            with contextlib.suppress(OSError):  # a kernel without swap accounting lacks some of them
                (folder / key).write_text(str(value))
        folders.append(folder)
    return Cgroup(folders) if folders else None


def _remove_orphans(own: Path) -> None:
    """Remove the empty groups of processes of ours that were killed."""
    for folder in own.glob("snipmill-*-*"):
        pid = folder.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _own_groups() -> dict[str, Path]:
    """This process's own group by controller; the empty name is that of version 2."""
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
