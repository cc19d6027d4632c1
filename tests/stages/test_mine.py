from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from snipmill.config import ColumnsTable, Config, SeedsTable, SelectTable
from snipmill.errors import UsageError
from snipmill.records import Provenance, Reject, Seed
from snipmill.seeds import types
from snipmill.seeds.document import Document
from snipmill.seeds.mine_document import MineSettings
from snipmill.similarity.streaming import NearDuplicates
from snipmill.stages.mine import Mining, mine_documents, own_text, without_near_duplicates
from snipmill.stages.seed_stream import iterate_seeds, resolve_seeds
from snipmill.store.entries import MiningEntry
from snipmill.store.journal import Journal
from snipmill.text.code import function_names
from tests.conftest import Snipmill, read_lines, write_lines
from tests.standin import StandIn

BENCHMARKS = Path(__file__).parents[3] / "shared" / "benchmarks"
PLAIN = Mining(mine=MineSettings(), types=False, secrets=False, benchmarks=None)


def function(number: int) -> str:
    body = "".join(f"    x = x * {number + k} + {k} % (x + {number * k + 1})\n" for k in range(8))
    return f'def f_{number}(x):\n    """Return value number {number} of series {number % 17}."""\n{body}    return x\n'


def documents(count: int) -> list[Document | Reject]:
    return [Document(f"d.jsonl:{n}", function(n), source="d", license="MIT") for n in range(count)]


def mined(count: int, cores: int, journal: Path | None = None, near: float = 0.0) -> list[str]:
    with Journal(journal, MiningEntry) as kept:
        return [one.id for one in mine_documents(lambda: documents(count), PLAIN, near, kept, cores)]


def test_cores_and_stops_change_nothing(tmp_path: Path) -> None:
    whole = mined(1500, cores=1)
    assert len(whole) == 1500
    assert mined(1500, cores=2) == whole
    path = tmp_path / "journal"
    with Journal(path, MiningEntry) as journal:
        begun = mine_documents(lambda: documents(1500), PLAIN, 0.0, journal, 1)
        assert [next(begun).id for _ in range(600)] == whole[:600]
        begun.close()  # type: ignore[attr-defined]
    written = path.stat().st_size
    with path.open("ab") as torn:
        torn.write(b'{"id":"b-torn')
    assert mined(1500, 2, path) == whole
    assert path.stat().st_size > written
    done = path.read_bytes()
    assert mined(1500, 2, path) == whole
    assert path.read_bytes() == done, "nothing is mined twice"


@pytest.mark.xdist_group("stdlib")
def test_a_killed_mining_goes_on_to_the_same_bytes(tmp_path: Path, snipmill: Snipmill, mined_stdlib: Path) -> None:
    command = [sys.executable, "-m", "snipmill", "seeds", "stdlib", "-o", "killed"]
    journal = tmp_path / "killed.journal.jsonl"
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    while not (journal.exists() and journal.stat().st_size):
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    before = journal.stat().st_size
    assert snipmill("seeds", "stdlib", "-o", "killed").returncode == 0
    assert 0 < before < journal.stat().st_size
    for name in ("", ".rejects.jsonl"):
        assert (tmp_path / f"killed{name}").read_bytes() == Path(f"{mined_stdlib}{name}").read_bytes()


def test_other_settings_and_other_bytes_mine_anew(tmp_path: Path) -> None:
    keys = {PLAIN.key, Mining().key, Mining(secrets=False).key, Mining(types=False).key, Mining(benchmarks=None).key}
    assert len(keys) == 5
    assert Mining().key == Mining().key
    benchmark = tmp_path / "b.jsonl"
    named = Config(select=SelectTable(benchmarks=(str(benchmark),)))
    keys = {resolve_seeds(Config()).mining.key}
    for text in ("one", "two"):
        benchmark.write_text(text)
        keys.add(resolve_seeds(named).mining.key)
    assert len(keys) == 3
    code = tmp_path / "a.py"
    code.write_text(function(1))
    before = code.stat()
    found = []
    for number in (1, 2):
        code.write_text(function(number))
        os.utime(code, ns=(before.st_atime_ns, before.st_mtime_ns))
        with Journal(tmp_path / "journal", MiningEntry) as journal:
            found += [
                one.id
                for one in mine_documents(lambda: [Document("a.py", code, license="MIT")], PLAIN, 0.0, journal, 1)
            ]
    assert len(set(found)) == 2


