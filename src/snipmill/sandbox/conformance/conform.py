"""Holds a tier against the corpora: hostile programs must not pass, honest ones must, and nothing may be left behind.

It looks for what its own programs leave: descendants of this process, and files in a temporary folder of its own. Other work on
the machine does not disturb it. Does not cover tiers without /proc.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from snipmill.records import Verdict
from snipmill.sandbox.child.linux import PR_SET_CHILD_SUBREAPER, prctl
from snipmill.sandbox.child.refusals import NO_FOLDER, NO_HOST, NO_NETWORK, NO_PROCESSES, NO_SHARED_MEMORY
from snipmill.sandbox.conformance.corpus import CorpusProgram, corpus
from snipmill.sandbox.conformance.honest import HONEST
from snipmill.sandbox.conformance.hostile import HOSTILE, Case
from snipmill.sandbox.driver import Sandbox, time_bound
from snipmill.sandbox.program import Limits, Program

# Less output than by default, so that a flood reaches its limit before its time is over on a busy machine, too.
HOSTILE_LIMITS, HONEST_LIMITS = Limits(timeout=2.0, memory=256 << 20, output=32 << 20), Limits(timeout=120.0)
WORKERS = 4  # most hostile programs wait for their time to run out
# Programs of HONEST that do not run their tests themselves, and the runner that does.
_RUNNERS = {
    "async_test": "pytest",
    "pytest_functions": "pytest",
    "pytest_class": "pytest",
    "unittest_uncalled": "unittest",
}
# By tier and reason, the honest programs that it is documented to refuse (docs/sandbox.md): they are `unsupported` there.
_SHARING = (
    *("multiprocessing_lock", "seen/open_process_pool", "seen/process_pool_executor", "seen/spawned_process"),
    *("script/old_process_pool_that_stays_open", "script/process_pool_executor_that_stays_open", "script/spawned_pool"),
    *(
        "script/forkserver_pool",
        "script/shared_memory_block",
        "script/old_thread_pool_that_stays_open",
        "packages/numpy_in_a_process_pool",
    ),
)
_NETWORKING = (
    *("localhost_server", "script/resolves_localhost", "script/http_server_on_localhost", "script/own_host_name"),
    *("script/fixed_port", "script/server_that_is_left_to_the_loop"),
)
_FOLDERS = (
    "script/writes_to_tmp",
    "script/makes_a_folder_in_tmp",
    "script/writes_to_var_tmp_and_shm",
    "packages/pandas_writes_into_tmp",
)
_PROCESSES = (
    *(
        "seen/child_process_exit_code",
        "seen/runs_itself_as_a_script",
        "subprocess_of_python",
        "fork_and_wait",
        "script/waits_for_its_own_children_alone",
    ),
    *(
        "script/shell_command",
        "script/os_system_and_popen",
        "script/small_commands",
        "script/process_that_is_not_joined",
    ),
)
_READING = (
    *("own_proc", "script/cpu_and_memory_of_the_machine", "script/lists_the_root", "script/device_files"),
    "packages/sklearn_clusters",
)
_WITHOUT_NAMESPACES = {
    **dict.fromkeys(_SHARING, NO_SHARED_MEMORY),
    **dict.fromkeys(_NETWORKING, NO_NETWORK),
    **dict.fromkeys(_FOLDERS, NO_FOLDER),
    **dict.fromkeys(_READING, NO_HOST),
}
KNOWN_REFUSALS: Mapping[str, Mapping[str, str]] = {
    "uid": _WITHOUT_NAMESPACES,
    "landlock": _WITHOUT_NAMESPACES | dict.fromkeys(_PROCESSES, NO_PROCESSES),
}


def honest_programs() -> dict[str, CorpusProgram]:
    """All honest programs by name, with the runner that decides what is right as their first word: `script` for Python itself."""
    found = {name: CorpusProgram(*case, (_RUNNERS.get(name, "script"),)) for name, case in HONEST.items()}
    for kind in ("script", "seen", "unittest", "pytest"):
        for name, one in corpus(f"honest_{kind}").items():
            words = one.words or ("script" if kind == "seen" else kind,)
            found[f"{kind}/{name}"] = CorpusProgram(one.implementation, one.tests, words)
    return found | package_programs()


def package_programs() -> dict[str, CorpusProgram]:
    """The honest programs by name that use packages which are installed here."""
    found: dict[str, CorpusProgram] = {}
    for name, one in corpus("honest_packages").items():
        if all(importlib.util.find_spec(package) for package in one.words[0].split()):
            runner = "pytest" if "class Test" in one.tests or "def test" in one.tests else "script"
            found[f"packages/{name}"] = CorpusProgram(one.implementation, one.tests, (runner,))
    return found


def is_right(verdict: Verdict, words: str) -> bool:
    """Whether a verdict is what the first line of a weak program says.

    Args:
        verdict: of the program.
        words: statuses; or `never ran`, `mutants` or `agreement`, of which the sandbox alone shows only the first.
    """
    if words in ("never ran", "mutants", "agreement"):
        return verdict.status == "passed" and bool(verdict.tests_never_run) == (words == "never ran")
    return verdict.status in words.split()


def program(implementation: str, tests: str) -> Program:
    """The program of an implementation and its tests."""
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


def descendants() -> set[int]:
    """The living processes that this process started, directly or through others, by pid."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = dict(
                    line.split(":\t", 1)
                    for line in (entry / "status").read_text(errors="replace").splitlines()
                    if ":\t" in line
                )
            except OSError:  # it has ended
                continue
            if not status.get("State", "Z").startswith("Z"):
                parents[int(entry.name)] = int(status["PPid"])
    found: set[int] = set()
    newest = {os.getpid()}
    while newest:
        newest = {pid for pid, parent in parents.items() if parent in newest} - found
        found |= newest
    return found


