"""The chain sanitize raw -> select by names -> sanitize smart against the original's own commands, side by side in one run.

    git clone https://github.com/bigcode-project/starcoder2-self-align ORIGINAL
    python -m venv THEIRS && THEIRS/bin/pip install openai tenacity tiktoken transformers tqdm
    python benchmarks/select_speed.py --original ORIGINAL --python THEIRS/bin/python [--rows 20000] [--rounds 3]

Each round runs their three commands and ours on the same generated rows of realistic length, as whole commands, start included:
once on rows with foreign columns, once on our own rows. Prints the CPU and wall time of each round, and the ratio of the medians.
`--near` adds a line with near duplicates and decontamination, which the original has not. Without `--original`:

    python benchmarks/select_speed.py --rows 1000000 --near --rounds 1     # peak of resident memory, rows a second
    python benchmarks/select_speed.py --rows 200000 --cores --rounds 1     # the second core
"""

from __future__ import annotations

import argparse
import json
import keyword
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from snipmill.stages.fewshot_files import load_bank

SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "sa", "to", "vi")
ALIKE = ("--near-instructions", "0", "--near-code", "0", "--no-decontaminate")


def generate(path: Path, count: int, *, foreign: bool) -> None:
    """Rows out of the few-shot bank's responses: nine of ten with most names and words of their own, the rest near duplicates.

    Ours are as `snipmill execute` writes them; foreign ones have the columns of the original project, and three more.
    """
    bank = load_bank(None).examples
    examples = [example for example in bank if example.response is not None and len(example.response) < 1400]
    draw = random.Random(1)
    vocabulary = [f"{draw.choice(SYLLABLES)}{number}" for number in range(1000)]
    with path.open("w") as out:
        for number in range(count):
            example = examples[draw.randrange(len(examples))]
            words = [draw.choice(vocabulary) for _ in range(12)]
            response = str(example.response).replace("\n[Explanation]\n", f"\n[Explanation]\n{' '.join(words)}\n")
            response = re.sub(r"\bdef (\w+)", rf"def \1_{number}", response)
            instruction = f"{' '.join(words)} {example.instruction[:200]} Variant {number}."
            if number % 10:
                response = _own_words(response, draw, vocabulary)
                instruction = _own_words(instruction, draw, vocabulary)
            row: dict[str, object] = {
                "id": f"r-{number}",
                "seed": example.snippet,
                "concepts": list(example.concepts),
                "instruction": instruction,
                "response": response,
                "parents": {"instruction": f"i-{number}"},
            }
            if foreign:
                del row["id"], row["parents"]
                asked: dict[str, object] = {"id": number, "prompt": example.instruction[:200], "fingerprint": None}
                row = {**asked, "sha1": f"{number:040x}", "stars": number % 7, "path": f"a/{number}.py", **row}
            out.write(json.dumps(row) + "\n")


def _own_words(text: str, draw: random.Random, vocabulary: list[str]) -> str:
    """A text with other words in the place of most of its longer lower-case ones; code stays code."""
    others: dict[str, str] = {}

    def other(match: re.Match[str]) -> str:
        word = match.group()
        if keyword.iskeyword(word) or word == "python":
            return word
        if word not in others:
            others[word] = draw.choice(vocabulary) if draw.random() < 0.9 else word
        return others[word]

    return re.sub(r"\b[a-z]{4,}(?![\w\"'(])", other, text)


class Cost(NamedTuple):
    """What commands took: CPU and wall time in seconds, and the most memory of any of them in MiB."""

    cpu: float
    wall: float
    peak: float


def cost_of(*commands: list[str], environments: tuple[dict[str, str], ...] = (), cores: int | None = None) -> Cost:
    """Run commands one after the other."""
    cpu, wall, peak = 0.0, 0.0, 0
    for number, command in enumerate(commands):
        environment = {**os.environ, **(environments[number] if environments else {})}
        started = time.monotonic()
        pinned = command if cores is None else ["taskset", "-c", ",".join(map(str, range(cores))), *command]
        process = subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} ended with status {status}")
        cpu += usage.ru_utime + usage.ru_stime
        wall += time.monotonic() - started
        peak = max(peak, usage.ru_maxrss)
    return Cost(cpu, wall, peak / 1024)


