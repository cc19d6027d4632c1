"""The command line: arguments in, a pipeline or a stage called, progress and errors out."""

from __future__ import annotations

import signal
from types import FrameType

from snipmill.cli.app import app


def main() -> None:
    """Entry point of the `snipmill` command."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does, also where a shell started us in the background with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
