"""Every format is loaded by the real `datasets`, and says what the run knows."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from snipmill.publish.formats.catalogue import ABOUT, TABLES
from snipmill.store.run_directory import RunDirectory
from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()


def load(folder: Path) -> Any:
    return datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, finished: RunDirectory) -> Path:
    """The run in every format, by the real command, one folder for each."""
    from snipmill.cli.app import app

    folder = tmp_path_factory.mktemp("exported")
    for name in ABOUT:
        with pytest.raises(SystemExit) as ended:
            app(["export", str(finished.path), "--format", name, "--out", str(folder / name), "--split", "0.25"])
        assert ended.value.code == 0
    return folder


@pytest.mark.parametrize("name", TABLES)
def test_datasets_loads_every_table(name: str, exported: Path, finished: RunDirectory) -> None:
    rows = {row["id"]: row for row in read_lines(finished.dataset)}
    loaded = load(exported / name)
    assert set(loaded) == {"train", "test"}
    for part in loaded.values():
        assert all(feature.dtype != "null" for feature in part.features.values() if hasattr(feature, "dtype"))
    if name in ("kto", "repair", "preference"):
        return
    found = [row for part in loaded.values() for row in part]
    assert {row["id"] if name != "verl" else row["extra_info"]["id"] for row in found} == set(rows)
    assert all(json.dumps(rows[row["id"]]["response"]) in json.dumps(row) for row in found if name in _SFT)
    if name in _SFT:
        assert {row["license"] for row in found} == {"MIT", "Apache-2.0", "BSD-3-Clause"}


_SFT = ("messages", "prompt-completion", "text-prompt-completion", "alpaca", "sharegpt", "instruction-response")


@pytest.mark.parametrize("name", ["messages", "preference", "harbor"])
def test_the_same_bytes_each_time(name: str, exported: Path, finished: RunDirectory, snipmill: Snipmill) -> None:
    done = snipmill("export", finished.path, "--format", name, "--out", "again", "--split", "0.25")
    assert done.returncode == 0, done.stderr
    assert contents(Path("again")) == contents(exported / name)


def test_shards_hold_the_same_rows_in_the_same_order(
    exported: Path, finished: RunDirectory, snipmill: Snipmill
) -> None:
    done = snipmill(
        "export", finished.path, "-f", "messages", "-o", "small", "--split", "0.25", "--jsonl", "--shard-rows", "2"
    )
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in Path("small/data").iterdir())
    train = [name for name in names if name.startswith("train")]
    assert train[-1] == f"train-{len(train) - 1:05}-of-{len(train):05}.jsonl" and len(train) > 1
    whole, small = load(exported / "messages"), load(Path("small").absolute())
    assert {name: part.to_list() for name, part in whole.items()} == {
        name: part.to_list() for name, part in small.items()
    }


def test_only_wrong_code_is_rejected(exported: Path, finished: RunDirectory) -> None:
    """Half of the samples that failed have right code under wrong tests: they are no bad examples."""
    failed = {reject["id"] for reject in read_lines(finished.rejects("execute")) if reject["reason"] == "failed"}
    responses = {response["id"]: response["response"] for response in read_lines(finished.kept("responses"))}
    pairs = [pair for part in load(exported / "preference").values() for pair in part]
    assert pairs
    for pair in pairs:
        assert "return x - " in pair["rejected"][0]["content"] and "return x + " in pair["chosen"][0]["content"]
        assert pair["rejected_id"] in failed and "left is" in pair["rejected_for"]
    rows = {row["parents"]["instruction"] for row in read_lines(finished.dataset)}
    by_id = {response["id"]: response for response in read_lines(finished.kept("responses"))}
    wrong = {
        name for name in failed if "return x - " in responses[name] and by_id[name]["parents"]["instruction"] in rows
    }
    assert {pair["rejected_id"] for pair in pairs} == wrong
    labelled = [one for part in load(exported / "kto").values() for one in part]
    assert {one["id"] for one in labelled if not one["label"]} == wrong
    assert sum(one["label"] for one in labelled) == len(rows)
    assert all(("return x + " in one["completion"][0]["content"]) == one["label"] for one in labelled)


def test_repairs_are_conversations_that_say_what_was_wrong(exported: Path) -> None:
    repairs = [one for part in load(exported / "repair").values() for one in part]
    assert {one["fault"] for one in repairs} == {"code", "tests"}
    for one in repairs:
        task, broken, said, fixed = (turn["content"] for turn in one["messages"])
        assert [turn["role"] for turn in one["messages"]] == ["user", "assistant"] * 2
        assert "left is" in said and "assert" in broken and "assert" in fixed and broken != fixed
        assert (one["fault"] == "code") == ("return x - " in broken)
        assert "return x + " in fixed and "adds the number" in task


def test_tasks_carry_what_each_check_is_worth(exported: Path) -> None:
    tasks = [one for part in load(exported / "tasks").values() for one in part]
    for task in tasks:
        assert len(task["checks"]) == len(task["weights"]) == 2 and sum(task["weights"]) == pytest.approx(1, abs=1e-5)
        assert all(set(task["smallest"]) & set(failed) for failed in task["failed"])
        name = task["reference"].partition("(")[0].removeprefix("def ")
        assert name in task["prompt"][0]["content"]  # what tests call must be known to who is asked
    assert any(name.startswith("r-") for task in tasks for name in task["wrong_programs"])
    verl = [one for part in load(exported / "verl").values() for one in part]
    assert [json.loads(one["reward_model"]["ground_truth"])["tests"] for one in verl] == [
        task["tests"] for task in tasks
    ]


def reward_of(folder: Path, work: Path, solution: str | None) -> dict[str, float]:
    work.mkdir(exist_ok=True)
    (work / "solution.py").unlink(missing_ok=True)
    if solution is not None:
        (work / "solution.py").write_text(solution)
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "LOGS_DIR": str(work / "logs")}
    subprocess.run([str(folder / "tests/test.sh")], cwd=work, env=environment, check=True, timeout=60)
    found: dict[str, float] = json.loads((work / "logs/reward.json").read_text())
    return found


def test_harbor_folders_grade_without_snipmill(exported: Path, tmp_path: Path) -> None:
    folders = sorted(path for part in ("train", "test") for path in (exported / "harbor" / part).iterdir())
    for folder in folders[:3]:
        assert "docker_image" in (folder / "task.toml").read_text() and (folder / "environment/Dockerfile").exists()
        work = tmp_path / folder.name
        assert reward_of(folder, work, None) == reward_of(folder, work, "") == {"reward": 0.0, "all": 0.0}
        subprocess.run([str(folder / "solution/solve.sh")], cwd=work, check=True, timeout=60)
        right = (work / "solution.py").read_text()
        assert reward_of(folder, work, right) == {"reward": 1.0, "all": 1.0}
        assert reward_of(folder, work, right.replace("x + ", "0 + "))["reward"] == 0.5
        assert reward_of(folder, work, "import os\nos._exit(0)\n")["reward"] == 0.0
        name = right.partition("(")[0].removeprefix("def ")
        for hack in (
            "print(' passed')\nraise SystemExit(0)\n",
            f"class Yes:\n    __eq__ = lambda self, other: True\ndef {name}(x): return Yes()\n",
            f"class Yes(int):\n    __eq__ = lambda self, other: True\ndef {name}(x): return Yes()\n",
            f"from unittest.mock import ANY\ndef {name}(x): return ANY\n",
            f"import unittest\ndef {name}(x): raise unittest.SkipTest('no')\n",
            f"import builtins\nbuiltins.bool = lambda x: True\ndef {name}(x): return None\n",
            f"def {name}(x): return '\0'\n",
            f"def {name}(x: return\n",
        ):
            assert reward_of(folder, work, hack)["reward"] == 0.0, hack
        own_tests = f"\ndef test_it():\n    assert {name}(0) == 12345\n"
        assert reward_of(folder, work, right + own_tests) == {"reward": 1.0, "all": 1.0}


def test_traces_of_thought_go_where_they_are_wanted(tmp_path: Path, snipmill: Snipmill) -> None:
    rows = [
        {"id": "r-" + f"{n}" * 20, "instruction": f"Task {n}", "response": RESPONSE, "thinking": thought}
        for n, thought in enumerate(("hm", None))
    ]
    write_lines(tmp_path / "rows.jsonl", *rows)
    for where in ("inline", "field", "drop"):
        for kind in ("--jsonl", "--parquet"):
            done = snipmill("export", "rows.jsonl", "-f", "messages", "-o", where, "--thinking", where, kind)
            assert done.returncode == 0, done.stderr
            thoughtful, plain = load(Path(where).absolute())["train"]
            answer = thoughtful["messages"][1]
            assert answer["content"].startswith("<think>\nhm\n</think>\n\n[Reasoning]") == (where == "inline")
            assert answer.get("reasoning_content") == ("hm" if where == "field" else None)
            assert plain["messages"][1]["content"] == RESPONSE and ("reasoning_content" in answer) == (where == "field")


def test_bad_input_is_one_sentence(tmp_path: Path, finished: RunDirectory, snipmill: Snipmill) -> None:
    def refused(*args: object) -> str:
        done = snipmill("export", *args)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        return done.stderr

    assert "There is no format 'csv'; the formats are messages" in refused(finished.path, "-f", "csv", "-o", "o")
    assert "--out DIR" in refused(finished.path, "-f", "messages")
    assert "none of inline" in refused(finished.path, "-f", "messages", "-o", "o", "--thinking", "loud")
    refused("nothing.jsonl", "-f", "messages", "-o", "o")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("x")
    assert "holds other files" in refused(finished.path, "-f", "messages", "-o", "mine")
    assert (tmp_path / "mine" / "precious.txt").read_text() == "x"
    assert snipmill("export", finished.path, "-f", "messages", "-o", "/proc/nothing/o").returncode == 5
    assert not (tmp_path / "o").exists()
    # A row without what the format needs is told, and the others are exported.
    write_lines(
        tmp_path / "rows.jsonl",
        {"instruction": "Double.", "response": RESPONSE},
        {"instruction": "No tests.", "response": "```python\ndef f(): return 1\n```"},
        {"response": "no task"},
    )
    done = snipmill("export", "rows.jsonl", "-f", "tasks", "-o", "some", "--jsonl")
    assert done.returncode == 0 and "1 for training" in done.stderr and "no-tests 1" in done.stderr
    assert {reject["reason"] for reject in read_lines(tmp_path / "some/rejects.jsonl")} == {"no-tests", "missing-field"}
    assert len(read_lines(tmp_path / "some/data/train-00000-of-00001.jsonl")) == 1


def test_an_unfinished_run_gives_what_is_there(tmp_path: Path, finished: RunDirectory, snipmill: Snipmill) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    # As Ctrl-C leaves a run in its first session: journals, and nothing that is derived from them.
    (tmp_path / "run/manifest.json").write_text(json.dumps(manifest | {"status": "running"}))
    of_instruction: dict[str, list[str]] = {}
    for response in read_lines(tmp_path / "run/responses.jsonl"):
        of_instruction.setdefault(response["parents"]["instruction"], []).append(response["id"])
    for path in (tmp_path / "run").glob("*.jsonl*"):
        path.unlink()
    journal = tmp_path / "run/journal/responses.jsonl"
    missing = {key for keys in list(of_instruction.values())[len(of_instruction) // 2 :] for key in keys}
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in read_lines(journal) if entry["id"] not in missing))
    for name in ("alpaca", "tasks"):
        done = snipmill("export", "run", "-f", name, "-o", name, "--jsonl")
        assert done.returncode == 0 and "not finished" in done.stderr, done.stderr
        assert 0 < len(read_lines(Path(name) / "data/train-00000-of-00001.jsonl")) < len(read_lines(finished.dataset))
    assert not list((tmp_path / "run").glob("*.jsonl*"))


def test_nothing_of_the_user_is_touched(tmp_path: Path, finished: RunDirectory, snipmill: Snipmill) -> None:
    def refused(out: object, source: object = finished.path) -> str:
        done = snipmill("export", source, "-f", "messages", "-o", out)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        return done.stderr

    assert snipmill("export", finished.path, "-f", "messages", "-o", "mine").returncode == 0
    for name in ("mine/notes.txt", "mine/data/notes.txt", "mine.rejects.jsonl", ".mine.old"):
        (tmp_path / name).write_text("precious")
    assert "holds other files" in refused("mine")
    (tmp_path / "mine/notes.txt").unlink()
    assert "holds other files" in refused("mine")
    (tmp_path / "mine/data/notes.txt").unlink()
    assert snipmill("export", finished.path, "-f", "alpaca", "-o", "mine/").returncode == 0
    assert (tmp_path / "mine.rejects.jsonl").read_text() == (tmp_path / ".mine.old").read_text() == "precious"
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    for _ in range(2):
        assert snipmill("export", finished.path, "-f", "messages", "-o", "link").returncode == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target/data").is_dir()
    for out in (".", "", finished.path / "select.jsonl", finished.path):
        refused(out)
    assert "Nothing of rows.jsonl can be exported" in refused(
        "none", write_lines(tmp_path / "rows.jsonl", {"input": "x"}).name
    )
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == {".mine.old"}
    assert not (tmp_path / "none").exists()


def test_ids_that_cannot_be_names_of_folders(tmp_path: Path, snipmill: Snipmill) -> None:
    ids = ["../../../evil", str(tmp_path / "abs"), "x" * 300, "same", "same", ".hidden", "nul\0"]
    rows = [
        {"id": name, "instruction": f"Double, {n}.", "response": RESPONSE.replace("double", f"double{n}")}
        for n, name in enumerate(ids)
    ]
    write_lines(tmp_path / "rows.jsonl", *rows)
    before = set(tmp_path.parent.iterdir())
    done = snipmill("export", "rows.jsonl", "-f", "harbor", "-o", "o")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "o/train").iterdir())) == len(ids)
    assert set(tmp_path.parent.iterdir()) == before and not (tmp_path / "abs").exists()


def test_json_lines_are_read_with_their_types(tmp_path: Path, snipmill: Snipmill) -> None:
    """In the first file no row has a licence, in the second all have."""
    origin = {"source": "s", "path": "p.py", "license": "MIT"}
    rows = [
        {"instruction": f"Task {n}", "response": RESPONSE, **({"provenance": origin} if n > 2 else {})}
        for n in range(6)
    ]
    write_lines(tmp_path / "rows.jsonl", *rows)
    for name in ("messages", "text-prompt-completion", "tasks", "sharegpt", "verl"):
        for where in ("drop", "field"):
            out = f"{name}-{where}"
            done = snipmill(
                "export", "rows.jsonl", "-f", name, "-o", out, "--jsonl", "--shard-rows", "3", "--thinking", where
            )
            assert done.returncode == 0, done.stderr
            assert len(load(tmp_path / out)["train"]) == 6


def test_thoughts_in_the_text_are_moved(tmp_path: Path, snipmill: Snipmill) -> None:
    texts = {"both": ("<think>own</think>\n" + RESPONSE, "given"), "text": ("<think>own</think>\n" + RESPONSE, None)}
    for name, (text, thinking) in texts.items():
        write_lines(tmp_path / "rows.jsonl", {"instruction": "i", "response": text, "thinking": thinking})
        thought = thinking or "own"
        for where, expected in (
            ("inline", f"<think>\n{thought}\n</think>\n\n{RESPONSE}"),
            ("drop", RESPONSE),
            ("field", RESPONSE),
        ):
            snipmill("export", "rows.jsonl", "-f", "alpaca", "-o", f"{name}{where}", "--thinking", where, "--jsonl")
            (row,) = read_lines(tmp_path / f"{name}{where}/data/train-00000-of-00001.jsonl")
            assert row["output"] == expected
            assert row.get("thinking") == (thought if where == "field" else None)


def test_a_thought_cannot_end_before_its_end(tmp_path: Path, snipmill: Snipmill) -> None:
    write_lines(tmp_path / "rows.jsonl", {"instruction": "i", "response": RESPONSE, "thinking": "a </think> b"})
    snipmill("export", "rows.jsonl", "-f", "alpaca", "-o", "o", "--thinking", "inline", "--jsonl")
    (row,) = read_lines(tmp_path / "o/data/train-00000-of-00001.jsonl")
    assert row["output"].count("</think>") == 1 and row["output"].endswith(RESPONSE)


def test_what_is_wrong_with_a_row_is_told(tmp_path: Path, snipmill: Snipmill) -> None:
    """A row whose program fails is neither an answer nor a grader, nor is one that changes what tests are made of."""
    wrong = RESPONSE.replace("== 4", "== 5")
    games = RESPONSE.replace("def double(x):", "import math\nmath.isclose = lambda *a: True\ndef double(x):")
    rust = RESPONSE.replace("python", "rust")
    write_lines(
        tmp_path / "rows.jsonl",
        {"id": "good", "instruction": "i", "response": RESPONSE},
        {"id": "wrong", "instruction": "j", "response": wrong},
        {"id": "games", "instruction": "k", "response": games},
        {"id": "rust", "instruction": "l", "response": rust, "language": "Rust"},
    )
    done = snipmill("export", "rows.jsonl", "-f", "kto", "-o", "o", "--jsonl")
    assert done.returncode == 0, done.stderr
    (row,) = read_lines(tmp_path / "o/data/train-00000-of-00001.jsonl")
    assert row["label"]
    reasons = sorted(reject["reason"] for reject in read_lines(tmp_path / "o/rejects.jsonl"))
    assert reasons == ["failed", "unverified", "vacuous"]


def test_what_was_tried_is_not_tried_again(tmp_path: Path, finished: RunDirectory, snipmill: Snipmill) -> None:
    journal = finished.journal("tests")
    size = journal.stat().st_size if journal.exists() else 0
    began = time.monotonic()
    assert snipmill("export", finished.path, "-f", "verl", "-o", "one").returncode == 0
    assert snipmill("export", finished.path, "-f", "kto", "-o", "two").returncode == 0
    assert time.monotonic() - began < 60
    assert size in (0, journal.stat().st_size)


NASTY = [
    '{"instruction": "\\ud800 lone", "response": %(r)s}',
    '{"instruction": "NaN", "response": %(r)s, "verification": {"samples": 1, "passed": 1, "confidence": NaN}}',
    '{"instruction": "nul\\u0000", "response": "\\u0000"}',
    '{"instruction": null, "response": %(r)s}',
    '{"instruction": "deep", "response": %(r)s, "concepts": ' + "[" * 500 + "]" * 500 + "}",
    '{"instruction": "number", "response": 7}',
    '{"instruction": "long", "response": "' + "x" * 1_000_000 + '"}',
    '{"instruction": "fence", "response": "```python\\ndef f(:\\n```"}',
    '{"instruction": "provenance", "response": %(r)s, "provenance": {"source": "a|b\\n<script>", "path": "../x", "license": "?"}}',
    '{"instruction": "huge", "response": %(r)s, "sample": 100000000000000000000}',
    '{"id": "", "instruction": "empty", "response": ""}',
    "[1, 2]",
    "{broken",
    "null",
]


@pytest.mark.parametrize("name", ["messages", "tasks", "harbor"])
def test_a_bad_row_stops_no_export(name: str, tmp_path: Path, snipmill: Snipmill) -> None:
    """Each nasty row stands between two good ones."""
    good = [
        json.dumps(
            {"id": f"good{n}", "instruction": f"Double it, {n}.", "response": RESPONSE.replace("double", f"double{n}")}
        )
        for n in range(len(NASTY) + 1)
    ]
    nasty = [text.replace("%(r)s", json.dumps(RESPONSE)) for text in NASTY]
    lines = [line for pair in zip(good, [*nasty, good[0]], strict=True) for line in pair][:-1]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    for kind in ("--jsonl", "--parquet"):
        done = snipmill(
            "export", "rows.jsonl", "-f", name, "-o", f"o{kind}", kind, "--split", "0.3", "--thinking", "field"
        )
        assert done.returncode == 0, done.stderr
        if name == "harbor":
            found = {path.parent.name for path in Path(f"o{kind}").rglob("instruction.md")}
        else:
            found = {row["id"] for part in load(tmp_path / f"o{kind}").values() for row in part}
        assert len(found) >= len(good)
