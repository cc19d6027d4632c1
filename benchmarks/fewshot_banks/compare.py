"""Compares few-shot banks on the same seeds with the same real model, stage by stage, and by blind reading.

    python benchmarks/fewshot_banks/compare.py run OUT --model NAME [--banks before=FOLDER now=] [--seeds 60]
    python benchmarks/fewshot_banks/compare.py sheet OUT     # OUT/sheet.jsonl for a reader, OUT/key.json to keep from him
    python benchmarks/fewshot_banks/compare.py score OUT     # reads OUT/marks.jsonl

`run` mines seeds out of Python's standard library and carries each bank (`now` is the built-in one) through concepts, instructions
and one response each, with four sets of examples, and executes the responses. `sheet` puts what both banks made of a seed side by
side, in random order and without names. The reader marks for each concept whether it is in the seed, and for each instruction
whether it is self-contained and whether tests could check it (0 or 1). Does not cover whole runs with several samples.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snipmill.randomness import generator
from snipmill.text.concept_evidence import look_for_concepts
from snipmill.text.sections import Sections, parse_sections

HERE = Path(__file__).parent
SETS, SEED = 4, 1
STAGES = (("concepts", "S->C", 500, 2), ("instructions", "C->I", 500, 2), ("responses", "I->R", 1024, 4))


def snipmill(*arguments: str | Path) -> None:
    """Run a command of snipmill."""
    subprocess.run([sys.executable, "-m", "snipmill", *map(str, arguments)], check=True)


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file; none where it is missing."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(out: Path, model: str, banks: dict[str, str], count: int) -> None:
    """Carry every bank through all stages."""
    out.mkdir(parents=True, exist_ok=True)
    seeds = out / "seeds.jsonl"
    if not seeds.exists():
        size = ("--set", "seeds.max_lines=40", "--set", "seeds.max_context_lines=5")
        snipmill("seeds", "stdlib", "-o", seeds, "--limit", str(count), "--shuffle", "--seed", str(SEED), *size)
    for name, bank in banks.items():
        folder = out / name
        folder.mkdir(exist_ok=True)
        source = seeds
        for stage, mode, most, slots in STAGES:
            ordered = folder / f"{source.stem}.ordered.jsonl"
            # Records with the same set of examples follow each other, so that a slot computes each prefix once.
            records = sorted(
                lines(source), key=lambda one: generator(SEED, "fewshot-draw", mode, one["id"]).randrange(SETS)
            )
            ordered.write_text("".join(json.dumps(one) + "\n" for one in records))
            options: tuple[str, ...] = (
                "--model",
                model,
                "--draws",
                str(SETS),
                "--seed",
                str(SEED),
                "--max-tokens",
                str(most),
            )
            options += ("--concurrency", str(slots), "--samples", "1", "--temperature", "0.6")
            shown = ("--fewshot", bank) if bank else ()
            snipmill(stage, ordered, "-o", folder / f"{stage}.jsonl", *options, *shown, "--set", "model.context=12288")
            source = folder / f"{stage}.jsonl"
        snipmill("execute", source, "-o", folder / "executed.jsonl")
    for name in banks:
        report(name, out / name)


def report(name: str, folder: Path) -> None:
    """Print what came of a bank."""
    concepts, instructions = lines(folder / "concepts.jsonl"), lines(folder / "instructions.jsonl")
    responses, passed = lines(folder / "responses.jsonl"), lines(folder / "executed.jsonl")
    found = [look_for_concepts(one["seed"], one["concepts"]) for one in concepts]
    named = sum(len(one["concepts"]) for one in concepts)
    print(f"\n{name}: {len(concepts)} lists of concepts, {named} concepts")
    print(f"  absent from the seed, by its syntax tree: {sum(len(one.absent) for one in found)}")
    print(f"  no word of it in the seed: {sum(len(one.unseen) for one in found)}")
    print(f"  instructions: {len(instructions)}, responses: {len(responses)}, passed: {len(passed)}")
    asserts = [text.count("assert ") for one in responses if isinstance(text := _tests(one["response"]), str)]
    print(f"  assertions in a response: {sum(asserts) / max(len(asserts), 1):.1f}")
    for stage in ("concepts", "instructions", "responses", "executed"):
        reasons = Counter(one["reason"] for one in lines(folder / f"{stage}.jsonl.rejects.jsonl"))
        print(f"  {stage} dropped: {dict(reasons)}")
    for stage, *_ in STAGES:
        entries = lines(folder / f"{stage}.jsonl.journal.jsonl")
        usages = [one["completion"]["usage"] for one in entries if one.get("completion")]
        prompt, made = (
            sum(one[key] for one in usages) / max(len(usages), 1) for key in ("prompt_tokens", "completion_tokens")
        )
        print(f"  {stage}: {prompt:.0f} prompt tokens and {made:.0f} generated ones each")


def _tests(response: str) -> str | None:
    sections = parse_sections(response)
    return sections.tests if isinstance(sections, Sections) else None


def sheet(out: Path) -> None:
    """Write the sheet for a reader, and the key that says which bank made what."""
    banks = sorted(path.name for path in out.iterdir() if (path / "concepts.jsonl").exists())
    by_bank = {}
    for name in banks:
        tasks = {one["parents"]["seed"]: one["instruction"] for one in lines(out / name / "instructions.jsonl")}
        found = {one["parents"]["seed"]: one["concepts"] for one in lines(out / name / "concepts.jsonl")}
        by_bank[name] = {seed: (concepts, tasks.get(seed)) for seed, concepts in found.items()}
    draws, rows, key = random.Random(SEED), [], {}
    for seed in lines(out / "seeds.jsonl"):
        order = draws.sample(banks, len(banks))
        row: dict[str, Any] = {"seed": seed["id"], "code": seed["seed"]}
        for letter, name in zip("ABCD", order, strict=False):
            concepts, task = by_bank[name].get(seed["id"], ([], None))
            row[letter] = {"concepts": concepts, "instruction": task}
        rows.append(row)
        key[seed["id"]] = dict(zip("ABCD", order, strict=False))
    (out / "sheet.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (out / "key.json").write_text(json.dumps(key))


def score(out: Path) -> None:
    """Count the marks of a reader: `{"seed": ID, "A": {"concepts": [0, 1, ...], "contained": 0, "testable": 1}, "B": ...}`."""
    key: dict[str, dict[str, str]] = json.loads((out / "key.json").read_text())
    totals: dict[str, Counter[str]] = {}
    for row in lines(out / "marks.jsonl"):
        for letter, name in key[row["seed"]].items():
            marks, total = row[letter], totals.setdefault(name, Counter())
            total["concepts"] += len(marks["concepts"])
            total["in the seed"] += sum(marks["concepts"])
            if marks.get("contained") is not None:
                total["instructions"] += 1
                total["self-contained"] += marks["contained"]
                total["testable"] += marks["testable"]
                total["both"] += marks["contained"] and marks["testable"]
    for name, total in sorted(totals.items()):
        print(f"{name}: {dict(total)}")
        print(
            f"  in the seed {total['in the seed'] / total['concepts']:.0%}, both {total['both'] / total['instructions']:.0%}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "sheet", "score"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--banks", nargs="+", default=[f"before={HERE / 'before'}", "now="], metavar="NAME=FOLDER")
    parser.add_argument("--seeds", type=int, default=60)
    args = parser.parse_args(arguments)
    if args.what == "run":
        if args.model is None:
            parser.error("run needs --model")
        banks = dict(one.split("=", 1) for one in args.banks)
        run(args.out, args.model, banks, args.seeds)
    else:
        (sheet if args.what == "sheet" else score)(args.out)


if __name__ == "__main__":
    main()
