"""What goes wrong at the command line is one clear sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RESPONSE, SEED, Snipmill, read_lines, write_lines
from tests.standin import StandIn


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], 0, "snipmill "),
        (["audit", "prose", "--allow", "1"], 1, "Not one row was verified"),
        (["concepts", "nowhere", "--out", "o"], 2, "no file nowhere"),
        (["concepts", "prose", "--out", "o", "--base-url", "http://127.0.0.1:9/v1"], 3, "No server answers"),
        (["execute", "prose", "--out", "o", "--sandbox", "magic"], 4, "magic"),
        (["execute", "prose", "--out", "."], 5, "folder"),
    ],
)
def test_each_exit_code_of_the_command_itself(
    snipmill_process: Snipmill, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    write_lines(tmp_path / "prose", {"seed": SEED, "instruction": "Double it.", "response": "No."})
    done = snipmill_process(*arguments)
    assert done.returncode == code and said in done.stdout + done.stderr, done.stderr


def test_help_teaches(snipmill: Snipmill) -> None:
    top = snipmill("--help")
    assert top.returncode == 0
    for command in (
        "quickstart",
        "run",
        "seeds",
        "concepts",
        "instructions",
        "responses",
        "execute",
        "sanitize",
        "select",
        "doctor",
        "status",
        "show",
    ):
        assert command in top.stdout
        shown = snipmill(command, "--help")
        assert shown.returncode == 0 and "Usage" in shown.stdout
    assert snipmill("--version").stdout.startswith("snipmill ")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["concepts", "nowhere.jsonl", "--out", "o"], 2, "no file nowhere.jsonl"),
        (["concepts", ".", "--out", "o"], 2, "folder"),
        (["concepts", "empty", "--out", "o"], 2, "empty"),
        (["execute", "empty", "--out", "o"], 2, "empty"),
        (["sanitize", "nowhere", "--out", "o"], 2, "no file"),
        (["select", "nowhere", "--out", "o"], 2, "no file"),
        (["seeds", "nowhere", "--out", "o"], 2, "no file or folder"),
        (["run", "nowhere.toml"], 2, "nowhere.toml"),
        (["run", "bad.toml"], 2, "generate.samples"),
        (["status", "."], 2, "no run directory"),
        (["show", ".", "x"], 2, "no run directory"),
        (["execute", "good", "--out", "o", "--sandbox", "magic"], 4, "magic"),
        (["execute", "good", "--out", "."], 5, "folder"),
        (["execute", "good", "--out", "o", "--interpreter", "nowhere"], 2, "nowhere"),
        (["execute"], 2, "Missing argument"),
        (["sanitize", "good", "--out", "o", "--style", "fancy"], 2, "fancy"),
        (["instructions", "good", "--out", "o", "--difficulties", "epic"], 2, "epic"),
        (["concepts", "good", "--out", "o", "--fewshot", "nowhere"], 2, "few-shot"),
        (["concepts", "good", "--out", "o", "--shots", "99"], 2, "99"),
        (["quickstart", "nowhere", "--dir", "q"], 2, "nowhere"),
        (
            ["select", "good", "--out", "o", "--set", "select.min_confidnce=1"],
            2,
            "Did you mean 'select.min_confidence'?",
        ),
        (["select", "good", "--out", "o", "--set", "select.min_confidence=7"], 2, "select.min_confidence"),
        (["select", "good", "--out", "o", "--set", "select"], 2, "KEY=VALUE"),
        (["run", "good.toml", "--set", "generate.samples=none"], 2, "generate.samples"),
        (["run", "good.toml", "--set", "run.seed.x=3"], 2, "no key 'run.seed.x'"),
        (["run", "good.toml", "--set", "run.dir.run=3"], 2, "no key 'run.dir.run'"),
        (["run", "good.toml", "--set", "model.name=\udcff"], 2, "UTF-8"),
        (["run", "good.toml", "--set", "seeds.kinds=[]"], 2, "seeds.kinds needs at least one value"),
        (["run", "good.toml", "--set", "seeds.shuffle=false\n[x]"], 2, "one line"),
        (["execute", "good", "--out", "o", "--timeout", "0.001"], 2, "--timeout"),
        (["verify", "rows", "--out", "o"], 2, "snipmill audit"),
        (["seeds", "good", "--out", "o", "--languages", "COBOL"], 2, "COBOL"),
        (["verify", "good"], 2, "snipmill audit"),
    ],
)
def test_wrong_arguments(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "bad.toml").write_text("[generate]\nsamples = 0\n")
    write_lines(
        tmp_path / "rows",
        {"instruction": "Double it.", "response": RESPONSE, "style": "raw", "verdict": None, "verification": None},
    )
    (tmp_path / "good.toml").write_text("[generate]\nsamples = 1\n")
    write_lines(tmp_path / "good", {"seed": SEED, "concepts": ["a"], "instruction": "Double it.", "response": RESPONSE})
    environment = {"OPENAI_BASE_URL": standin.url} if arguments[0] in ("concepts", "instructions", "quickstart") else {}
    done = snipmill(*arguments, **environment)
    assert done.returncode == code, done.stderr
    assert said in done.stderr


def test_servers_that_do_not_answer(snipmill: Snipmill, tmp_path: Path) -> None:
    write_lines(tmp_path / "seeds", {"seed": SEED})
    done = snipmill("concepts", "seeds", "--out", "o", "--base-url", "http://127.0.0.1:9/v1")
    assert done.returncode == 3 and "No server answers at http://127.0.0.1:9/v1" in done.stderr
    with StandIn(key="right") as server:
        refused = snipmill("concepts", "seeds", "--out", "o", "--base-url", server.url, OPENAI_API_KEY="wrong")
        assert refused.returncode == 3 and "OPENAI_API_KEY" in refused.stderr
        assert "wrong" not in refused.stderr
        model = snipmill(
            "concepts", "seeds", "--out", "o", "--base-url", server.url, "--model", "other", OPENAI_API_KEY="right"
        )
        assert model.returncode == 3 and "stand-in" in model.stderr
        fine = snipmill("concepts", "seeds", "--out", "o", OPENAI_BASE_URL=server.url, OPENAI_API_KEY="right\n")
        assert fine.returncode == 0, fine.stderr
        assert "right" not in (tmp_path / "o.journal.jsonl").read_text()


def test_keys_and_addresses_that_cannot_be_used(snipmill: Snipmill, tmp_path: Path) -> None:
    write_lines(tmp_path / "seeds", {"seed": SEED})
    address = "http://me:pass-word@127.0.0.1:9/v1"
    odd = snipmill("concepts", "seeds", "-o", "o", "--base-url", "http://127.0.0.1:9/v1", OPENAI_API_KEY="a\nb")
    assert odd.returncode == 2 and "OPENAI_API_KEY" in odd.stderr
    (tmp_path / "c.toml").write_text('[run]\ndir = "run"\n[seeds]\nsources = ["seeds"]\n')
    for command in (("concepts", "seeds", "-o", "o"), ("run", "c.toml")):
        told = snipmill(*command, "--base-url", address)
        assert told.returncode == 2 and "OPENAI_API_KEY" in told.stderr and "pass-word" not in told.stderr
    assert not (tmp_path / "run").exists()


def test_bad_lines_cost_only_themselves(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    good = json.dumps({"seed": SEED})
    lines = [
        good,
        "",
        "nonsense",
        '{"seed": null}',
        '{"seed": 4}',
        good,
        '{"seed": "a\\u0000b\\ud800"}',
        '{"seed": "tru',
    ]
    (tmp_path / "seeds").write_text("\n".join(lines))
    done = snipmill("concepts", "seeds", "--out", "o", "--base-url", standin.url)
    assert done.returncode == 0, done.stderr
    assert len(read_lines(tmp_path / "o")) == 2
    reasons = [reject["reason"] for reject in read_lines(tmp_path / "o.rejects.jsonl")]
    assert sorted(map(str, reasons)) == ["duplicate-record", "missing-field", "not-json", "not-json", "wrong-type"]


def test_pipes(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    record = {"seed": SEED, "concepts": ["a"], "instruction": "Double it.", "response": RESPONSE, "sample": 0}
    executed = snipmill("execute", "-", "--out", "-", stdin=json.dumps(record) + "\n")
    assert executed.returncode == 0, executed.stderr
    verdict = json.loads(executed.stdout)["verdict"]
    assert (verdict["status"], verdict["checks_executed"]) == ("passed", 1)
    rows = snipmill("sanitize", "-", "--style", "plain", "--out", "-", stdin=executed.stdout)
    chosen = snipmill("select", "-", "--out", "-", "--rejects", "dropped", stdin=rows.stdout + rows.stdout)
    (row,) = map(json.loads, chosen.stdout.splitlines())
    assert "[Tests]" not in row["response"] and "def double" in row["response"]
    assert len(read_lines(tmp_path / "dropped")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dropped"]


def test_responses_of_any_kind_get_a_verdict_or_a_reason(snipmill: Snipmill, tmp_path: Path) -> None:
    responses = {
        "good": RESPONSE,
        "wrong": RESPONSE.replace("== 4", "== 5"),
        "no code": "I cannot do that.",
        "bad block": RESPONSE.replace("It multiplies.", "Like this:\n```python\nx = (\n```"),
        "huge": RESPONSE.replace("It multiplies.", "x" * 5_000_000),
        "nul": RESPONSE.replace("It multiplies.", "\0"),
        "surrogate": RESPONSE.replace("It multiplies.", "\ud800"),
        "other language": RESPONSE,
    }
    records = [{"id": name, "instruction": "Double it.", "response": text} for name, text in responses.items()]
    records[-1]["language"] = "Rust"
    write_lines(tmp_path / "in", *records)
    done = snipmill("execute", "in", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert [record["id"] for record in read_lines(tmp_path / "o")] == [
        "good",
        "huge",
        "nul",
        "surrogate",
        "other language",
    ]
    assert read_lines(tmp_path / "o")[-1]["verdict"]["status"] == "unverified"
    rejects = {str(reject["id"]): reject["reason"] for reject in read_lines(tmp_path / "o.rejects.jsonl")}
    assert rejects == {
        "wrong": "failed",
        "no code": "tag-missing",
        "bad block": "syntax-error",
    }


def test_status_show_and_continuing(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    write_lines(
        tmp_path / "seeds.jsonl", *({"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x\n'} for n in range(8))
    )
    done = snipmill("quickstart", "seeds.jsonl", "--dir", "q", "--limit", 8, "--enough", 8, "--base-url", standin.url)
    assert done.returncode == 0, done.stderr
    assert "in q/dataset.jsonl" in done.stderr and "Instruction:" in done.stderr
    again = snipmill("quickstart", "seeds.jsonl", "--dir", "q", "--limit", 8, "--enough", 8, "--base-url", standin.url)
    assert "not paid again" in again.stderr
    status = snipmill("status", "q")
    assert status.returncode == 0 and "responses" in status.stderr and "failed" in status.stderr
    row = read_lines(tmp_path / "q" / "dataset.jsonl")[0]
    shown = snipmill("show", "q", row["id"])
    assert shown.returncode == 0
    for word in (
        "provenance",
        "### Snippet",
        "### Property",
        "### Instruction",
        "checks_executed",
        "[Tests]",
        str(row["seed"]),
    ):
        assert word in shown.stdout or word == "provenance"
    assert snipmill("show", "q", "nothing").returncode == 2
    mine = snipmill("run", "q/config.toml", "--dir", "again", "--base-url", standin.url)
    assert mine.returncode == 0, mine.stderr
    assert (tmp_path / "again" / "dataset.jsonl").read_bytes() == (tmp_path / "q" / "dataset.jsonl").read_bytes()


def test_doctor(snipmill: Snipmill, standin: StandIn) -> None:
    done = snipmill("doctor", "--base-url", standin.url)
    assert done.returncode == 0, done.stdout
    assert "serves stand-in" in done.stdout and "namespaces works" in done.stdout
    lost = snipmill("doctor", "--base-url", "http://127.0.0.1:9/v1")
    assert lost.returncode == 1 and "No server answers" in lost.stdout


def test_a_run_directory_is_never_made_out_of_something_else(
    snipmill: Snipmill, standin: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("x")
    done = snipmill("quickstart", "--dir", "precious", "--base-url", standin.url)
    assert done.returncode == 5 and "holds other files" in done.stderr
