"""What the conformance corpora do not say: evidence in verdicts, refusals, lost slots, the bound on time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import sys
import time
from pathlib import Path

import pytest

from snipmill.errors import SandboxError, UsageError
from snipmill.records import Verdict
from snipmill.sandbox.cgroup import make_cgroup
from snipmill.sandbox.child import seccomp
from snipmill.sandbox.child.installation import readable_paths
from snipmill.sandbox.child.macos import seatbelt_profile
from snipmill.sandbox.conformance.conform import program
from snipmill.sandbox.driver import Sandbox, choose_tier, time_bound, try_tier
from snipmill.sandbox.program import Limits, Program
from snipmill.sandbox.slot import SlotLost, SlotSettings, open_slot


def run(*programs: Program, **options: object) -> list[Verdict]:
    async def go() -> list[Verdict]:
        async with Sandbox(**options) as sandbox:  # type: ignore[arg-type]
            return list(await asyncio.gather(*map(sandbox.run, programs)))

    return asyncio.run(go())


def test_a_verdict_carries_its_evidence() -> None:
    failed, passed, raised = run(
        program("def f(x):\n    print('called')\n    return x + 1\n", "assert f(1) == 2\nassert f(2) == 4\n"),
        program("x = bytearray(50 << 20)\n", "assert len(x) > 1\nassert x[0] == 0\n"),
        program("def f(x):\n    raise KeyError('no')\n", "assert f(1) == 2\n"),
        workers=1,
    )
    assert (failed.status, failed.checks_executed, failed.checks_failed, failed.line) == ("failed", 2, 1, 6)
    assert failed.failed_check is not None and "assert f(2) == 4" in failed.failed_check
    assert "left is 3, right is 4" in failed.failed_check
    assert failed.output_head == "called\ncalled\n" and failed.tier == "namespaces"
    assert passed.status == "passed" and passed.checks_executed == 2
    assert passed.peak_memory > 50 << 20 and passed.wall_ms > 0 and passed.cpu_ms > 0
    assert (raised.exception, raised.line) == ("KeyError", 2)


def test_long_output_keeps_its_head_and_its_tail() -> None:
    (verdict,) = run(program("print('first'); print('x' * 100_000); print('last')\n", "assert 1 == int('1')\n"))
    assert verdict.output_head.startswith("first") and verdict.output_tail.endswith("last\n")
    assert len(verdict.output_head) + len(verdict.output_tail) < 5000


def can_make_cgroups() -> bool:
    group = make_cgroup(Limits())
    if group is not None:
        group.remove()
    return group is not None


MANY = """
import os, time
pids = []
for _ in range(6):
    pid = os.fork()
    if pid == 0:
        block = bytearray(80 << 20)
        block[:: 4096] = b"x" * len(block[:: 4096])
        time.sleep(1)
        os._exit(0)
    pids.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in pids]
