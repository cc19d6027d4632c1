"""The command line: arguments in, a pipeline or a stage called, progress and errors out."""

from __future__ import annotations

import contextlib
import gc
import resource
import signal
from types import FrameType

from snipmill.cli.app import app

_FILES = 1 << 16
_OBJECTS = 20_000  # new ones before garbage is looked for: a chunk of rows is more than the usual 700


def main() -> None:
    """Entry point of the `snipmill` command."""
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _interrupt)  # not under nohup, which ignores it
    _allow_many_files()
    gc.set_threshold(_OBJECTS)
    app()


def _allow_many_files() -> None:
    """Many requests in flight are many connections. The usual soft limit of 1,024 is for `select`, which we do not use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM, or a terminal that is closed, ends a run as Ctrl-C does.

    Also where a shell started us in the background with SIGINT ignored.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
