"""The server's handle on a zygote, a small process that forks programs (`forker`).

Jobs go in over a socket, and the result of the process comes out over a pipe. The program's output and report come directly to
the server, over pipes that live as long as the zygote.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import re
import select
import signal

from snipmill.sandbox.child.at_fork import AtFork
from snipmill.sandbox.child.forker import GROW, Forker, serve
from snipmill.sandbox.child.limits import Limits
from snipmill.sandbox.child.messages import read_message, send_descriptors, socket_pair, write_message
from snipmill.sandbox.child.walls import StepFailed, Walls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any


# By what is mentioned, a program gets its own /proc, a network that nobody used before, and an init process above it: the init
# process of a pid namespace survives its own signals, has no parent, and adopts orphans.
_WISHES = (
    re.compile(
        r"proc|/dev/|psutil|joblib|n_jobs|loky"
    ),  # joblib's workers look at their memory, where psutil is installed
    re.compile(r"socket|server|http|urllib|localhost|127\.0|requests|xmlrpc|smtp|ftp"),
    re.compile(r"kill|signal|alarm|itimer|abort|getppid|[gs]etpg|[gs]etsid|fork|wait|terminate|psutil|ctypes|prctl"),
)


class Zygote:
    """The server's handle on a zygote.

    Attributes:
        output: descriptor from which the program's stdout and stderr can be read, without blocking.
        report: descriptor from which the reports of its process can be read, without blocking.
        results: descriptor that becomes readable when a program has ended.
        poll: waits for output, reports and the end.

    Args:
        is_ready: whether it needs no first message, and sends none, because another zygote sets it up.
    """

    def __init__(self, jobs: int, results: int, output: int, report: int, *, is_ready: bool = False) -> None:
        self._jobs = jobs
        self.results = results
        self.output = output
        self.report = report
        self._is_awake = self._is_ready = is_ready
        self.poll = select.poll()
        for descriptor in (output, results, report):
            self.poll.register(descriptor, select.POLLIN)

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
        source = "\n".join(sources_of(job["program"], job["units"]))
        wishes = tuple(wish.search(source) is not None for wish in _WISHES)
        write_message(self._jobs, marshal.dumps((wishes, marshal.dumps(job))))

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

    def grow(self, modules: Sequence[str]) -> Newcomer:
        """Let this zygote fork another one, which imports modules. This one must be ready and idle."""
        zygote, ends = _open_zygote(is_ready=True)
        try:
            write_message(self._jobs, GROW + marshal.dumps(list(modules)))
            send_descriptors(self._jobs, ends)
        finally:
            for end in ends:
                os.close(end)
        return Newcomer(zygote)

    def close(self) -> None:
        """Close all descriptors; a zygote that waits for its next job ends."""
        for descriptor in (self._jobs, self.results, self.output, self.report):
            os.close(descriptor)


class Newcomer:
    """A zygote that is importing modules.

    Attributes:
        zygote: ready once `wait` has returned True and there is no `problem`.
        problem: why it cannot be used.
        loading: the module that it imports, or imported last.
        memory: bytes that it holds beside what it shares with the zygote that it comes from.
        seconds: CPU time that the imports took.
        eager: by package of which a name was asked, the names that it has without importing more.
    """

    def __init__(self, zygote: Zygote) -> None:
        self.zygote = zygote
        self.problem = ""
        self.loading = ""
        self.memory = 0
        self.seconds = 0.0
        self.eager: dict[str, list[str]] = {}
        self._pid = 0
        self._poll = select.poll()
        self._poll.register(zygote.results, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Wait until it is ready or has failed; False if neither comes in time."""
        import time

        deadline = time.monotonic() + seconds
        while self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            body = read_message(self.zygote.results)
            if body is None:
                self.problem = "its import ended the process"
                return True
            kind, value = marshal.loads(body)
            if kind == "pid":
                self._pid = value
            elif kind == "loading":
                self.loading = value
            elif kind == "problem":
                self.problem = value
                return True
            else:
                self.memory, self.seconds, self.eager = value
                return True
        return False

    def end(self) -> None:
        """Kill the zygote, whatever it does, and close its descriptors."""
        self.zygote.close()
        if self._pid:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)


def sources_of(program: dict[str, Any], units: list[dict[str, Any]] | None) -> Iterator[str]:
    """The sources of a job: its program, and the programs, statements and expressions of its units."""
    yield program["source"]
    for unit in units or ():
        if unit["program"] is not None:
            yield unit["program"]["source"]
        else:
            yield "\n".join(unit[part] or "" for part in ("setup", "value", "check"))


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
    zygote, ends = _open_zygote()
    if os.fork() == 0:
        try:
            zygote.close()
            serve(ends, Forker(walls, limits, at_fork, cpus), preload)
        finally:
            os._exit(70)
    for end in ends:
        os.close(end)
    return zygote


def _open_zygote(*, is_ready: bool = False) -> tuple[Zygote, tuple[int, int, int, int]]:
    """A handle, and the zygote's ends of its channels: jobs, results, output, report."""
    jobs, jobs_end = socket_pair()
    (results, results_end), (output, output_end), (report, report_end) = os.pipe(), os.pipe(), os.pipe()
    for descriptor in (output, report):
        os.set_blocking(descriptor, False)
    return Zygote(jobs, results, output, report, is_ready=is_ready), (jobs_end, results_end, output_end, report_end)
