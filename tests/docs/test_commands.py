"""Every command and every program in the documentation runs, in the order of its page, or says what it needs that is not here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from snipmill.cli.app import app
from snipmill.store.run_directory import RunDirectory
from tests.conftest import RESPONSE, Snipmill, write_lines
from tests.engine.test_calibrate import configure, wrong_and_sure
from tests.hub import Hub
from tests.publish.conftest import make_run, seeds_with_origins, sometimes_wrong
from tests.publish.test_push import hub
from tests.standin import StandIn
from tests.writable_hub import WritableHub

__all__ = ["hub"]  # a fixture
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"((?:^<!-- .*? -->\n)*)^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(snipmill [a-z][^`]*)`")
# What a test has in place of what a reader has: tasks that the stand-in can answer, a server, a folder, a source, a licence.
HERE = {
    "--tasks 200": "--source own-tasks.jsonl",
    "http://127.0.0.1:8000/v1": "{server}",
    "path/to/my/repository": "src",
    "some-repository": "birds",
    "GPL-3.0-only": "MIT",
}
CODE = '''def area(width: int, height: int) -> int:
    """Return width times height."""
    return width * height


def longest(words: list[str]) -> str:
    """Return the longest of some words, the first where there are several."""
    return max(words, key=len)


def clamp(value: int, low: int, high: int) -> int:
    """Return the value, but at least low and at most high."""
    return max(low, min(value, high))
'''


@dataclass(frozen=True)
class Block:
    """A fenced block: its marks, its language, and its text."""

    marks: str
    language: str
    text: str

    @property
    def is_skipped(self) -> bool:
        return any(mark in self.marks for mark in ("<!-- needs: ", "<!-- not run here: ", "<!-- test-command -->"))

    @property
    def file(self) -> str | None:
        found = re.search(r"<!-- file: (\S+) -->", self.marks) or re.match(r"# (\S+\.toml)\n", self.text)
        return found[1] if found else None

    @property
    def is_shell(self) -> bool:
        command = r"^(\S+=\S+ )*\S*\b(snipmill|python3?|vllm|docker|vf-eval) "
        return (
            self.language in ("", "bash", "sh", "console") and re.search(command, self.text, re.MULTILINE) is not None
        )

    @property
    def is_program(self) -> bool:
        return self.language == "python" and re.search(r"^(import|from) \w+", self.text, re.MULTILINE) is not None

    def commands(self) -> list[str]:
        """One for each line, without comments."""
        lines = self.text.replace("\\n", " ").splitlines()
        return [line for line in (line.partition("    #")[0].strip() for line in lines) if line]


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page.read_text())]


def with_commands(page: Path) -> bool:
    return any(
        (block.is_shell and not block.is_skipped) or "<!-- python -->" in block.marks or page.name == "README.md"
        for block in blocks(page)
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("finished")
    with StandIn() as model:
        model.dress_base = sometimes_wrong
        return make_run(folder / "my-run", seeds_with_origins(folder / "seeds.jsonl", 12), model.url)


@pytest.fixture
def reader(tmp_path: Path, finished: RunDirectory, monkeypatch: pytest.MonkeyPatch, standin: StandIn) -> Iterator[Path]:
    """A folder such as a reader may have, and a server."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "shapes.py").write_text(CODE)
    for name in ("my-run", "other-run", "snipmill-quickstart"):
        shutil.copytree(finished.path, tmp_path / name)
    (tmp_path / "config.toml").write_text(
        '[run]\ndir = "new-run"\n[seeds]\nsources = ["src"]\nlicense = "LicenseRef-ours"\n[generate]\nsamples = 4\n'
    )
    row = {"instruction": "Double a number.", "response": RESPONSE}
    write_lines(tmp_path / "dataset.jsonl", row)
    standin.dress_base = wrong_and_sure
    configure(tmp_path, standin.url)
    (tmp_path / "tasks.jsonl").rename(tmp_path / "own-tasks.jsonl")
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "shards").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "shards" / "a.parquet")
    code = "def double(x):\n    return 2 * x\n"
    (tmp_path / "my.csv").write_text(f'task,answer,checks\n"Double a number.","{code}","assert double(2) == 4"\n')
    (tmp_path / "ids.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BROWSER", "true")
    monkeypatch.setenv("OPENAI_BASE_URL", standin.url)
    yield tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if with_commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run(
    page: Path, reader: Path, hub: WritableHub, standin: StandIn, snipmill: Snipmill
) -> None:
    for block in blocks(page):
        if block.is_skipped:
            continue
        if block.file is not None:
            (reader / block.file).write_text(as_here(block.text, standin))
        elif "<!-- python -->" in block.marks or (page.name == "README.md" and block.language == "python"):
            run_python(block.text, reader)
        elif block.is_shell:
            for command in block.commands():
                for part in as_here(command, standin).split(" && "):
                    run_command(part, snipmill, standin)


