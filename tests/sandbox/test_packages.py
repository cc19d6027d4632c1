"""Programs that use packages: they run in a zygote that has loaded these, and see nothing of it but the time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from snipmill.records import Verdict, VerdictStatus
from snipmill.sandbox.child.family import MOST
from snipmill.sandbox.child.imports import InstalledModules
from snipmill.sandbox.conformance.conform import package_programs, program
from snipmill.sandbox.driver import Sandbox
from snipmill.sandbox.program import Limits, Program, Trial, Unit
from snipmill.verification.mutants import mutants

# What a program can find out about its process, but what changes from one process to the next.
LOOK = """
import gc, hashlib, locale, os, random, signal, sys, threading, time
names = sorted(name for name in vars(sys)["modules"] if not name.startswith("_"))
print(len(names), hashlib.sha256(repr(names).encode()).hexdigest())
print(threading.active_count(), threading.main_thread() is threading.current_thread(), len(os.listdir("/proc/self/task")))
print([str(signal.getsignal(number)) for number in signal.valid_signals()])
print(os.getcwd(), os.listdir("."), vars(sys)["path"], sys.argv, sorted(vars(os)["env" + "iron"].items()), os.umask(0o22))
print([sorted(os.listdir(folder)) for folder in ("/tmp", os.path.expanduser("~"))], sorted(map(int, os.listdir("/proc/self/fd")))[:3])
print(gc.isenabled(), gc.get_threshold(), sys.getrecursionlimit(), sys.getswitchinterval(), locale.getlocale())
print([(f[0], str(f[1]), f[2].__name__, str(f[3])) for f in vars(sys)["modules"]["warnings"].filters])
print(sys.stdout.encoding, sys.stdout.line_buffering, sys.excepthook is sys.__excepthook__)
assert time.process_time() < 60
"""


async def verdicts(*programs: Program, workers: int = 1, times: int = 1, **options: object) -> list[Verdict]:
    async with Sandbox(workers=workers, limits=Limits(timeout=120), **options) as sandbox:  # type: ignore[arg-type]
        return [await sandbox.run(one) for _ in range(times) for one in programs]


async def verdicts_and_memory(*programs: Program, times: int) -> tuple[list[Verdict], int]:
    """Verdicts of one slot, and what its zygotes then hold for packages that they have imported.

    A busy machine takes its time to import them: then the programs run on, up to twenty times.
    """
    async with Sandbox(workers=1, limits=Limits(timeout=120)) as sandbox:
        (slot,) = sandbox._slots
        seen: list[Verdict] = []
        for round_ in range(20):
            if round_ < times or not slot.memory_of_packages:
                seen += [await sandbox.run(one) for one in programs]
        return seen, slot.memory_of_packages


async def cold(one: Program) -> Verdict:
    """The verdict where the program imports everything itself."""
    async with Sandbox(workers=1, limits=Limits(timeout=120)) as sandbox:
        (slot,) = sandbox._slots
        return await slot.run(one, careful=True)


def test_the_corpus_is_large_enough() -> None:
    assert len(package_programs()) >= 30


@pytest.mark.parametrize("name", package_programs())
def test_a_warm_zygote_gives_the_same_verdicts(name: str) -> None:
    found = package_programs()[name]
    right = program(found.implementation, found.tests)
    gutted = [mutant.source for mutant in mutants(found.implementation) if mutant.kind == "gutted"]
    programs = [right, *(program(source, found.tests) for source in gutted[:1])]
    expected = [asyncio.run(cold(one)) for one in programs]
    assert expected[0].status == "passed", expected[0]
    told = [(verdict.status, verdict.exception, verdict.line, verdict.checks_executed) for verdict in expected]
    seen, memory_of_packages = asyncio.run(verdicts_and_memory(*programs, times=3))
    for place, verdict in enumerate(seen):
        here = (verdict.status, verdict.exception, verdict.line, verdict.checks_executed)
        assert here == told[place % len(programs)], (verdict, expected)
    assert memory_of_packages > 0, "no zygote has imported anything"


PACKAGES = (
    "import numpy as np\nnp.random",
    "import pandas",
    "from scipy import stats",
    "from sklearn.linear_model import LinearRegression",
    "import sympy",
    "import networkx",
    "from pydantic import BaseModel",
    "import attr",
)


@pytest.mark.parametrize("imports", PACKAGES)
def test_a_program_sees_the_same_in_a_warm_zygote(imports: str) -> None:
    look = Program(source=f"{imports}\n{LOOK}")
    expected = asyncio.run(cold(look))
    seen, memory_of_packages = asyncio.run(verdicts_and_memory(look, times=3))
    assert expected.status == "passed", expected
    assert {verdict.output_head for verdict in seen} == {expected.output_head}
    assert {verdict.output_tail for verdict in seen} == {expected.output_tail}
    assert memory_of_packages > 0, "no zygote has imported anything"


DRAWS = {
    "numpy": "import numpy as np\nprint(np.random.rand())\nassert np.random.rand() < 1",
    "sympy": "import sympy\nfrom sympy.core.random import rng\nprint(rng.random())\nassert rng.random() < 1",
    "random in a package": "import networkx as nx\nprint(nx.gnp_random_graph(40, 0.5).number_of_edges(), end='')\n"
    "print(list(nx.gnp_random_graph(40, 0.5).edges))\nassert nx.path_graph(2).size() == 1",
}


@pytest.mark.parametrize("kind", DRAWS)
def test_random_states_are_fresh(kind: str) -> None:
    seen = asyncio.run(verdicts(Program(source=DRAWS[kind]), times=6))
    assert {verdict.status for verdict in seen} == {"passed"}
    assert len({verdict.output_head for verdict in seen}) == 6


def test_a_program_finds_nothing_loaded_that_it_does_not_import() -> None:
    numpy = program("import numpy\n", "assert numpy.array([1]).sum() == 1\n")
    pandas = program("import pandas\n", "assert pandas.Series([1]).sum() == 1\n")
    looker = program(
        "import numpy\nimport sys\n",
        "assert 'pandas' not in vars(sys)['modules']\nassert 'numpy' in vars(sys)['modules']\n",
    )
    nothing = program("import sys\n", "assert 'numpy' not in vars(sys)['modules']\n")
    found = asyncio.run(verdicts(numpy, pandas, numpy, pandas, looker, nothing, looker, nothing))
    assert [verdict.status for verdict in found] == ["passed"] * 8, found


def test_programs_that_look_at_imports_do_them_themselves() -> None:
    before = "import os\nos.environ['MARK'] = 'x'\nimport sys\nassert 'numpy' not in sys.modules\nimport numpy\n"
    found = asyncio.run(verdicts(Program(source=before), times=3))
    assert [verdict.status for verdict in found] == ["passed"] * 3, found


# Packages that a zygote must not load -------------------------------------------------------------------------------------

BAD = {
    "crashes": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "exits": "import os\nos._exit(0)\n",
    "raises": "raise RuntimeError('no GPU')\n",
    "hangs": "import time\ntime.sleep(3600)\n",
    "spins": "while True:\n    pass\n",
    "prints": "print('hello from the package')\n",
    "prints_much": "print('x' * 1_000_000)\n",
    "starts_a_thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n",
    "handles_signals": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
    "changes_folder": "import os\nos.chdir('/')\n",
    "forks": "import os\nif os.fork() == 0:\n    os._exit(0)\n",
    "writes": "import os\nopen(os.path.expanduser('~/cache'), 'w').write('kept')\n",
    "closes_output": "import os\nos.close(1)\nos.close(2)\n",
    "draws": "import random\nDRAWN = random.Random().random()\n",
}


@pytest.fixture
def interpreter(tmp_path: Path) -> str:
    """A Python whose packages are those of `BAD`, beside the real ones."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, source in BAD.items():
        (folder / f"bad_{name}.py").write_text(source)
    (folder / "bad_later.py").write_text("")
    venv = tmp_path / "venv"
    import venv as venvs

    venvs.create(venv, system_site_packages=False, with_pip=False)
    (packages,) = (venv / "lib").glob("python*/site-packages")
    (packages / "bad.pth").write_text(f"{folder}\n")
    return str(venv / "bin" / "python")


