"""The public API: its names, that it is lazy, and what its few functions do against real servers and the real sandbox."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import snipmill
from snipmill import Config, Reason, Reject, Run, Seed, UsageError
from snipmill.config import GenerateTable, RunTable, SeedsTable, SelectTable
from snipmill.config_file import render_config
from snipmill.config_model import ModelTable
from tests.conftest import RESPONSE, write_lines
from tests.standin import StandIn

PUBLIC = [
    "Ancestor",
    "AsyncStream",
    "Audit",
    "AuthenticationFailed",
    "BudgetSpent",
    "Columns",
    "Concepts",
    "Config",
    "Document",
    "Evidence",
    "Examination",
    "Execution",
    "Exported",
    "HubRefused",
    "InputDamaged",
    "Instruction",
    "Limits",
    "ModelNotFound",
    "ModelUnavailable",
    "NotReproduced",
    "Program",
    "Progress",
    "Prompt",
    "Provenance",
    "Reason",
    "Record",
    "Reject",
    "Response",
    "Review",
    "Row",
    "Run",
    "Sandbox",
    "SandboxError",
    "Seed",
    "ServerError",
    "ServerUnreachable",
    "SnipmillError",
    "Stage",
    "StoreError",
    "Stream",
    "Usage",
    "UsageError",
    "Verdict",
    "Verification",
    "__version__",
    "aagree",
    "aask",
    "aconcepts",
    "aexecute",
    "agree",
    "ainstructions",
    "aresponses",
    "arun",
    "ask",
    "audit",
    "averify",
    "change_config",
    "concepts",
    "execute",
    "export",
    "instructions",
    "load_config",
    "mine",
    "read",
    "report",
    "responses",
    "run",
    "select",
    "verify",
]


def test_what_is_public_is_pinned() -> None:
    assert sorted(snipmill.__all__) == sorted(PUBLIC) == sorted(dir(snipmill))
    for name in PUBLIC:
        value = getattr(snipmill, name)
        assert name == "__version__" or value.__doc__, name
    with pytest.raises(AttributeError, match="nothing"):
        _ = snipmill.nothing


def test_importing_the_package_imports_nothing_else() -> None:
    """The sandbox's child imports it under foreign interpreters, without our dependencies."""
    code = "import sys; before = set(sys.modules); import snipmill; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__future__', 'snipmill']"


def config(directory: Path, url: str) -> Config:
    seeds = directory / "seeds.jsonl"
    write_lines(seeds, *({"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(6)))
    return Config(
        run=RunTable(dir=str(directory / "run"), seed=5),
        seeds=SeedsTable(sources=(str(seeds),)),
        model=ModelTable(base_url=url),
        generate=GenerateTable(samples=3),
        select=SelectTable(near_instructions=0, near_code=0),
    )


def test_a_run_and_its_results(tmp_path: Path, standin: StandIn) -> None:
    asked = config(tmp_path, standin.url)

    async def in_a_notebook() -> Run:
        return snipmill.run(asked)  # an event loop is running here

    run = asyncio.run(in_a_notebook())
    rows = list(run.rows())
    assert rows and run.funnel()["select"]["kept"] == len(rows)
    assert run.config == asked and run.manifest["status"] == "done"
    rejects = list(run.rejects("execute"))
    assert rejects and all(isinstance(one, Reject) and one.reason == Reason.FAILED for one in rejects)
    assert [ancestor.stage for ancestor in run.trace(rows[0].id)][:2] == ["seeds", "concepts"]
    with pytest.raises(UsageError, match="no stage 'running'"):
        next(run.rejects("running"))
    with pytest.raises(UsageError, match="no run directory"):
        Run(tmp_path)
    requests = len(standin.requests)
    assert list(snipmill.run(asked).rows()) == rows and len(standin.requests) == requests


def test_mining_and_auditing(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text('def area(r: int) -> int:\n    """Return r squared."""\n    return r * r\n')
    dropped: list[Reject] = []
    assert list(snipmill.mine(str(tmp_path), on_reject=dropped.append)) == []
    assert {reject.reason for reject in dropped} == {"license-unknown"}
    (seed,) = snipmill.mine(str(tmp_path), config=Config(seeds=SeedsTable(license="MIT")))
    assert isinstance(seed, Seed) and seed.provenance is not None and seed.provenance.license == "MIT"
    data = write_lines(tmp_path / "data.jsonl", {"instruction": "Double it.", "response": RESPONSE})
    found = snipmill.audit(data)
    assert (found.rows, found.bad, found.findings["holds"][0]) == (1, 0, 1)


def test_the_lines_in_the_readme_work(tmp_path: Path, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text(render_config(config(tmp_path, standin.url)))
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = [part.partition("```")[0] for part in readme.split("```python\n") if part.startswith("import snipmill")]
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102
    prompted = {ancestor.stage for ancestor in names["run"].trace(names["row"].id) if ancestor.prompt}
    assert prompted == {"concepts", "instructions", "responses"}


def test_configurations_that_were_built_in_python_are_checked() -> None:
    for wrong in (GenerateTable(wave=0), GenerateTable(categories=())):
        with pytest.raises(UsageError, match="generate"):
            snipmill.run(Config(generate=wrong))
    with pytest.raises(UsageError, match="sources"):
        snipmill.mine(config=Config(seeds=SeedsTable(sources="src")))  # type: ignore[arg-type]


def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    """Workers do not import the script again, which would start everything anew in each of them."""
    rows = ({"code": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(3000))
    write_lines(tmp_path / "in.jsonl", *rows)
    (tmp_path / "script.py").write_text(
        "import snipmill\nfrom snipmill.config import ColumnsTable, SeedsTable\nprint('begun')\n"
        "table = SeedsTable(columns=ColumnsTable(code='code'), licenses=('any',), types=False, near=0)\n"
        "print(len(list(snipmill.mine('in.jsonl', config=snipmill.Config(seeds=table)))))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["begun", "3000"]), done.stderr


def test_an_interruption_ends_a_run_in_a_notebook(tmp_path: Path, standin: StandIn) -> None:
    standin.delay = 3600
    (tmp_path / "script.py").write_text(
        "import asyncio, os, signal, sys, threading, time\nimport snipmill\n"
        "async def notebook():\n"
        "    threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    snipmill.run(snipmill.load_config('config.toml'))\n"
        "try:\n    asyncio.new_event_loop().run_until_complete(notebook())\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    (tmp_path / "config.toml").write_text(render_config(config(tmp_path, standin.url)))
    # A notebook's kernel leaves SIGINT as it is, unlike `asyncio.run`; the interruption must not wait for the model.
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.stdout.strip() == "interrupted", done.stderr


def test_no_public_name_is_a_room() -> None:
    """A room of the same name would take the place of a function once it is imported."""
    folder = Path(snipmill.__file__).parent
    rooms = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert not rooms & set(PUBLIC)
