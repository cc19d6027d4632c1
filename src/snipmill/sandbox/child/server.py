"""The fork server of a slot: jobs come in over a socket, each is run in a fork of its own, verdicts go out.

The server is the supervisor of its one running program: it owns the deadline, drains the output with a cap, kills the
program's init, which takes everything in its pid namespace with it, and reaps it. The driver outside supervises the
server in turn. Messages are JSON behind a 4-byte length.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from types import ModuleType
from typing import Any

from snipmill.sandbox.child import isolation, linux
from snipmill.sandbox.child.harness import Checks, Failure, compile_checked, run_program, show
from snipmill.sandbox.child.instrument import compile_program
from snipmill.sandbox.child.isolation import Limits, StepFailed, Walls
from snipmill.sandbox.child.units import run_units
from snipmill.sandbox.child.watch import ProcessWatch

_REPORT_LIMIT = 1 << 20
_COMPILED_HERE = 50_000  # characters; the compiler guards itself, and takes milliseconds for as much
_KEEP = 2000  # characters of the output's head and tail


def receive(channel: socket.socket) -> Any:
    """The next message, or None at the end of the stream."""
    header = _receive_exactly(channel, 4)
    if header is None:
        return None
    body = _receive_exactly(channel, struct.unpack("!I", header)[0])
    return None if body is None else json.loads(body)


def _receive_exactly(channel: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size > 0:
        part = channel.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(channel: socket.socket, message: Any) -> None:
    """Send one message."""
    body = json.dumps(message).encode("ascii")
    channel.sendall(struct.pack("!I", len(body)) + body)


def serve(channel: socket.socket, settings: dict[str, Any]) -> None:
    """Set the walls up, say so, and run jobs until the channel closes."""
    limits = Limits(**settings["limits"])
    try:
        walls = _set_up(settings, limits)
    except StepFailed as failed:
        send(channel, {"error": str(failed)})
        return
    for name in settings["preload"]:
        __import__(name)
    warm_up()
    ours = hide_ourselves()
    gc.collect()
    gc.freeze()
    send(channel, {"ready": walls.tier, "landlock": walls.landlock is not None, "proc": walls.own_proc})
    server = _Server(channel, walls, limits)
    while (job := receive(channel)) is not None:
        send(channel, server.run(job))
    del ours


def _set_up(settings: dict[str, Any], limits: Limits) -> Walls:
    tier, readable, work = settings["tier"], settings["readable"], settings["work"]
    allow_fork = tier in ("namespaces", "uid") or settings["allow_fork"]
    if tier == "namespaces":
        return isolation.enter_namespaces(readable, limits)
    if tier in ("uid", "landlock"):
        return isolation.enter_without_namespaces(tier, readable, work, allow_fork=allow_fork)
    if tier == "seatbelt":
        return isolation.prepare_seatbelt(readable, work, allow_fork=allow_fork)
    return Walls(tier="none", work=work)


class _Server:
    """The state that lives between jobs: the walls, and the descriptor of the server's own pid namespace."""

    def __init__(self, channel: socket.socket, walls: Walls, limits: Limits) -> None:
        self._channel = channel
        self._walls = walls
        self._limits = limits
        self._nested = walls.tier == "namespaces"
        # Each program gets a pid namespace below the server's own; this is the way back up before the next one.
        self._own_namespace = os.pidfd_open(os.getpid()) if self._nested else -1

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run one program and return its verdict's fields.

        Its code is compiled here, where the compiler is warm, and only run in the fork; large code, and a job that has
        cost a slot already, is compiled in the fork too.
        """
        started = time.monotonic()
        compiled = None
        if "units" not in job and not job["careful"] and len(job["source"]) <= _COMPILED_HERE:
            try:
                compiled = compile_checked(job["source"], job["tests_line"])
            except Failure as failure:
                return failure.report | {"tier": self._walls.tier}
        work = self._walls.work if self._walls.private_box else tempfile.mkdtemp(dir=self._walls.work)
        if self._walls.uid is not None:
            os.chown(work, self._walls.uid, self._walls.uid)
        report_read, report_write = os.pipe()
        output_read, output_write = os.pipe()
        if self._nested:
            linux.setns(self._own_namespace, linux.CLONE_NEWPID)
            linux.unshare(linux.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            try:
                self._become_program(job, compiled, work, report_write, output_write)
            finally:
                os._exit(70)
        os.close(report_write)
        os.close(output_write)
        supervision = _Supervision(pid, report_read, output_read, self._limits, started)
        try:
            return supervision.watch() | {"tier": self._walls.tier}
        finally:
            os.close(report_read)
            os.close(output_read)
            if self._wants_proc(job):
                isolation.hide_proc()
            if self._walls.private_box:
                isolation.clean_box(self._walls, self._limits)
            else:
                isolation.end_leftovers(self._walls)
                isolation.remove_tree(work)

    def _wants_proc(self, job: dict[str, Any]) -> bool:
        """Whether a program gets a view of its processes: where it speaks of it, since a mount has its price."""
        return self._walls.own_proc and "proc" in job["source"]

    def _become_program(
        self, job: dict[str, Any], compiled: Checks | None, work: str, report: int, output: int
    ) -> None:
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        keep = {0, 1, 2, report, self._walls.landlock}
        if self._wants_proc(job):
            isolation.show_own_proc(self._walls)
            keep.add(self._walls.landlock)
        isolation.confine_program(self._walls, self._limits, work)
        first = 3
        for descriptor in sorted(number for number in keep if number is not None and number > 2):
            os.closerange(first, descriptor)
            first = descriptor + 1
        os.closerange(first, 256)
        if self._walls.landlock is not None:
            os.close(self._walls.landlock)
        os.chdir(work)
        temporary = isolation.TEMPORARY if self._walls.private_box else work
        os.environ.update(HOME=temporary, TMPDIR=temporary)
        for number in (signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_IGN)
        sys.path[0] = work
        original = os.getpid()
        if "units" in job:

            def tell(outcome: list[Any]) -> None:
                if os.getpid() == original:
                    _write(report, outcome)

            result = run_units(job["source"], job["units"], job["unit_timeout"], tell)
        else:
            result = run_program(job["source"], job["tests_line"], compiled)
        if os.getpid() != original:  # a fork that the program made ran on to here: it has no say
            os._exit(0)
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            pass
        _write(report, result)
        os._exit(0)


def _write(report: int, message: Any) -> None:
    body = json.dumps(message).encode("ascii")[:_REPORT_LIMIT] + b"\n"
    while body:
        body = body[os.write(report, body) :]


def hide_ourselves() -> list[ModuleType]:
    """Leave no module, path or argument of ours for a program to stumble over.

    Done once in the server, which goes on with what its functions hold; the modules are returned so that they live on, and no
    child spends its time on taking them apart.
    """
    names = [name for name in sys.modules if name.partition(".")[0] == "snipmill"]
    sys.path.insert(0, "")
    sys.argv[:] = ["program.py"]
    return [sys.modules.pop(name) for name in names]


def warm_up() -> None:
    """Do once what would else be done anew in every child: the compiler's own set-up, and that of the report."""
    compile_program(_SAMPLE, "sample.py", 4, Checks().hooks())
    json.dumps(show(None))


