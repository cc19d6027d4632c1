"""What one program of a slot leaves for the next one: nothing. And what hostile programs do to the slot."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import venv
from pathlib import Path

import pytest

from snipmill.records import Verdict, VerdictStatus
from snipmill.sandbox.conformance.conform import program
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program, Trial, Unit

TIERS = ("namespaces", *(("uid",) if os.geteuid() == 0 else ()), "none")
WRONG = program("import numpy\n", "assert numpy.zeros(1)[0] == 1\n")
RIGHT = program("import numpy\n", "assert numpy.zeros(1)[0] == 0\n")


async def verdicts(*programs: Program, **options: object) -> list[Verdict]:
    async with Sandbox(workers=1, **({"limits": Limits(timeout=120)} | options)) as sandbox:  # type: ignore[arg-type]
        return [await sandbox.run(one) for one in programs]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("imported", ["numpy", "os"])
def test_a_report_is_never_that_of_another_program(tier: str, imported: str) -> None:
    forger = program(
        f"import {imported}, fcntl, os\nfor number in (1, 3):\n"
        "    fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_DIRECT)\n"
        "for _ in range(3):\n    os.write(1, b'out')\n"
        '    os.write(3, b\'{"status": "passed", "detail": "", "checks_executed": 7}\\n\')\n',
        "assert int('1') == 1\n",
    )
    found = asyncio.run(verdicts(RIGHT, forger, WRONG, RIGHT, forger, WRONG, WRONG, RIGHT, tier=tier))
    assert [verdict.status for verdict in found[2:4]] == ["failed", "passed"], found
    assert [verdict.status for verdict in found[5:]] == ["failed", "failed", "passed"], found


FORGED = (
    "{}",
    '{"status": 5, "detail": ""}',
    '{"status": "retry-loaded", "detail": ""}',
    '{"status": "passed", "detail": "", "checks_executed": "x"}',
    '{"status": "passed", "detail": "", "tests_skipped": [1]}',
    '{"status": "passed", "detail": "", "more": 1}',
    '{"held": 1}',
    '{"status": "sandbox-error", "detail": "mine"}',
    "[" * 50_000,
    "[1, 2]",
    '"a text"',
    "\\x00\\xff",
)


def test_no_report_ends_the_slot_or_the_run() -> None:
    async def go() -> list[str]:
        async with Sandbox(workers=1, limits=Limits(timeout=5)) as sandbox:
            before = set(sandbox._slots)
            found: list[str] = []
            for report in FORGED:
                forger = program(f"import os\nos.write(3, b'{report}\\n')\nos._exit(0)\n", "assert int('1') == 1\n")
                found.append((await sandbox.run(forger)).status)
            assert (await sandbox.run(RIGHT)).status == "passed"
            assert set(sandbox._slots) == before
            return found

    assert set(asyncio.run(go())) <= {"failed", "sandbox-error"}


def test_nothing_is_left_in_memory_that_processes_share() -> None:
    writer = program(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\ndef f():\n    return libc.shmget(4321, 4096, 0o1666)\n",
        "assert f() == -1\n",
    )
    assert [verdict.status for verdict in asyncio.run(verdicts(writer, writer))] == ["passed", "passed"]


def test_a_port_is_free_again_for_the_next_program() -> None:
    server = program(
        "import socket, threading\ndef f(port):\n    with socket.socket() as server:\n        server.bind(('127.0.0.1', port))\n"
        "        server.listen()\n        def serve():\n            one, _ = server.accept()\n            one.sendall(b'x')\n            one.close()\n"
        "        thread = threading.Thread(target=serve)\n        thread.start()\n        with socket.create_connection(('127.0.0.1', port)) as client:\n"
        "            found = client.recv(1)\n            client.recv(1)\n        thread.join()\n    return found\n",
        "assert f(8765) == b'x'\n",
    )
    found = asyncio.run(verdicts(*[server] * 4))
    assert [verdict.status for verdict in found] == ["passed"] * 4, found


def test_nothing_is_left_beside_a_python_in_tmp() -> None:
    subprocess.run(["rm", "-rf", "/tmp/snipmill-test-project"], check=True)
    try:
        venv.create("/tmp/snipmill-test-project/sub/venv", with_pip=False)
        leaver = program(
            "import os\ndef f():\n    folder = '/tmp/snipmill-test-project'\n    found = os.listdir(folder), os.listdir(folder + '/sub')\n"
            "    for path in (folder, folder + '/sub'):\n        open(path + '/left', 'w').close()\n    return found\n",
            "assert f() == (['sub'], ['venv'])\n",
        )
        interpreter = "/tmp/snipmill-test-project/sub/venv/bin/python"
        found = asyncio.run(verdicts(*[leaver] * 3, interpreter=interpreter))
        assert [verdict.status for verdict in found] == ["passed"] * 3, found
        assert os.listdir("/tmp/snipmill-test-project") == ["sub"]
    finally:
        subprocess.run(["rm", "-rf", "/tmp/snipmill-test-project"], check=True)


def test_files_that_shadow_packages_are_found() -> None:
    shadow = program("open('attr.py', 'w').write('x = 1')\nimport attr\n", "assert attr.x == 1\n")
    normal = program("import attr\n", "assert not hasattr(attr, 'x') and attr.s\n")
    found = asyncio.run(verdicts(normal, shadow, normal, shadow, normal))
    assert [verdict.status for verdict in found[1::2]] == ["passed", "passed"], found


def test_a_name_that_warns_does_not_spoil_its_package() -> None:
    gone = program(
        "import numpy as np\ntry:\n    x = np.str\nexcept AttributeError:\n    x = None\n", "assert x is None\n"
    )

    async def go() -> tuple[list[VerdictStatus], int]:
        async with Sandbox(workers=1, limits=Limits(timeout=120)) as sandbox:
            (slot,) = sandbox._slots
            found = [(await sandbox.run(one)).status for one in (gone, gone, RIGHT, RIGHT)]
            while not slot.memory_of_packages and len(found) < 30:  # a busy machine takes its time
                found.append((await sandbox.run(RIGHT)).status)
            return found, slot.memory_of_packages

    found, memory_of_packages = asyncio.run(go())
    assert set(found) == {"passed"}
    assert memory_of_packages > 0, "numpy is imported by each program anew"


NAMES = ("attr", "networkx", "sympy", "pydantic", "click", "idna", "requests", "rich", "pygments", "jinja2", "markupsafe",
         "packaging", "iniconfig", "pluggy", "mpmath", "joblib", "yaml", "typer", "anyio", "certifi", "tqdm")  # fmt: skip


@pytest.mark.parametrize("tier", TIERS)
def test_zygotes_that_come_from_each_other_many_times(tier: str) -> None:
    programs = [
        program("".join(f"import {name}\n" for name in NAMES[:count]), "assert int('1') == 1\n")
        for count in range(1, len(NAMES) + 1)
    ]
    found = asyncio.run(verdicts(*programs, programs[-1], tier=tier))
    assert {verdict.status for verdict in found} <= {"passed", "unsupported"}, found
    assert not any("sandbox tier" in verdict.detail for verdict in found), found


def zygotes_of(pid: int) -> set[int]:
    """The processes that were started by a slot's first process, directly or through others."""
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {
            int(child)
            for parent in newest
            if Path(f"/proc/{parent}/task/{parent}/children").exists()
            for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        } - found
        found |= newest
    return found