def test_near_duplicates_go_and_the_first_stays() -> None:
    code = function(1)
    near = code.replace("series", "the series")
    seeds = [Seed(id=name, seed=text) for name, text in (("a", code), ("b", near), ("c", function(900)), ("d", code))]
    found = list(without_near_duplicates(seeds, NearDuplicates(0.5)))
    assert [one.id for one in found if isinstance(one, Seed)] == ["a", "c"]
    assert len({one.detail for one in found if isinstance(one, Reject)}) == 1
    again = NearDuplicates(0.5)
    assert [one.id for seed in seeds for one in without_near_duplicates([seed], again) if isinstance(one, Seed)] == [
        "a",
        "c",
    ]


def test_a_shared_helper_makes_no_duplicate() -> None:
    helper = "def helper(x):\n" + "".join(f"    x = x + {n} * x\n" for n in range(40)) + "    return x"
    one = f'{helper}\n\n\ndef a(x):\n    """Half."""\n    return helper(x) / 2'
    two = f'{helper}\n\n\ndef b(y, z):\n    """Sum of all of them."""\n    return sum(helper(y), z)'
    origin = Provenance(source="s", line_start=50, line_end=52)
    seeds = [Seed(id="a", seed=one, provenance=origin), Seed(id="b", seed=two, provenance=origin)]
    assert [function_names(own_text(seed)) for seed in seeds] == [["a"], ["b"]]
    assert all(isinstance(found, Seed) for found in without_near_duplicates(seeds, NearDuplicates(0.5)))


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="no benchmarks beside the checkout")
def test_a_benchmark_task_is_no_seed(tmp_path: Path, snipmill: Snipmill) -> None:
    raw = gzip.decompress((BENCHMARKS / "HumanEval.jsonl.gz").read_bytes())
    tasks = [json.loads(line) for line in raw.splitlines()]
    rows = [{"code": task["prompt"] + task["canonical_solution"]} for task in tasks[:40]]
    write_lines(tmp_path / "in.jsonl", *rows)
    options = ("--column", "code", "--licenses", "any", "--allow", "no-arguments", "--near", "0")
    done = snipmill("seeds", "in.jsonl", "-o", "out", *options)
    assert done.returncode == 0, done.stderr
    reasons = {str(reject["reason"]) for reject in read_lines(tmp_path / "out.rejects.jsonl")}
    assert "contaminated" in reasons
    assert read_lines(tmp_path / "out") == []


def test_secrets_are_never_repeated(tmp_path: Path, snipmill: Snipmill) -> None:
    secret = "AKIA" + "QWERTYUIOPASDFGH"
    code = f'def f(x):\n    """Return x."""\n    key = "{secret}"\n    return x + key\n'
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text(code)
    done = snipmill("seeds", "code", "-o", "out", "--licenses", "any")
    assert "secret 1" in done.stderr + done.stdout
    for path in tmp_path.glob("out*"):
        assert secret not in path.read_text()
    kept = snipmill("seeds", "code", "-o", "out2", "--licenses", "any", "--no-secrets")
    assert kept.returncode == 0 and len(read_lines(tmp_path / "out2")) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("nowhere",), "There is no file or folder 'nowhere'"),
        (("code", "--allow", "everything"), "there is no rule 'everything'"),
        (("code", "--licenses", "Permissive-ish"), "'Permissive-ish' is no SPDX id"),
        (("code", "--license", "mine"), "'mine' is no SPDX expression"),
        (("code", "--kinds", "lambda"), "'lambda' is none of function, method, class"),
        (("code", "--languages", "COBOL"), "'COBOL' is none of Python"),
        (("table.csv",), "say which of its columns holds the code"),
        (("table.csv", "--column", "body"), "table.csv has no column 'body'; its columns are code"),
        (("stdlib:nothing",), "no module 'nothing'"),
        (("git+nowhere",), "cannot be cloned"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    options: tuple[str, ...], sentence: str, tmp_path: Path, snipmill: Snipmill
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "table.csv").write_text("code\nx = 1\n")
    done = snipmill("seeds", *options, "-o", "out")
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_code_without_a_licence_says_what_to_do(tmp_path: Path, snipmill: Snipmill) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text(function(3))
    done = snipmill("seeds", "code", "-o", "out")
    assert done.returncode == 0
    assert "--licenses any" in done.stderr
    mine = snipmill("seeds", "code", "-o", "out", "--license", "LicenseRef-acme")
    assert mine.returncode == 0
    (seed,) = read_lines(tmp_path / "out")
    assert seed["provenance"]["license"] == "LicenseRef-acme"


