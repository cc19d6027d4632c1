"""An init process above a program, in its pid namespace.

A program that is the init process itself would survive its own signals, have no parent, and adopt orphans.
"""

from __future__ import annotations

import os
import signal

from snipmill.sandbox.child import linux


def fork_below_init(told: int) -> None:
    """Fork; the child goes on, and this process waits for it.

    Args:
        told: descriptor for the child's exit status, which init cannot repeat.
    """
    os.setsid()  # the child is a plain member of the session, as a program that a shell starts
    pid = os.fork()
    if pid == 0:
        os.close(told)
        return
    # The kernel drops all signals to an init process that has no handler for them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)  # the program must not reach the descriptor by way of /proc
    while True:
        ended, status = os.wait()
        if ended == pid:
            os.write(told, status.to_bytes(4, "big"))
            os._exit(0)


def status_from_init(reading: int, writing: int, own: int) -> int:
    """The exit status of the program below an init process; that of init itself if it was killed."""
    os.close(writing)
    told = os.read(reading, 5)
    os.close(reading)
    status = int.from_bytes(told, "big") if len(told) == 4 else own
    return status if os.WIFEXITED(status) or os.WIFSIGNALED(status) else own