"""


@pytest.mark.skipif(not can_make_cgroups(), reason="no control group can be made here")
def test_the_processes_of_a_program_share_one_bound_on_memory() -> None:
    few, many = (
        run(
            program(MANY.replace("6", count), "assert set(codes) == {0}\n"), limits=Limits(memory=256 << 20), workers=1
        )[0]
        for count in ("2", "6")
    )
    assert few.status == "passed", few
    assert many.status == "memory", many


def test_there_is_no_silent_downgrade() -> None:
    for tier in ("seatbelt", "magic"):
        with pytest.raises(SandboxError, match=tier):
            asyncio.run(choose_tier(tier))
    assert asyncio.run(try_tier("seatbelt")) == "seatbelt: only macOS has it"
    assert asyncio.run(choose_tier("auto")) == "namespaces"


def test_none_is_none_and_says_so() -> None:
    (verdict,) = run(Program(source="import os\nassert os.path.exists('/etc/passwd')\n"), tier="none")
    assert (verdict.status, verdict.tier) == ("passed", "none")


def test_a_lost_slot_is_replaced_and_its_job_done() -> None:
    async def go() -> list[Verdict]:
        async with Sandbox(workers=1, limits=Limits(timeout=5)) as sandbox:
            first = await sandbox.run(program("", "assert int('1') == 1\n"))
            (slot,) = sandbox._slots
            task = asyncio.create_task(sandbox.run(program("import time\ntime.sleep(0.5)\n", "assert int('1') == 1\n")))
            await asyncio.sleep(0.2)
            os.kill(slot._process.pid, signal.SIGKILL)
            return [first, await task]

    assert [verdict.status for verdict in asyncio.run(go())] == ["passed", "passed"]


def test_a_sandbox_that_keeps_failing_stops_the_run() -> None:
    async def go() -> list[str]:
        statuses: list[str] = []
        async with Sandbox(workers=1, limits=Limits(timeout=1)) as sandbox:

            async def kill() -> None:
                while True:
                    for slot in list(sandbox._slots):
                        os.kill(slot._process.pid, signal.SIGKILL)
                    await asyncio.sleep(0.02)

            killer = asyncio.create_task(kill())
            try:
                for _ in range(5):
                    verdict = await sandbox.run(program("import time\ntime.sleep(0.9)\n", "assert int('1') == 1\n"))
                    statuses.append(verdict.status)
            finally:
                killer.cancel()
        return statuses

    with pytest.raises(SandboxError, match=r"in a row|did not start|ended"):
        asyncio.run(go())


def test_many_stuck_programs_end_within_the_bound() -> None:
    stuck = program("while True:\n    pass\n", "assert 1 == int('1')\n")
    started = time.monotonic()
    verdicts = run(*[stuck] * 6, workers=3, limits=Limits(timeout=1))
    assert {verdict.status for verdict in verdicts} == {"timeout"}
    assert time.monotonic() - started < 6 * 2 * (1 + 5) / 3 < time_bound(6, Limits(timeout=1), 3)


def test_verdicts_stream_in_the_order_of_the_programs() -> None:
    async def go() -> list[str]:
        async with Sandbox(workers=2) as sandbox:
            programs = (program(f"x = {number}\n", "assert x % 3 != int('0')\n") for number in range(30))
            return [verdict.status async for verdict in sandbox.stream(programs)]

    assert asyncio.run(go()) == ["failed" if number % 3 == 0 else "passed" for number in range(30)]


def test_one_program_leaves_nothing_for_the_next() -> None:
    writer = program(
        "import os\nos.makedirs('a/b/c')\nopen('a/x', 'w').close()\nos.chmod('a', 0)\n", "assert int('1') == 1\n"
    )
    # Where Python itself lies below /tmp, it is there; in the tier `none`, both folders are the same one.
    reader = program(
        "import os, sys, tempfile\npython = {path.split('/')[2] for path in (sys.prefix, *sys.path) if path.startswith('/tmp/')}\n",
        "assert os.listdir('.') == []\nassert set(os.listdir(tempfile.gettempdir())) - python <= {'a'}\n",
    )
    for tier in ("namespaces", "none"):
        assert [verdict.status for verdict in run(writer, reader, workers=1, tier=tier)] == ["passed", "passed"], tier


def test_no_program_sees_the_proc_of_another() -> None:
    looker = program(
        "import os\n", "seen = os.listdir('/pr' + 'oc')\nassert seen and not any(map(str.isdigit, seen))\n"
    )
    shown = program("import os\n", "assert os.path.exists('/proc/self/status')\n")
    verdicts = run(looker, shown, looker, shown, workers=1)
    assert [verdict.status for verdict in verdicts] == ["passed"] * 4, verdicts


def test_another_interpreter_s_packages_are_seen() -> None:
    (verdict,) = run(program("import msgspec\n", "assert msgspec.json.decode(b'1') == 1\n"), interpreter=sys.executable)
    assert verdict.status == "passed", verdict


def test_an_interpreter_is_found_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "another-python").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (verdict,) = run(program("import json\n", "assert json.loads('1') == 1\n"), interpreter="another-python")
    assert verdict.status == "passed", verdict
    with pytest.raises(UsageError, match="'no-such-python' cannot be run"):
        run(program("", "assert int('1')\n"), interpreter="no-such-python")


def test_neither_home_nor_what_holds_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "users" / "me"
    (home / "lib").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(home)
    monkeypatch.setattr(
        sys, "path", [*map(str, (home, home.parent, tmp_path / "alias", home / "lib")), "/", "relative"]
    )
    shown = readable_paths(str(home))
    assert str(home / "lib") in shown and os.path.dirname(os.path.realpath(sys.executable)) in shown
    assert not {str(home), str(home.parent), str(tmp_path), str(tmp_path / "alias"), "/", "relative"} & set(shown)
    assert not {str(home), str(home.parent), "/"} & set(readable_paths(str(tmp_path / "alias")))


def test_a_program_is_told_nothing_of_the_host() -> None:
    looker = "import sys\nseen = [*sys.argv, *sys.orig_argv, open('/proc/self/cmdline').read()]\n"
    hidden = "assert not any('limits' in text or 'home\\x27' in text for text in seen), seen\n"
    (verdict,) = run(program(looker, hidden))
    assert verdict.status == "passed", verdict


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("options", [{}, {"allow_fork": False, "allow_inet": False, "only_signal": 7}])
def test_every_jump_of_the_filter_stays_inside_it(machine: str, options: dict[str, object]) -> None:
    code = seccomp.build_filter(allow_mounts=False, machine=machine, **options)  # type: ignore[arg-type]
    lines = [struct.unpack_from("HBBI", code, offset) for offset in range(0, len(code), 8)]
    for place, (operation, if_true, if_false, _) in enumerate(lines):
        if operation & 0x07 == 0x05:
            assert place + 1 + max(if_true, if_false) < len(lines)
    assert lines[-1][0] == 0x06 and lines[-1][3] == 0x7FFF0000


def test_the_profile_for_macos_denies_by_default() -> None:
    profile = seatbelt_profile(["/opt/python"], '/tmp/a"b', allow_fork=False)
    assert profile.splitlines()[1] == "(deny default)"
    assert '(subpath "/tmp/a\\"b")' in profile and '(subpath "/opt/python")' in profile
    assert "process-fork" not in profile and "network" not in profile
    assert "(allow process-fork)" in seatbelt_profile(["/opt/python"], "/tmp", allow_fork=True)


def test_warnings_of_the_compiler_are_no_output_wherever_it_is_compiled() -> None:
    doubtful = "size = 5\nsame = size is 5\n"
    short, long = (program(doubtful + filler, "assert same or size == 5\n") for filler in ("", f"# {'x' * 60_000}\n"))
    for verdict in run(short, long):
        assert (verdict.status, verdict.output_head) == ("passed", ""), verdict


def test_each_program_draws_its_own_random_numbers() -> None:
    draw = program("import random\nprint(random.random())\n", "assert random.random() < int('1')\n")
    drawn = {verdict.output_head for verdict in run(*[draw] * 6, workers=1)}
    assert len(drawn) == 6


SMUGGLED_THREAD = """
def smuggled(name):
    kinds = [kind for kind in ().__class__.__base__.__subclasses__() if kind.__name__ == "BuiltinImp" + "orter"]
    return kinds[0].load_module("builtins").__dict__["__imp" + "ort__"](name)
