"""A zygote: a small process that forks programs, one after the other, and does nothing else.

A fork copies all page tables, and afterwards each page that either side touches costs a page fault. So the process that
forks must be small and touch little memory. The large and busy parts (the compiler, reading output) are in the slot's
server, which never forks for a program. Everything that a program needs is prepared here, before the fork.

The zygote manages its one running program: its deadline, its termination and its box. Jobs come in over one pipe, and
the result of the process goes out over another. The program's output and report go directly to the server, over pipes
that live as long as the zygote.
"""

from __future__ import annotations

import contextlib
import gc
import io
import marshal
import os
import select
import signal
import sys
import time
from functools import partial

from snipmill.sandbox.child import isolation, linux
from snipmill.sandbox.child.at_fork import AtFork
from snipmill.sandbox.child.dialogues import run_dialogues
from snipmill.sandbox.child.harness import compile_checked, encode_report, run_compiled, run_program
from snipmill.sandbox.child.isolation import StepFailed, Walls
from snipmill.sandbox.child.leftovers import end_leftovers, remove_tree
from snipmill.sandbox.child.limits import MOST_FILES, Limits, set_standing_limits
from snipmill.sandbox.child.pytest_tests import NotInstalled, Session
from snipmill.sandbox.child.units import run_units
from snipmill.sandbox.child.watch import ProcessWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

PYTEST = "pytest"
_REPORT = 3  # the descriptor on which a program's process reports
_REPORT_LIMIT = 1 << 20
_TIMES = 20  # runs; enough for the interpreter to have specialized its instructions
_SAMPLE = """
def sample(values: list, *, more: str = "") -> dict:
    \'\'\'A sample.\'\'\'
    found = {value: len(more) for value in values if value > 1}
    return {**found, 0: sum(found)} if more else found

assert sample([1, 2, 3]) == {2: 0, 3: 0}
assert sample([2], more="x")[2] == 1, "message"
assert 2 in sample([2]) and not sample([])
for number in range(3):
    assert sample([number], more="x")[0] >= 0
try:
    assert sample(None)
except TypeError:
    pass
"""
_WITH_ANY = ("threading", "linecache", "json", "re", "hashlib")  # the harness looks for them, and trials need them


class Zygote:
    """The server's handle on a zygote.

    Attributes:
        output: descriptor from which the program's stdout and stderr can be read, without blocking.
        report: descriptor from which the reports of its process can be read, without blocking.
        results: descriptor that becomes readable when a program has ended.
        poll: waits for output and for the end. A single report fits into its pipe, and is read at the end.
        poll_reports: waits for reports too.
    """

    def __init__(self, jobs: int, results: int, output: int, report: int) -> None:
        self._jobs = jobs
        self.results = results
        self.output = output
        self.report = report
        self._is_awake = self._is_ready = False
        self.poll, self.poll_reports = select.poll(), select.poll()
        for descriptor in (output, results):
            self.poll.register(descriptor, select.POLLIN)
        for descriptor in (output, results, report):
            self.poll_reports.register(descriptor, select.POLLIN)

    def wake(self) -> None:
        """Let the zygote set itself up, without waiting for it."""
        if not self._is_awake:
            self._is_awake = True
            write_message(self._jobs, b"")

    def wait_ready(self) -> None:
        """Let the zygote set itself up, and wait until it can take its first job. Further calls do nothing.

        Raises:
            StepFailed: the zygote's own isolation cannot be set up.
        """
        if self._is_ready:
            return
        self.wake()
        self._is_ready = True
        problem = read_message(self.results)
        if problem != b"":
            raise StepFailed((problem or b"the zygote did not start").decode())

    def start(self, job: dict[str, Any]) -> None:
        """Start a job, with the keys `program`, `compiled`, `units`, `unit_timeout` and `extra`.

        If the compiled program is None, the program is compiled in its own process.
        """
        # A program gets its own /proc only if it mentions it, since the mount takes time.
        wants_proc = b"p" if "proc" in job["program"]["source"] else b"-"
        write_message(self._jobs, wants_proc + marshal.dumps(job))

    def stop(self) -> None:
        """Stop the running program; does nothing if it has already ended."""
        write_message(self._jobs, b"")

    def result(self) -> tuple[int, str, float, int]:
        """How a program ended: exit code, why it was stopped, CPU time in ms, peak memory in bytes.

        The exit code is that of `os.waitstatus_to_exitcode`.

        Raises:
            EOFError: the zygote itself has ended.
        """
        body = read_message(self.results)
        if body is None:
            raise EOFError("the zygote ended")
        ended: tuple[int, str, float, int] = marshal.loads(body)
        return ended


