"""Finds and ends what a program leaves behind where no namespace takes it along: processes, and folders however deep."""

from __future__ import annotations

import contextlib
import os
import signal


def count_tasks(uid: int) -> int:
    """How many processes and threads a user has: the base that a limit of tasks is counted from."""
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


def end_leftovers(uid: int | None, *, forks: bool) -> None:
    """End what a program left running, where no pid namespace has ended it.

    Args:
        uid: the user that all its processes and nobody else's belong to.
        forks: whether, without such a user, it could make processes; they are our children by now.
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
    """End every process of a slot's own user."""
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
