"""Started as `python -I -m snipmill.llm.guarded_child COMMAND...`: runs a command that ends when our parent does.

A parent that is killed outright cannot end what it started. This process holds a pipe from it: when that closes, it ends its
whole process group, the command and what that has started among it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Run the command to its end."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)  # sent to the whole group: the command's end is ours
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os._exit(process.wait() & 0xFF)


def _end_with_parent() -> None:
    while os.read(0, 1 << 10):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
