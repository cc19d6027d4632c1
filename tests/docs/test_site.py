"""The site builds without a warning, the notebook runs with a real model, and what is generated is up to date."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

import snipmill
from snipmill.cli import reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path / "site"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert {path.stem for path in DOCS.glob("*.md")} | {"notebook"} <= pages


def test_every_public_name_is_in_the_reference() -> None:
    text = (DOCS / "python.md").read_text()
    told = set(re.findall(r"^.. auto(?:function|class|exception):: snipmill\.(\w+)$", text, re.MULTILINE))
    assert told == set(snipmill.__all__) - {"__version__"}


def test_what_is_generated_is_up_to_date() -> None:
    """`python -m snipmill.cli.reference docs` writes it anew."""
    assert (DOCS / "commands.md").read_text() == reference.commands_page()
    stages = (DOCS / "stages.md").read_text()
    assert stages == reference.with_stage_reasons(stages)


def test_the_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_links_between_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} -> {target}"


@pytest.mark.model
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    notebook = nbformat.read(  # type: ignore[no-untyped-call]
        DOCS / "notebook.ipynb", 4
    )
    shown = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in shown) >= 6  # what the site shows was executed
    client = nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    (mined,) = (cell for cell in shown if "snipmill.mine" in cell.source)
    assert "textwrap.py" in mined.outputs[0].text
