"""How fast programs run in the sandbox, against three ways to run them without one, in the same run on the same cores.

    python benchmarks/sandbox_speed.py [--programs 400] [--workers 2] [--rounds 3]

The programs are the few-shot bank's own responses, repeated. The references, all unprotected:

- `original`: its filter's design: a process pool with its libraries loaded, a child forked for each program and joined with a
  timeout, in which it makes a folder, sets memory limits, takes dangerous functions away, redirects output and sets a timer
- `lean pool`: the same without all that, and with nothing loaded but what our own slots have
- `fork server`: a fork of a prepared process for each program, and nothing else; it has loaded what our own slots have
- `stocked server`: the same with numpy loaded, as the original's filter has and as a server must that forks for any program
- `python -I`: a new interpreter for each program

Prints programs per second of each, the ratios, and how our own time per program is spread.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import importlib
import io
import json
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from snipmill.sandbox.driver import COMMON_MODULES, Sandbox
from snipmill.sandbox.program import Program
from snipmill.stages.fewshot_files import load_bank
from snipmill.verification.programs import ParsedResponse, parse_response


def programs(count: int) -> list[Program]:
    responses = [example.response for example in load_bank(None).examples if example.response is not None]
    built = [parsed.program for parsed in map(parse_response, responses) if isinstance(parsed, ParsedResponse)]
    return [built[number % len(built)] for number in range(count)]


def _run_plain(source: str) -> None:
    exec(compile(source, "program.py", "exec"), {"__name__": "__main__"})


def _child(source: str) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _run_plain(source)


_TAKEN_AWAY = {
    "builtins": ("exit", "quit", "open"),
    "os": (
        "kill",
        "system",
        "putenv",
        "remove",
        "removedirs",
        "fchdir",
        "setuid",
        "fork",
        "forkpty",
        "killpg",
        "rename",
        "renames",
        "truncate",
        "replace",
        "unlink",
        "fchmod",
        "fchown",
        "chmod",
        "chown",
        "chroot",
        "lchown",
        "lstat",
    ),
    "shutil": ("move", "chown"),
    "subprocess": ("Popen",),
}


def _original_child(source: str) -> None:
    """What the original's filter does around a program, in its order."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()
        os.chdir(folder)
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            resource.setrlimit(kind, (4 << 30, 4 << 30))
        faulthandler.disable()
        os.environ["OMP_NUM_THREADS"] = "1"
        taken: list[tuple[object, str, object]] = []
        for name, attributes in _TAKEN_AWAY.items():
            module = importlib.import_module(name)
            for attribute in attributes:
                taken.append((module, attribute, getattr(module, attribute)))
                setattr(module, attribute, None)

        def late(_number: int, _frame: object) -> None:
            raise TimeoutError

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            signal.signal(signal.SIGALRM, late)
            signal.setitimer(signal.ITIMER_REAL, 4)
            try:
                _run_plain(source)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        for owner, attribute, value in taken:  # the folder could not be removed otherwise
            setattr(owner, attribute, value)
        os.chdir(before)


def _original_worker(source: str) -> bool:
    process = multiprocessing.Process(target=_original_child, args=(source,))
    process.start()
    process.join(timeout=10)
    return process.exitcode == 0


def _original(sources: Sequence[str], workers: int) -> tuple[int, float]:
    for name in ("numpy", *COMMON_MODULES):  # its module of evaluation loads numpy
        importlib.import_module(name)
    started = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        return sum(pool.map(_original_worker, sources)), time.perf_counter() - started


def run_original(sources: Sequence[str], workers: int) -> tuple[int, float]:
    """In an interpreter of its own, whose start is not counted: what it loads would weigh on the others."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as own:
        return own.submit(_original, sources, workers).result()


def timed(run: Callable[[], int]) -> Callable[[], tuple[int, float]]:
    def go() -> tuple[int, float]:
        started = time.perf_counter()
        passed = run()
        return passed, time.perf_counter() - started

    return go


def _plain_worker(source: str) -> bool:
    """A child for each program, joined with a timeout; without the original's manager, which only makes it slower."""
    process = multiprocessing.Process(target=_child, args=(source,))
    process.start()
    process.join(timeout=10)
    return process.exitcode == 0


