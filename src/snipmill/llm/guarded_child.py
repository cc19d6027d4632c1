"""Runs a command that ends when our parent does; started as `python -I -m snipmill.llm.guarded_child COMMAND...`.

A parent that is killed with SIGKILL cannot stop its children. This process holds a pipe from the parent. When the pipe
closes, it kills its whole process group, which includes the command and everything the command has started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Run the command to its end."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)  # goes to the whole group; we exit with the command
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os._exit(process.wait() & 0xFF)


def _end_with_parent() -> None:
    while os.read(0, 1 << 10):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