def ours(source: Path, folder: Path, *, near: bool, cores: int | None = None) -> Cost:
    snipmill = [sys.executable, "-m", "snipmill"]
    raw, chosen, smart = (str(folder / name) for name in ("raw.jsonl", "chosen.jsonl", "smart.jsonl"))
    return cost_of(
        [*snipmill, "sanitize", str(source), "-o", raw],
        [*snipmill, "select", raw, "-o", chosen, "--name-diversity", *(() if near else ALIKE)],
        [*snipmill, "sanitize", chosen, "-o", smart, "--style", "smart"],
        cores=cores,
    )


def theirs(source: Path, folder: Path, original: Path, python: str) -> Cost:
    scripts = original / "src" / "star_align"
    raw, chosen, smart = (str(folder / name) for name in ("their_raw", "their_chosen", "their_smart"))
    names = ["--data_files", raw, "--output_file", chosen, "--diversify_func_names", "True"]
    path = {"PYTHONPATH": str(original / "src")}
    return cost_of(
        [python, str(scripts / "sanitize_data.py"), str(source), raw],
        [python, str(scripts / "clean_data.py"), *names],
        [python, str(scripts / "sanitize_data.py"), chosen, smart],
        environments=({**path, "RAW": "1"}, path, {**path, "SMART": "1"}),
    )


def told(name: str, costs: list[Cost], rows: int) -> str:
    cpu, wall = (statistics.median(getattr(one, kind) for one in costs) for kind in ("cpu", "wall"))
    rounds = ", ".join(f"{one.cpu:.2f}/{one.wall:.2f}" for one in costs)
    peak = max(one.peak for one in costs)
    figures = f"{cpu:6.2f} s CPU, {wall:6.2f} s, {rows / wall:8,.0f} rows/s, peak {peak:5.0f} MiB"
    return f"  {name:18} {figures}   (CPU/wall of each round: {rounds})"


def rows_in(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path)
    parser.add_argument("--python", help="the interpreter with their packages")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--kind", choices=["foreign columns", "our own rows"], help="only one kind of rows")
    parser.add_argument("--cores", action="store_true", help="compare one core with two")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind in ("foreign columns", "our own rows") if args.kind is None else (args.kind,):
            source = folder / "rows.jsonl"
            generate(source, args.rows, foreign=kind == "foreign columns")
            print(f"{args.rows:,} rows, {kind}, {source.stat().st_size / 1e6:.0f} MB")
            found: dict[str, list[Cost]] = {}
            for _ in range(args.rounds):
                if args.original is not None:
                    found.setdefault("original", []).append(theirs(source, folder, args.original, args.python))
                if args.cores:
                    found.setdefault("one core", []).append(ours(source, folder, near=False, cores=1))
                found.setdefault("snipmill", []).append(ours(source, folder, near=False))
                if args.near:
                    found.setdefault("snipmill, with near", []).append(ours(source, folder, near=True))
            for name, costs in found.items():
                print(told(name, costs, args.rows))
            for other in ("original", "one core"):
                if other in found:
                    ratios = [
                        statistics.median(getattr(one, what) for one in found[other])
                        / statistics.median(getattr(one, what) for one in found["snipmill"])
                        for what in ("cpu", "wall")
                    ]
                    print(f"  {other} / snipmill: {ratios[0]:.2f} in CPU time, {ratios[1]:.2f} in wall time")
            if args.original is not None:
                print(
                    f"  {rows_in(folder / 'their_smart'):,} rows stay there, {rows_in(folder / 'smart.jsonl'):,} here"
                )


if __name__ == "__main__":
    main()
