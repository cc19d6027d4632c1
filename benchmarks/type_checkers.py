"""Which type checker for seeds: seconds per 1,000 functions, and how often it agrees with Pyright's verdict.

    snipmill seeds stdlib PACKAGE.whl ... --no-types -o seeds.jsonl
    pip install pyright basedpyright ty
    python benchmarks/type_checkers.py seeds.jsonl

Each checker gets the same files in one process, with its usual strictness, an unknown package being anything, and nothing
that is installed here in sight. A verdict is whether a file has an error at all. Checkers that are not there are left out.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from snipmill.seeds.types import PYTHON_VERSION, check_types

Verdicts = set[int]
PYRIGHT = {
    "include": ["."],
    "typeCheckingMode": "basic",
    "reportMissingImports": False,
    "reportMissingModuleSource": False,
    "pythonVersion": PYTHON_VERSION,
    "venvPath": "/nonexistent",
    "venv": "none",
}


def program(name: str) -> str | None:
    path = Path(sysconfig.get_path("scripts")) / name
    return str(path) if path.exists() else shutil.which(name)


def number_of(path: str) -> int:
    return int(Path(path).stem.removeprefix("seed"))


def pyright(name: str, folder: Path) -> Verdicts:
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    done = subprocess.run([str(program(name)), "--outputjson"], cwd=folder, capture_output=True, text=True)
    report = json.loads(done.stdout)
    return {number_of(one["file"]) for one in report["generalDiagnostics"] if one["severity"] == "error"}


def ty(name: str, folder: Path) -> Verdicts:
    options = ["--output-format", "concise", "--ignore", "unresolved-import", "--python-version", PYTHON_VERSION]
    done = subprocess.run([str(program(name)), "check", ".", *options], cwd=folder, capture_output=True, text=True)
    return {number_of(line.split(":")[0]) for line in done.stdout.splitlines() if re.match(r".*: error\[", line)}


CHECKERS: dict[str, Callable[[str, Path], Verdicts]] = {"pyright": pyright, "basedpyright": pyright, "ty": ty}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", help="seeds as JSONL, mined with --no-types")
    parser.add_argument("--limit", type=int, default=5000)
    options = parser.parse_args()
    with open(options.seeds) as handle:
        codes = [json.loads(line)["seed"] for line in handle][: options.limit]
    verdicts: dict[str, Verdicts] = {}
    seconds: dict[str, float] = {}
    started = time.monotonic()
    faults = check_types(codes)
    seconds["pyrefly"] = time.monotonic() - started
    verdicts["pyrefly"] = {number for number, fault in enumerate(faults) if fault is not None}
    for name, check in CHECKERS.items():
        if program(name) is None:
            print(f"{name} is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            for number, code in enumerate(codes):
                (Path(folder) / f"seed{number}.py").write_text(code, errors="replace")
            started = time.monotonic()
            verdicts[name] = check(name, Path(folder))
            seconds[name] = time.monotonic() - started
    reference = verdicts.get("pyright")
    print(f"{len(codes):,} seeds")
    print(f"{'checker':14} {'s per 1,000':>11} {'with errors':>11} {'agrees':>8} {'only it':>8} {'only Pyright':>13}")
    for name, found in verdicts.items():
        line = f"{name:14} {seconds[name] / len(codes) * 1000:11.2f} {len(found):11,}"
        if reference is not None:
            agrees = 1 - len(found ^ reference) / len(codes)
            line += f" {agrees:8.1%} {len(found - reference):8,} {len(reference - found):13,}"
        print(line)


if __name__ == "__main__":
    main()
