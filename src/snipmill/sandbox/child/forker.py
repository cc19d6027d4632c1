"""A zygote: a small process that forks programs, one after the other, and does nothing else.

A fork copies all page tables, and afterwards each page that either side touches costs a page fault. So the process that
forks must be small and touch little memory. The large and busy parts (the compiler, reading output) are in the slot's
server, which never forks for a program. Everything that a program needs is prepared here, before the fork.

The zygote manages its one running program: its deadline, its termination and its box. It can also fork another zygote, which
imports more modules than it has itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import marshal
import os
import select
import signal
import sys
import time
from functools import partial

from snipmill.sandbox.child import box, isolation, left_files, linux
from snipmill.sandbox.child.at_fork import AtFork
from snipmill.sandbox.child.dialogues import run_dialogues
from snipmill.sandbox.child.harness import compile_checked, encode_report, run_compiled, run_program
from snipmill.sandbox.child.init_process import fork_below_init, status_from_init
from snipmill.sandbox.child.leftovers import end_leftovers, remove_tree
from snipmill.sandbox.child.limits import MOST_FILES, Limits, limit_own_cpu, set_standing_limits
from snipmill.sandbox.child.loading import Loader
from snipmill.sandbox.child.messages import read_message, receive_descriptors, write_message
from snipmill.sandbox.child.new_root import HOME
from snipmill.sandbox.child.pipes import REPORT, renew_streams, report
from snipmill.sandbox.child.pytest_tests import NotInstalled, Session
from snipmill.sandbox.child.refusals import note_refusals
from snipmill.sandbox.child.units import run_units
from snipmill.sandbox.child.walls import StepFailed, Walls
from snipmill.sandbox.child.watch import ProcessWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

GROW = b"+"  # begins the message that asks for another zygote
PYTEST = "pytest"
_NOWHERE = "/nowhere"  # there is no such folder
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


def serve(ends: Sequence[int], forker: Forker, preload: Sequence[str] | None) -> None:
    """Be a zygote, from the first message on, until there are no more.

    Args:
        ends: the zygote's ends of its channels: jobs, results, output, report.
        forker: prepares and runs programs.
        preload: the modules to load; None for none at all.
    """
    jobs, results = _take(ends)
    if read_message(jobs) is None:
        return
    try:
        forker.set_up(preload)
    except StepFailed as failed:
        write_message(results, str(failed).encode())
        return
    write_message(results, b"")
    _serve_jobs(jobs, results, forker)


def _take(ends: Sequence[int]) -> tuple[int, int]:
    """Put the channels where programs expect them. Returns those that are for the zygote alone: jobs and results."""
    jobs, results, output, report = ends
    for number in (1, 2):
        os.dup2(output, number)
    os.dup2(report, REPORT, inheritable=False)
    os.close(output)
    os.close(report)
    return jobs, results


def _serve_jobs(jobs: int, results: int, forker: Forker) -> None:
    while (job := read_message(jobs)) is not None:
        if job.startswith(GROW):
            ends = receive_descriptors(jobs, 4)
            if forker.fork_sibling():
                os.close(jobs)
                os.close(results)
                jobs, results = _take(ends)
                forker.load(marshal.loads(job[1:]), results)
            else:
                for end in ends:
                    os.close(end)
        elif job:  # an empty message is a late request to stop a program that has already ended
            wishes, told = marshal.loads(job)
            write_message(results, marshal.dumps(forker.run(told, jobs, Wishes(*wishes))))


class Wishes:
    """What a program gets only if it mentions it, since it takes time: a /proc, a network, and an init process above it."""

    def __init__(self, proc: bool, network: bool, init: bool) -> None:
        self.proc = proc
        self.network = network
        self.init = init


class Forker:
    """The state kept between programs: the isolation, and a descriptor to return to the zygote's own pid namespace."""

    def __init__(self, walls: Walls, limits: Limits, at_fork: AtFork, cpus: set[int] | None) -> None:
        self._walls = walls
        self._limits = limits
        self._at_fork = at_fork
        self._cpus = cpus
        self._count = 0
        self._nested = walls.tier == "namespaces"
        self._own_namespace = -1
        self._last_walls: list[Callable[[], object]] = []
        self._session = Session()
        self._loader: Loader | None = None
        self._left_by_imports: list[left_files.LeftFile] = []

    def set_up(self, preload: Sequence[str] | None) -> None:
        """Prepare everything that programs share.

        Raises:
            StepFailed: a part of the isolation cannot be set up.
        """
        if sys.platform == "linux":
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        box.enter_box(self._walls, self._limits)
        if self._nested:  # each program gets a pid namespace below this one
            self._own_namespace = os.pidfd_open(os.getpid())
        for name in (*_WITH_ANY, *preload) if preload is not None else ():
            if name != PYTEST:
                __import__(name)
        renew_streams()
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
            self._settle(self._walls.work)
        self._prepare_last_walls()
        self._warm_up()
        gc.collect()
        gc.freeze()

    def fork_sibling(self) -> bool:
        """Fork another zygote, a child of the server as this one is. Returns whether this process is the new one.

        The server must adopt orphans.
        """
        server = os.getppid()
        adopts = self._walls.tier in ("uid", "landlock") and self._walls.allow_fork
        if self._nested:
            linux.setns(self._own_namespace, linux.CLONE_NEWPID)
        if adopts:
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 0)
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            if adopts:
                linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
            return False
        if os.fork():
            os._exit(0)
        for _ in range(5000):  # the process between the two takes a moment to end
            if os.getppid() == server:
                linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
                return True
            time.sleep(0.001)
        os._exit(70)

    def load(self, modules: Sequence[str], results: int) -> None:
        """Import modules in a zygote that was just forked, and tell the server how far it is: `zygote.Newcomer` reads it."""

        def tell(kind: str, value: Any) -> None:
            write_message(results, marshal.dumps((kind, value)))

        tell("pid", os.getpid())
        try:
            problem = self._load(modules, lambda name: tell("loading", name))
        except Exception as error:  # our own fault: programs go on without this zygote
            problem = f"the zygote cannot be set up: {type(error).__name__}: {error}"
        if problem:
            tell("problem", problem)
            os._exit(0)
        assert self._loader is not None
        tell("ready", (self._loader.memory(), time.process_time(), self._loader.eager))

    def _load(self, modules: Sequence[str], tell: Callable[[str], None]) -> str:
        self._count = 0
        box.leave_box(self._walls)
        box.enter_box(self._walls, self._limits)
        if self._nested:
            os.close(self._own_namespace)
            self._own_namespace = os.pidfd_open(os.getpid())
            self._settle(self._walls.work)
        else:
            os.chdir(self._walls.work)
            sys.path[0] = _NOWHERE
        if self._loader is None:  # one that comes from a zygote which imports packages is walled in already
            isolation.wall_importer(self._walls)
        left_files.put_back(self._left_by_imports)
        limit_own_cpu(self._limits.timeout)
        self._loader = self._loader or Loader()
        problem = self._loader.load(modules, tell)
        limit_own_cpu(None)
        if self._walls.private_box and not problem:
            self._left_by_imports, problem = left_files.take(self._walls)
            box.clean_box(self._walls, self._limits)
            os.chdir(self._walls.work)
        self._prepare_last_walls()
        self._warm_up()
        gc.collect()
        gc.freeze()
        return problem

    def _prepare_last_walls(self) -> None:
        self._last_walls = isolation.last_walls(self._walls, self._limits)
        if self._cpus is not None:
            self._last_walls.append(partial(os.sched_setaffinity, 0, self._cpus))

    def run(self, job: bytes, jobs: int, wishes: Wishes) -> tuple[int, str, float, int]:
        """Run one program until it ends or a message asks to stop it, and clean up after it."""
        wants_proc = wishes.proc and self._walls.own_proc
        if wishes.network and self._nested:  # ports that the program before used may not be free yet
            with contextlib.suppress(OSError):  # there may be no more network namespaces for a moment
                linux.unshare(linux.CLONE_NEWNET)
                linux.bring_loopback_up()
        work = self._walls.work if self._walls.private_box else self._make_work_folder()
        if self._nested:
            linux.setns(self._own_namespace, linux.CLONE_NEWPID)
            linux.unshare(linux.CLONE_NEWPID)
        told_by_init = os.pipe() if wishes.init and self._nested else None
        pid = os.fork()
        if pid == 0:
            try:
                self._become_program(job, wants_proc, told_by_init and told_by_init[1])
            except BaseException as error:  # our own fault: those of the program are guarded
                problem = f"the program's process cannot be set up: {type(error).__name__}: {error}"
                report(encode_report({"status": "sandbox-error", "detail": problem}))
            finally:
                os._exit(0)
        stopped, status, usage = self._wait(pid, jobs)
        if told_by_init is not None:
            status = status_from_init(*told_by_init, status)
        for number in (1, REPORT):  # the program may have changed how these pipes work, and the next one shares them
            fcntl.fcntl(number, fcntl.F_SETFL, 0)
        self._clean(work, wants_proc)
        cpu = round((usage.ru_utime + usage.ru_stime) * 1000, 3)
        return os.waitstatus_to_exitcode(status), stopped, cpu, usage.ru_maxrss * 1024

    def _wait(self, pid: int, jobs: int) -> tuple[str, int, Any]:
        process = ProcessWatch(pid)
        stopped = ""
        poll = select.poll()
        poll.register(process.fileno(), select.POLLIN)
        poll.register(jobs, select.POLLIN)
        deadline = time.monotonic() + self._limits.timeout
        ready = poll.poll(self._limits.timeout * 1000 + 1)
        while not ready and (left := deadline - time.monotonic()) > 0:
            ready = poll.poll(left * 1000 + 1)
        if not ready:
            stopped = "timeout"
        elif all(descriptor != process.fileno() for descriptor, _ in ready):
            stopped = "output-limit"
            read_message(jobs)
        if stopped or not self._nested:
            process.kill()
        _, status, usage = os.wait4(pid, 0)
        process.close()
        return stopped, status, usage

    def _clean(self, work: str, wants_proc: bool) -> None:
        if wants_proc:
            box.hide_proc()
        if not self._walls.private_box:
            os.chdir(self._walls.work)
            end_leftovers(self._walls.uid, forks=self._walls.tier == "landlock" and self._walls.allow_fork)
            remove_tree(work)
        elif box.clean_box(self._walls, self._limits):
            self._prepare_last_walls()
            os.chdir(work)

    def _make_work_folder(self) -> str:
        self._count += 1
        work = f"{self._walls.work}/{os.getpid()}-{self._count}"
        os.mkdir(work, 0o700)
        if self._walls.uid is not None:
            os.chown(work, self._walls.uid, self._walls.uid)
        self._settle(work)
        return work

    def _settle(self, work: str) -> None:
        """Change to the next program's work folder, and set its environment."""
        os.chdir(work)
        if self._walls.private_box:
            os.environ["HOME"] = HOME
        else:  # the folder is all that the program may write to
            os.environ.update(HOME=work, TMPDIR=work)
        sys.path[0] = work

    def _become_program(self, job: bytes, wants_proc: bool, told_by_init: int | None) -> None:
        if not self._nested:
            os.setsid()
        if wants_proc:
            box.show_own_proc(self._walls)
            self._prepare_last_walls()
        for put_up in self._last_walls:
            put_up()
        if told_by_init is None:
            os.closerange(REPORT + 1, MOST_FILES)
        else:
            os.dup2(told_by_init, REPORT + 1, inheritable=False)
            os.closerange(REPORT + 2, MOST_FILES)
            fork_below_init(REPORT + 1)
        left_files.put_back(self._left_by_imports)
        original = os.getpid()
        found = self._run_job(job, original)
        if os.getpid() != original:  # a process that the program forked has reached this point: ignore its report
            os._exit(0)
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            pass
        report(found)
        os._exit(0)

    def _run_job(self, job: bytes, original: int) -> str:
        """Run a job and return its report."""
        told = marshal.loads(job)
        program, units = told["program"], told["units"]
        source = program["source"]
        if "import" in source:
            self._catch_up(source)
        if original:
            note_refusals(self._walls, source, lambda what: report(f'"{what}"'))
        if units is not None:

            def tell(outcome: str) -> None:
                if os.getpid() == original:
                    report(outcome)

            return encode_report(run_units(source, units, told["unit_timeout"], told["extra"], tell, self._session))
        if program["dialogues"]:
            return encode_report(run_dialogues(program))
        if told["compiled"] is not None:
            return encode_report(run_compiled(program, told["compiled"], self._session))
        return encode_report(run_program(program, self._session))

    def _catch_up(self, source: str) -> None:
        """Run the fork hooks of the modules that a program uses, and renew the random states that it would find."""
        if self._loader is None:
            self._at_fork.catch_up(source)
        else:  # packages may use any module
            self._at_fork.catch_up(None)
            self._loader.renew_random_states()

    def _warm_up(self) -> None:
        """Run a harmless program in the zygote, in the same way as a program's process does.

        This fills the interpreter's caches (attribute lookups, specialized instructions). Otherwise each program's
        process would fill them again, and copy the pages that hold them.
        """
        program = {"source": _SAMPLE, "tests_line": 8, "modules": (), "dialogues": ()}
        job = marshal.dumps({"program": program, "compiled": compile_checked(_SAMPLE, 8), "units": None})
        for _ in range(_TIMES):
            self._run_job(job, 0)