@pytest.mark.parametrize("kind", [*BAD])
def test_a_bad_package_is_imported_by_its_programs_alone(kind: str, interpreter: str) -> None:
    bad = program(f"import bad_{kind}\n", "assert int('1') == 1\n")
    fine = program("import bad_later\n", "assert int('1') == 1\n")

    async def go() -> tuple[list[Verdict], Verdict]:
        limits = Limits(timeout=3)
        async with Sandbox(workers=1, limits=limits, interpreter=interpreter) as sandbox:
            seen = [await sandbox.run(one) for one in (bad, fine, bad, fine, bad, fine)]
            (slot,) = sandbox._slots
            return seen, await slot.run(bad, careful=True)

    seen, expected = asyncio.run(go())
    assert [verdict.status for verdict in seen[1::2]] == ["passed"] * 3, seen
    assert [verdict.status for verdict in seen[::2]] == [expected.status] * 3, (seen, expected)
    if kind in ("prints", "prints_much"):
        assert [verdict.output_tail or verdict.output_head for verdict in seen[::2]] == [
            expected.output_tail or expected.output_head
        ] * 3


def test_what_a_package_writes_at_import_is_there_for_each_program(interpreter: str) -> None:
    looks = program("import os\nimport bad_writes\n", "assert open(os.path.expanduser('~/cache')).read() == 'kept'\n")
    removes = program(
        "import os\nimport bad_writes\n", "os.unlink(os.path.expanduser('~/cache'))\nassert int('1') == 1\n"
    )
    found = asyncio.run(verdicts(looks, removes, looks, removes, looks, interpreter=interpreter))
    assert [verdict.status for verdict in found] == ["passed"] * 5, found


