"""The server of a slot: receives jobs over a socket, compiles programs, has a zygote run them, and sends verdicts.

It reads a running program's report and its output up to a limit, and never executes any of its code. The driver outside
supervises the server. Messages are JSON after a 4-byte length.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import gc
import os
import re
import signal
import sys
import time

from snipmill.sandbox.child import isolation, linux
from snipmill.sandbox.child.at_fork import AtFork
from snipmill.sandbox.child.failures import Failure
from snipmill.sandbox.child.family import Family, Learned
from snipmill.sandbox.child.forker import PYTEST
from snipmill.sandbox.child.harness import compile_checked, encode_report
from snipmill.sandbox.child.imports import InstalledModules
from snipmill.sandbox.child.installation import readable_paths
from snipmill.sandbox.child.limits import Limits
from snipmill.sandbox.child.messages import read_message, write_message
from snipmill.sandbox.child.refusals import BY_A_PACKAGE, NO_FOLDER, NO_HOST, REFUSED_BY
from snipmill.sandbox.child.walls import StepFailed, Walls
from snipmill.sandbox.child.zygote import Zygote, sources_of, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_FIRST_FREE = 10  # descriptors below this are reserved for programs
_COMPILED_HERE = 50_000  # characters; the compiler has its own limits, and takes milliseconds for this much code
_KEEP = 2000  # characters of the output's head and tail
_REPORT_LIMIT = 1 << 20
_FRAMEWORKS = re.compile(r"pytest|unittest|class Test|def (setup|teardown)_|def test\w*\([^)]")
_NO_FAULT_IF_REFUSED = frozenset(("failed", "timeout", "killed", "vacuous"))
_REFUSALS = ("PermissionError", "OSError", "FileNotFoundError")
_PIPE = 65536  # bytes that a pipe holds


def main(at_fork: AtFork) -> None:
    """Entry point; the argument is the descriptor of the channel, whose first message is the settings as a Python literal."""
    given = int(sys.argv[1])
    channel = fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    for number in range(3, _FIRST_FREE):
        os.dup2(0, number, inheritable=False)  # standard input is /dev/null; nothing else may get these descriptors
    settings = ast.literal_eval((read_message(channel) or b"").decode())
    limits = Limits(**settings["limits"])
    # A slot's processes take turns, and run faster on the CPU that the last one used. Programs may use all CPUs.
    cpus = os.sched_getaffinity(0) if settings["cpu"] is not None else None
    if cpus is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {settings["cpu"]})
    sys.argv[:] = ["program.py"]
    sys.dont_write_bytecode = True
    os.environ.pop("LD_BIND_NOW", None)  # only for this process: each child would resolve its functions anew
    try:
        walls = _set_up(settings)
        packages = [folder for folder in sys.path[1:] if folder]
        ours = _hide_ourselves()
        lean = spawn(walls, limits, at_fork, None, cpus)
        loaded = spawn(walls, limits, at_fork, settings["preload"], cpus)
        testing = spawn(walls, limits, at_fork, [*settings["preload"], *_for_tests()], cpus)
        for zygote in (lean, loaded):
            zygote.wake()
        for zygote in (lean, loaded):
            zygote.wait_ready()
    except StepFailed as failed:
        write_message(channel, encode_report({"error": str(failed)}).encode())
        return
    import json  # not earlier: the zygotes would inherit these modules
    import warnings

    learns = sys.platform == "linux" and settings["zygote_memory"] > 0

    def tell_held(held: int) -> None:
        write_message(channel, b'{"held": %d}' % held)

    family = Family(limits, settings["zygote_memory"], tell_held) if learns else None
    server = _Server(walls, limits, (lean, loaded, testing), InstalledModules(packages), family)
    gc.freeze()
    gc.set_threshold(50_000)  # syntax trees are large and hold no cycles
    warnings.simplefilter("ignore")  # the compiler's warnings: nobody would read them
    answer: dict[str, Any] = {"ready": walls.tier, "landlock": walls.landlock is not None, "proc": walls.own_proc}
    while True:
        write_message(channel, json.dumps(answer).encode("ascii"))
        message = read_message(channel)
        if message is None:
            break
        answer = server.run(json.loads(message))
    del ours


def _set_up(settings: dict[str, Any]) -> Walls:
    tier, readable, work = settings["tier"], readable_paths(settings["home"]), settings["work"]
    if tier != "namespaces" and sys.platform == "linux":  # there the server is the init process
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    allow_fork = tier in ("namespaces", "uid") or settings["allow_fork"]
    if tier == "namespaces":
        return isolation.enter_namespaces(readable)
    if tier in ("uid", "landlock"):
        return isolation.enter_without_namespaces(tier, readable, work, allow_fork=allow_fork)
    if tier == "seatbelt":
        return isolation.prepare_seatbelt(readable, work, allow_fork=allow_fork)
    return Walls(tier="none", work=work)


def _hide_ourselves() -> list[ModuleType]:
    """Hide our modules and paths from programs.

    Done once, before the zygotes are created. Our functions keep working through the references that they hold; the
    modules are returned so that they stay alive.
    """
    names = [name for name in sys.modules if name.partition(".")[0] == "snipmill"]
    sys.path.insert(0, "")
    return [sys.modules.pop(name) for name in names]


class _Server:
    """Runs jobs on three zygotes, and on those that grow from them.

    The lean one is for programs that import nothing. The loaded one has often imported modules. The testing one has the test
    frameworks too, and a prepared session of pytest; it is not set up before a program needs it.
    """

    def __init__(
        self,
        walls: Walls,
        limits: Limits,
        zygotes: tuple[Zygote, Zygote, Zygote],
        installed: InstalledModules,
        family: Family | None,
    ) -> None:
        self._walls = walls
        self._limits = limits
        self._lean, self._loaded, self._testing = zygotes
        self._installed = installed
        self._family = family

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run one program and return its verdict's fields.

        The code is compiled here, where the compiler is warm, and only run in a process of its own. Large code, and
        a job that has already crashed a slot, are compiled in that process too.
        """
        started = time.monotonic()
        program, units = job["program"], job["units"]
        source = program["source"]
        compiled = None
        if units is None and not job["careful"] and not program["dialogues"] and len(source) <= _COMPILED_HERE:
            try:
                compiled = compile_checked(source, program["tests_line"], program["modules"])
            except Failure as failure:
                return failure.report | {"tier": self._walls.tier}
        zygote = self._loaded
        if any(map(_has_tests, sources_of(program, units))):
            zygote = self._testing
        elif compiled is not None and "import" not in source:
            zygote = self._lean
        job |= {"compiled": compiled}
        verdict = self._run_learned(zygote, job) or self._watched(zygote, job)
        if verdict["status"] == "retry-loaded":
            verdict = self._watched(self._loaded, job)
        if verdict["status"] == "retry-loaded":
            verdict |= {"status": "failed", "detail": "the program reports for the sandbox"}
        verdict["tier"] = self._walls.tier
        verdict["wall_ms"] = round((time.monotonic() - started) * 1000, 3)
        return verdict

    def _run_learned(self, base: Zygote, job: dict[str, Any]) -> dict[str, Any] | None:
        """The verdict of a program from a zygote that has loaded what it imports; None where it must run in its base."""
        if self._family is None or base is self._lean or job["careful"]:
            return None
        wanted = self._installed.imported_by(next(filter(None, sources_of(job["program"], job["units"])), ""))
        if not wanted:
            return None
        base.wait_ready()
        learned = self._family.choose(base, wanted)
        if learned is None:
            return None
        try:
            verdict = self._watched(learned.zygote, job)
        except (EOFError, OSError):  # the zygote itself has ended
            self._family.give_up(learned, "its zygote ended")
            return None
        if job["units"] is None and self._is_doubtful(verdict, learned):
            return self._confirmed(verdict, learned, base, job)
        return verdict

    def _is_doubtful(self, verdict: dict[str, Any], learned: Learned) -> bool:
        """Whether a package that does not survive a fork may have caused a verdict: a crash, or a first halt."""
        return verdict["status"] == "killed" or (verdict["status"] == "timeout" and not learned.is_proven)

    def _confirmed(
        self, verdict: dict[str, Any], learned: Learned, base: Zygote, job: dict[str, Any]
    ) -> dict[str, Any]:
        """The verdict of a second run, in which the program imports everything itself."""
        again = self._watched(base, job)
        if again["status"] == verdict["status"]:
            learned.is_proven = learned.is_proven or again["status"] == "timeout"
        elif self._family is not None:
            self._family.doubt(learned, f"after a fork, a program was {verdict['status']}")
        return again

    def _watched(self, zygote: Zygote, job: dict[str, Any]) -> dict[str, Any]:
        zygote.wait_ready()
        zygote.start(job)
        return _Supervision(zygote, self._limits).watch()


