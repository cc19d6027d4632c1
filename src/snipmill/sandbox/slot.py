"""The driver's side of one slot (a server and its zygotes): sends jobs, receives verdicts, and detects a lost slot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from snipmill.errors import SandboxError
from snipmill.records import Verdict
from snipmill.sandbox.cgroup import Cgroup, make_cgroup
from snipmill.sandbox.interpreter import find_interpreter
from snipmill.sandbox.program import Limits, Program, Trial, UnitOutcome

T = TypeVar("T")
_CHILD = Path(__file__).parent / "child" / "__main__.py"
START_TIMEOUT = 60.0
_VERDICT = msgspec.json.Decoder(Verdict)


class _Outcomes(msgspec.Struct):
    units: list[UnitOutcome] = []


_OUTCOMES = msgspec.json.Decoder(_Outcomes)
DRIVER_GRACE = 5.0
_HELD = b'{"held"'
# Programs see none of the user's environment variables: no keys, no home directory.
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "USER": "sandbox",
    "LOGNAME": "sandbox",
    "SHELL": "/bin/sh",
    # Numerical packages would start a thread for each core, in every program, and the allocator of pyarrow one more.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # Each thread would reserve 64 MiB of the address space that a program may use.
    "MALLOC_ARENA_MAX": "2",
}
# Resolve the C library's functions once, at the start, and not again in each program's process.
_FOR_THE_SERVER = {"LD_BIND_NOW": "1"}


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode an answer. Lone surrogates in a program's text become question marks."""
    try:
        return decoder.decode(body)
    except msgspec.DecodeError:
        try:
            return decoder.decode(json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise SlotLost(f"the slot's answer cannot be decoded: {error}") from error


def _encode(job: dict[str, Any]) -> bytes:
    """Encode a job as JSON. Lone surrogates in a program's text are escaped, since UTF-8 cannot encode them."""
    try:
        return msgspec.json.encode(job)
    except UnicodeEncodeError:
        return json.dumps(job).encode("ascii")


def _framed(body: bytes) -> bytes:
    """Prefix a message with its length, as the channel requires."""
    return len(body).to_bytes(4, "big") + body


def _home() -> str:
    """The user's home folder, whether it exists or not."""
    return os.path.expanduser("~")  # Path.home() fails for a user without a home folder


class SlotLost(Exception):
    """The slot died or did not answer in time; its job may be tried on another slot."""


class Slot:
    """A running slot. Create with `open_slot`, end with `close`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        limits: Limits,
        work: str | None,
        cgroup: Cgroup | None,
        cpu: int | None,
    ) -> None:
        self.cpu = cpu
        self._process = process
        self._channel = channel
        self._limits = limits
        self._work = work
        self._cgroup = cgroup
        self._received = bytearray()
        self._awaited: asyncio.Future[bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel, self._on_readable)
        self.tier = ""
        self.landlock = False
        self.memory_of_packages = 0  # bytes that its zygotes hold for the packages they have imported

    async def run(self, program: Program, *, careful: bool = False) -> Verdict:
        """Run one program.

        Args:
            program: what to run.
            careful: compile it outside the slot's server too, and load nothing before, because it may have crashed one.

        Raises:
            SlotLost: no verdict came within the program's timeout plus the grace period.
        """
        job = {
            "program": msgspec.to_builtins(program),
            "careful": careful,
            "units": None,
            "unit_timeout": 0.0,
            "extra": 0,
        }
        verdict = _decode(_VERDICT, await self._do(job))
        if self._cgroup is not None and verdict.status in ("killed", "failed") and self._cgroup.ran_out_of_memory():
            return msgspec.structs.replace(verdict, status="memory", detail="its processes together ran out of memory")
        return verdict

    async def try_units(self, trial: Trial) -> list[UnitOutcome]:
        """Run a trial's units; return the outcomes that arrived before the process ended.

        Raises:
            SlotLost: no answer came within the limits.
        """
        job = msgspec.to_builtins(trial) | {
            "program": msgspec.to_builtins(Program(source=trial.source)),
            "careful": False,
        }
        return _decode(_OUTCOMES, await self._do(job)).units

    async def _do(self, job: dict[str, Any]) -> bytes:
        answer = self._answer_within(2 * self._limits.timeout + DRIVER_GRACE)  # a doubtful verdict is confirmed
        try:
            await self._loop.sock_sendall(self._channel, _framed(_encode(job)))
            return await answer
        except (OSError, ValueError) as error:
            raise SlotLost(str(error) or type(error).__name__) from error
        finally:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # mark as retrieved: if sending failed, nobody awaited it

    def _answer_within(self, seconds: float) -> asyncio.Future[bytes]:
        """A future for the body of the next message, or for a TimeoutError."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._fail, TimeoutError(f"no answer within {seconds:g} s"))
        answer.add_done_callback(lambda _: timer.cancel())
        self._awaited = answer
        return answer

    def _fail(self, error: OSError) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(error)

    def _on_readable(self) -> None:
        try:
            part = self._channel.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            part, problem = b"", error
        else:
            problem = ConnectionError("the slot's server ended")
        if not part:
            self._loop.remove_reader(self._channel)
            self._fail(problem)
            return
        self._received += part
        while len(self._received) >= 4 and len(self._received) >= (
            end := 4 + int.from_bytes(self._received[:4], "big")
        ):
            body = bytes(self._received[4:end])
            del self._received[:end]
            self._take(body)

    def _take(self, body: bytes) -> None:
        """A message: what the slot's own processes hold for packages, or the answer that is awaited."""
        if body.startswith(_HELD):
            self.memory_of_packages = json.loads(body)["held"]
            if self._cgroup is not None:
                self._cgroup.allow_for(self.memory_of_packages)
        elif self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(body)

    async def wait_ready(self) -> None:
        """Wait until the isolation is set up.

        Raises:
            SandboxError: a step of the set-up was refused, or the server did not start.
        """
        try:
            answer = json.loads(await self._answer_within(START_TIMEOUT))
        except (OSError, ValueError) as error:
            raise SandboxError(f"the slot's server did not start: {error or type(error).__name__}") from error
        if "error" in answer:
            raise SandboxError(answer["error"])
        self.tier, self.landlock = answer["ready"], answer["landlock"]

    def close(self) -> None:
        """Kill the slot and everything in it immediately; further calls do nothing."""
        if self._channel.fileno() == -1:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._loop.remove_reader(self._channel)
        self._channel.close()
        if self._cgroup is not None:
            self._cgroup.remove()
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)


