"""The driver: runs many programs on a few slots, on one event loop, with no threads, pools or shared queues of its own.

A lost slot is replaced, and its job is tried once more. A second loss is a `sandbox-error`, never a verdict on the
code; repeated sandbox errors stop the run. The total time is bounded (`time_bound`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TypeVar

import msgspec

from snipmill.errors import SandboxError
from snipmill.parallel.in_order import map_in_order
from snipmill.parallel.once import Once
from snipmill.records import Verdict
from snipmill.sandbox.program import TIERS, Limits, Program, Trial, UnitOutcome, UnitStatus
from snipmill.sandbox.slot import DRIVER_GRACE, START_TIMEOUT, Slot, SlotLost, SlotSettings, open_slot

T = TypeVar("T")

# Imports a module that no slot has loaded: Python's own files must be readable inside the sandbox.
_PROBE = Program(source="import wave\nassert wave.WAVE_FORMAT_PCM == int('1')\n")
_MAX_CONSECUTIVE_ERRORS = 3
_MOST_ZYGOTE_MEMORY = 1 << 30
_MAX_LATE_PROCESSES = 3  # processes after which a trial is given up if no unit has finished in time
COMMON_MODULES = (
    "collections",
    "dataclasses",
    "datetime",
    "functools",
    "heapq",
    "inspect",
    "itertools",
    "math",
    "random",
    "re",
    "string",
    "traceback",
    "typing",
)


def _cpus(first: int | None) -> list[int | None]:
    """The CPUs that we may use, in turn from one on, from a different one in each process if none is given.

    [None] if CPUs cannot be chosen.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [None]
    cpus = sorted(os.sched_getaffinity(0))
    first = (os.getpid() if first is None else first) % len(cpus)
    return [*cpus[first:], *cpus[:first]]


