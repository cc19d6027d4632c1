"""Watches a process: a descriptor that becomes readable at its end, and a kill that cannot hit a reused pid."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

from snipmill.sandbox.child import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LINUX = sys.platform.startswith("linux")


class ProcessWatch:
    """Watches one child of ours: a pidfd on Linux, a kqueue elsewhere. `fileno` can be polled for reading."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._queue: Any = None
        if _LINUX:
            self._descriptor = os.pidfd_open(pid)
            return
        kernel: Any = select  # typed as Any: kqueue does not exist on Linux
        self._queue = kernel.kqueue()
        event = kernel.kevent(pid, kernel.KQ_FILTER_PROC, kernel.KQ_EV_ADD, kernel.KQ_NOTE_EXIT)
        with contextlib.suppress(ProcessLookupError):
            self._queue.control([event], 0)
        self._descriptor = self._queue.fileno()

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def kill(self) -> None:
        """Kill the process and its group (needed if no pid namespace ends the group); does nothing if they are gone."""
        if _LINUX:
            linux.kill_pidfd(self._descriptor, signal.SIGKILL)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the descriptor."""
        if self._queue is not None:
            self._queue.close()
        else:
            os.close(self._descriptor)
