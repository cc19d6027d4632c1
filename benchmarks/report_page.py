"""How long the report of a large run takes to make, and to use in a real Chromium.

The run is synthetic: so many rows, each with four samples of usual lengths (some 420 characters of instruction and 1,500 of
response), concepts that follow Zipf's law, and rejects. No model is asked.

    python benchmarks/report_page.py --rows 50000

Needs Playwright and a Chromium (`--chromium`).
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Page, sync_playwright

from snipmill.config import Config
from snipmill.config_file import change_config, render_config
from snipmill.records import (
    Concepts,
    Evidence,
    Execution,
    Instruction,
    Provenance,
    Reject,
    Response,
    Row,
    Seed,
    Usage,
    Verdict,
    Verification,
    extend,
)
from snipmill.store.jsonl import Writer
from snipmill.store.run_directory import CONFIG, RunDirectory

SAMPLES = 4
WORDS = [
    f"{first}{second}" for first in ("sort", "merge", "count", "parse", "find", "group") for second in "abcdefghij"
]
CONCEPTS = [f"concept {number}" for number in range(3_000)]
WEIGHTS = [1 / (place + 1) for place in range(len(CONCEPTS))]


def words(draw: random.Random, characters: int) -> str:
    return " ".join(draw.choices(WORDS, k=characters // 6))


def response_text(draw: random.Random) -> str:
    body = "\n".join(f"    {draw.choice(WORDS)} = {draw.choice(WORDS)} + {draw.randrange(100)}" for _ in range(20))
    tests = "\n".join(f"assert solve({draw.randrange(100)}) == {draw.randrange(100)}" for _ in range(8))
    return (
        f"[Reasoning]\n{words(draw, 300)}\n\n[Implementation]\n```python\ndef solve(x):\n{body}\n    return x\n```\n\n"
        f"[Explanation]\n{words(draw, 200)}\n\n[Tests]\n```python\n{tests}\n```"
    )


def write_run(path: Path, rows: int) -> None:
    """A run directory with so many rows."""
    directory, draw = RunDirectory(path), random.Random(1)
    names = ("seeds", "concepts", "instructions", "responses", "execute", "verify", "sanitize")
    path.mkdir(parents=True)
    out: dict[str, Writer[Any]] = {name: Writer(directory.kept(name)) for name in names}
    failed = Writer[Reject](directory.rejects("execute"))
    dataset = Writer[Row](directory.dataset)
    for number in range(rows):
        origin = Provenance(
            source=f"https://example.org/project-{number % 40}", revision="0" * 40, path=f"src/part_{number % 900}.py",
            line_start=number % 500 + 1, line_end=number % 500 + 20,
            license=draw.choice(("MIT", "Apache-2.0", "BSD-3-Clause")), content_hash="0" * 64,
        )  # fmt: skip
        seed = Seed(
            id=f"s-{number:020}",
            seed=f'def f_{number}(x):\n    """{words(draw, 80)}"""\n    return x\n',
            provenance=origin,
        )
        concepts = Concepts(
            id=f"c-{number:020}", seed=seed.seed, provenance=origin, parents={"seed": seed.id},
            concepts=draw.choices(CONCEPTS, WEIGHTS, k=5), usage={"concepts": Usage(completion_tokens=20)},
        )  # fmt: skip
        parents = {"seed": seed.id, "concepts": concepts.id, "instruction": f"i-{number:020}"}
        instruction = extend(Instruction, concepts, instruction=f"Write {number}. {words(draw, 420)}")
        instruction = msgspec.structs.replace(
            instruction, id=parents["instruction"], parents={"seed": seed.id, "concepts": concepts.id}
        )
        out["seeds"].write(seed)
        out["concepts"].write(concepts)
        out["instructions"].write(instruction)
        for sample in range(SAMPLES):
            response = extend(Response, instruction, response=response_text(draw), sample=sample)
            response = msgspec.structs.replace(
                response, id=f"r-{number:018}{sample:02}", parents=parents,
                usage={"responses": Usage(completion_tokens=draw.randrange(200, 700))},
            )  # fmt: skip
            out["responses"].write(response)
            if sample % 2:
                verdict = Verdict(
                    status="failed", failed_check="assert solve(1) == 2", checks_executed=1, checks_failed=1
                )
                failed.write(
                    Reject(
                        id=response.id, stage="execute", reason="failed", detail="assert solve(1) == 2", verdict=verdict
                    )
                )
                continue
            execution = extend(
                Execution,
                response,
                verdict=Verdict(status="passed", tier="namespaces", checks_executed=8, checks_written=8),
            )
            found = Verification(
                samples=SAMPLES, passed=2, implementations=4, agreement=draw.random(), mutants=20,
                killed=draw.randrange(8, 21), confidence=round(draw.betavariate(6, 2), 4),
            )  # fmt: skip
            out["execute"].write(execution)
            out["verify"].write(msgspec.structs.replace(execution, verification=found))
            if not sample:
                evidence = Evidence(status="passed", tier="namespaces", checks_executed=8, checks_written=8)
                row = extend(Row, response, verdict=evidence, verification=found, style="raw")
                out["sanitize"].write(row)
                dataset.write(row)
    for writer in (*out.values(), failed, dataset):
        writer.__exit__(None, None, None)
    directory.write_text(CONFIG, render_config(change_config(Config(), {"run.dir": str(path)})))
    directory.write_manifest(manifest(rows))


def manifest(rows: int) -> dict[str, Any]:
    def count(came: int, kept: int, **rejected: int) -> dict[str, Any]:
        return {"in": came, "kept": kept, "rejected": rejected, "completion_tokens": 450 * came, "seconds": 1.0 * came}

    funnel = {
        "seeds": count(3 * rows, rows), "concepts": count(rows, rows), "instructions": count(rows, rows),
        "responses": count(4 * rows, 4 * rows), "execute": count(4 * rows, 2 * rows, failed=2 * rows),
        "verify": count(2 * rows, 2 * rows), "sanitize": count(2 * rows, rows), "select": count(rows, rows),
    }  # fmt: skip
    return {
        "snipmill": "benchmark",
        "status": "done",
        "model": "synthetic",
        "sandbox_tier": "namespaces",
        "funnel": funnel,
        "seconds": 3600.0,
    }


def measure(page: Page, path: Path) -> dict[str, float]:
    """Milliseconds of opening the page and of using it."""
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=120_000)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    ready = page.evaluate("performance.now()")
    timed = """(change) => { const started = performance.now(); const { state, refresh } = window.snipmill;
        if (change === 'search') state.query = 'merge group';
        if (change === 'number') state.ranges.set('confidence', [0.6, 0.8]);
        if (change === 'label') state.labels.set('concept', 'concept 1');
        if (change === 'sort') { state.query = ''; state.ranges.clear(); state.labels.clear(); state.sort = 'confidence'; }
        refresh(); document.body.offsetHeight; return performance.now() - started; }"""
    steps = {name: page.evaluate(timed, name) for name in ("search", "number", "label", "sort")}
    started = time.perf_counter()
    page.evaluate("window.snipmill.state.sort = ''; window.snipmill.refresh()")
    page.click("#list button")
    page.wait_for_selector("dialog[open] h3")
    return {
        "first paint": paint,
        "all rows there": ready,
        **steps,
        "a row opens": 1000 * (time.perf_counter() - started),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--keep", type=Path, help="Where to leave the run; else it is deleted.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.keep or Path(folder) / "run"
        if not run.exists():
            write_run(run, options.rows)
        out = Path(folder) / "report.html"
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "snipmill", "report", str(run), "--out", str(out)], check=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"made in {time.perf_counter() - started:.1f} s, {peak:,.0f} MiB, {out.stat().st_size / 1e6:.1f} MB")
        with sync_playwright() as playwright:
            arguments = [
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
            ]
            browser = playwright.chromium.launch(executable_path=options.chromium, args=arguments)
            rounds = []
            for _ in range(options.rounds):
                page = browser.new_page()
                rounds.append(measure(page, out))
                page.close()
            for name in rounds[0]:
                print(f"{name:16} {statistics.median(one[name] for one in rounds):8.0f} ms")
            browser.close()


if __name__ == "__main__":
    main()
