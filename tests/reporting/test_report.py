"""`snipmill report` as a command, and what it works out."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.config import Config
from snipmill.config_file import change_config, parse_config, render_config
from snipmill.engine.local import run
from snipmill.engine.progress import Progress
from snipmill.records import Provenance, Row
from snipmill.reporting.build import Report, read_report
from snipmill.reporting.columns import NUMBERS, Number
from snipmill.reporting.compare import compare
from snipmill.reporting.confidence_bars import confidence_bars
from snipmill.reporting.distributions import Spread, count_in_ranges, mean, median, number_chart, range_edges
from snipmill.reporting.diversity import concept_figures, embedding_figures, text_figures
from snipmill.reporting.drops import Drop, Step
from snipmill.reporting.problems import find_problems
from snipmill.reporting.row_way import source_link
from snipmill.reporting.shown_text import highlighted, marked, visible
from snipmill.reporting.summary import Run
from snipmill.store.run_directory import RunDirectory
from tests.conftest import Snipmill, read_lines, write_lines
from tests.engine.test_run import config, seeds_file
from tests.publish.conftest import make_run, seeds_with_origins, sometimes_wrong
from tests.reporting.conftest import report_of
from tests.standin import StandIn


def test_the_same_run_gives_the_same_bytes(finished: RunDirectory, tmp_path: Path) -> None:
    assert (
        report_of(finished, out=tmp_path / "a.html").read_bytes()
        == report_of(finished, out=tmp_path / "b.html").read_bytes()
    )


def test_the_command_writes_into_the_run_and_says_how_large(finished: RunDirectory, snipmill: Snipmill) -> None:
    done = snipmill("report", finished.path)
    assert done.returncode == 0 and done.stdout == ""
    assert str(finished.report) in done.stderr and " MB)" in done.stderr
    assert snipmill("report", finished.path).returncode == 0  # over an earlier one


def test_nothing_else_is_written_over(finished: RunDirectory, snipmill: Snipmill) -> None:
    Path("mine.txt").write_text("precious")
    done = snipmill("report", finished.path, "--out", "mine.txt")
    assert done.returncode == 2 and "mine.txt is there and is no report" in done.stderr
    assert Path("mine.txt").read_text() == "precious"


def test_standard_output_gets_the_page_and_nothing_else(finished: RunDirectory, snipmill: Snipmill) -> None:
    done = snipmill("report", finished.path, "--out", "-")
    assert done.returncode == 0
    assert done.stdout.startswith("<!doctype html>") and done.stdout.rstrip().endswith("</html>")


def test_what_is_no_run_is_one_sentence(snipmill: Snipmill, tmp_path: Path) -> None:
    for path in ("nowhere", str(tmp_path)):
        done = snipmill("report", path)
        assert done.returncode == 2 and "is no run directory" in done.stderr


def test_a_damaged_file_is_one_sentence(finished: RunDirectory, tmp_path: Path, snipmill: Snipmill) -> None:
    damaged = RunDirectory(tmp_path / "run")
    damaged.path.mkdir()
    for path in finished.path.iterdir():
        if path.is_file():
            (damaged.path / path.name).write_bytes(path.read_bytes())
    with damaged.rejects("execute").open("ab") as handle:
        handle.write(b'{"id": \n')
    done = snipmill("report", damaged.path)
    assert done.returncode == 2 and "execute.jsonl.rejects.jsonl:" in done.stderr and "is damaged" in done.stderr


def test_a_run_that_is_under_way_has_a_report(standin: StandIn, tmp_path: Path, snipmill: Snipmill) -> None:
    settings = config(tmp_path / "run", seeds_file(tmp_path / "seeds.jsonl", 30), standin.url, concurrency=2)
    progress = Progress()

    async def interrupted() -> None:
        work = asyncio.create_task(run(settings, progress))
        while progress.seeds_done < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(interrupted())
    done = snipmill("report", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    page = RunDirectory(tmp_path / "run").report.read_text()
    assert "The run is not finished" in page and "so far; the run is not finished." in page
    report = read(tmp_path / "run")
    counts = {step.stage: step for step in report.steps}
    assert counts["seeds"].kept >= 5 and counts["responses"].kept == counts["execute"].came_in
    assert counts["select"].kept == report.spread.rows > 0
    assert report.run.wrong is not None and report.run.wrong.rows == report.spread.rows


def read(path: Path, **limits: Any) -> Report:
    return asyncio.run(read_report(path, **limits))


def copy_of(run: RunDirectory, to: Path) -> RunDirectory:
    shutil.copytree(run.path, to)
    return RunDirectory(to)


@pytest.mark.parametrize(
    "change",
    [
        {"funnel": {"seeds": {}}},
        {"accounting": {"requests": "x", "cost": "1.2", "empty_answers": [3]}, "seconds": "12s"},
        {"calibration": {"misfits": 5, "shipped": "no"}, "left_out": "abc"},
        {"expected_wrong": "many"},
        {"accounting": None, "calibration": 3, "models": 4, "model": 5},
    ],
)
def test_an_odd_manifest_is_no_traceback(
    finished: RunDirectory, tmp_path: Path, snipmill: Snipmill, change: dict[str, object]
) -> None:
    odd = copy_of(finished, tmp_path / "odd")
    odd.write_manifest({**finished.read_manifest(), **change})
    assert snipmill("report", odd.path).returncode == 0


def test_a_funnel_that_is_none_is_one_sentence(finished: RunDirectory, tmp_path: Path, snipmill: Snipmill) -> None:
    odd = copy_of(finished, tmp_path / "odd")
    odd.write_manifest({**finished.read_manifest(), "funnel": {"seeds": {"in": "many"}}})
    done = snipmill("report", odd.path)
    assert done.returncode == 2 and "is damaged" in done.stderr


def test_a_run_without_rows_or_files_has_a_report(finished: RunDirectory, tmp_path: Path, snipmill: Snipmill) -> None:
    bare = copy_of(finished, tmp_path / "bare")
    bare.dataset.write_text("")
    assert snipmill("report", bare.path).returncode == 0
    for path in [*bare.path.glob("*.jsonl"), *bare.path.glob("journal/*")]:
        if path != bare.dataset:
            path.unlink()
    assert snipmill("report", bare.path).returncode == 0


def test_few_shot_examples_and_embeddings_that_are_gone_are_left_out(
    finished: RunDirectory, tmp_path: Path, snipmill: Snipmill
) -> None:
    bare = copy_of(finished, tmp_path / "bare")
    text = (bare.path / "config.toml").read_text()
    changed = change_config(parse_config(text, "run"), {"select.semantic": 0.9, "select.embedding_model": "no/where"})
    changed = msgspec.structs.replace(changed, generate=msgspec.structs.replace(changed.generate, fewshot="/gone/bank"))
    bare.write_text("config.toml", render_config(changed))
    report = read(bare.path)
    assert report.details and all(detail["prompts"] == [] for detail in report.details)


def test_evidence_is_that_of_the_configuration_that_the_run_has(standin: StandIn, tmp_path: Path) -> None:
    standin.dress_base = sometimes_wrong
    seeds, where = seeds_with_origins(tmp_path / "seeds.jsonl", 5), tmp_path / "run"
    for verify in ("", "agreement = false\nmutation = false", ""):
        made = make_run(where, seeds, standin.url, verify=verify)
        details = read(made.path).details
        assert details and all(bool(detail["matrix"]) == (not verify) for detail in details)
        assert not verify or not any(detail["survivors_html"] for detail in details)


def test_the_mutants_that_survive_are_those_of_the_evidence(standin: StandIn, tmp_path: Path) -> None:
    def with_weak_tests(answer: str) -> str:
        return re.sub(r"return x \+ (\d+)", r"if x > 1000:\n        return x - 7\n    return x + \1", answer)

    standin.dress_base = with_weak_tests
    made = make_run(tmp_path / "run", seeds_with_origins(tmp_path / "seeds.jsonl", 4), standin.url)
    evidence = {row["id"]: row["verification"] for row in read_lines(made.dataset)}
    details = read(made.path).details
    for detail in details:
        found = evidence[detail["id"]]
        assert len(detail["survivors_html"]) == found["mutants"] - found["killed"]
    assert any(detail["survivors_html"] for detail in details)


def test_a_repaired_row_says_so_and_shows_the_repair(standin: StandIn, tmp_path: Path) -> None:
    def with_a_wrong_assertion(answer: str) -> str:
        """Two implementations that agree, and an assertion that both contradict."""
        name = re.search(r"def (\w+_(\d+))\(x\)", answer)
        if name is None:
            return answer
        wrong = answer.replace("```python\nassert", f"```python\nassert {name[1]}(5) == 0\nassert", 1)
        return wrong if len(answer) % 2 else wrong.replace(f"x + {name[2]}", f"x - (-{name[2]})")

    standin.dress_base = with_a_wrong_assertion
    made = make_run(tmp_path / "run", seeds_with_origins(tmp_path / "seeds.jsonl", 8), standin.url)
    chosen = [one for detail in read(made.path).details for one in detail["samples"] if one.get("chosen")]
    repaired = [one for one in chosen if "repaired" in one]
    assert repaired and all(one["status"] == "failed" and one["repaired"] >= 1 for one in repaired)
    assert all("== 0" in unescape(re.sub("<.*?>", "", one["repair_html"])) for one in repaired)


def test_runs_are_compared_by_all_of_their_instructions(finished: RunDirectory, tmp_path: Path) -> None:
    other = copy_of(finished, tmp_path / "other")
    rows = [{**row, "id": f"r-{place:020}"} for place, row in enumerate(read_lines(finished.dataset))]
    write_lines(other.dataset, *rows)
    both = compare(read(finished.path, most_rows=3), read(other.path, most_rows=3))
    assert (both.common, both.only[0].count, both.only[1].count) == (len(rows), 0, 0)
    long = "x" * 2_000
    write_lines(
        copy_of(finished, tmp_path / "a").dataset, *({**row, "instruction": f"{long} a {row['id']}"} for row in rows)
    )
    write_lines(
        copy_of(finished, tmp_path / "b").dataset, *({**row, "instruction": f"{long} b {row['id']}"} for row in rows)
    )
    both = compare(read(tmp_path / "a"), read(tmp_path / "b"))
    assert (both.common, both.only[0].count, both.only[1].count) == (0, len(rows), len(rows))
    assert len(both.only[0].shown) == len(rows)


def test_the_place_that_failed_is_marked_and_not_another(finished: RunDirectory, tmp_path: Path) -> None:
    changed = copy_of(finished, tmp_path / "run")
    rejects = [one for one in read_lines(changed.rejects("execute")) if one["reason"] == "failed"][:3]
    lines = read_lines(changed.kept("responses"))
    for line in lines:  # the failing line stands in the instruction and in a long explanation, too
        line["instruction"] = "[Reasoning] " + " ".join(one["detail"].splitlines()[0] for one in rejects)
        line["response"] = line["response"].replace("It adds", "It adds " + "and adds " * 900)
    write_lines(changed.kept("responses"), *lines)
    (failed,) = (
        drop
        for step in read(changed.path).steps
        if step.stage == "execute"
        for drop in step.drops
        if drop.reason == "failed"
    )
    for example, reject in zip(failed.examples, rejects, strict=True):
        before, marked_text, _ = re.split("</?mark>", example.text)
        assert unescape(marked_text) == reject["detail"].splitlines()[0]
        assert before.rstrip().endswith(("```python", "== " + before.rsplit("== ", 1)[-1].strip()))


def test_forgetting_takes_the_report_too(standin: StandIn, tmp_path: Path, snipmill: Snipmill) -> None:
    made = make_run(tmp_path / "run", seeds_with_origins(tmp_path / "seeds.jsonl", 4), standin.url)
    assert snipmill("report", made.path).returncode == 0 and made.report.exists()
    done = snipmill("forget", made.path, "--source", "birds")
    assert done.returncode == 0, done.stderr
    assert not made.report.exists()


# Texts -----------------------------------------------------------------------------------------------------------------


@given(st.text())
def test_what_is_visible_has_no_character_that_acts(text: str) -> None:
    shown = visible(text)
    assert not any(ord(character) < 32 and character not in "\t\n" for character in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200f\x7f\x9b")


@given(st.text(), st.lists(st.tuples(st.integers(-3, 40), st.integers(-3, 40)), max_size=3))
def test_marking_changes_no_text(text: str, spans: list[tuple[int, int]]) -> None:
    assert unescape(re.sub("</?mark>", "", marked(text, spans))) == unescape(marked(text, []))


@given(st.text(alphabet="<>&\"'` \nab#", max_size=60))
def test_highlighting_escapes(code: str) -> None:
    for language in ("Python", "markdown", "diff", "no such language"):
        assert not re.search(r"<(?!/?span\b)", highlighted(code, language))


def test_long_texts_say_how_much_is_left() -> None:
    assert visible("a" * 30, 10) == "a" * 10 + "… (20 more characters)"


@pytest.mark.parametrize(
    "source, path, link",
    [
        ("https://example.org/a/b.git", "src/x.py", "https://example.org/a/b/blob/abc/src/x.py#L3-L9"),
        ("https://example.org/a/b/", "x.py", "https://example.org/a/b/blob/abc/x.py#L3-L9"),
        ("javascript:alert(1)", "x.py", ""),
        ("/home/someone/code", "x.py", ""),
        ("https://example.org/a'b", "x.py", ""),
        ("https://example.org/a", "x?y.py", ""),
    ],
)
def test_only_addresses_of_repositories_are_links(source: str, path: str, link: str) -> None:
    origin = Provenance(source=source, revision="abc", path=path, line_start=3, line_end=9)
    assert source_link(origin) == link


# Figures ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1), st.booleans())
def test_every_value_is_in_one_range(values: list[float], is_share: bool) -> None:
    scale = 1 if is_share else 1000
    counts = Counter(round(scale * value, 3 if is_share else 0) for value in values)
    edges = range_edges(counts, is_share)
    assert sum(count_in_ranges(counts, edges)) == len(values)
    assert len(edges) <= 22 and edges == sorted(set(edges))
    assert edges[0] <= min(counts) and max(counts) <= edges[-1]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: str(number.name))
@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_filter_finds_what_its_bar_counts(number: Number, values: list[float]) -> None:
    counts = Counter(round(value if number.is_share else 5_000_000 * value, number.digits) for value in values)
    for bar in number_chart(number, counts).bars:
        low, high = map(float, bar.wanted)
        assert bar.count == sum(count for value, count in counts.items() if low <= value <= high)


def test_means_and_medians() -> None:
    assert mean(Counter({1.0: 3, 5.0: 1})) == 2.0 and median(Counter({1.0: 3, 5.0: 1})) == 1.0
    assert mean(Counter()) is None and median(Counter()) is None


def test_bars_of_confidence_count_those_above() -> None:
    bars = confidence_bars(Counter({0.55: 1, 0.85: 2, 0.97: 1}))
    assert [(bar.bar, bar.rows) for bar in bars] == [(0.0, 4), (0.6, 3), (0.9, 1)]
    assert bars[0].wrong == pytest.approx((0.45 + 2 * 0.15 + 0.03) / 4)


def test_diversity_tells_one_sided_sets_from_varied_ones() -> None:
    even, uneven = Counter({f"c{n}": 10 for n in range(20)}), Counter({"c0": 181, **{f"c{n}": 1 for n in range(1, 20)}})
    assert [concept_figures(one, 100)[1].value for one in (even, uneven)] == ["20", "2"]
    varied = text_figures([f"sort {n} apples by the colour {n + 7}" for n in range(50)])[0]
    same = text_figures(["sort the apples by their colour"] * 50)[0]
    assert float(varied.value) > 0.5 > 0.1 > float(same.value)


def test_the_spread_of_embeddings_is_the_mean_distance_of_pairs() -> None:
    class Embedder:
        def encode(self, texts: list[str], **_: object) -> np.ndarray:
            return np.array([[len(text), text.count("a"), 1.0] for text in texts], dtype=np.float32)

    texts = ["aaa", "bcd", "a long text about apples", "zz"]
    vectors = Embedder().encode(texts)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - float(unit[i] @ unit[j]) for i in range(4) for j in range(4) if i != j]
    assert embedding_figures(texts, Embedder())[0].value == f"{np.mean(pairs):.3f}"


def row(number: int, source: str) -> Row:
    return Row(
        id=f"r-{number}",
        seed="def f(): ...",
        concepts=["lists" if number % 2 else f"concept {number}"],
        instruction=f"Write {number}.",
        response="[Reasoning]",
        provenance=Provenance(source=source, license="MIT"),
    )


def test_the_median_is_said_as_it_is() -> None:
    spread = Spread()
    spread.rows = 30
    spread.numbers["confidence"][0.5] = 30
    assert "The median confidence is 0.50" in "\n".join(find_problems(run_of(), [], spread))


def run_of(**manifest: object) -> Run:
    return Run(Path("run"), {"status": "done", "sandbox_tier": "namespaces", **manifest}, Config(), {})


def test_problems_are_named_where_they_are_and_nowhere_else() -> None:
    fine, lopsided = Spread(), Spread()
    for number in range(40):
        fine.add(row(number, f"source {number % 10}"))
        lopsided.add(row(number, "one" if number % 4 else "other"))
    good = [Step("concepts", 100, 95, [Drop("no-concepts", 5, "")]), Step("execute", 100, 60, [Drop("failed", 40, "")])]
    bad = [Step("concepts", 100, 60, [Drop("no-concepts", 40, "")]), Step("execute", 100, 6, [Drop("failed", 94, "")])]
    found = "\n".join(find_problems(run_of(), good, fine))
    assert "concepts lost" not in found and "passed their own tests" not in found and "grew from" not in found
    found = "\n".join(find_problems(run_of(sandbox_tier="landlock", stopped="The budget is spent."), bad, lopsided))
    assert "concepts lost 40% of 100 completions, mostly as no-concepts (40)" in found
    assert "Only 6% of 100 responses passed" in found
    assert "75% of the rows grew from one" in found and "50% of the rows have the concept lists" in found
    assert "sandbox tier landlock" in found and "The budget is spent." in found


def test_a_number_that_no_row_has_has_no_chart() -> None:
    assert number_chart(Number("x", "X", "?", lambda _row: None), Counter()).bars == []