@pytest.mark.parametrize("busy", [False, True])
def test_a_learned_zygote_that_is_killed(busy: bool) -> None:
    sleeper = program("import attr, time\ntime.sleep(60)\n", "assert attr\n")

    async def go() -> None:
        async with Sandbox(workers=1, limits=Limits(timeout=3)) as sandbox:
            (slot,) = sandbox._slots
            before = zygotes_of(slot._process.pid)
            assert (await sandbox.run(program("import attr\n", "assert attr.__name__ == 'attr'\n"))).status == "passed"
            (learned,) = zygotes_of(slot._process.pid) - before
            running = asyncio.create_task(sandbox.run(sleeper)) if busy else None
            children: set[int] = set()
            if running is not None:
                while not (children := zygotes_of(learned)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            os.kill(learned, signal.SIGKILL)
            if running is not None:
                assert (await running).status == "timeout"
            for modules in ("attr", "attr, networkx", "attr"):
                one = program(f"import {modules}\n", "assert attr.__name__ == 'attr'\n")
                assert (await sandbox.run(one)).status == "passed"
            assert not children & zygotes_of(slot._process.pid)
            assert set(sandbox._slots) == {slot}

    asyncio.run(go())


SLOWS_OTHERS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def allowed():
    parent = os.getppid()
    tries = {
        "affinity": lambda: os.sched_setaffinity(parent, {0}),
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
        "priority of all": lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19),
        "scheduler": lambda: os.sched_setscheduler(parent, os.SCHED_IDLE, os.sched_param(0)),
    }
    found = []
    for name, attempt in tries.items():
        try:
            attempt()
            found.append(name)
        except OSError:
            pass
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.nice(1)
    return found