_SAMPLE = """
def sample(x: int) -> int:
    return x + 1
try:
    assert sample(1) == 2, "message"
except ValueError:
    pass
with open as raises, sample:
    assert [x for x in {1: (2,)}] and f"{sample}"
"""


class _Supervision:
    """Watches one program from outside until it is gone."""

    def __init__(self, pid: int, report: int, output: int, limits: Limits, started: float) -> None:
        self._pid = pid
        self._report_end = report
        self._output = output
        self._report: Any = None
        self._units: list[Any] = []
        self._limits = limits
        self._started = started
        self._report_body = b""
        self._head = b""
        self._tail = b""
        self._written = 0
        self._stopped_for = ""

    def watch(self) -> dict[str, Any]:
        """Wait for the program's end or end it, and say what came of it."""
        process = ProcessWatch(self._pid)
        try:
            self._loop(process.fileno())
        finally:
            process.kill()
            _, status, usage = os.wait4(self._pid, 0)
            process.close()
        self._read_report()
        verdict = self._verdict(os.waitstatus_to_exitcode(status))
        if self._units:
            verdict["units"] = self._units
        verdict["wall_ms"] = round((time.monotonic() - self._started) * 1000, 3)
        verdict["cpu_ms"] = round((usage.ru_utime + usage.ru_stime) * 1000, 3)
        verdict["peak_memory"] = usage.ru_maxrss * 1024
        verdict["output_head"] = self._head.decode("utf-8", "replace")
        verdict["output_tail"] = self._tail.decode("utf-8", "replace")
        return verdict

    def _loop(self, ended: int) -> None:
        deadline = self._started + self._limits.timeout
        poll = select.poll()
        for descriptor in (self._report_end, self._output, ended):
            poll.register(descriptor, select.POLLIN)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                self._stopped_for = "timeout"
                return
            for descriptor, _ in poll.poll(remaining * 1000 + 1):
                if descriptor == ended:
                    self._drain()
                    return
                if not self._read(descriptor):
                    poll.unregister(descriptor)
            if self._written > self._limits.output:
                self._stopped_for = "output-limit"
                return

    def _drain(self) -> None:
        """The program and all its children are gone: what they wrote is in the pipes, and then these end."""
        for descriptor in (self._report_end, self._output):
            os.set_blocking(descriptor, False)
            try:
                while self._read(descriptor):
                    pass
            except BlockingIOError:
                continue

    def _read(self, descriptor: int) -> bool:
        chunk = os.read(descriptor, 65536)
        if descriptor == self._report_end:
            if len(self._report_body) <= _REPORT_LIMIT:
                self._report_body += chunk
        else:
            self._written += len(chunk)
            if len(self._head) < _KEEP:
                self._head += chunk[: _KEEP - len(self._head)]
            self._tail = (self._tail + chunk)[-_KEEP:] if self._written > _KEEP else b""
        return bool(chunk)

    def _read_report(self) -> None:
        """Lines of JSON: lists are outcomes of units, as far as it came; the object is the verdict."""
        for line in self._report_body.split(b"\n"):
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, list):
                self._units.append(message)
            else:
                self._report = message

    def _verdict(self, exit_code: int) -> dict[str, Any]:
        if self._stopped_for == "timeout":
            return {"status": "timeout", "detail": f"not finished after {self._limits.timeout:g} s"}
        if self._stopped_for:
            return {"status": "output-limit", "detail": f"wrote more than {self._limits.output} bytes"}
        if isinstance(self._report, dict) and exit_code == 0:
            return self._report
        if exit_code < 0:
            number = -exit_code
            if number == signal.SIGXCPU:
                return {"status": "timeout", "detail": "used up its CPU time"}
            return {"status": "killed", "detail": f"ended by signal {number} ({signal.Signals(number).name})"}
        return {"status": "failed", "detail": f"ended before its checks were judged, with exit code {exit_code}"}


def main() -> None:
    """Entry point: `server.py DESCRIPTOR SETTINGS`."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    serve(channel, json.loads(sys.argv[2]))