def as_here(text: str, standin: StandIn) -> str:
    for there, here in HERE.items():
        text = text.replace(there, here.format(server=standin.url))
    return text


def run_python(text: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{text}\n{done.stderr}"


def run_command(command: str, snipmill: Snipmill, standin: StandIn) -> None:
    words = shlex.split(command)
    if any(word.startswith("hub:owner/name?") for word in words):
        run_with_hub(words)
        return
    if words[0].startswith("OPENAI_BASE_URL="):
        words = words[1:]
    if words[0] == "snipmill":
        done = snipmill(*words[1:], OPENAI_BASE_URL=standin.url)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    else:
        if words[:1] == ["source"]:
            return  # the environment of this test is active
        assert words[0] in ("cat", "python"), f"{command}: run it here, or mark what it needs"
        if words[0] == "python":
            words[0] = shlex.quote(sys.executable)
            command = command.replace("python", words[0], 1)
        subprocess.run(command, shell=True, check=True, env={**os.environ}, timeout=300)


def run_with_hub(words: list[str]) -> None:
    """A command that streams a data set: the library finds its hub when it is imported."""
    lines = json.dumps({"instruction": "Double a number.", "response": RESPONSE}).encode() + b"\n"
    with Hub({"datasets/owner/name/resolve/main/data/train.jsonl": lines}) as server:
        environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(Path("hf").resolve())}
        done = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, env=environment, timeout=300
        )
    assert done.returncode == 0, done.stderr


def test_what_is_not_run_says_why() -> None:
    """A block of commands that is left out names a GPU, another program, or the test that runs it."""
    for page in PAGES:
        for block in blocks(page):
            if block.is_program and page.name != "README.md" and "```" not in block.text:
                assert "<!-- python -->" in block.marks or block.is_skipped, (
                    f"{page.name}: run it, or say why not\n{block.text}"
                )
            if (block.is_shell or block.is_program) and block.is_skipped:
                assert re.search(r"<!-- (needs: .{3,}|not run here: .{10,}|test-command) -->", block.marks), (
                    page,
                    block.text,
                )


def options_of(path: list[str]) -> set[str] | None:
    """The options of a command; None where there is none."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("snipmill", [], resilient_parsing=True)
    for name in path:
        group = group.get_command(context, name)
        if group is None:
            return None
    return {
        one for parameter in getattr(group, "params", []) for one in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_sentences_exist_with_their_options(page: Path) -> None:
    for command in INLINE.findall(page.read_text()):
        words = command.replace(r"\|", "|").split()
        path = words[1:3] if words[1] == "prompts" else words[1:2]
        options = options_of(path)
        assert options is not None, command
        for word in words:
            if word.startswith("-") and len(word) > 1:
                assert word.partition("=")[0] in options, command


def test_messages_of_the_troubleshooting_page_exist() -> None:
    """A symptom that is quoted as a sentence is one that snipmill says."""
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    rows = re.findall(r"^\| `([A-Z][^`]+)`", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert rows
    for message in rows:
        for part in message.split(" ... "):
            assert part in sources, message


def test_scripts_of_benchmarks_are_there() -> None:
    for page in PAGES:
        for script, flags in re.findall(r"`python (benchmarks/\S+\.py)([^`]*)`", page.read_text()):
            text = (ROOT / script).read_text()
            for flag in re.findall(r"--[a-z-]+", flags):
                assert f'"{flag}"' in text, f"{page.name}: {script} has no {flag}"
