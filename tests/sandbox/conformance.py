"""What any tier must do: one function, so that a new tier can be added by someone else and held against it."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from snipmill.records import Verdict
from snipmill.sandbox.driver import Sandbox, time_bound
from snipmill.sandbox.program import Limits, Program
from tests.sandbox.honest import HONEST
from tests.sandbox.hostile import HOSTILE, Case

HOSTILE_LIMITS, HONEST_LIMITS = Limits(timeout=2.0, memory=256 << 20), Limits(timeout=20.0)
WORKERS = 2


def program(implementation: str, tests: str) -> Program:
    lines = implementation.replace("\r\n", "\n").count("\n")
    return Program(source=f"{implementation}\n{tests}", tests_line=lines + 2)


class Canary:
    """A server that no program may reach."""

    def __enter__(self) -> Canary:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.visits = 0
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def _watch(self) -> None:
        while True:
            try:
                self._socket.accept()
            except OSError:
                return
            self.visits += 1

    def __exit__(self, *error: object) -> None:
        self._socket.close()


def processes(tier: str) -> set[int]:
    """The processes that a program of a tier may have left, by pid.

    Behind every tier but `none` a process has lost for good what would give it privileges, whatever it has become since; those
    that have not lost it run beside the tests, as the kernel's own threads do.
    """
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _may_be_left(entry, tier)}


def _may_be_left(process: Path, tier: str) -> bool:
    try:
        status = (process / "status").read_text()
    except OSError:  # it has ended
        return False
    return "Kthread:\t1\n" not in status if tier == "none" else "NoNewPrivs:\t1\n" in status


async def conform(
    tier: str, *, skip_hostile: Mapping[str, str] | None = None, skip_honest: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Run both corpora over a tier and return what is wrong: nothing, for a tier that conforms.

    Args:
        tier: the tier's name.
        skip_hostile: programs whose harm this tier is documented not to prevent, with the reason.
        skip_honest: honest programs that this tier is documented to refuse, with the reason.
    """
    wrong: dict[str, str] = {}
    hostile = {name: case for name, case in HOSTILE.items() if name not in (skip_hostile or {})}
    honest = {name: case for name, case in HONEST.items() if name not in (skip_honest or {})}
    with Canary() as canary:
        async with Sandbox(tier=tier, limits=HOSTILE_LIMITS, workers=WORKERS) as sandbox:
            # The slots are up, and their descriptors open, before anything is counted.
            await asyncio.gather(*(sandbox.run(program("", "assert int('1') == 1\n")) for _ in range(2 * WORKERS)))
            before_processes, before_files = processes(tier), len(os.listdir("/proc/self/fd"))
            before_temporary = set(os.listdir(tempfile.gettempdir()))
            started = time.monotonic()

            async def judge_hostile(name: str, case: Case) -> None:
                implementation, tests, right = case
                verdict = await sandbox.run(program(implementation.replace("CANARY", str(canary.port)), tests))
                if verdict.status not in right:
                    wrong[name] = f"{verdict.status}, not {' or '.join(sorted(right))}: {_evidence(verdict)}"

            await asyncio.gather(*(judge_hostile(name, case) for name, case in hostile.items()))
            bound = time_bound(len(hostile), HOSTILE_LIMITS, WORKERS)
            if time.monotonic() - started > bound:
                wrong["time"] = f"more than the computed bound of {bound} s"
            if survivors := processes(tier) - before_processes:
                wrong["survivors"] = str({pid: _command(pid) for pid in survivors})
            if len(os.listdir("/proc/self/fd")) > before_files:
                wrong["descriptors"] = f"{len(os.listdir('/proc/self/fd'))} open, {before_files} before"
            if left := set(os.listdir(tempfile.gettempdir())) - before_temporary:
                wrong["files"] = str(left)
        if canary.visits:
            wrong["canary"] = f"{canary.visits} connections"
    async with Sandbox(tier=tier, limits=HONEST_LIMITS, workers=WORKERS) as sandbox:

        async def judge_honest(name: str, implementation: str, tests: str) -> None:
            verdict = await sandbox.run(program(implementation, tests))
            if verdict.status != "passed":
                wrong[name] = f"honest, but {verdict.status}: {_evidence(verdict)}"
            if verdict.tier != tier:
                wrong[name] = f"the verdict says tier {verdict.tier}"

        await asyncio.gather(*(judge_honest(name, *case) for name, case in honest.items()))
    return wrong


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:80]
    except OSError:
        return "gone"


def _evidence(verdict: Verdict) -> str:
    return f"{verdict.detail} {verdict.failed_check or ''} {verdict.output_tail or verdict.output_head}"[:400]