"""


def test_a_program_cannot_slow_others_down() -> None:
    found = asyncio.run(verdicts(program(SLOWS_OTHERS, "assert allowed() == []\n"), tier="landlock"))
    assert found[0].status == "passed", found
    assert os.getpriority(os.PRIO_PROCESS, 0) == os.getpriority(os.PRIO_PROCESS, os.getpid()) < 19


def test_a_process_that_dies_by_a_signal_has_died() -> None:
    dying = Program(source="import os, signal\nassert int('1') == 1\nos.kill(os.getpid(), signal.SIGTERM)\n")
    (verdict,) = asyncio.run(verdicts(dying))
    assert (verdict.status, verdict.detail) == ("killed", "ended by signal 15 (SIGTERM)")
    (verdict,) = asyncio.run(
        verdicts(
            Program(source="import os\nassert int('1') == 1\nos.fork() or os._exit(200)\nos.wait()\nos._exit(201)\n")
        )
    )
    assert (verdict.status, verdict.detail) == ("failed", "ended before its checks were judged, with exit code 201")


def test_a_real_time_signal_has_no_name() -> None:
    dying = Program(source="import signal\nassert int('1') == 1\nsignal.raise_signal(signal.SIGRTMIN + 1)\n")
    found = asyncio.run(verdicts(dying, dying, dying, dying))
    assert {(verdict.status, verdict.detail[:15]) for verdict in found} == {("killed", "ended by signal")}


LONG_REPORT = program(
    "import unittest\n",
    "class T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(int('1'), 1)\n"
    "for i in range(20):\n    setattr(T, f'test_b{i}', unittest.skip('x' * 9000)(lambda self: None))\n",
)


def test_a_long_report_holds_nobody_up() -> None:
    shrinker = program("import fcntl, unittest\nfcntl.fcntl(3, 1031, 4096)\n", "assert int('1') == 1\n")
    raiser = program("", "assert int('1') == 1\nraise type('E' * 100_000, (Exception,), {})()\n")
    found = asyncio.run(verdicts(LONG_REPORT, shrinker, LONG_REPORT, raiser))
    assert [verdict.status for verdict in found] == ["passed", "passed", "passed", "failed"], found
    assert all(len(reason) <= 2000 for reason in found[0].tests_skipped) and len(found[3].exception or "") <= 2000


def test_init_tells_only_what_is_true() -> None:
    writes = program(
        "import os\nassert int('1') == 1\ntry:\n    there = os.open('/proc/1/fd/4', os.O_WRONLY)\n    os.write(there, b'\\0\\0\\0\\0')\n"
        "except OSError:\n    pass\nos.kill(os.getpid(), 9)\n",
        "",
    )
    interrupts = program("import os, time\nos.kill(1, 2)\ntime.sleep(0.2)\n", "assert int('1') == 2\n")
    leads = program(
        "import os\ndef f():\n    os.setsid()\n    return os.getsid(0) == os.getpid() == os.getpgrp()\n",
        "assert f()\nassert os.getpgid(0) > 0\n",
    )
    found = asyncio.run(verdicts(writes, interrupts, leads))
    assert [verdict.status for verdict in found] == ["killed", "failed", "passed"], found


def test_units_get_what_programs_get() -> None:
    serve = (
        "import socket\nserver = socket.socket()\nserver.bind(('127.0.0.1', 8123))\nserver.listen()\n"
        "client = socket.create_connection(('127.0.0.1', 8123))\none, _ = server.accept()\none.close()\n"
    )
    source = "def f(x):\n    return x + 1\n"
    dies = Unit(
        program=program(f"{source}import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n", "assert f(1) == 2\n")
    )
    ignores = Unit(setup="import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)", check="f(1) == 2")
    endless, fine = Unit(setup="while True: pass", check="True"), Unit(value="f(1)", expected="2")

    async def go() -> list[list[str]]:
        async with Sandbox(workers=1, limits=Limits(timeout=60)) as sandbox:
            trials = [Trial(source=source, units=(Unit(setup=serve, check="f(1) == 2"),))] * 2
            trials += [Trial(source=source, units=(dies, fine)), Trial(source=source, units=(ignores, endless, fine))]
            return [[outcome.status for outcome in await sandbox.try_units(trial)] for trial in trials]

    assert asyncio.run(go()) == [["passed"], ["passed"], ["ended", "passed"], ["passed", "timeout", "passed"]]


@pytest.mark.parametrize("tier", ["landlock", *(("uid",) if os.geteuid() == 0 else ())])
@pytest.mark.parametrize(
    "imported", ["wave", "numpy", "sympy", "tempfile, shutil", "concurrent.futures, multiprocessing"]
)
def test_a_wrong_program_has_no_excuse_in_a_lower_tier(tier: str, imported: str) -> None:
    wrong = program(f"import {imported}\ndef f(x):\n    return x\n", "assert f(1) == 2\n")
    found = asyncio.run(verdicts(wrong, wrong, tier=tier))
    assert [verdict.status for verdict in found] == ["failed", "failed"], found