@dataclass(frozen=True)
class SlotSettings:
    """What a slot runs programs with.

    Attributes:
        limits: what one program may use.
        interpreter: the Python whose packages the programs see.
        preload: modules that a slot has imported before it forks.
        allow_fork: let programs make processes also where no namespace ends them; they are found and ended one by one.
        hash_seed: of the programs' string hashes.
        zygote_memory: bytes that a slot may hold for packages that programs import; with 0, each imports them itself.
    """

    limits: Limits
    interpreter: str = sys.executable
    preload: Sequence[str] = ()
    allow_fork: bool = False
    hash_seed: int = 0
    zygote_memory: int = 0


async def open_slot(tier: str, settings: SlotSettings, cpu: int | None = None) -> Slot:
    """Start a slot with the isolation of a tier. Its own processes, but not its programs, are pinned to `cpu` if given.

    Raises:
        SandboxError: the tier is not available on this machine; the message names the refused step.
        UsageError: the interpreter cannot be run, or is older than Python 3.11.
    """
    python, _ = find_interpreter(settings.interpreter)
    ours, theirs = socket.socketpair()
    work = tempfile.mkdtemp(prefix="snipmill-work-") if tier != "namespaces" else None
    told = {
        "tier": tier,
        "home": _home(),
        "work": work or "",
        "limits": msgspec.to_builtins(settings.limits),
        "preload": list(settings.preload),
        "allow_fork": settings.allow_fork,
        "cpu": cpu,
        "zygote_memory": settings.zygote_memory,
    }
    # Not -I, which would ignore PYTHONHASHSEED. The environment is our own, without any of the user's variables.
    command = [python, "-s", "-X", "utf8", str(_CHILD), str(theirs.fileno())]
    # Start it from this thread: the child asks the kernel to kill it when the thread that created it ends.
    process = subprocess.Popen(  # noqa: ASYNC220
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        env=_ENVIRONMENT | _FOR_THE_SERVER | {"PYTHONHASHSEED": str(settings.hash_seed)},
        cwd="/",
        start_new_session=True,
    )
    theirs.close()
    # Not sent as an argument, which programs could read; the message is small enough for the channel's buffer.
    with contextlib.suppress(OSError):  # it has already ended; detected below
        ours.sendall(_framed(repr(told).encode()))
    ours.setblocking(False)
    cgroup = make_cgroup(settings.limits) if tier in ("namespaces", "uid") else None
    if cgroup is not None:
        cgroup.add(process.pid)
    slot = Slot(process, ours, settings.limits, work, cgroup, cpu)
    try:
        await slot.wait_ready()
    except BaseException:
        slot.close()
        raise
    return slot