def spawn(
    walls: Walls, limits: Limits, at_fork: AtFork, preload: Sequence[str] | None, cpus: set[int] | None
) -> Zygote:
    """Fork a zygote. It sleeps until `wake` or `wait_ready`, and its start takes a while.

    Args:
        walls: the isolation that is already set up.
        limits: limits of each program.
        at_fork: the hooks that modules have registered.
        preload: the modules that the zygote loads; None for none at all.
        cpus: the CPUs that programs may use, if the zygote itself may use fewer; otherwise None.
    """
    (jobs, jobs_end), (results, results_end) = os.pipe(), os.pipe()
    (output, output_end), (report, report_end) = os.pipe(), os.pipe()
    if os.fork() == 0:
        try:
            for number in (1, 2):
                os.dup2(output_end, number)
            os.dup2(report_end, _REPORT, inheritable=False)
            for descriptor in (jobs_end, results, output, output_end, report, report_end):
                os.close(descriptor)
            _serve(jobs, results_end, _Forker(jobs, walls, limits, at_fork, cpus), preload)
        finally:
            os._exit(70)
    for descriptor in (jobs, results_end, output_end, report_end):
        os.close(descriptor)
    for descriptor in (output, report):
        os.set_blocking(descriptor, False)
    return Zygote(jobs_end, results, output, report)


def read_message(descriptor: int) -> bytes | None:
    """Read the next message, which follows its length, and nothing beyond it; None at the end of the stream."""
    header = _read(descriptor, 4)
    return None if header is None else _read(descriptor, int.from_bytes(header, "big"))


def _read(descriptor: int, size: int) -> bytes | None:
    received = b""
    while len(received) < size:
        part = os.read(descriptor, size - len(received))
        if not part:
            return None
        received += part
    return received


def write_message(descriptor: int, body: bytes) -> None:
    """Write one message."""
    left = len(body).to_bytes(4, "big") + body
    while left:
        left = left[os.write(descriptor, left) :]


def _serve(jobs: int, results: int, forker: _Forker, preload: Sequence[str] | None) -> None:
    if read_message(jobs) is None:
        return
    try:
        forker.set_up(preload)
    except StepFailed as failed:
        write_message(results, str(failed).encode())
        return
    write_message(results, b"")
    while (job := read_message(jobs)) is not None:
        if job:  # an empty message is a late request to stop a program that has already ended
            write_message(results, marshal.dumps(forker.run(job[1:], wants_proc=job.startswith(b"p"))))