def test_judged_seeds_can_be_filtered_without_a_model(tmp_path: Path, snipmill: Snipmill) -> None:
    write_lines(tmp_path / "in.jsonl", *({"seed": f"s{n}", "judge": n / 10} for n in range(10)))
    assert snipmill("seeds", "in.jsonl", "-o", "out", "--min-judge", "0.7").returncode == 0
    assert [record["judge"] for record in read_lines(tmp_path / "out")] == [0.7, 0.8, 0.9]


def test_a_run_mines_while_it_writes_and_every_row_says_where_it_comes_from(
    standin: StandIn, tmp_path: Path, snipmill: Snipmill
) -> None:
    (tmp_path / "code").mkdir()
    for number in range(30):
        (tmp_path / "code" / f"m{number}.py").write_text("# SPDX-License-Identifier: MIT\n" + function(number))
    (tmp_path / "c.toml").write_text(
        f'[run]\ndir = "run"\n[seeds]\nsources = ["code"]\nnear = 0\n[model]\nbase_url = "{standin.url}"\n'
        "[generate]\nsamples = 2\n[select]\nnear_instructions = 0\nnear_code = 0\n"
    )
    done = snipmill("run", "c.toml")
    assert done.returncode == 0, done.stderr
    rows = read_lines(tmp_path / "run" / "dataset.jsonl")
    assert rows
    for row in rows:
        origin = row["provenance"]
        path = tmp_path / "code" / origin["path"]
        assert origin["content_hash"] == hashlib.sha256(path.read_bytes()).hexdigest()
        lines = path.read_text().splitlines()[origin["line_start"] - 1 : origin["line_end"]]
        assert "\n".join(lines) == row["seed"]
        assert (origin["source"], origin["license"]) == ("code", "MIT")
    assert snipmill("attribution", "run", "-o", "A.md").returncode == 0
    assert f"| code | unknown | MIT | {len(rows)} |" in (tmp_path / "A.md").read_text()
    shown = snipmill("show", "run", str(rows[0]["id"]))
    assert rows[0]["provenance"]["content_hash"] in shown.stdout
    (tmp_path / "run" / "dataset.jsonl").unlink()
    mined = (tmp_path / "run" / "journal" / "seeds.jsonl").read_bytes()
    assert snipmill("run", "c.toml").returncode == 0
    assert read_lines(tmp_path / "run" / "dataset.jsonl") == rows
    assert (tmp_path / "run" / "journal" / "seeds.jsonl").read_bytes() == mined


def test_what_the_checker_could_not_do_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mining = Mining(secrets=False, benchmarks=None)
    with Journal(tmp_path / "journal", MiningEntry) as journal:
        monkeypatch.setattr(types, "TIMEOUT", 0.0)
        monkeypatch.setattr(types.check_types, "__defaults__", (0.0,))
        (reject,) = mine_documents(lambda: documents(1), mining, 0.0, journal, 1)
        assert isinstance(reject, Reject) and reject.reason == "types-not-checked"
        assert len(journal) == 0
        monkeypatch.undo()
        (seed,) = mine_documents(lambda: documents(1), mining, 0.0, journal, 1)
        assert isinstance(seed, Seed) and len(journal) == 1