def _zygote_memory(workers: int) -> int:
    """Bytes that each slot may hold for packages: together at most a quarter of this machine's memory."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(_MOST_ZYGOTE_MEMORY, machine // 4 // workers)


class Sandbox:
    """Runs programs; use as `async with Sandbox(...) as sandbox: verdict = await sandbox.run(program)`.

    Args:
        tier: `auto` for the strongest tier that this machine supports, or a tier's name. `none` is no isolation at all.
        limits: resource limits of one program.
        workers: maximum number of programs that run at the same time; None for one per CPU.
        interpreter: the Python whose packages the programs see.
        preload: modules that a slot imports before it forks.
        hash_seed: seed of the programs' string hashes.
        allow_fork: let programs create processes even if no namespace ends them; they are found and killed one by one.
        first_cpu: number of the CPU of the first worker, where several sandboxes share a machine; None for any.
    """

    def __init__(
        self,
        *,
        tier: str = "auto",
        limits: Limits | None = None,
        workers: int | None = None,
        interpreter: str = sys.executable,
        preload: Sequence[str] = COMMON_MODULES,
        allow_fork: bool = False,
        hash_seed: int = 0,
        first_cpu: int | None = None,
    ) -> None:
        self.tier = tier
        self._first_cpu = first_cpu
        self._workers = workers or os.cpu_count() or 1
        memory = _zygote_memory(self._workers)
        self._settings = SlotSettings(limits or Limits(), interpreter, tuple(preload), allow_fork, hash_seed, memory)
        # Free places: a running slot, or the CPU for a slot that is started when it is first needed.
        self._free: asyncio.LifoQueue[Slot | int | None] = asyncio.LifoQueue()
        self._slots: set[Slot] = set()
        self._errors_in_a_row = 0
        # A package that is missing may be installed meanwhile.
        self._once = Once(self.run, keep=lambda verdict: verdict.status not in ("sandbox-error", "unsupported"))
        self.processes = 0

    async def __aenter__(self) -> Sandbox:
        cpus = itertools.cycle(_cpus(self._first_cpu))
        for cpu in itertools.islice(cpus, self._workers - 1):
            self._free.put_nowait(cpu)
        self.tier, first = await _open_strongest(self.tier, partial(self._open, cpu=next(cpus)))
        self._slots.add(first)
        self._free.put_nowait(first)
        return self

    async def _open(self, tier: str, cpu: int | None) -> Slot:
        return await open_slot(tier, self._settings, cpu)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._once.close()
        for slot in self._slots:
            slot.close()
        self._slots.clear()

    async def run(self, program: Program) -> Verdict:
        """Run one program and return its verdict; waits for a free slot.

        Raises:
            SandboxError: the sandbox itself failed several times in a row.
        """
        try:
            return await self._with_slot(lambda slot, again: slot.run(program, careful=again))
        except SlotLost as lost:
            return self._sandbox_error(str(lost))

    async def run_once(self, program: Program) -> Verdict:
        """Like `run`, but a program that was run lately, or is running, is not run again.

        Raises:
            SandboxError: as for `run`.
        """
        return await self._once(program)

    async def try_units(self, trial: Trial) -> list[UnitOutcome]:
        """Return the outcome of each unit of a trial, in order. A unit that ended the process has status `ended`.

        The units after it are tried in a new process, unless all units so far were late or ended their process.

        Raises:
            SlotLost: the sandbox failed twice; nothing is known about the units.
            SandboxError: the sandbox failed several times in a row.
        """
        outcomes: list[UnitOutcome] = []
        processes = 0
        while len(outcomes) < len(trial.units):
            rest = msgspec.structs.replace(trial, units=trial.units[len(outcomes) :])
            begun = len(outcomes)
            processes += 1
            self.processes += 1
            try:
                found = await self._with_slot(partial(_try_units, rest))
            except SlotLost as lost:
                self._sandbox_error(str(lost))
                raise
            for expected, outcome in enumerate(found[: len(rest.units)]):
                if outcome.place != expected:
                    break  # an outcome is missing, so the ones after it cannot be trusted
                outcomes.append(msgspec.structs.replace(outcome, place=begun + expected))
            if len(outcomes) < len(trial.units):
                outcomes.append(UnitOutcome(place=len(outcomes), status="ended"))
                if len(outcomes) > len(trial.units) - trial.extra:
                    outcomes += _given_up(trial, len(outcomes), "timeout")
                elif all(map(_was_late, outcomes)) and (
                    processes == _MAX_LATE_PROCESSES or len(outcomes) > _MAX_LATE_PROCESSES
                ):
                    outcomes += _given_up(trial, len(outcomes), "ended")
        return outcomes

    async def _with_slot(self, work: Callable[[Slot, bool], Awaitable[T]]) -> T:
        """Do `work` with a free slot; if the slot is lost, try once more with a new one."""
        place = await self._free.get()
        try:
            for attempt in (1, 2):
                slot = place if isinstance(place, Slot) else await self._open(self.tier, place)
                place = slot
                self._slots.add(slot)
                try:
                    result = await work(slot, attempt == 2)
                except BaseException as error:
                    # Lost, or cancelled while a program is running: the slot's next answer would belong to the old job.
                    self._slots.discard(slot)
                    slot.close()
                    place = slot.cpu
                    if attempt == 2 or not isinstance(error, SlotLost):
                        raise
                else:
                    self._errors_in_a_row = 0
                    return result
            raise AssertionError("unreachable")
        finally:
            self._free.put_nowait(place)

    async def stream(self, programs: Iterable[Program]) -> AsyncGenerator[Verdict, None]:
        """Yield the verdicts on programs, in order; a slow program does not hold up those after it."""
        async with contextlib.aclosing(map_in_order(programs, self.run, 4 * self._workers)) as verdicts:
            async for verdict in verdicts:
                yield verdict

    def _sandbox_error(self, detail: str) -> Verdict:
        self._errors_in_a_row += 1
        if self._errors_in_a_row >= _MAX_CONSECUTIVE_ERRORS:
            raise SandboxError(
                f"The sandbox (tier {self.tier}) failed {_MAX_CONSECUTIVE_ERRORS} times in a row: {detail}. "
                "Run `snipmill doctor` to find the cause; everything done so far is kept."
            )
        return Verdict(status="sandbox-error", tier=self.tier, detail=detail)


def _was_late(outcome: UnitOutcome) -> bool:
    return outcome.status in ("timeout", "ended")


def _given_up(trial: Trial, done: int, status: UnitStatus) -> list[UnitOutcome]:
    """Outcomes for the units that are no longer tried."""
    return [UnitOutcome(place=place, status=status) for place in range(done, len(trial.units))]


async def _try_units(trial: Trial, slot: Slot, _again: bool) -> list[UnitOutcome]:
    return await slot.try_units(trial)


def time_bound(programs: int, limits: Limits, workers: int) -> float:
    """Upper bound in seconds on the time for this many programs, whatever they do, once the slots are running.

    A program takes at most twice its timeout (a doubtful verdict is confirmed), the driver's grace period and the start of a new
    slot, and twice that if its slot is lost.
    """
    return -(-programs // workers) * 2 * (2 * limits.timeout + DRIVER_GRACE + START_TIMEOUT)


async def try_tier(tier: str, limits: Limits | None = None, interpreter: str = sys.executable) -> str | None:
    """Set a tier up completely and run one program in it. Returns None if that works, else which step was refused."""
    try:
        slot = await _open_proven(tier, lambda tier: open_slot(tier, SlotSettings(limits or Limits(), interpreter)))
    except SandboxError as error:
        return str(error)
    slot.close()
    return None


async def choose_tier(wanted: str, limits: Limits | None = None, interpreter: str = sys.executable) -> str:
    """Choose the wanted tier if it works here, or with `auto` the strongest tier that works.

    Raises:
        SandboxError: the wanted tier does not work, or none does; never falls back to `none`.
    """
    tier, slot = await _open_strongest(
        wanted, lambda tier: open_slot(tier, SlotSettings(limits or Limits(), interpreter))
    )
    slot.close()
    return tier


async def _open_proven(tier: str, opening: Callable[[str], Awaitable[Slot]]) -> Slot:
    """Open a slot of a tier and run a probe program in it.

    Raises:
        SandboxError: the slot cannot be set up, or the probe program did not pass.
    """
    slot = await opening(tier)
    try:
        verdict = await slot.run(_PROBE)
        if verdict.status != "passed":
            raise SandboxError(f"the probe program got the verdict {verdict.status}: {verdict.detail}")
    except BaseException as error:
        slot.close()
        if isinstance(error, SlotLost):
            raise SandboxError(f"the probe program was lost: {error}") from error
        raise
    return slot


async def _open_strongest(wanted: str, opening: Callable[[str], Awaitable[Slot]]) -> tuple[str, Slot]:
    """Choose the wanted tier if it works here, or with `auto` the strongest that works; also return its first slot.

    Raises:
        SandboxError: the wanted tier does not work, or none does; never falls back to `none`.
    """
    if wanted not in ("auto", *TIERS):
        raise SandboxError(f"There is no sandbox tier {wanted!r}; choose auto, {', '.join(TIERS)}.")
    candidates = [tier for tier in TIERS if tier != "none"] if wanted == "auto" else [wanted]
    refusals: list[str] = []
    for tier in candidates:
        try:
            return tier, await _open_proven(tier, opening)
        except SandboxError as error:
            refusals.append(f"{tier}: {error}")
    raise SandboxError(
        f"Model-written code cannot be isolated here ({'; '.join(refusals)}). Allow unprivileged user namespaces on this "
        "machine, or accept the risk explicitly with --sandbox none."
    )