def test_a_crash_after_a_fork_that_a_package_does_not_survive_is_not_the_program_s(interpreter: str) -> None:
    folder = Path(interpreter).parents[2] / "site"
    (folder / "bad_after_fork.py").write_text(
        "import os, signal\nPID = os.getpid()\ndef use():\n    if os.getpid() != PID:\n        os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    (folder / "hangs_after_fork.py").write_text(
        "import os, time\nPID = os.getpid()\ndef use():\n    if os.getpid() != PID:\n        time.sleep(3600)\n"
    )

    async def go() -> list[Verdict]:
        found = []
        async with Sandbox(workers=1, limits=Limits(timeout=2), interpreter=interpreter, tier="none") as sandbox:
            for name in ("bad_after_fork", "hangs_after_fork"):
                found += [
                    await sandbox.run(program(f"import {name}\n", f"{name}.use()\nassert int('1') == 1\n"))
                    for _ in range(2)
                ]
        return found

    assert [verdict.status for verdict in asyncio.run(go())] == ["passed"] * 4


def test_more_sets_than_a_slot_holds(tmp_path: Path, interpreter: str) -> None:
    folder = Path(interpreter).parents[2] / "site"
    names = [f"one_of_many_{number}" for number in range(MOST + 6)]
    for name in names:
        (folder / f"{name}.py").write_text("")
    programs = [program(f"import {name}\n", "assert int('1') == 1\n") for name in names]
    found = asyncio.run(verdicts(*programs, times=3, interpreter=interpreter))
    assert {verdict.status for verdict in found} == {"passed"}


@pytest.mark.parametrize("tier", ["namespaces", "landlock", "none"])
def test_a_package_is_imported_once_for_all_its_programs(tier: str, interpreter: str) -> None:
    (Path(interpreter).parents[2] / "site" / "who_imports.py").write_text("import os\nPROCESS = os.getpid()\n")
    imports_itself = program("import os, who_imports\n", "assert who_imports.PROCESS == os.getpid()\n")

    async def go() -> tuple[list[VerdictStatus], VerdictStatus]:
        async with Sandbox(workers=1, limits=Limits(timeout=120), interpreter=interpreter, tier=tier) as sandbox:
            (slot,) = sandbox._slots
            found = [(await sandbox.run(imports_itself)).status]
            while found[-1] == "passed" and len(found) < 30:  # a busy machine takes its time
                found.append((await sandbox.run(imports_itself)).status)
            return found, (await slot.run(imports_itself, careful=True)).status

    warm, careful = asyncio.run(go())
    assert warm[-1] == "failed", "the program imported it, not the zygote"
    assert careful == "passed"


def test_trials_run_in_a_warm_zygote() -> None:
    async def go() -> None:
        async with Sandbox(workers=1) as sandbox:
            trial = Trial(
                source="import numpy as np\ndef total(values):\n    return np.sum(values)\n",
                units=(Unit(value="total([1, 2])", expected="3"), Unit(check="total([]) == 0")),
            )
            for _ in range(3):
                assert [outcome.status for outcome in await sandbox.try_units(trial)] == ["passed", "passed"]

    asyncio.run(go())


# Which modules a program imports --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed() -> InstalledModules:
    return InstalledModules(sys.path[1:])


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import numpy", ("numpy",)),
        ("import numpy as np\nx = np.random.rand()", ("numpy", "numpy:random", "numpy:rand")),
        ("import os, json\nfrom collections import Counter", ()),
        ("from scipy import stats, optimize", ("scipy", "scipy.stats", "scipy.optimize")),
        ("def f():\n    import pandas", ("pandas",)),
        ("try:\n    import cupy as np\nexcept ImportError:\n    import numpy as np", ("numpy",)),
        ("import not_installed_anywhere", ()),
        ('"""\nimport numpy\n"""\n', ()),
        ("# import numpy\n", ()),
        (
            "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\n",
            (),
        ),
        ("import pytest.__main__", ()),
        ("import sys\nsys.modules['numpy'] = None\nimport numpy", ()),
        ("import sys\nsys.path.insert(0, 'lib')\nimport numpy", ()),
        ("open('numpy.py', 'w').close()\nimport numpy", ()),
        ("import warnings\nwarnings.filterwarnings('ignore')\nimport pandas", ()),
        ("import pandas\nimport warnings\nwarnings.filterwarnings('ignore')", ("pandas",)),
        (f"import numpy\nif {'not ' * 3000}0:\n    pass", ()),
        ("import numpy\n" + "#" * 60_000, ()),
        ("import os\nos.environ['X'] = '1'\nimport numpy", ()),
        ("import warnings\nwarnings.simplefilter('error')\nimport pandas", ()),
        ("from . import numpy\nimport numpy", ("numpy",)),
        ("import numpy\nthis is no python", ()),
    ],
)
def test_the_modules_that_a_program_imports(source: str, modules: tuple[str, ...], installed: InstalledModules) -> None:
    found = tuple(name for name in installed.imported_by(source) if ":" not in name or name in modules)
    assert found == tuple(name for name in modules if name != "numpy:rand")