def test_no_more_is_mined_than_the_limit_needs_and_sources_are_looked_up_first(tmp_path: Path) -> None:
    rows = [{"code": function(n)} for n in range(2000)]
    write_lines(tmp_path / "in.jsonl", *rows)
    table = SeedsTable(
        sources=(str(tmp_path / "in.jsonl"),),
        columns=ColumnsTable(code="code"),
        licenses=("any",),
        types=False,
        limit=5,
        near=0,
    )
    with Journal(tmp_path / "journal", MiningEntry) as journal:
        assert len(list(iterate_seeds(resolve_seeds(Config(seeds=table)), lambda _: None, journal))) == 5
        assert len(journal) == 1
    missing = msgspec.structs.replace(table, sources=(*table.sources, "nowhere"))
    with pytest.raises(UsageError, match="nowhere"):
        next(iterate_seeds(resolve_seeds(Config(seeds=missing)), lambda _: None))


def test_a_stop_is_heard_between_batches() -> None:
    told = []

    def stopped() -> bool:
        told.append(1)
        return len(told) > 2

    found = list(mine_documents(lambda: documents(5000), PLAIN, 0.0, Journal(None, MiningEntry), 1, stopped))
    assert 0 < len(found) <= 3 * 256


def test_a_plan_of_unmined_sources_writes_nothing(standin: StandIn, tmp_path: Path, snipmill: Snipmill) -> None:
    (tmp_path / "code").mkdir()
    for number in range(4):
        (tmp_path / "code" / f"m{number}.py").write_text(function(number))
    text = (
        '[run]\ndir = "run"\n[seeds]\nsources = ["code"]\nlicense = "MIT"\nmax_lines = {lines}\n'
        f'[model]\nbase_url = "{standin.url}"\n[generate]\nsamples = 2\n'
    )
    (tmp_path / "c.toml").write_text(text.format(lines=150))
    assert snipmill("run", "c.toml").returncode == 0
    journal = (tmp_path / "run" / "journal" / "seeds.jsonl").read_bytes()
    (tmp_path / "new.toml").write_text(text.format(lines=40))
    done = snipmill("status", "run", "--config", "new.toml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "journal" / "seeds.jsonl").read_bytes() == journal


def test_a_run_ends_when_it_has_enough_while_mining_finds_nothing_more(
    standin: StandIn, tmp_path: Path, snipmill: Snipmill
) -> None:
    # Functions that are refused only after their names were looked up: minutes of work, against seconds for one row.
    unfit = "".join(function(n).replace("return x", "return nowhere") for n in range(12))
    total = 4_000
    write_lines(
        tmp_path / "in.jsonl", *({"code": function(n)} for n in range(8)), *({"code": unfit} for _ in range(total))
    )
    (tmp_path / "c.toml").write_text(
        '[run]\ndir = "run"\n[seeds]\nsources = ["in.jsonl"]\nlicenses = ["any"]\ntypes = false\n'
        f'[seeds.columns]\ncode = "code"\n[model]\nbase_url = "{standin.url}"\n[generate]\nenough = 1\n'
    )
    done = snipmill("run", "c.toml")
    assert done.returncode == 0, done.stderr
    mined = read_lines(tmp_path / "run" / "journal" / "seeds.jsonl")
    assert len(mined) < total // 256, "the rest was not mined for nothing"


def test_a_killed_mining_leaves_no_process(tmp_path: Path) -> None:
    write_lines(tmp_path / "in.jsonl", *({"code": function(n)} for n in range(40_000)))
    options = ["--column", "code", "--licenses", "any", "--no-types"]
    command = [sys.executable, "-m", "snipmill", "seeds", "in.jsonl", "-o", "out", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.5)
    pids = [int(pid) for pid in children.read_text().split()]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists()]
