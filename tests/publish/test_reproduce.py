"""A data set is made again from its journals, and one altered byte is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snipmill.publish.release import Release, stage_release
from snipmill.store.run_directory import RunDirectory
from tests.conftest import Snipmill, read_lines, write_lines
from tests.publish.conftest import make_run, seeds_with_origins
from tests.standin import StandIn


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, finished: RunDirectory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    stage_release(
        Release(str(finished.path), ["messages", "kto"], "owner/name", journals=True), folder, lambda _text: None
    )
    return folder


def alter(path: Path, number: int, change: Callable[[dict[str, Any]], None]) -> str:
    """Change a line of a file; the id of its record."""
    lines = path.read_text().splitlines()
    record = json.loads(lines[number])
    change(record)
    lines[number] = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    path.write_text("\n".join(lines) + "\n")
    return str(record["id"])


def test_a_run_directory_proves_itself(finished: RunDirectory, snipmill: Snipmill) -> None:
    done = snipmill("reproduce", finished.path, "--execute", "1")
    assert done.returncode == 0 and not done.stdout, done.stderr
    assert "byte for byte" in done.stderr and "programs ran once more" in done.stderr


def test_a_published_folder_proves_itself_without_the_seeds_or_the_bank(
    published: Path, snipmill: Snipmill, tmp_path: Path
) -> None:
    shutil.copytree(published, tmp_path / "copy")
    done = snipmill("reproduce", "copy")
    assert done.returncode == 0 and "kto holds what programs did" in done.stderr, done.stderr
    assert not (tmp_path / "copy/run/journal/seeds.jsonl").exists()


def set_in(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        for name in path[:-1]:
            record = record[name]
        assert record[path[-1]] != to
        record[path[-1]] = to

    return change


def flip(*path: str) -> Callable[[dict[str, Any]], None]:
    """One letter of a text becomes another."""

    def change(record: dict[str, Any]) -> None:
        for name in path[:-1]:
            record = record[name]
        text = record[path[-1]]
        place = text.index("x")
        record[path[-1]] = text[:place] + "y" + text[place + 1 :]

    return change


ALTERED = {
    "a row": ("run/dataset.jsonl", flip("response"), "response"),
    "a row's confidence": (
        "run/dataset.jsonl",
        set_in("verification", "confidence", to=0.123),
        "verification.confidence",
    ),
    "a completion": ("run/journal/responses.jsonl", flip("completion", "text"), "completion.text"),
    "a concept": ("run/journal/concepts.jsonl", set_in("completion", "text", to="nothing"), "completion.text"),
    "a verdict": ("run/journal/execute.jsonl", set_in("verdict", "wall_ms", to=0.125), "verdict.wall_ms"),
    "a seed": ("run/seeds.jsonl", flip("seed"), "seed"),
    "a configuration": ("run/config.toml", None, ""),
}


@pytest.mark.parametrize("what", ALTERED)
def test_one_altered_byte_is_named(what: str, published: Path, snipmill: Snipmill, tmp_path: Path) -> None:
    shutil.copytree(published, tmp_path / "copy")
    name, change, field = ALTERED[what]
    path = tmp_path / "copy" / name
    record = ""
    if change is None:
        path.write_text(path.read_text().replace("samples = 6", "samples = 5"))
    else:
        record = f", record {alter(path, 3, change)}"
    done = snipmill("reproduce", "copy")
    assert done.returncode == 8 and "Traceback" not in done.stderr
    first = done.stdout.splitlines()[0]
    wanted = f"{name}{record}" + (f", field {field}" if field else "")
    assert first.startswith(wanted), done.stdout


def test_what_is_no_record_or_missing_or_new_is_named(published: Path, snipmill: Snipmill, tmp_path: Path) -> None:
    def proof() -> str:
        done = snipmill("reproduce", "copy")
        assert done.returncode == 8 and "Traceback" not in done.stderr
        return done.stdout

    def fresh() -> Path:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        return Path(shutil.copytree(published, tmp_path / "copy"))

    journal = fresh() / "run/journal/responses.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'{"id"', b'{"ix"', 1).replace(b"}\n", b"\n", 1))
    assert "responses.jsonl" in proof() and "line 1 is no longer a record" in proof()
    rows = fresh() / "run/dataset.jsonl"
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join(lines[:-1]) + "\n")
    assert f"record {json.loads(lines[-1])['id']}: is missing" in proof()
    rows.write_text("\n".join([*lines, lines[0].replace('"id":"r-', '"id":"r-0')]) + "\n")
    assert "records that were not published" in proof()
    rows.write_text("\n".join(lines[::-1]) + "\n")
    assert "dataset.jsonl" in proof()
    (fresh() / "run/journal/verify.jsonl").unlink()
    assert "journal/verify.jsonl: is missing" in proof()
    table = fresh() / "messages/train-00000-of-00001.parquet"
    import pyarrow.parquet as parquet

    changed = parquet.read_table(table).to_pylist()
    changed[2]["messages"][0]["content"] += " "
    parquet.write_table(type(parquet.read_table(table)).from_pylist(changed), table)
    assert f"messages/{table.name}, record {changed[2]['id']}, field messages" in proof()


def test_whatever_was_published_is_proven(published: Path, snipmill: Snipmill, tmp_path: Path) -> None:
    """The card, the attribution, the checksums themselves, and files that were not there."""

    def proof(change: Callable[[Path], object]) -> str:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        folder = Path(shutil.copytree(published, tmp_path / "copy"))
        change(folder)
        done = snipmill("reproduce", "copy")
        assert done.returncode == 8 and "Traceback" not in done.stderr
        return done.stdout

    def write(name: str, old: str, new: str) -> Callable[[Path], object]:
        def change(folder: Path) -> None:
            text = (folder / name).read_text()
            assert old in text
            (folder / name).write_text(text.replace(old, new, 1))

        return change

    assert "README.md: was changed" in proof(write("README.md", "programming", "programing"))
    assert "ATTRIBUTION.md: was changed" in proof(write("ATTRIBUTION.md", "MIT", "GPL"))
    assert "README.md: is missing" in proof(lambda folder: (folder / "README.md").unlink())
    assert "SHA256SUMS: is missing" in proof(lambda folder: (folder / "SHA256SUMS").unlink())
    assert "run/SHA256SUMS: is missing" in proof(lambda folder: (folder / "run/SHA256SUMS").unlink())
    assert "kto/evil.parquet: was not published" in proof(lambda folder: (folder / "kto/evil.parquet").write_text("x"))
    mark = "messages/.snipmill-export.json"
    assert f"{mark}: is missing" in proof(lambda folder: (folder / mark).unlink())
    assert mark in proof(lambda folder: (folder / mark).write_text("{"))
    digest = next(
        line for line in (published / "SHA256SUMS").read_text().splitlines() if line.endswith("run/dataset.jsonl")
    )
    wrong = ("0" if digest[0] != "0" else "1") + digest[1:]
    assert "SHA256SUMS: does not fit run/dataset.jsonl" in proof(write("SHA256SUMS", digest, wrong))

    def outside(folder: Path) -> None:
        (folder / "README.md").unlink()
        with (folder / "SHA256SUMS").open("a") as sums:
            sums.write("aa  ../../etc/hostname\naa  /etc/passwd\naa  x\0y\n")

    assert "etc" not in proof(outside)

    def digests(folder: Path) -> None:
        write("run/dataset.jsonl", "x", "y")(folder)
        (folder / "run/digests/dataset.jsonl").write_text("{\n")

    assert "is no digest" in proof(digests)


def test_a_stranger_does_not_choose_the_sandbox(standin: StandIn, snipmill: Snipmill, tmp_path: Path) -> None:
    """The run was made without one, by programs that leave a file behind where they may."""
    trace = tmp_path / "trace"
    leaving = f"try:\n    open({str(trace)!r}, 'w').close()\nexcept OSError:\n    pass\n\n\ndef "
    standin.dress_base = lambda answer: answer.replace("def ", leaving)
    seeds = seeds_with_origins(tmp_path / "seeds.jsonl", 3)
    run = make_run(tmp_path / "run", seeds, standin.url, '[execute]\nsandbox = "none"')
    assert trace.exists() and run.dataset.stat().st_size
    folder = tmp_path / "published"
    folder.mkdir()
    stage_release(Release(str(run.path), ["alpaca"], "owner/name", journals=True), folder, lambda _text: None)
    for where in (folder, run.path):
        trace.unlink(missing_ok=True)
        done = snipmill("reproduce", where, "--execute", "1")
        assert done.returncode == 0 and "ran once more" in done.stderr, done.stderr
        assert not trace.exists()


def test_a_stranger_names_no_files_of_ours(published: Path, snipmill: Snipmill, tmp_path: Path) -> None:
    for key, name in (
        ("benchmarks", "/etc/passwd"),
        ("benchmarks", "hub:evil/tracker/x.jsonl"),
        ("fewshot", "/etc/passwd"),
    ):
        folder = Path(shutil.copytree(published, tmp_path / f"names{name.replace('/', '-')}{key}"))
        for sums in folder.rglob("SHA256SUMS"):
            sums.write_text("")
        path = folder / "run/config.toml"
        table, value = ("select", json.dumps([name])) if key == "benchmarks" else ("generate", json.dumps(name))
        lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{key} =")]
        lines.insert(lines.index(f"[{table}]") + 1, f"{key} = {value}")
        path.write_text("\n".join(lines) + "\n")
        done = snipmill("reproduce", folder)
        assert done.returncode == 8 and "not a part of what was published" in done.stderr, done.stderr


def test_a_run_directory_without_digests_names_it_too(
    finished: RunDirectory, snipmill: Snipmill, tmp_path: Path
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    rows = read_lines(tmp_path / "run/dataset.jsonl")
    rows[1]["verdict"]["checks_executed"] += 1
    write_lines(tmp_path / "run/dataset.jsonl", *rows)
    done = snipmill("reproduce", "run")
    assert done.returncode == 8
    assert f"dataset.jsonl, record {rows[1]['id']}, field verdict.checks_executed" in done.stdout


def test_a_program_that_comes_out_differently_is_named(
    finished: RunDirectory, snipmill: Snipmill, tmp_path: Path
) -> None:
    """The journals agree with each other, and not with what the programs do."""
    shutil.copytree(finished.path, tmp_path / "run")
    journal = tmp_path / "run/journal/execute.jsonl"
    entries = read_lines(journal)
    changed = [entry for entry in entries if entry["outcome"] == "failed"]
    for entry in changed:
        entry["verdict"]["status"] = entry["outcome"] = "killed"
    write_lines(journal, *entries)
    done = snipmill("reproduce", "run", "--execute", "1")
    assert done.returncode == 8
    assert "was recorded as killed, and is failed here" in done.stdout


def test_bad_input(snipmill: Snipmill, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for where, said in (("empty", "holds no journals"), ("nowhere", "There is no folder")):
        done = snipmill("reproduce", where)
        assert done.returncode == 2 and said in done.stderr