class _Forker:
    """The state kept between programs: the isolation, and a descriptor to return to the zygote's own pid namespace."""

    def __init__(self, jobs: int, walls: Walls, limits: Limits, at_fork: AtFork, cpus: set[int] | None) -> None:
        self._jobs = jobs
        self._walls = walls
        self._limits = limits
        self._at_fork = at_fork
        self._cpus = cpus
        self._count = 0
        self._nested = walls.tier == "namespaces"
        self._own_namespace = -1
        self._last_walls: list[Callable[[], object]] = []
        self._session = Session()

    def set_up(self, preload: Sequence[str] | None) -> None:
        """Prepare everything that programs share.

        Raises:
            StepFailed: a part of the isolation cannot be set up.
        """
        if sys.platform == "linux":
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        isolation.enter_box(self._walls, self._limits)
        if self._nested:  # each program gets a pid namespace below this one
            self._own_namespace = os.pidfd_open(os.getpid())
        for name in (*_WITH_ANY, *preload) if preload is not None else ():
            if name != PYTEST:
                __import__(name)
        _renew_streams()
        if preload is not None and PYTEST in preload:
            with contextlib.suppress(NotInstalled):  # said to the programs that need it
                self._session.prepare()
        self._at_fork.leave()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        set_standing_limits(self._limits)
        if self._walls.tier in ("namespaces", "uid", "landlock"):
            linux.no_new_privileges()
        if self._walls.private_box:
            self._settle(self._walls.work, isolation.TEMPORARY)
        self._prepare_last_walls()
        self._warm_up()
        gc.collect()
        gc.freeze()

    def _prepare_last_walls(self) -> None:
        self._last_walls = isolation.last_walls(self._walls, self._limits)
        if self._cpus is not None:
            self._last_walls.append(partial(os.sched_setaffinity, 0, self._cpus))

    def run(self, job: bytes, *, wants_proc: bool) -> tuple[int, str, float, int]:
        """Run one program until it ends, and clean up after it."""
        wants_proc = wants_proc and self._walls.own_proc
        work = self._walls.work if self._walls.private_box else self._make_work_folder()
        if self._nested:
            linux.setns(self._own_namespace, linux.CLONE_NEWPID)
            linux.unshare(linux.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            try:
                self._become_program(job, wants_proc)
            finally:
                os._exit(70)
        stopped, status, usage = self._wait(pid)
        for number in (1, _REPORT):
            os.set_blocking(number, True)  # the program may have changed this, and the next one shares it
        self._clean(work, wants_proc)
        cpu = round((usage.ru_utime + usage.ru_stime) * 1000, 3)
        return os.waitstatus_to_exitcode(status), stopped, cpu, usage.ru_maxrss * 1024

    def _wait(self, pid: int) -> tuple[str, int, Any]:
        process = ProcessWatch(pid)
        stopped = ""
        poll = select.poll()
        poll.register(process.fileno(), select.POLLIN)
        poll.register(self._jobs, select.POLLIN)
        deadline = time.monotonic() + self._limits.timeout
        ready = poll.poll(self._limits.timeout * 1000 + 1)
        while not ready and (left := deadline - time.monotonic()) > 0:
            ready = poll.poll(left * 1000 + 1)
        if not ready:
            stopped = "timeout"
        elif all(descriptor != process.fileno() for descriptor, _ in ready):
            stopped = "output-limit"
            read_message(self._jobs)
        if stopped or not self._nested:
            process.kill()
        _, status, usage = os.wait4(pid, 0)
        process.close()
        return stopped, status, usage

    def _clean(self, work: str, wants_proc: bool) -> None:
        if wants_proc:
            isolation.hide_proc()
        if not self._walls.private_box:
            os.chdir(self._walls.work)
            end_leftovers(self._walls.uid, forks=self._walls.tier == "landlock" and self._walls.allow_fork)
            remove_tree(work)
        elif isolation.clean_box(self._walls, self._limits):
            self._prepare_last_walls()
            os.chdir(work)

    def _make_work_folder(self) -> str:
        self._count += 1
        work = f"{self._walls.work}/{os.getpid()}-{self._count}"
        os.mkdir(work, 0o700)
        if self._walls.uid is not None:
            os.chown(work, self._walls.uid, self._walls.uid)
        self._settle(work, work)
        return work

    def _settle(self, work: str, temporary: str) -> None:
        """Change to the next program's work folder, and set its environment."""
        os.chdir(work)
        os.environ.update(HOME=temporary, TMPDIR=temporary)
        sys.path[0] = work

    def _become_program(self, job: bytes, wants_proc: bool) -> None:
        if not self._nested:
            os.setsid()
        if wants_proc:
            isolation.show_own_proc(self._walls)
            self._prepare_last_walls()
        for put_up in self._last_walls:
            put_up()
        os.closerange(_REPORT + 1, MOST_FILES)
        original = os.getpid()
        report = self._run_job(job, original)
        if os.getpid() != original:  # a process that the program forked has reached this point: ignore its report
            os._exit(0)
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            pass
        _report(report)
        os._exit(0)

    def _run_job(self, job: bytes, original: int) -> str:
        """Run a job and return its report."""
        told = marshal.loads(job)
        program, units = told["program"], told["units"]
        source = program["source"]
        if "import" in source:
            self._at_fork.catch_up(source)
        if units is not None:

            def tell(outcome: str) -> None:
                if os.getpid() == original:
                    _report(outcome)

            return encode_report(run_units(source, units, told["unit_timeout"], told["extra"], tell, self._session))
        if program["dialogues"]:
            return encode_report(run_dialogues(program))
        if told["compiled"] is not None:
            return encode_report(run_compiled(program, told["compiled"], self._session))
        return encode_report(run_program(program, self._session))

    def _warm_up(self) -> None:
        """Run a harmless program in the zygote, in the same way as a program's process does.

        This fills the interpreter's caches (attribute lookups, specialized instructions). Otherwise each program's
        process would fill them again, and copy the pages that hold them.
        """
        program = {"source": _SAMPLE, "tests_line": 8, "modules": (), "dialogues": ()}
        job = marshal.dumps({"program": program, "compiled": compile_checked(_SAMPLE, 8), "units": None})
        for _ in range(_TIMES):
            self._run_job(job, 0)


def _renew_streams() -> None:
    """Make stdout and stderr what they are for a program whose output goes into a pipe: they were opened on another file."""
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        raw = io.FileIO(number, "wb", closefd=False)
        raw.name = f"<{name}>"
        buffer = io.BufferedWriter(raw)
        stream = io.TextIOWrapper(buffer, "utf-8", errors, newline="\n", line_buffering=number == 2)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _report(message: str) -> None:
    body = message.encode("ascii")[:_REPORT_LIMIT] + b"\n"
    while body:
        body = body[os.write(_REPORT, body) :]
