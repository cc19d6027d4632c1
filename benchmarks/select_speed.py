"""What the chain sanitize raw -> select -> sanitize smart costs, on generated rows of realistic length.

    python benchmarks/select_speed.py [--rows 20000] [--names/--no-names] [--near] [--no-reference]

Prints CPU seconds per step, file to file and over all processes, and the wall time of the chain, against a reference in
the same run: the same rules written plainly with `json`, `re`, `ast` and `tokenize`, all rows in memory. `taskset -c 0`
before it shows one core. With `--near`, near-duplicate search and
decontamination are on, and the peak of resident memory is what matters:

    python benchmarks/select_speed.py --rows 1000000 --near --no-reference
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import keyword
import random
import re
import resource
import tempfile
import time
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snipmill.config import Config, RunTable, SelectTable
from snipmill.engine.files import Files
from snipmill.engine.rows_by_hand import sanitize_file, select_file
from snipmill.parallel.chunks import available_cores
from snipmill.stages.fewshot_files import load_bank
from snipmill.stages.stage_count import StageCount

SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "sa", "to", "vi")
TAGS = ("[Reasoning]", "[Implementation]", "[Explanation]", "[Tests]")


def generate(path: Path, count: int) -> None:
    """Rows out of the few-shot bank's responses: nine of ten with most names and words of their own, the rest near duplicates."""
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
            row = {
                "id": f"r-{number}",
                "seed": example.snippet,
                "concepts": list(example.concepts),
                "instruction": instruction,
                "response": response,
                "parents": {"instruction": f"i-{number}"},
            }
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


def ours(source: Path, folder: Path, names: bool, near: float) -> dict[str, float]:
    def config(style: Any) -> Config:
        table = SelectTable(
            style=style, name_diversity=names, near_instructions=near, near_code=near, decontaminate=near > 0
        )
        return Config(run=RunTable(seed=1), select=table)

    raw, chosen, smart = (str(folder / name) for name in ("raw", "chosen", "smart"))
    steps: dict[str, Callable[[], None]] = {
        "raw": lambda: sanitize_file(Files(str(source), raw), config("raw"), StageCount()),
        "select": lambda: select_file(Files(raw, chosen), config("raw"), StageCount()),
        "smart": lambda: sanitize_file(Files(chosen, smart), config("smart"), StageCount()),
    }
    return {name: _timed(step) for name, step in steps.items()}


def _timed(step: Callable[[], Any]) -> float:
    """CPU seconds, worker processes included."""
    started = _cpu_seconds()
    step()
    return _cpu_seconds() - started


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


# The reference: the same rules, written plainly ------------------------------------------------------------------------


def _plain_sections(response: str) -> list[str] | None:
    if any(response.count(tag) != 1 for tag in TAGS):
        return None
    parts = re.split("|".join(map(re.escape, TAGS)), response)[1:]
    tests = re.findall(r"```python\n(.*?)```", parts[3], re.DOTALL)
    if len(tests) != 1 or "```python" not in parts[1] or "assert" not in tests[0]:
        return None
    tree = ast.parse(tests[0])
    skipped = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return parts if any(not isinstance(node, skipped) for node in tree.body) else None


def _plain_names(response: str) -> str:
    code = re.findall(r"```python\n(.*?)```", response, re.DOTALL)[0]
    return " ".join(node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef))


def _plain_without_comments(code: str) -> str:
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return tokenize.untokenize([token for token in tokens if token.type != tokenize.COMMENT])


def reference(source: Path, folder: Path, names: bool) -> dict[str, float]:
    def read(path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.open()]

    def write(rows: list[dict[str, Any]], path: Path) -> None:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def raw() -> None:
        write([row for row in read(source) if _plain_sections(row["response"])], folder / "plain_raw")

    def select() -> None:
        rows = read(folder / "plain_raw")
        random.Random(1).shuffle(rows)
        seen: set[str] = set()
        kept = []
        for row in rows:
            keys = {"i" + "".join(row["instruction"].split()), "r" + "".join(row["response"].split())}
            if names:
                keys.add("n" + _plain_names(row["response"]))
            if not keys & seen:
                seen |= keys
                kept.append(row)
        write(kept, folder / "plain_chosen")

    def smart() -> None:
        rows = read(folder / "plain_chosen")
        for row in rows:
            parts = _plain_sections(row["response"])
            assert parts is not None
            row["response"] = re.sub(
                r"```python\n(.*?)```",
                lambda match: f"```python\n{_plain_without_comments(match.group(1))}```",
                parts[1],
                flags=re.DOTALL,
            )
        write(rows, folder / "plain_smart")

    return {"raw": _timed(raw), "select": _timed(select), "smart": _timed(smart)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--names", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--reference", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = folder / "rows.jsonl"
        generate(source, args.rows)
        print(f"{args.rows} rows, {source.stat().st_size / 1e6:.0f} MB")
        started = time.monotonic()
        mine = ours(source, folder, args.names, 0.7 if args.near else 0.0)
        wall = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        total = sum(mine.values())
        print(
            "ours     ", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in mine.items()), f"= {total:.2f} s CPU"
        )
        print(
            f"          {args.rows / total:,.0f} rows per CPU second, {args.rows / wall:,.0f} per second on "
            f"{available_cores()} cores; peak resident memory {peak:.0f} MiB"
        )
        with (folder / "smart").open() as rows:
            print(f"          {sum(1 for _ in rows)} rows stay")
        if args.reference:
            plain = reference(source, folder, args.names)
            print(
                "reference", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in plain.items()),
                f"= {sum(plain.values()):.2f} s CPU; reference / ours {sum(plain.values()) / total:.1f}",
            )  # fmt: skip


if __name__ == "__main__":
    main()