@contextlib.contextmanager
def own_traces() -> Iterator[str]:
    """Orphans become our children, and temporary files lie in a folder of their own, while the block runs."""
    before = tempfile.tempdir
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory(prefix="snipmill-conform-") as folder:
        Path(folder).chmod(0o755)  # slots of other users go through it
        tempfile.tempdir = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before
            prctl(PR_SET_CHILD_SUBREAPER, 0)


async def conform(tier: str) -> dict[str, str]:
    """Run both corpora over a tier and return what is wrong: nothing, for a tier that conforms.

    Honest programs that the tier is documented to refuse (`KNOWN_REFUSALS`) must be `unsupported`, with the reason.
    """
    wrong: dict[str, str] = {}
    refused = KNOWN_REFUSALS.get(tier, {})
    with Canary() as canary, own_traces() as folder:
        async with Sandbox(tier=tier, limits=HOSTILE_LIMITS, workers=WORKERS) as sandbox:
            # The slots are up, and their descriptors open, before anything is counted.
            await asyncio.gather(*(sandbox.run(program("", "assert int('1') == 1\n")) for _ in range(2 * WORKERS)))
            before_processes, before_files = descendants(), len(os.listdir("/proc/self/fd"))
            before_temporary = set(os.listdir(folder))
            started = time.monotonic()

            async def judge_hostile(name: str, case: Case) -> None:
                implementation, tests, right = case
                verdict = await sandbox.run(program(implementation.replace("CANARY", str(canary.port)), tests))
                if verdict.status not in right and not _is_refused(verdict):
                    wrong[name] = f"{verdict.status}, not {' or '.join(sorted(right))}: {_evidence(verdict)}"

            await asyncio.gather(*(judge_hostile(name, case) for name, case in HOSTILE.items()))
            bound = time_bound(len(HOSTILE), HOSTILE_LIMITS, WORKERS)
            if time.monotonic() - started > bound:
                wrong["time"] = f"more than the computed bound of {bound} s"
            if survivors := descendants() - before_processes:
                wrong["survivors"] = str({pid: _command(pid) for pid in survivors})
            if len(os.listdir("/proc/self/fd")) > before_files:
                wrong["descriptors"] = f"{len(os.listdir('/proc/self/fd'))} open, {before_files} before"
            if left := set(os.listdir(folder)) - before_temporary:
                wrong["files"] = str(left)
        if canary.visits:
            wrong["canary"] = f"{canary.visits} connections"
    async with Sandbox(tier=tier, limits=HONEST_LIMITS, workers=WORKERS) as sandbox:

        async def judge_honest(name: str, one: CorpusProgram) -> None:
            verdict = await sandbox.run(program(one.implementation, one.tests))
            if name in refused:
                if verdict.status != "unsupported" or refused[name] not in verdict.detail:
                    wrong[name] = f"not refused because {refused[name]}, but {verdict.status}: {_evidence(verdict)}"
            elif verdict.status != "passed":
                wrong[name] = f"honest, but {verdict.status}: {_evidence(verdict)}"
            if verdict.tier != tier:
                wrong[name] = f"the verdict says tier {verdict.tier}"

        async def judge_weak(name: str, one: CorpusProgram) -> None:
            verdict = await sandbox.run(program(one.implementation, one.tests))
            if not _is_refused(verdict) and not is_right(verdict, one.words[0]):
                wrong[name] = f"{verdict.status}, not {one.words[0]}: {_evidence(verdict)}"

        await asyncio.gather(*(judge_honest(name, one) for name, one in honest_programs().items()))
        await asyncio.gather(*(judge_weak(f"weak/{name}", one) for name, one in corpus("weak").items()))
    return wrong


def _is_refused(verdict: Verdict) -> bool:
    """Whether a program that must not pass did not, because its tier refuses what it does."""
    return verdict.status == "unsupported" and f"the sandbox tier {verdict.tier!r} refuses" in verdict.detail


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:80]
    except OSError:
        return "gone"


def _evidence(verdict: Verdict) -> str:
    return f"{verdict.detail} {verdict.failed_check or ''} {verdict.output_tail or verdict.output_head}"[:400]