def _has_tests(source: str) -> bool:
    """Whether a program may need a test framework."""
    return _FRAMEWORKS.search(source) is not None


def _for_tests() -> list[str]:
    """The test frameworks that this Python has."""
    import importlib.util

    return ["unittest", *([PYTEST] if importlib.util.find_spec(PYTEST) is not None else [])]


def _most_telling(refusals: list[str]) -> str:
    """The refusal that most likely made a program fail: a file can often be found elsewhere; otherwise the last one."""
    strong = (what for what in refusals if NO_HOST not in what and NO_FOLDER not in what)
    return next(strong, refusals[-1] if refusals else "")


_OF_REPORTS: dict[str, type | tuple[type, ...]] = {
    "status": str,
    "detail": str,
    "exception": (str, type(None)),
    "line": (int, type(None)),
    "failed_check": (str, type(None)),
    **dict.fromkeys(("checks_executed", "checks_failed", "checks_written", "checks_reached", "tests_run"), int),
    **dict.fromkeys(("tests_skipped", "tests_never_run"), list),
}
_STATUSES = frozenset(
    ("passed", "failed", "vacuous", "memory", "syntax-error", "unsupported", "sandbox-error", "retry-loaded")
)


def _is_report(message: dict[str, Any]) -> bool:
    """Whether a message has the form of a report."""
    known = all(isinstance(value, _OF_REPORTS.get(name, ())) for name, value in message.items())
    lists = [item for value in message.values() if isinstance(value, list) for item in value]
    return known and message.get("status") in _STATUSES and all(isinstance(item, str) for item in lists)


