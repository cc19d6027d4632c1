"""A finished run whose model is right in half of its answers: some have wrong code, some right code under wrong tests."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from snipmill.config_file import parse_config
from snipmill.engine.local import run
from snipmill.engine.progress import Progress
from snipmill.store.run_directory import RunDirectory
from tests.conftest import write_lines
from tests.standin import StandIn


def sometimes_wrong(answer: str) -> str:
    """One answer in two has code that subtracts. A function of the text, as all that the stand-in says."""
    draw = int(hashlib.sha256(answer.encode()).hexdigest(), 16) % 2
    return answer.replace("return x + ", "return x - ") if draw else answer


def seeds_with_origins(path: Path, count: int) -> Path:
    licenses, sources = ("MIT", "Apache-2.0", "BSD-3-Clause"), ("birds", "boats")
    return write_lines(
        path,
        *(
            {
                "seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n',
                "provenance": {
                    "source": sources[n % 2],
                    "revision": "1.0",
                    "path": f"part{n % 4}/file{n}.py",
                    "line_start": 1,
                    "line_end": 3,
                    "license": licenses[n % 3],
                },
            }
            for n in range(count)
        ),
    )


def make_run(directory: Path, seeds: Path, url: str, more: str = "", verify: str = "") -> RunDirectory:
    text = f"""
    [run]
    dir = {json.dumps(str(directory))}
    seed = 5
    [seeds]
    sources = [{json.dumps(str(seeds))}]
    [model]
    base_url = "{url}"
    [generate]
    samples = 6
    accept = 0
    {more}
    [verify]
    rerun = false
    {verify}
    [select]
    near_instructions = 0
    near_code = 0
    """
    return asyncio.run(run(parse_config(text, "test"), Progress()))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("finished")
    with StandIn() as model:
        model.dress_base = sometimes_wrong
        return make_run(folder / "run", seeds_with_origins(folder / "seeds.jsonl", 12), model.url)
