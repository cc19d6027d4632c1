"""Mine real code: what is kept and why not, and how fast, against a plain loop over Python's `ast`.

    python benchmarks/mining.py --download          # the packages below, with pip, into a temporary folder
    python benchmarks/mining.py FOLDER_OF_WHEELS

The reference does the least that mining can be: parse each file that is no test, and take the source of every documented
top-level function. CPU seconds of one process, the same files from the same archives, in the same run.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from snipmill.records import Reject
from snipmill.seeds.document import Document, read_document
from snipmill.seeds.mine_document import MineSettings
from snipmill.seeds.rules import Rules, check_file
from snipmill.seeds.sources.resolve import open_source
from snipmill.seeds.sources.tree import Origin
from snipmill.stages.mine import Mining, mine_documents
from snipmill.store.entries import MiningEntry
from snipmill.store.journal import Journal

PACKAGES = (
    "attrs",
    "boltons",
    "click",
    "flask",
    "jinja2",
    "more-itertools",
    "networkx",
    "nltk",
    "pandas",
    "pygments",
    "requests",
    "rich",
    "scikit-learn",
    "sympy",
    "toolz",
    "tornado",
)
RULES = Rules()
OF_FILES = ("license", "file-", "not-text", "unreadable", "generated-file", "test-file")


def documents(sources: list[str]) -> Iterator[Document | Reject]:
    for source in sources:
        yield from open_source(source, None, Origin(""))


def children_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def plain(sources: list[str]) -> tuple[int, int]:
    """Files and documented functions."""
    files = functions = 0
    kept: list[str] = []
    for document in documents(sources):
        code = read_document(document) if isinstance(document, Document) else document
        if isinstance(code, Reject) or not isinstance(document, Document):
            continue
        if check_file(document.path or "", code.text, RULES) is not None:
            continue  # tests and generated files: mining reads no functions out of them either
        files += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(code.text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        lines = code.text.split("\n")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node, clean=False):
                kept.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
                functions += 1
    return files, functions


def mine(sources: list[str], mining: Mining, near: float) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in mine_documents(lambda: documents(sources), mining, near, Journal(None, MiningEntry), cores=1):
        found[one.reason if isinstance(one, Reject) else "kept"] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="wheels and source distributions")
    parser.add_argument("--download", action="store_true", help="download packages first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        if options.download:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *PACKAGES]
            subprocess.run(pip, check=True)
        archives = sorted(str(path) for path in folder.iterdir() if path.name.endswith((".whl", ".tar.gz")))
        if not archives:
            parser.error("there are no packages: give a folder of wheels, or --download")
        report(["stdlib", *archives])


def report(sources: list[str]) -> None:
    full = Mining(mine=MineSettings())
    print(f"{'source':34} {'functions':>9} {'kept':>6}  most frequent reasons")
    for source in sources:
        found = mine([source], full, 0.5)
        print_line(Path(source).name.split("-py3")[0].split("-cp3")[0], found)
    total = mine(sources, full, 0.5)
    print_line("all, without near duplicates", total)
    print("\nall reasons:", ", ".join(f"{reason} {count:,}" for reason, count in total.most_common()))

    rows: list[tuple[str, float]] = []
    started = children_seconds()
    files, functions = plain(sources)
    rows.append(("plain loop over ast", children_seconds() - started))
    settings = MineSettings(licenses=frozenset({"any"}))  # so that both read the same files
    for name, mining, near in (
        ("extraction, rules, licences, context", Mining(settings, types=False, secrets=False, benchmarks=None), 0.0),
        ("and benchmarks, secrets", Mining(settings, types=False), 0.0),
        ("and types, near duplicates (all)", Mining(settings), 0.5),
    ):
        started = children_seconds()
        mine(sources, mining, near)
        rows.append((name, children_seconds() - started))
    print(f"\n{files:,} files, {functions:,} documented functions; CPU seconds on one core, files per second, ratio")
    for name, seconds in rows:
        print(f"{name:40} {seconds:7.2f} s {files / seconds:8,.0f}/s {seconds / rows[0][1]:6.2f}")


def print_line(name: str, found: Counter[str]) -> None:
    functions = sum(count for reason, count in found.items() if not reason.startswith(OF_FILES))
    reasons = [(reason, count) for reason, count in found.most_common() if reason != "kept"][:5]
    shown = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
    print(f"{name:34} {functions:9,} {found['kept']:6,}  {shown}", flush=True)


if __name__ == "__main__":
    main()