thread = smuggled("threading").Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
"""


def test_a_thread_that_dies_is_noticed_where_nothing_speaks_of_threads() -> None:
    assert "import" not in SMUGGLED_THREAD
    (verdict,) = run(program(SMUGGLED_THREAD, "assert int('1') == 1\n"))
    assert verdict.status == "failed" and "ZeroDivisionError" in verdict.detail, verdict


def test_a_program_that_ends_while_it_is_stopped_does_not_disturb_the_next() -> None:
    flood = program("", "assert int('1') == 1\nprint('x' * 60_000)\nprint('y' * 5_000)\n")
    quiet = program("", "assert int('1') == 1\n")
    verdicts = run(*[flood, quiet] * 20, workers=1, limits=Limits(output=64_000))
    assert {verdict.status for verdict in verdicts[::2]} == {"output-limit"}
    assert {verdict.status for verdict in verdicts[1::2]} == {"passed"}


def test_what_a_program_does_to_its_output_and_folders_is_undone() -> None:
    spoiler = program(
        "import os, tempfile\nos.set_blocking(1, False)\nos.chmod(tempfile.gettempdir(), 0)\nos.chmod('.', 0)\n",
        "assert int('1') == 1\n",
    )
    user = program(
        "import tempfile\nprint('x' * 300_000)\nopen('file', 'w').close()\n",
        "with tempfile.TemporaryFile() as file:\n    assert file.write(b'1') == 1\n",
    )
    verdicts = run(spoiler, user, spoiler, user, workers=1)
    assert [verdict.status for verdict in verdicts] == ["passed"] * 4, verdicts


@pytest.mark.parametrize("tier", ["namespaces", "landlock", "none"])
def test_a_program_dies_with_its_slot(tier: str) -> None:
    """The slot's first process is killed as the system would kill it: nothing of ours is there to clean up."""
    mark = f"slot-{tier}-{os.getpid()}"
    sleeper = program(
        f"import ctypes, time\nctypes.CDLL(None).prctl(15, {mark[-15:].encode()!r}, 0, 0, 0)\ntime.sleep(60)\n",
        "assert int('1') == 1\n",
    )

    def running() -> bool:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "comm").read_text().strip() == mark[-15:]:
                    return True
        return False

    async def until(state: bool) -> None:
        deadline = time.monotonic() + 20
        while running() is not state and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert running() is state

    async def go() -> None:
        slot = await open_slot(tier, SlotSettings(Limits(timeout=60)))
        task = asyncio.create_task(slot.run(sleeper))
        await until(True)
        os.kill(slot._process.pid, signal.SIGKILL)
        await until(False)
        with pytest.raises(SlotLost):
            await task
        slot.close()

    asyncio.run(go())
