"""The stages as functions over iterables: the same as the commands, lazy, in notebooks and asynchronous programs, with own parts."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import snipmill
import snipmill as api
from snipmill import Config, Instruction, Reject, Response, Row, Seed, Stage, UsageError
from snipmill.config import GenerateTable, RunTable, SeedsTable, SelectTable, VerifyTable
from snipmill.config_model import ModelTable
from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines
from tests.standin import StandIn

DROPPED = list[Reject]


def seeds(count: int) -> list[Seed]:
    return [Seed(id=f"mine-{n}", seed=f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n') for n in range(count)]


def config(url: str, **generate: Any) -> Config:
    return Config(
        model=ModelTable(base_url=url),
        generate=GenerateTable(samples=3, accept=0, **generate),
        verify=VerifyTable(rerun=False),
        select=SelectTable(near_instructions=0, near_code=0),
    )


def test_from_seeds_to_rows_as_the_commands_do(standin: StandIn, tmp_path: Path, snipmill: Snipmill) -> None:
    asked = config(standin.url)
    dropped: DROPPED = []
    tasks = api.instructions(api.concepts(seeds(6), asked), asked)
    answers = list(api.responses(tasks, asked, on_reject=dropped.append))
    verified = list(api.verify(answers, asked, on_reject=dropped.append))
    rows = list(api.select(verified, asked, on_reject=dropped.append))
    assert rows and all(isinstance(row, Row) and row.style == asked.select.style for row in rows)
    write_lines(tmp_path / "seeds.jsonl", *({"id": one.id, "seed": one.seed} for one in seeds(6)))
    server = ("--base-url", standin.url)
    for command in (
        ("concepts", "seeds.jsonl", "--out", "concepts.jsonl", *server),
        ("instructions", "concepts.jsonl", "--out", "instructions.jsonl", *server),
        ("responses", "instructions.jsonl", "--out", "responses.jsonl", "--samples", 3, *server),
        ("verify", "responses.jsonl", "--out", "verified.jsonl", "--set", "verify.rerun=false"),
    ):
        assert snipmill(*command).returncode == 0
    assert [one.id for one in answers] == [line["id"] for line in read_lines(tmp_path / "responses.jsonl")]
    assert [one.id for one in verified] == [line["id"] for line in read_lines(tmp_path / "verified.jsonl")]
    by_hand = read_lines(tmp_path / "responses.jsonl.rejects.jsonl") + read_lines(
        tmp_path / "verified.jsonl.rejects.jsonl"
    )
    told = {(one.id, one.reason) for one in dropped if one.stage not in ("sanitize", "select")}
    assert {(line["id"], line["reason"]) for line in by_hand} == told


def test_it_works_where_a_loop_is_running(standin: StandIn) -> None:
    async def in_a_notebook() -> list[Any]:
        return list(snipmill.concepts(seeds(3), config(standin.url)))

    found = asyncio.run(in_a_notebook())
    assert found == list(snipmill.concepts(seeds(3), config(standin.url))) and len(found) == 3


def test_asynchronous_programs_get_the_same(standin: StandIn) -> None:
    async def program() -> list[Response]:
        asked = config(standin.url)

        async def own() -> AsyncIterator[Seed]:
            for seed in seeds(4):
                await asyncio.sleep(0)
                yield seed

        tasks = snipmill.ainstructions(snipmill.aconcepts(own(), asked), asked)
        return [one async for one in snipmill.aresponses(tasks, asked)]

    asked = config(standin.url)
    tasks = snipmill.instructions(snipmill.concepts(seeds(4), asked), asked)
    assert asyncio.run(program()) == list(snipmill.responses(tasks, asked))


def test_the_first_comes_before_the_last_is_asked_for_and_an_end_is_an_end(standin: StandIn) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Seed]:
        for number in itertools.count():
            taken.append(number)
            yield Seed(id=f"mine-{number}", seed=f'def f(x):\n    """Add {number}."""\n    return x\n')

    found = snipmill.concepts(endless(), config(standin.url))
    assert next(found).parents["seed"] == "mine-0"
    found.close()
    asked_for = len(taken)
    time.sleep(0.3)
    assert len(taken) == asked_for
    assert not [one for one in threading.enumerate() if one.name.startswith("snipmill") and not one.daemon]


def test_what_a_journal_holds_is_not_asked_again(standin: StandIn, tmp_path: Path) -> None:
    asked, journal = config(standin.url), tmp_path / "concepts.journal"
    first = list(snipmill.concepts(seeds(5), asked, journal=journal))
    requests = len(standin.requests)
    assert list(snipmill.concepts(seeds(7), asked, journal=journal))[:5] == first
    assert len(standin.requests) == requests + 2


def test_a_filter_keeps_or_says_why_not(standin: StandIn) -> None:
    dropped: DROPPED = []
    keep = lambda one: ("odd", f"{one.parents['seed']} is odd") if int(one.parents["seed"][-1]) % 2 else None  # noqa: E731
    kept = list(snipmill.concepts(seeds(4), config(standin.url), keep=keep, on_reject=dropped.append))
    assert [one.parents["seed"] for one in kept] == ["mine-0", "mine-2"]
    assert [(one.stage, one.reason, one.detail) for one in dropped] == [
        ("concepts", "odd", "mine-1 is odd"),
        ("concepts", "odd", "mine-3 is odd"),
    ]


def test_a_filter_of_rows_is_asked_before_they_are_compared(standin: StandIn) -> None:
    asked = config(standin.url)
    tasks = list(snipmill.instructions(snipmill.concepts(seeds(5), asked), asked))
    verified = list(snipmill.verify(snipmill.responses(tasks, asked), asked))
    best = next(snipmill.select(verified, asked))
    dropped: DROPPED = []
    others = list(
        snipmill.select(
            verified, asked, keep=lambda row: ("mine", "") if row.id == best.id else None, on_reject=dropped.append
        )
    )
    assert best.id not in {row.id for row in others} and ("mine", best.id) in {(one.reason, one.id) for one in dropped}


def test_rows_are_chosen_as_they_are_and_mixtures_are_refused(standin: StandIn) -> None:
    asked = config(standin.url)
    tasks = snipmill.instructions(snipmill.concepts(seeds(5), asked), asked)
    verified = list(snipmill.verify(snipmill.responses(tasks, asked), asked))
    rows = list(snipmill.select(verified, asked))
    assert sorted(row.id for row in snipmill.select(rows, asked)) == sorted(row.id for row in rows)
    with pytest.raises(UsageError, match="mixed; number 1 is"):
        list(snipmill.select([rows[0], verified[0]], asked))


def harder(task: Instruction) -> str:
    return f"Make this task harder:\n{task.instruction}\n### Instruction"


def read_harder(task: Instruction, text: str) -> Instruction | tuple[str, str]:
    if "7" in text:
        return "has-a-seven", f"{text[:20]!r} has a 7."
    return msgspec.structs.replace(task, instruction=text.strip())


def test_a_stage_of_ones_own_is_two_functions_and_a_name(standin: StandIn) -> None:
    asked = config(standin.url)
    tasks = list(snipmill.instructions(snipmill.concepts(seeds(8), asked), asked))
    dropped: DROPPED = []
    stage = Stage("harder", harder, read_harder)
    begun = len(standin.requests)
    made = list(snipmill.ask(tasks, stage, asked, on_reject=dropped.append))
    assert standin.requests[begun]["prompt"] == harder(tasks[0])  # sent as it is, without examples of ours
    assert len(made) + len(dropped) == 8 and made and dropped
    assert {one.reason for one in dropped} == {"has-a-seven"}
    assert not {one.id for one in made} & {one.id for one in tasks}
    answers = list(snipmill.responses(made, asked))  # and the pipeline goes on from there
    assert {one.parents["instruction"] for one in answers} <= {one.id for one in made} and answers
    assert len(list(snipmill.ask(tasks, stage, asked, samples=2))) > len(made)


def test_a_chat_model_gets_the_text_as_one_message(standin: StandIn) -> None:
    asked = msgspec.structs.replace(config(standin.url), model=ModelTable(base_url=standin.url, prompting="chat"))
    task = Instruction(id="t", seed="", concepts=[], instruction="Add the number 3.")
    list(snipmill.ask([task], Stage("harder", harder, read_harder), asked))
    assert standin.requests[-1]["messages"] == [{"role": "user", "content": harder(task)}]


@pytest.mark.parametrize("name, said", [("responses", "of its own"), ("Harder!", "other characters")])
def test_names_of_stages_are_checked(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(snipmill.ask([], Stage(name, harder, read_harder)))


def test_documents_of_ones_own_are_mined() -> None:
    unchecked = Config(seeds=SeedsTable(types=False, near=0))

    def my_documents() -> Iterator[snipmill.Document]:
        for number in range(3):
            code = f'def add_{number}(x: int) -> int:\n    """Return x plus {number}."""\n    return x + {number}\n'
            yield snipmill.Document(
                shown=f"ticket {number}", content=code, source="tickets", path=f"{number}.py", license="MIT"
            )

    found = list(snipmill.mine(my_documents(), config=unchecked))
    assert [seed.provenance.source for seed in found if seed.provenance] == ["tickets"] * 3
    kept = list(
        snipmill.mine(
            my_documents(),
            config=unchecked,
            keep=lambda seed: ("no-one", "") if "add_1" in seed.seed else None,
        )
    )
    assert len(kept) == 2


def test_a_run_over_seeds_of_ones_own_can_be_continued_by_any_command(
    standin: StandIn, tmp_path: Path, snipmill: Snipmill
) -> None:
    asked = msgspec.structs.replace(config(standin.url), run=RunTable(dir=str(tmp_path / "run")))
    run = api.run(asked, seeds=(one for one in seeds(6)))
    assert {row.parents["seed"] for row in run.rows()} <= {one.id for one in seeds(6)} and list(run.rows())
    rows, requests = list(run.rows()), len(standin.requests)
    done = snipmill("run", run.path / "config.toml")
    assert done.returncode == 0, done.stderr
    assert list(run.rows()) == rows and len(standin.requests) == requests
    gone = rows[0].parents["seed"]
    (tmp_path / "ids.txt").write_text(gone)
    assert snipmill("forget", run.path, "--ids", tmp_path / "ids.txt").returncode == 0
    for path in run.path.rglob("*.json*"):
        assert gone not in path.read_text(), path
    assert {row.id for row in run.rows()} == {row.id for row in rows if row.parents["seed"] != gone}


def test_agreement_is_a_matrix_for_each_task(standin: StandIn) -> None:
    code = RESPONSE.replace("return 2 * x", "return 3 * x")
    answers = [
        Response(id=f"r-{n}", seed="", concepts=[], instruction=f"Double, {n // 3}.", response=text, sample=n % 3)
        for n, text in enumerate([RESPONSE, code, RESPONSE.replace("double(2) == 4", "double(0) == 0")] * 2)
    ]
    first, second = snipmill.agree(answers)
    assert first.samples == ["r-0", "r-1", "r-2"] and second.samples == ["r-3", "r-4", "r-5"]
    assert first.assertions == ["assert double(2) == 4", "assert double(0) == 0"]
    assert first.outcomes == ["++", "-+", "++"] and first.authors == [[0, 1], [2]]


def test_execution_tells_what_failed() -> None:
    wrong = RESPONSE.replace("== 4", "== 5")
    answers = [
        Response(id=f"r-{n}", seed="", concepts=[], instruction="Double.", response=text)
        for n, text in enumerate((RESPONSE, wrong))
    ]
    dropped: DROPPED = []
    (passed,) = snipmill.execute(answers, on_reject=dropped.append)
    assert passed.id == "r-0" and passed.verdict.checks_executed == 1
    assert [
        (one.id, one.reason, one.verdict.failed_check[:10])
        for one in dropped
        if one.verdict and one.verdict.failed_check
    ] == [("r-1", "failed", "assert dou")]


def test_another_kind_of_record_is_one_sentence(standin: StandIn) -> None:
    with pytest.raises(UsageError, match="responses takes Instruction records; number 0 is Seed"):
        list(snipmill.responses(seeds(1), config(standin.url)))  # type: ignore[arg-type]


def test_errors_of_servers_reach_the_caller() -> None:
    asked = msgspec.structs.replace(config("http://127.0.0.1:9/v1"), model=ModelTable(base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(snipmill.ServerUnreachable):
        list(snipmill.concepts(seeds(1), asked))


def test_what_an_iterable_raises_reaches_the_caller(standin: StandIn) -> None:
    def broken() -> Iterator[Seed]:
        yield seeds(1)[0]
        raise LookupError("my own")

    with pytest.raises(LookupError, match="my own"):
        list(snipmill.concepts(broken(), config(standin.url)))


def test_files_are_read_as_records(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", {"instruction": "Double.", "response": RESPONSE}, {"instruction": 3})
    dropped: DROPPED = []
    (found,) = snipmill.read(tmp_path / "a.jsonl", Response, on_reject=dropped.append)
    assert found.instruction == "Double." and len(dropped) == 1


def test_rows_and_runs_are_exported_and_reported(standin: StandIn, tmp_path: Path) -> None:
    asked = msgspec.structs.replace(config(standin.url), run=RunTable(dir=str(tmp_path / "run")))
    run = snipmill.run(asked, seeds=seeds(6))
    rows = list(run.rows())
    whole = snipmill.export(run, "messages", tmp_path / "whole", kind="jsonl")
    some = snipmill.export(rows[:2], "messages", tmp_path / "some", kind="jsonl")
    assert (whole.examples, some.examples) == ({"train": len(rows)}, {"train": 2})
    line = json.loads(next((tmp_path / "some").rglob("*.jsonl")).read_text().splitlines()[0])
    assert line["messages"][0]["content"] == rows[0].instruction
    assert snipmill.report(run).read_text().startswith("<!doctype html>")
