"""The stages as functions over iterables: the same as the commands, lazy, in notebooks and asynchronous programs, with own parts."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import snipmill
import snipmill as api
from snipmill import Config, Instruction, Reject, Response, Row, Seed, Stage, UsageError
from snipmill.config import GenerateTable, RunTable, SeedsTable, SelectTable, VerifyTable
from snipmill.config_model import ModelTable, PriceTable
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
    time.sleep(0.2)  # the item that was being made when the end came
    asked_for = len(taken)
    time.sleep(0.3)
    assert len(taken) == asked_for < 5_000
    assert not [one for one in threading.enumerate() if one.name == "snipmill-stage"]


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


def verified_samples(asked: Config, count: int) -> list[api.Execution]:
    tasks = api.instructions(api.concepts(seeds(count), asked), asked)
    return list(api.verify(api.responses(tasks, asked), asked))


def test_a_filter_of_rows_is_asked_before_they_are_compared(standin: StandIn) -> None:
    asked = config(standin.url)
    verified = verified_samples(asked, 8)
    chosen = {row.parents["instruction"]: row.id for row in api.select(verified, asked)}
    several = [one.parents["instruction"] for one in verified if one.id not in chosen.values()]
    best = chosen[several[0]]  # its task has another sample that could be a row
    dropped: DROPPED = []
    others = list(
        api.select(verified, asked, keep=lambda row: ("mine", "") if row.id == best else None, on_reject=dropped.append)
    )
    assert ("mine", best) in {(one.reason, one.id) for one in dropped}
    assert several[0] in {row.parents["instruction"] for row in others} and best not in {row.id for row in others}


def test_rows_are_chosen_as_they_are_and_mixtures_are_refused(standin: StandIn) -> None:
    asked = config(standin.url)
    verified = verified_samples(asked, 6)
    rows = list(api.select(verified, asked))
    plain = [msgspec.structs.replace(row, response=f"{row.response} And more.") for row in rows]
    assert sorted(api.select(plain, asked), key=lambda row: row.id) == sorted(plain, key=lambda row: row.id)
    with pytest.raises(UsageError, match="mixed; number 1 is"):
        list(api.select([rows[0], verified[0]], asked))


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


# What goes wrong ---------------------------------------------------------------------------------------------------------


def script(folder: Path, standin: StandIn, text: str) -> subprocess.Popen[str]:
    """A program that uses the package, in a process of its own."""
    begin = f"""
import sys, time, itertools, snipmill
from snipmill import Seed
config = snipmill.change_config(snipmill.Config(), {{"model.base_url": {standin.url!r}}})
def seeds(count):
    for number in range(count):
        yield Seed(id=f"mine-{{number}}", seed=f'def f{{number}}(x):\\n    \"\"\"Add {{number}}.\"\"\"\\n    return x\\n')
