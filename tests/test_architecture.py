"""The rules of the house that can be read from imports and file sizes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import snipmill
from snipmill.stages.spec import STAGES

ROOT = Path(snipmill.__file__).parent
BASE = {
    "records",
    "reasons",
    "errors",
    "config",
    "config_file",
    "config_model",
    "config_table",
    "randomness",
    "languages",
    "id_index",
    "python_tree",
}
STAGE_ROOMS = {
    "tables",
    "text",
    "similarity",
    "seeds",
    "prompts",
    "llm",
    "sandbox",
    "verification",
    "selection",
    "store",
    "parallel",
}
MAY_IMPORT = {
    "tables": BASE,
    "text": BASE,
    "similarity": BASE | {"text"},
    "seeds": BASE | {"tables", "text", "similarity"},
    "prompts": BASE | {"text"},
    "llm": BASE | {"text"},
    "sandbox": BASE | {"parallel"},
    "verification": BASE | {"text", "sandbox"},
    "selection": BASE | {"text", "similarity"},
    "store": BASE | {"tables"},
    "parallel": BASE,
    "stages": BASE | STAGE_ROOMS,
    "engine": BASE | STAGE_ROOMS | {"stages"},
    "rewards": BASE | STAGE_ROOMS,
    "cluster": BASE | STAGE_ROOMS | {"stages", "engine"},
    "publish": BASE | STAGE_ROOMS | {"stages", "engine"},
    "reporting": BASE | STAGE_ROOMS | {"stages", "engine", "publish"},
}
NO_IO = ("text", "similarity", "prompts", "selection")
IO_MODULES = {
    "os",
    "io",
    "pathlib",
    "socket",
    "subprocess",
    "asyncio",
    "time",
    "tempfile",
    "shutil",
    "aiohttp",
    "threading",
}
FILES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_what_stands_above_them(path: Path) -> None:
    own = room(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("snipmill.")}
    if own in BASE:
        assert used <= BASE - {own}
    elif own in MAY_IMPORT:
        assert used - {own} <= MAY_IMPORT[own], f"{own} may not import {sorted(used - {own} - MAY_IMPORT[own])}"
    else:
        assert own in {"cli", "api", "__init__", "__main__"}, f"{own} is a room without a line in MAY_IMPORT"


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in NO_IO], ids=lambda path: path.name)
def test_pure_rooms_do_no_io(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & IO_MODULES


def test_only_their_rooms_know_http_and_processes() -> None:
    for path in FILES:
        top = {name.partition(".")[0] for name in imports(path)}
        if "aiohttp" in top:
            assert room(path) == "llm", path
        if "subprocess" in top:
            assert room(path) in {"sandbox", "llm"} or path.relative_to(ROOT).as_posix() == "seeds/types.py", path


def test_python_is_parsed_under_one_lock() -> None:
    """Two threads that parse at the same time can break each other (see `python_tree`)."""
    for path in FILES:
        if room(path) not in {"python_tree", "sandbox"}:  # the sandbox's child has one thread, and none of our code
            for node in ast.walk(ast.parse(path.read_text())):
                called = node.func if isinstance(node, ast.Call) else None
                parses = isinstance(called, ast.Attribute) and ast.unparse(called) == "ast.parse"
                assert not parses, f"{path}:{getattr(node, 'lineno', 0)} parses by itself"


def test_the_sandbox_child_needs_nothing_but_the_standard_library() -> None:
    for path in (ROOT / "sandbox" / "child").glob("*.py"):
        for name in imports(path):
            assert name.partition(".")[0] != "msgspec"
            if name.startswith("snipmill."):
                assert name.startswith("snipmill.sandbox.child"), f"{path.name} imports {name}"


def test_the_stages_are_listed_once() -> None:
    """Three stages in one tuple, list, set or dictionary are another list of them."""
    names = {stage.name for stage in STAGES} | {"dataset"}
    for path in FILES:
        # The help lists the commands before anything else is imported, and most stages have one.
        # The names of the public functions are those of the stages.
        if path.relative_to(ROOT).as_posix() in ("stages/spec.py", "__init__.py") or room(path) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
            listed = {str(part.value) for part in parts if isinstance(part, ast.Constant)} & names
            assert len(listed) < 3, f"{path} lists {sorted(listed)}"


def test_no_reason_is_written_out() -> None:
    """A reason that is not in the enum is not in the documentation either."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "reason":
                assert not isinstance(node.value, ast.Constant), f"{path}:{node.value.lineno}"


def test_no_file_is_a_drawer_for_everything() -> None:
    for path in FILES:
        assert path.name not in {"utils.py", "helpers.py", "common.py", "misc.py"}
        assert len(path.read_text().splitlines()) <= 400, f"{path} is too long to be one concept"
