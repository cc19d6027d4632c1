"""An init process above a program, in its pid namespace.

A program that is the init process itself would survive its own signals, have no parent, and adopt orphans.
"""

from __future__ import annotations

import os


def fork_below_init(told: int) -> None:
    """Fork; the child goes on, and this process waits for it.

    Args:
        told: descriptor for the child's exit status, which init cannot repeat.
    """
    pid = os.fork()
    if pid == 0:
        os.close(told)
        os.setsid()
        return
    while True:
        ended, status = os.wait()
        if ended == pid:
            os.write(told, status.to_bytes(4, "big"))
            os._exit(0)


def status_from_init(reading: int, writing: int, own: int) -> int:
    """The exit status of the program below an init process; that of init itself if it was killed."""
    os.close(writing)
    told = os.read(reading, 4)
    os.close(reading)
    return int.from_bytes(told, "big") if told else own
