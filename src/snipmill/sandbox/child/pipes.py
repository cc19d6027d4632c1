"""The pipes between a program's process and the server: its output, and its reports."""

from __future__ import annotations

import io
import os
import sys

REPORT = 3  # the descriptor on which a program's process reports
_REPORT_LIMIT = 1 << 20


def renew_streams() -> None:
    """Make stdout and stderr what they are for a program whose output goes into a pipe: they were opened on another file."""
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        raw = io.FileIO(number, "wb", closefd=False)
        raw.name = f"<{name}>"
        buffer = io.BufferedWriter(raw)
        stream = io.TextIOWrapper(buffer, "utf-8", errors, newline="\n", line_buffering=number == 2)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def report(message: str) -> None:
    """Send a line of JSON."""
    body = message.encode("ascii")[:_REPORT_LIMIT] + b"\n"
    while body:
        body = body[os.write(REPORT, body) :]