def run_pool(sources: Sequence[str], workers: int) -> int:
    """`ProcessPoolExecutor` forks its workers, and each of these forks a child for each program."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        return sum(pool.map(_plain_worker, sources))


def run_fork_server(sources: Sequence[str], workers: int, loaded: Sequence[str] = COMMON_MODULES) -> int:
    """Fork servers in fresh interpreters with modules loaded."""
    script = (
        "import sys, json, importlib, os\n"
        f"for name in {tuple(loaded)!r}: importlib.import_module(name)\n"
        "import gc; gc.collect(); gc.freeze()\n"
        "passed = 0\n"
        "for source in json.load(sys.stdin):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)\n"
        "        try:\n"
        "            exec(compile(source, 'program.py', 'exec'), {'__name__': '__main__'})\n"
        "        except BaseException:\n"
        "            os._exit(1)\n"
        "        os._exit(0)\n"
        "    passed += os.waitpid(pid, 0)[1] == 0\n"
        "print(passed)\n"
    )

    def one(share: Sequence[str]) -> int:
        done = subprocess.run(
            [sys.executable, "-I", "-c", script], input=json.dumps(share), capture_output=True, text=True
        )
        return int(done.stdout)

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(one, [sources[number::workers] for number in range(workers)]))


def run_interpreters(sources: Sequence[str], workers: int) -> int:
    def one(source: str) -> bool:
        return subprocess.run([sys.executable, "-I", "-c", source], stdout=subprocess.DEVNULL).returncode == 0

    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(one, sources))


def run_ours(chosen: Sequence[Program], workers: int, times: list[float]) -> int:
    async def go() -> int:
        async with Sandbox(workers=workers) as sandbox:

            async def one(program: Program) -> bool:
                verdict = await sandbox.run(program)
                times.append(verdict.wall_ms)
                return verdict.status == "passed"

            return sum(await asyncio.gather(*map(one, chosen)))

    return asyncio.run(go())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    chosen = programs(args.programs)
    sources = [program.source for program in chosen]
    for name in COMMON_MODULES:  # what a forked pool inherits
        importlib.import_module(name)
    times: list[float] = []
    contenders: dict[str, Callable[[], tuple[int, float]]] = {
        "ours": timed(lambda: run_ours(chosen, args.workers, times)),
        "original": lambda: run_original(sources, args.workers),
        "lean pool": timed(lambda: run_pool(sources, args.workers)),
        "fork server": timed(lambda: run_fork_server(sources, args.workers)),
        "stocked server": timed(lambda: run_fork_server(sources, args.workers, ("numpy", *COMMON_MODULES))),
        "python -I": timed(lambda: run_interpreters(sources, args.workers)),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(args.rounds):
        for name, run in contenders.items():
            passed, seconds = run()
            rates[name].append(len(chosen) / seconds)
            if passed != len(chosen):
                print(f"{name}: only {passed} of {len(chosen)} passed", file=sys.stderr)
    ours = statistics.median(rates["ours"])
    print(
        f"{args.programs} programs, {args.workers} workers, median of {args.rounds} rounds; starting the slots is included"
    )
    for name, values in rates.items():
        ratio = statistics.median(our / other for our, other in zip(rates["ours"], values, strict=True))
        print(f"{name:14} {statistics.median(values):7.1f} programs/s   ours / {name}: {ratio:5.2f}")
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"ours per program: p50 {p50:.2f} ms, p99 {p99:.2f} ms, p99 / p50 {p99 / p50:.2f}; {ours:.0f}/s")


if __name__ == "__main__":
    main()
