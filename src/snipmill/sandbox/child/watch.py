"""A descriptor that becomes readable when a process ends, and a kill that cannot hit another process of the same number."""

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
        kernel: Any = select  # kqueue exists where Linux's names do not, and the other way round
        self._queue = kernel.kqueue()
        event = kernel.kevent(pid, kernel.KQ_FILTER_PROC, kernel.KQ_EV_ADD, kernel.KQ_NOTE_EXIT)
        with contextlib.suppress(ProcessLookupError):
            self._queue.control([event], 0)
        self._descriptor = self._queue.fileno()

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def kill(self) -> None:
        """End the process, and its group where no pid namespace does that; nothing happens if they are gone."""
        if _LINUX:
            linux.kill_pidfd(self._descriptor, signal.SIGKILL)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._queue is not None:
            self._queue.close()
        else:
            os.close(self._descriptor)
