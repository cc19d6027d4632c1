"""One slot: a fork server in its own process, as the driver sees it. Jobs go in, verdicts come out, or the slot is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from snipmill.errors import SandboxError
from snipmill.records import Verdict
from snipmill.sandbox.cgroup import Cgroup, make_cgroup
from snipmill.sandbox.interpreter import readable_paths
from snipmill.sandbox.program import Limits, Program, Trial, UnitOutcome

T = TypeVar("T")
_CHILD = Path(__file__).parent / "child"
START_TIMEOUT = 60.0
_VERDICT = msgspec.json.Decoder(Verdict)


class _Outcomes(msgspec.Struct):
    units: list[UnitOutcome] = []


_OUTCOMES = msgspec.json.Decoder(_Outcomes)
DRIVER_GRACE = 5.0
# Nothing of the user's environment reaches a program: no keys, no home.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """An answer, in which a program's text may hold lone surrogates: they become question marks."""
    try:
        return decoder.decode(body)
    except msgspec.DecodeError:
        try:
            return decoder.decode(json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise SlotLost(f"an answer that cannot be read: {error}") from error


class SlotLost(Exception):
    """The slot died or did not answer in time; its job may be tried on another one."""


class Slot:
    """A running fork server. Create with `open_slot`, end with `close`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        limits: Limits,
        work: str | None,
        cgroup: Cgroup | None,
    ) -> None:
        self._process = process
        self._channel = channel
        self._limits = limits
        self._work = work
        self._cgroup = cgroup
        self.tier = ""
        self.landlock = False

    async def run(self, program: Program, *, careful: bool = False) -> Verdict:
        """Run one program.

        Args:
            program: what to run.
            careful: keep even its compilation out of the fork server, which it may have cost before.

        Raises:
            SlotLost: no verdict came within the program's own deadline and a grace.
        """
        job = {"source": program.source, "tests_line": program.tests_line, "careful": careful}
        verdict = _decode(_VERDICT, await self._do(job))
        if self._cgroup is not None and verdict.status in ("killed", "failed") and self._cgroup.ran_out_of_memory():
            return msgspec.structs.replace(verdict, status="memory", detail="its processes together ran out of memory")
        return verdict

    async def try_units(self, trial: Trial) -> list[UnitOutcome]:
        """The outcomes of a trial's units, as far as they came before the process ended.

        Raises:
            SlotLost: no answer came within the limits.
        """
        return _decode(_OUTCOMES, await self._do({**msgspec.to_builtins(trial), "careful": True})).units

    async def _do(self, job: dict[str, Any]) -> bytes:
        try:
            async with asyncio.timeout(self._limits.timeout + DRIVER_GRACE):
                await self._send(job)
                return await self._receive()
        except (TimeoutError, OSError, ValueError) as error:
            raise SlotLost(str(error) or type(error).__name__) from error

    async def _send(self, message: Any) -> None:
        # ASCII with escapes: a lone surrogate in a program's text must not break the pipe.
        body = json.dumps(message).encode("ascii")
        await asyncio.get_running_loop().sock_sendall(self._channel, struct.pack("!I", len(body)) + body)

    async def _receive(self) -> bytes:
        """The body of the next message; as a rule it comes in one piece."""
        loop = asyncio.get_running_loop()
        received = b""
        wanted = 4
        while len(received) < wanted:
            part = await loop.sock_recv(self._channel, 1 << 18)
            if not part:
                raise ConnectionError("the fork server ended")
            received += part
            if wanted == 4 and len(received) >= 4:
                wanted += struct.unpack_from("!I", received)[0]
        return received[4:]

    async def wait_ready(self) -> None:
        """Wait until the walls stand.

        Raises:
            SandboxError: a step of the set-up was refused, or the fork server did not start.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT):
                answer = json.loads(await self._receive())
        except (TimeoutError, OSError, ValueError) as error:
            raise SandboxError(f"the fork server did not start: {error or type(error).__name__}") from error
        if "error" in answer:
            raise SandboxError(answer["error"])
        self.tier, self.landlock = answer["ready"], answer["landlock"]

    def close(self) -> None:
        """End the slot and everything in it, at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._channel.close()
        if self._cgroup is not None:
            self._cgroup.remove()
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)


async def open_slot(
    tier: str,
    limits: Limits,
    interpreter: str = sys.executable,
    preload: Sequence[str] = (),
    *,
    allow_fork: bool = False,
    hash_seed: int = 0,
) -> Slot:
    """Start a fork server behind the walls of a tier.

    Raises:
        SandboxError: the tier cannot be had on this machine; the message names the refused step.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    work = tempfile.mkdtemp(prefix="snipmill-work-") if tier != "namespaces" else None
    settings = {
        "tier": tier,
        "readable": readable_paths(interpreter),
        "work": work or "",
        "limits": msgspec.to_builtins(limits),
        "preload": list(preload),
        "allow_fork": allow_fork,
    }
    # Not -I: it would leave the hash seed to chance. The environment is ours, so nothing of the user's comes in.
    command = [interpreter, "-s", "-B", "-X", "utf8", str(_CHILD), str(theirs.fileno()), json.dumps(settings)]
    # Started by this very thread: the child asks the kernel to die with the thread that made it.
    process = subprocess.Popen(  # noqa: ASYNC220
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        env=_ENVIRONMENT | {"PYTHONHASHSEED": str(hash_seed)},
        cwd="/",
        start_new_session=True,
    )
    theirs.close()
    cgroup = make_cgroup(limits) if tier in ("namespaces", "uid") else None
    if cgroup is not None:
        cgroup.add(process.pid)
    slot = Slot(process, ours, limits, work, cgroup)
    try:
        await slot.wait_ready()
    except BaseException:
        slot.close()
        raise
    return slot
