"""Chat models from seed to row: traces kept, dropped and cut; tags in any dress; nothing that was paid is asked again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Snipmill, read_lines, write_lines
from tests.standin import THOUGHT, StandIn

CHAT = 'prompting = "chat"\n'


def run_file(folder: Path, url: str, model: str = CHAT, *, name: str = "run", count: int = 6, more: str = "") -> str:
    """A configuration file; its name."""
    seeds = [{"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(count)]
    write_lines(folder / "seeds.jsonl", *seeds)
    text = (
        f'[run]\ndir = "{name}"\n{more}[seeds]\nsources = ["seeds.jsonl"]\n[generate]\nsamples = 4\naccept = 0\n'
        f'[select]\nnear_instructions = 0\nnear_code = 0\n[model]\nbase_url = "{url}"\n{model}'
    )
    (folder / f"{name}.toml").write_text(text)
    return f"{name}.toml"


def rows(folder: Path, name: str = "run") -> list[dict[str, Any]]:
    return read_lines(folder / name / "dataset.jsonl")


def manifest(folder: Path, name: str = "run") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name / "manifest.json").read_text())
    return found


def without_thinking(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in ("thinking", "usage")} for row in found]


@pytest.mark.parametrize("where", ["reasoning", "reasoning_content", "thinking", "inline", "prefilled"])
@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_thinking_model_makes_the_rows_of_one_that_does_not(
    where: str, stream: str, tmp_path: Path, snipmill: Snipmill
) -> None:
    with StandIn() as server:
        form = f"{CHAT}stream = {stream}\n"
        assert snipmill("run", run_file(tmp_path, server.url, form, name="plain")).returncode == 0
        server.thinks = where
        done = snipmill("run", run_file(tmp_path, server.url, form))
        assert done.returncode == 0, done.stderr
        assert "of thought" in done.stderr
    found = rows(tmp_path)
    assert found and without_thinking(found) == without_thinking(rows(tmp_path, "plain"))
    assert {row["thinking"] for row in found} == {THOUGHT.strip()}
    assert all(row["usage"]["responses"]["thinking_tokens"] > 0 for row in found)
    assert {row["thinking"] for row in rows(tmp_path, "plain")} == {None}
    assert manifest(tmp_path)["accounting"]["thinking_tokens"] > 0
    assert manifest(tmp_path, "plain")["accounting"]["thinking_tokens"] == 0


def test_traces_can_be_dropped_and_taken_back_without_a_request(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn() as server:
        server.thinks = "reasoning"
        assert snipmill("run", run_file(tmp_path, server.url)).returncode == 0
        kept, asked = rows(tmp_path), len(server.requests)
        run_file(tmp_path, server.url, f"{CHAT}keep_thinking = false\n")
        assert snipmill("run", "run.toml").returncode == 0
        assert {row["thinking"] for row in rows(tmp_path)} == {None}
        assert without_thinking(rows(tmp_path)) == without_thinking(kept)
        run_file(tmp_path, server.url)
        assert snipmill("run", "run.toml").returncode == 0
        assert rows(tmp_path) == kept and len(server.requests) == asked
    shown = snipmill("show", "run", kept[0]["id"])
    assert "the user wants a number" in shown.stdout


@pytest.mark.parametrize("where", ["reasoning_content", "inline"])
def test_a_thought_over_its_budget_is_a_reject_that_says_what_to_change(
    where: str, tmp_path: Path, snipmill: Snipmill
) -> None:
    with StandIn() as server:
        server.thinks = where
        run_file(tmp_path, server.url, f"{CHAT}max_thinking_tokens = 40\nmax_tokens = 20\n", count=3)
        assert snipmill("run", "run.toml").returncode == 0
        rejects = read_lines(tmp_path / "run" / "concepts.jsonl.rejects.jsonl")
        assert {reject["reason"] for reject in rejects} == {"thinking-not-finished"} and len(rejects) == 3
        assert "max_thinking_tokens" in rejects[0]["detail"] and "enable_thinking = false" in rejects[0]["detail"]
        asked = len(server.requests)
        assert snipmill("run", "run.toml").returncode == 0  # nothing has changed: nothing is asked again
        assert len(server.requests) == asked
        run_file(tmp_path, server.url, count=3)
        assert snipmill("run", "run.toml").returncode == 0
        assert rows(tmp_path)
        assert len(server.requests) >= asked + 3


def test_answers_wear_their_tags_as_they_like(tmp_path: Path, snipmill: Snipmill) -> None:
    def dressed(text: str) -> str:
        if "[Reasoning]" not in text:
            return text
        text = text.replace("[Reasoning]", "**[Reasoning]**").replace("[Implementation]", "## Implementation")
        return "Sure! Here is my solution:\n\n" + text.replace("[Tests]", "[Tests]:").replace("```", "~~~")

    with StandIn() as server:
        assert snipmill("run", run_file(tmp_path, server.url, name="plain")).returncode == 0
        server.dress = dressed
        done = snipmill("run", run_file(tmp_path, server.url))
        assert done.returncode == 0, done.stderr
        assert "with mended tags" in done.stderr
    found, plain = rows(tmp_path), rows(tmp_path, "plain")
    assert [row["response"] for row in found] == [row["response"] for row in plain] != []
    raw = read_lines(tmp_path / "run" / "responses.jsonl")
    assert all(one["response"].startswith("[Reasoning]\n") and "~~~" not in one["response"] for one in raw)


def test_a_base_model_s_sure_is_not_loosened(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn() as server:
        run_file(tmp_path, server.url, "")
        server.dress_base = lambda text: f"Sure!\n{text}" if "[Reasoning]" in text else text
        assert snipmill("run", "run.toml").returncode == 0
    reasons = {reject["reason"] for reject in read_lines(tmp_path / "run" / "responses.jsonl.rejects.jsonl")}
    assert reasons == {"tag-missing"} and not rows(tmp_path)


def test_a_chat_is_asked_without_stop_strings_and_with_examples_as_turns(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn() as server:
        assert snipmill("run", run_file(tmp_path, server.url)).returncode == 0
        for body in server.requests:
            roles = [message["role"] for message in body["messages"]]
            assert roles[0] == "system" and "system" not in roles[1:]
            assert roles[1:] == ["user", "assistant"] * (len(roles) // 2 - 1) + ["user"]
            assert "stop" not in body and body["max_tokens"] == 1536 + 4096


def test_a_model_for_each_stage(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn("small") as small, StandIn("strong") as strong, StandIn("judge") as judging:
        stages = (
            f'[model.stages.responses]\nbase_url = "{strong.url}"\n[model.stages.responses.price]\ncompletion = 1.0\n'
            "[model.stages.concepts.sampling]\ntemperature = 0.2\ntop_k = 5\n"
            f'[judge]\nenabled = true\n[judge.model]\nbase_url = "{judging.url}"\n'
        )
        done = snipmill("run", run_file(tmp_path, small.url, stages))
        assert done.returncode == 0, done.stderr
        assert {body["model"] for body in small.requests} == {"small"}
        assert {body["model"] for body in strong.requests} == {"strong"}
        assert {body["model"] for body in judging.requests} == {"judge"}
        assert all("### Response" in body["prompt"] for body in strong.requests)
        sent = {
            (body["prompt"].rsplit("### ", 1)[1], body["temperature"], body.get("top_k")) for body in small.requests
        }
        assert sent == {("Concepts\n", 0.2, 5), ("Instruction\n", 0.7, None)}
        told = manifest(tmp_path)
        assert told["models"] == {
            "concepts": "small", "instructions": "small", "judge": "judge", "responses": "strong"
        }  # fmt: skip
        assert told["accounting"]["cost"] == pytest.approx(told["funnel"]["responses"]["completion_tokens"] / 1e6)
        assert snipmill("status", "run", "--plan").returncode == 0
        shown = snipmill("show", "run", rows(tmp_path)[0]["id"])
        assert shown.returncode == 0 and "### Response" in shown.stdout
        # Another sampling of one stage: what comes before it is not asked again.
        counts = len(small.requests), len(judging.requests)
        (tmp_path / "run.toml").write_text(
            (tmp_path / "run.toml").read_text() + "[model.stages.responses.sampling]\ntop_p = 0.9\n"
        )
        assert snipmill("run", "run.toml").returncode == 0
        assert (len(small.requests), len(judging.requests)) == counts
        assert strong.requests[-1]["top_p"] == 0.9


def test_another_server_gets_no_key_and_no_header_of_the_first(
    tmp_path: Path, snipmill: Snipmill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_KEY", "sk-first")
    monkeypatch.setenv("TEAM_TOKEN", "team")
    with StandIn() as first, StandIn() as second:
        more = f'key_variable = "FIRST_KEY"\n[model.headers]\nX-Team = "TEAM_TOKEN"\n[model.stages.responses]\nbase_url = "{second.url}"\n'
        assert snipmill("run", run_file(tmp_path, first.url, more)).returncode == 0
        assert all(headers["Authorization"] == "Bearer sk-first" for headers in first.headers)
        assert second.headers and not any({"Authorization", "X-Team"} & headers.keys() for headers in second.headers)


@pytest.mark.parametrize("field", ["n", "model", "stream", "seed", "messages", "temperature"])
def test_fields_of_its_own_are_refused(field: str, tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn() as server:
        done = snipmill("run", run_file(tmp_path, server.url, f"extra_body = {{{field} = 2}}\n"))
        assert done.returncode == 2 and f"'{field}'" in done.stderr and not server.requests


def test_a_stage_with_another_model_of_the_same_server(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn("one") as server:
        done = snipmill("run", run_file(tmp_path, server.url, '[model.stages.responses]\nname = "two"\n'))
        assert done.returncode == 3 and "does not serve 'two'" in done.stderr
        done = snipmill(
            "run", run_file(tmp_path, server.url, 'serve = "vllm"\nname = "m"\n[model.stages.responses]\nname = "x"\n')
        )
        assert done.returncode == 2 and "model.stages.responses.base_url" in done.stderr


def test_what_only_one_server_knows_is_sent_and_hashed(tmp_path: Path, snipmill: Snipmill) -> None:
    extra = "extra_body = {chat_template_kwargs = {enable_thinking = false}, priority = 3}\n"
    with StandIn() as server:
        assert snipmill("run", run_file(tmp_path, server.url, CHAT + extra)).returncode == 0
        for body in server.requests:
            assert body["chat_template_kwargs"] == {"enable_thinking": False} and body["priority"] == 3
        asked = len(server.requests)
        done = snipmill("run", "run/config.toml")  # the resolved configuration says the same
        assert done.returncode == 0 and len(server.requests) == asked
        on = "model.extra_body.chat_template_kwargs.enable_thinking=true"
        plan = snipmill("status", "run", "--plan", "--set", on)
        assert plan.returncode == 0
        lines = [line.split() for line in plan.stderr.splitlines() if line.startswith("concepts ")]
        assert lines[-1][1:3] == ["0", "6"]


def test_headers_come_from_the_environment_and_are_never_written_down(
    tmp_path: Path, snipmill: Snipmill, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = '[model.headers]\nX-Team = "TEAM_TOKEN"\n'
    with StandIn(key="sk-other") as server:
        name = run_file(tmp_path, server.url, f'key_variable = "OTHER_KEY"\n{table}')
        monkeypatch.setenv("OTHER_KEY", "sk-other")
        done = snipmill("run", name)
        assert done.returncode == 2 and "TEAM_TOKEN" in done.stderr and "X-Team" in done.stderr
        assert not (tmp_path / "run").exists()
        monkeypatch.setenv("TEAM_TOKEN", "secret-of-the-team")
        done = snipmill("run", name)
        assert done.returncode == 0, done.stderr
        assert {headers.get("X-Team") for headers in server.headers} == {"secret-of-the-team"}
        monkeypatch.delenv("OTHER_KEY")
        assert snipmill("status", "run", "--plan").returncode == 0  # who only looks needs no key
        assert snipmill("run", name).returncode == 2
        for wrong in ('key_variable = "sk-real-1"\n', '[model.headers]\nX-Team = "sk-real-1"\n'):
            done = snipmill("run", run_file(tmp_path, server.url, wrong, name="wrong"))
            assert done.returncode == 2 and "no name of an environment variable" in done.stderr
            assert "sk-real-1" not in done.stderr
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            assert b"secret-of-the-team" not in path.read_bytes() and b"sk-other" not in path.read_bytes(), path


@pytest.mark.parametrize("limit", ["max_tokens_total = 1200\n", "max_cost = 0.0012\n"])
def test_a_budget_ends_a_run_cleanly_and_more_of_it_goes_on(limit: str, tmp_path: Path, snipmill: Snipmill) -> None:
    price = "concurrency = 2\n[model.price]\nprompt = 1.0\ncompletion = 1.0\n"
    with StandIn() as server:
        assert snipmill("run", run_file(tmp_path, server.url, price, name="whole", count=12)).returncode == 0
        needed = len(server.requests)
        server.requests.clear()
        done = snipmill("run", run_file(tmp_path, server.url, price, count=12, more=limit))
        assert done.returncode == 0, done.stderr
        assert "The budget is spent" in done.stderr and "budget" in manifest(tmp_path)["stopped"]
        asked = len(server.requests)
        assert 0 < asked < needed
        made = rows(tmp_path)
        assert made
        again = snipmill("run", "run.toml")
        assert again.returncode == 6 and "The budget is spent" in again.stderr  # nothing is left of it
        assert len(server.requests) == asked and rows(tmp_path) == made
        assert "The budget is spent" in snipmill("status", "run").stderr
        run_file(tmp_path, server.url, price, count=12)
        assert snipmill("run", "run.toml").returncode == 0
        assert len(server.requests) == needed
        assert "stopped" not in manifest(tmp_path)
    assert (tmp_path / "run" / "dataset.jsonl").read_bytes() == (tmp_path / "whole" / "dataset.jsonl").read_bytes()


def test_no_request_leaves_once_the_budget_is_spent(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn() as server:
        file = run_file(tmp_path, server.url, "concurrency = 1\n", count=30, more="max_tokens_total = 1\n")
        assert snipmill("run", file).returncode == 0
        assert len(server.requests) == 1


def test_a_limit_of_cost_needs_the_prices(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn() as server:
        file = run_file(tmp_path, server.url, "", more="max_cost = 1.0\n")
        done = snipmill("run", file)
        assert done.returncode == 2 and "model.price" in done.stderr
        more = "[model.price]\ncompletion = 1.0\n[model.stages.responses]\nname = 'stand-in'\n"
        done = snipmill("run", run_file(tmp_path, server.url, more, more="max_cost = 1.0\n"))
        assert done.returncode == 2 and "model.stages.responses.price" in done.stderr
        more = "[model.price]\ncompletion = 1.0\n[model.stages.responses.price]\ncompletion = 1000.0\n"
        assert snipmill("run", run_file(tmp_path, server.url, more)).returncode == 0
        told = manifest(tmp_path)
        assert told["accounting"]["cost"] > told["funnel"]["responses"]["completion_tokens"] / 1e3


def test_a_budget_holds_by_hand_too(tmp_path: Path, snipmill: Snipmill) -> None:
    with StandIn() as server:
        run_file(tmp_path, server.url)
        arguments = ("concepts", "seeds.jsonl", "-o", "c.jsonl", "--base-url", server.url, "--concurrency", "1")
        done = snipmill(*arguments, "--set", "run.max_tokens_total=30")
        assert done.returncode == 6 and "The budget is spent" in done.stderr
        asked = len(server.requests)
        assert 0 < asked < 6
        assert snipmill(*arguments).returncode == 0
        assert len(server.requests) == 6 and len(read_lines(tmp_path / "c.jsonl")) == 6


def test_the_forecast_holds_what_is_then_spent(tmp_path: Path, snipmill: Snipmill) -> None:
    price = "[model.price]\ncompletion = 1.0\n"
    with StandIn() as server:
        file = run_file(tmp_path, server.url, price, count=60)
        before = snipmill("status", "--plan", "--config", file)
        assert before.returncode == 0 and "not begun" in before.stderr and "few-shot examples" in before.stderr
        assert not server.requests and not (tmp_path / "run").exists()
        assert snipmill("run", file, "--limit", "20").returncode == 0
        spent = manifest(tmp_path)["accounting"]["completion_tokens"]
        plan = snipmill("status", "run", "--plan", "--config", file)
        low, high = _interval(plan.stderr, "generated tokens")
        assert snipmill("run", file).returncode == 0
        assert low <= manifest(tmp_path)["accounting"]["completion_tokens"] - spent <= high
        done = snipmill("status", "run", "--plan", "--config", file)
        assert done.returncode == 0 and "still to be spent" not in done.stderr
    assert snipmill("status", "--plan").returncode == 2


def _interval(text: str, name: str) -> tuple[float, float]:
    line = next(line for line in text.splitlines() if line.startswith(name))
    low, high = (float(number.replace(",", "")) for number in line.split()[-2:])
    return low, high