class _Supervision:
    """Reads a program's output and reports, and stops it if it writes too much."""

    def __init__(self, zygote: Zygote, limits: Limits) -> None:
        self._zygote = zygote
        self._limits = limits
        self._report_body = b""
        self._head = b""
        self._tail = b""
        self._written = 0

    def watch(self) -> dict[str, Any]:
        """Wait until the program has ended, and return its verdict."""
        ended = stopped = False
        while not ended:
            for descriptor, _ in self._zygote.poll.poll():
                if descriptor == self._zygote.results:
                    ended = True
                else:
                    self._read(descriptor)
            if self._written > self._limits.output and not (stopped or ended):
                self._zygote.stop()
                stopped = True
        exit_code, stopped_for, cpu, peak = self._zygote.result()
        # The program and all its children have ended, so everything they wrote is in the pipes.
        for descriptor in (self._zygote.report, self._zygote.output):
            while self._read(descriptor):
                pass
        if self._written > self._limits.output:
            stopped_for = "output-limit"
        verdict = self._verdict(exit_code, stopped_for)
        verdict["cpu_ms"] = cpu
        verdict["peak_memory"] = peak
        verdict["output_head"] = self._head.decode("utf-8", "replace")
        verdict["output_tail"] = self._tail.decode("utf-8", "replace")
        verdict["output_dropped"] = max(0, self._written - len(self._head) - len(self._tail))
        return verdict

    def _read(self, descriptor: int) -> bool:
        """Read what is available. Returns whether there was anything."""
        try:
            chunk = os.read(descriptor, _PIPE)
        except BlockingIOError:
            return False
        if descriptor == self._zygote.report:
            if len(self._report_body) <= _REPORT_LIMIT:
                self._report_body += chunk
        else:
            self._written += len(chunk)
            if len(self._head) < _KEEP:
                self._head += chunk[: _KEEP - len(self._head)]
            self._tail = (self._tail + chunk)[-_KEEP:] if self._written > _KEEP else b""
        return True

    def _verdict(self, exit_code: int, stopped_for: str) -> dict[str, Any]:
        report, units, refused = self._reports()
        verdict = self._status(exit_code, stopped_for, report)
        by_package = refused.startswith(BY_A_PACKAGE) and verdict.get("exception") not in _REFUSALS
        if refused and verdict["status"] in _NO_FAULT_IF_REFUSED and not by_package:
            verdict |= {"status": "unsupported", "detail": f"{refused} ({verdict['status']}: {verdict['detail']})"}
        if units:
            verdict["units"] = units
        return verdict

    def _reports(self) -> tuple[dict[str, Any] | None, list[Any], str]:
        """Parse the lines of JSON.

        The lists are the outcomes of units that were reached; the object is the verdict; a text is what was refused.
        """
        import json

        report, units, refusals = None, [], []
        for line in self._report_body.split(b"\n"):
            try:
                message = json.loads(line) if line else None
            except (ValueError, RecursionError):  # not from us: programs can write to this pipe, too
                continue
            if isinstance(message, list):
                units.append(message)
            elif isinstance(message, dict) and _is_report(message):
                report = message
            elif isinstance(message, str) and REFUSED_BY in message:
                refusals.append(message)
        return report, units, _most_telling(refusals)

    def _status(self, exit_code: int, stopped_for: str, report: dict[str, Any] | None) -> dict[str, Any]:
        if stopped_for == "timeout":
            return {"status": "timeout", "detail": f"not finished after {self._limits.timeout:g} s"}
        if stopped_for:
            return {"status": "output-limit", "detail": f"wrote more than {self._limits.output >> 20} MiB"}
        if report is not None and exit_code == 0:
            return report
        if exit_code < 0:
            number = -exit_code
            if number == signal.SIGXCPU:
                return {"status": "timeout", "detail": "used up its CPU time"}
            name = (
                f" ({signal.Signals(number).name})" if number in set(signal.Signals) else ""
            )  # real-time ones have none
            return {"status": "killed", "detail": f"ended by signal {number}{name}"}
        return {"status": "failed", "detail": f"ended before its checks were judged, with exit code {exit_code}"}