"""
    (folder / "script.py").write_text(begin + text)
    return subprocess.Popen(
        [sys.executable, "script.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_ctrl_c_ends_a_chain_that_waits_for_the_server(standin: StandIn, tmp_path: Path) -> None:
    standin.delay = 3600
    process = script(
        tmp_path,
        standin,
        "print('begun', flush=True)\n"
        "try:\n    list(snipmill.instructions(snipmill.concepts(seeds(5), config), config))\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n",
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    wait_until(lambda: bool(standin.requests))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "interrupted\n")


def test_a_program_ends_that_holds_a_stream_half_used(standin: StandIn, tmp_path: Path) -> None:
    process = script(
        tmp_path,
        standin,
        "found = snipmill.instructions(snipmill.concepts(seeds(1000), config), config)\n"
        "print(next(found).parents['seed'])\ntime.sleep(2)\nprint('over')\n",
    )
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "mine-0\nover\n")


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_a_source_that_blocks_holds_nothing_up(standin: StandIn) -> None:
    def blocked() -> Iterator[Seed]:
        yield seeds(1)[0]
        threading.Event().wait()

    def fails(_seed: Seed, _text: str) -> Seed:
        raise LookupError("a mistake of mine")

    found = api.concepts(blocked(), config(standin.url))
    next(found)
    found.close()
    assert list(found) == []
    wrong = api.ask(blocked(), Stage("mine", text_of, fails), config(standin.url))
    with pytest.raises(LookupError):
        next(wrong)


def text_of(_record: Any) -> str:
    return "x"


def same_seed(seed: Seed, _text: str) -> Seed:
    return seed


def test_a_chain_shares_its_connection_and_its_budget(standin: StandIn) -> None:
    asked = msgspec.structs.replace(
        config(standin.url),
        model=ModelTable(base_url=standin.url, concurrency=1),
        run=RunTable(max_tokens_total=300),
    )
    standin.delay = 0.02
    with pytest.raises(api.BudgetSpent):
        list(api.responses(api.instructions(api.concepts(seeds(200), asked), asked), asked))
    assert standin.most_at_once == 1
    assert len(standin.requests) < 40  # one budget for all three stages


def test_a_limit_in_money_needs_the_price_of_ones_own_stage(standin: StandIn) -> None:
    model = ModelTable(base_url=standin.url)
    asked = msgspec.structs.replace(config(standin.url), model=model, run=RunTable(max_cost=1.0))
    with pytest.raises(UsageError, match=r"Set model\.price"):
        api.ask(seeds(1), Stage("mine", text_of, same_seed), asked)


def test_what_was_paid_is_kept_when_ones_own_parser_fails(standin: StandIn, tmp_path: Path) -> None:
    def fails(seed: Seed, text: str) -> Seed:
        raise LookupError("a mistake of mine")

    journal, asked = tmp_path / "mine.journal", config(standin.url)
    with pytest.raises(LookupError, match="a mistake of mine"):
        list(api.ask(seeds(1), Stage("mine", text_of, fails), asked, journal=journal))
    requests = len(standin.requests)
    (made,) = api.ask(seeds(1), Stage("mine", text_of, same_seed), asked, journal=journal)
    assert len(standin.requests) == requests and made.id != "mine-0"


def test_a_stage_of_ones_own_keeps_the_lineage(standin: StandIn) -> None:
    task = Instruction(id="t", seed="", concepts=[], instruction="Add the number 3.", parents={"seed": "s"})

    def same_task(one: Instruction, _text: str) -> Instruction:
        return one

    def same_answer(one: Response, _text: str) -> Response:
        return one

    (made,) = api.ask([task], Stage("harder", harder, same_task), config(standin.url))
    assert made.parents == {"seed": "s", "harder": "t"}
    answer = Response(id="r", seed="", concepts=[], instruction="Add.", response=RESPONSE)
    rewritten = list(api.ask([answer], Stage("again", text_of, same_answer), config(standin.url), samples=3))
    assert [one.sample for one in rewritten] == [0, 1, 2]


@pytest.mark.parametrize("found", [True, "too long", ("a", 1), ("a",), ["a", "b"]])
def test_a_filter_that_returns_something_else_is_one_sentence(standin: StandIn, found: Any) -> None:
    with pytest.raises(UsageError, match="no pair of a reason and a detail"):
        list(api.concepts(seeds(1), config(standin.url), keep=lambda _: found))


@pytest.mark.parametrize("found", [None, "text", 3, [seeds(1)[0]]])
def test_a_parser_that_returns_something_else_is_one_sentence(standin: StandIn, found: Any) -> None:
    with pytest.raises(UsageError, match="mine: parse returned"):
        list(api.ask(seeds(1), Stage("mine", text_of, lambda _seed, _text: found), config(standin.url)))


def test_later_kinds_of_records_are_refused_where_earlier_ones_are_wanted(standin: StandIn) -> None:
    asked = config(standin.url)
    answer = Response(id="r", seed="", concepts=[], instruction="Double.", response=RESPONSE)
    (passed,) = api.execute([answer])
    (row,) = api.select([passed], asked)

    async def program() -> None:
        async def own() -> AsyncIterator[Any]:
            yield seeds(1)[0]

        async for _ in api.aresponses(own(), asked):
            pass

    for wrong in (
        lambda: list(api.instructions([answer], asked)),
        lambda: list(api.responses([row], asked)),
        lambda: list(api.verify([row], asked)),
        lambda: list(api.select([answer], asked)),  # type: ignore[list-item]
        lambda: asyncio.run(program()),
        lambda: list(api.mine([Path("src")])),  # type: ignore[list-item]
        lambda: list(api.mine(None)),  # type: ignore[arg-type]
        lambda: list(api.mine(seeds(1))),  # type: ignore[arg-type]
        lambda: api.export([answer], "messages", "out", kind="jsonl"),  # type: ignore[list-item]
        lambda: api.export([row], "messages", "out", kind="csv"),  # type: ignore[arg-type]
        lambda: api.export([row], "messages", "out", kind="jsonl", split=2.0),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_records_of_one_id_are_kept_apart() -> None:
    wrong = RESPONSE.replace("== 4", "== 5")
    answers = [
        Response(id="a", seed="", concepts=[], instruction="Double.", response=text, sample=sample)
        for sample, text in enumerate((RESPONSE, wrong, RESPONSE.replace("2 * x", "x + x")))
    ]
    dropped: DROPPED = []
    kept = list(api.verify(answers, on_reject=dropped.append))
    assert len(kept) + len(dropped) == 3 and len({one.id for one in [*kept, *dropped]}) == 3


def test_a_journal_is_that_of_its_stage(standin: StandIn, tmp_path: Path) -> None:
    asked, journal = config(standin.url), tmp_path / "a.journal"
    list(api.concepts(seeds(2), asked, journal=journal))
    with pytest.raises(api.StoreError, match="no journal of this stage"):
        list(api.verify([], asked, journal=journal))
    for text in ("my notes", '{"id":"a","text":"my only copy"}', '{"id":"a","text":"mine"}\n'):
        (tmp_path / "notes.txt").write_text(text)
        with pytest.raises(api.StoreError, match="is no journal"):
            list(api.concepts(seeds(2), asked, journal=tmp_path / "notes.txt"))
        assert (tmp_path / "notes.txt").read_text() == text
    answer = Response(id="r", seed="", concepts=[], instruction="Double.", response=RESPONSE)
    list(api.execute([answer], asked, journal=tmp_path / "verdicts.journal"))
    with pytest.raises(api.StoreError, match="no journal of this stage"):
        list(api.verify([answer], asked, journal=tmp_path / "verdicts.journal"))


def own_run(standin: StandIn, tmp_path: Path, **changes: Any) -> Config:
    return msgspec.structs.replace(config(standin.url), run=RunTable(dir=str(tmp_path / "run")), **changes)


def test_seeds_of_a_run_are_checked_and_only_as_many_as_are_used(standin: StandIn, tmp_path: Path) -> None:
    limited = own_run(standin, tmp_path, seeds=SeedsTable(limit=3))
    endless = (
        seed for number in itertools.count() for seed in [Seed(id=f"mine-{number}", seed=f"def f(x): return {number}")]
    )
    run = api.run(limited, seeds=endless)
    assert run.funnel()["seeds"]["kept"] == 3
    before = (run.path / "own-seeds.jsonl").read_bytes()
    for wrong, said in (
        ([], "seeds is empty"),
        (["def f(): pass"], "run takes Seed records"),
        ("seeds.jsonl", "run takes Seed"),
    ):
        with pytest.raises(UsageError, match=said):
            api.run(limited, seeds=wrong)  # type: ignore[arg-type]
        assert (run.path / "own-seeds.jsonl").read_bytes() == before


def test_forgotten_seeds_do_not_come_back(standin: StandIn, tmp_path: Path, snipmill: Snipmill) -> None:
    asked = own_run(standin, tmp_path)
    run = api.run(asked, seeds=seeds(6))
    (tmp_path / "ids.txt").write_text("mine-1")
    assert snipmill("forget", run.path, "--ids", tmp_path / "ids.txt").returncode == 0
    api.run(asked, seeds=seeds(6))
    for path in run.path.rglob("*.json*"):
        assert "mine-1" not in path.read_text(), path


def test_a_limit_in_money_counts_ones_own_stage(standin: StandIn) -> None:
    model = ModelTable(base_url=standin.url, concurrency=1, price=PriceTable(prompt=1.0, completion=1.0))
    asked = msgspec.structs.replace(config(standin.url), model=model, run=RunTable(max_cost=0.0001))
    with pytest.raises(api.BudgetSpent):
        list(api.ask(seeds(200), Stage("mine", lambda seed: seed.seed, same_seed), asked))
    assert len(standin.requests) < 20


def test_a_text_and_a_prompt_with_the_same_question_are_not_the_same(standin: StandIn) -> None:
    asked = config(standin.url)
    (one,) = api.ask(seeds(1), Stage("mine", text_of, same_seed), asked)
    (other,) = api.ask(seeds(1), Stage("mine", lambda _: api.Prompt("", (), "x"), same_seed), asked)
    assert one.id != other.id


def test_no_more_is_made_than_somebody_takes(standin: StandIn) -> None:
    found = api.concepts(seeds(50_000), config(standin.url))
    next(found)
    counts: list[int] = []

    def stands_still() -> bool:
        time.sleep(1.0)
        counts.append(len(standin.requests))
        return len(counts) > 1 and counts[-1] == counts[-2]

    wait_until(stands_still)
    assert counts[-1] < 10_000
    found.close()


def test_what_is_in_flight_is_kept_when_an_earlier_stage_may_spend_no_more(standin: StandIn, tmp_path: Path) -> None:
    standin.delay = 0.3
    asked = msgspec.structs.replace(config(standin.url), run=RunTable(max_tokens_total=600))
    journals = [tmp_path / "concepts.journal", tmp_path / "tasks.journal"]
    with pytest.raises(api.BudgetSpent):
        list(api.instructions(api.concepts(seeds(500), asked, journal=journals[0]), asked, journal=journals[1]))
    assert sum(len(read_lines(path)) for path in journals) == len(standin.requests)


def test_stages_with_the_same_limit_share_it_whatever_else_differs(standin: StandIn) -> None:
    limit = RunTable(max_tokens_total=300)
    first = msgspec.structs.replace(
        config(standin.url), run=limit, model=ModelTable(base_url=standin.url, concurrency=1)
    )
    second = api.change_config(first, {"model.sampling.temperature": 0.1, "run.dir": "elsewhere"})
    with pytest.raises(api.BudgetSpent):
        list(api.instructions(api.concepts(seeds(200), first), second))
    assert len(standin.requests) < 40


def test_records_that_were_given_away_are_not_there_twice(standin: StandIn) -> None:
    asked = config(standin.url)
    found = api.concepts(seeds(3), asked)
    first, second = api.instructions(found, asked), api.instructions(found, asked)
    assert len(list(first)) == 3
    for wrong in (second, found):
        with pytest.raises(UsageError, match="given to another stage"):
            next(wrong)


def test_an_asynchronous_stream_ends_when_another_task_says_so(standin: StandIn) -> None:
    standin.delay = 3600

    async def program() -> str:
        found = api.aconcepts(seeds(5), config(standin.url))
        waiting = asyncio.create_task(anext(found))
        while not standin.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await found.aclose()
        try:
            await waiting
        except (asyncio.CancelledError, StopAsyncIteration) as ended:
            return type(ended).__name__
        return "a record"

    assert asyncio.run(program()) in ("CancelledError", "StopAsyncIteration")


def test_a_stage_without_a_loop_tells_it(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.events, "new_event_loop", fails)
    with pytest.raises(OSError, match="Too many open files"):
        next(api.concepts(seeds(1), config(standin.url)))


@pytest.mark.parametrize("wrong", [5, None])
def test_what_is_no_iterable_is_one_sentence(standin: StandIn, wrong: Any) -> None:
    for stage in (api.concepts, api.verify, api.select):
        with pytest.raises(UsageError, match="takes an iterable of records"):
            list(stage(wrong, config(standin.url)))


def test_ctrl_c_ends_a_run_that_waits_for_seeds(standin: StandIn, tmp_path: Path) -> None:
    process = script(
        tmp_path,
        standin,
        "def slow():\n    yield from seeds(1)\n    print('begun', flush=True)\n    time.sleep(3600)\n"
        "try:\n    snipmill.run(config, seeds=slow())\nexcept KeyboardInterrupt:\n    print('interrupted')\n",
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "interrupted\n")


def test_a_limit_counts_seeds_and_not_their_copies(standin: StandIn, tmp_path: Path) -> None:
    limited = own_run(standin, tmp_path, seeds=SeedsTable(limit=4))
    one, *others = seeds(6)
    assert api.run(limited, seeds=[one, one, one, *others]).funnel()["seeds"]["kept"] == 4
