"""Removes what a program leaves behind if no namespace does it: processes, and folders however deeply nested."""

from __future__ import annotations

import contextlib
import os
import signal


def count_tasks(uid: int) -> int:
    """Count the processes and threads of a user: the baseline for a limit on tasks."""
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


def end_leftovers(uid: int | None, *, forks: bool) -> None:
    """Kill the processes that a program left running, if no pid namespace has ended them.

    Args:
        uid: the user that owns the program's processes and no others, or None.
        forks: whether a program without such a user could create processes; they are our children by now.
    """
    if uid is not None:
        kill_user(uid)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    elif forks:
        while pids := _children():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in pids:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def kill_user(uid: int) -> None:
    """Kill every process of the user that is reserved for a slot."""
    helper = os.fork()
    if helper == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(helper, 0)


def remove_tree(path: str) -> None:
    """Remove a folder however deeply it is nested: folders inside it are moved to its top before they are emptied."""
    number = 0
    pending = [path]
    while pending:
        folder = pending.pop()
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
            for entry in list(os.scandir(folder)):
                if entry.is_dir(follow_symlinks=False):
                    number += 1
                    moved = f"{path}.{number}"
                    os.rename(entry.path, moved)
                    pending.append(moved)
                else:
                    os.unlink(entry.path)
            os.rmdir(folder)
