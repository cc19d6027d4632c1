from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from snipmill.errors import UsageError
from snipmill.similarity.contamination import Decontaminator, Item, build_index
from snipmill.stages.benchmark_files import load_index, read_items, shipped_index, write_index
from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines

BENCHMARKS = Path(__file__).parents[3] / "shared" / "benchmarks"
ITEM = Item(
    name="bench/7",
    prompt="Given a list of three ravens and two herons, return how many of the birds can sing before the sun goes down.",
    solution="def sing(birds):\n    '''How many of the birds can sing?'''\n    return 1\ndef singing(birds):\n    return sum(1 for bird in birds if bird.kind == 'heron' and bird.awake)\n",
)


def find(text: str, *codes: str) -> str | None:
    match = Decontaminator([build_index([ITEM], {}, 10)]).find([text], codes)
    return match.item if match else None


def test_overlap_is_found_whatever_the_layout() -> None:
    assert find(ITEM.prompt.upper().replace(" ", "\n  ").replace(",", " ;")) == "bench/7"
    assert find("Please: " + " ".join(ITEM.prompt.split()[3:15])) == "bench/7"
    assert find(" ".join(ITEM.prompt.split()[3:11])) is None
    assert find("Write a function that counts words in a text and returns a dictionary of the counts.") is None
    assert find("", ITEM.solution.replace("    ", "\t")) == "bench/7"
    assert (
        find("", "def other():\n    pass\n\ndef sing(birds):\n  '''How many of the birds can sing?'''\n  return 5")
        == "bench/7"
    )
    assert find("", 'def sing(birds):\n    """How few of the birds can sing?"""\n    return 1') is None


def test_what_many_items_share_is_no_evidence() -> None:
    shared = "Write a Python function that takes a list of numbers and returns a new list of numbers."
    items = [Item(name=f"b/{number}", prompt=shared) for number in range(3)]
    assert Decontaminator([build_index(items, {}, 10)]).find([shared]) is None


def test_an_index_is_read_back_and_is_always_the_same(tmp_path: Path) -> None:
    index = build_index([ITEM], {"bench": "MIT"})
    write_index(index, str(tmp_path / "a.fingerprints"))
    write_index(build_index([ITEM], {"bench": "MIT"}), str(tmp_path / "b.fingerprints"))
    assert load_index(str(tmp_path / "a.fingerprints")) == index
    assert (tmp_path / "a.fingerprints").read_bytes() == (tmp_path / "b.fingerprints").read_bytes()
    assert ITEM.prompt[:30].encode() not in gzip.decompress((tmp_path / "a.fingerprints").read_bytes())


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks' data are not here")
def test_the_shipped_index_knows_every_task_of_the_well_known_sets() -> None:
    index = shipped_index()
    assert set(index.sources) == {"HumanEval", "MBPP"} and all(index.sources.values())
    decontaminator = Decontaminator([index])
    for file in ("HumanEval.jsonl.gz", "mbpp.jsonl"):
        items = list(read_items(str(BENCHMARKS / file)))
        found = [
            decontaminator.find([f"{item.prompt}\n{item.solution}\n{item.tests}"], [item.solution]) for item in items
        ]
        missed = [item.name for item, match in zip(items, found, strict=True) if match is None]
        assert len(missed) <= len(items) // 100, missed


def test_rows_are_held_against_what_the_user_names(snipmill: Snipmill, tmp_path: Path) -> None:
    write_lines(
        tmp_path / "bench.jsonl", {"task_id": "t/1", "prompt": ITEM.prompt, "canonical_solution": ITEM.solution}
    )
    rows = [
        {"id": "clean", "instruction": "Double a number.", "response": RESPONSE},
        {"id": "dirty", "instruction": f"Solve this. {ITEM.prompt}", "response": RESPONSE.replace("double", "dd")},
    ]
    write_lines(tmp_path / "rows", *rows)
    done = snipmill("select", "rows", "--out", "o", "--benchmark", "bench.jsonl", "--near-code", 0)
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in read_lines(tmp_path / "o")] == ["clean"]
    (reject,) = read_lines(tmp_path / "o.rejects.jsonl")
    assert reject["reason"] == "contaminated"
    assert "bench/t/1" in str(reject["detail"]) and "list of three ravens" in str(reject["detail"])
    made = snipmill("fingerprint", "Mine=bench.jsonl", "--out", "mine.fingerprints", "--license", "Mine=me, MIT")
    assert made.returncode == 0, made.stderr
    again = snipmill("select", "rows", "--out", "p", "--benchmark", "mine.fingerprints", "--near-code", 0)
    assert again.returncode == 0 and [row["id"] for row in read_lines(tmp_path / "p")] == ["clean"]


def test_code_without_a_block_is_code_all_the_same(snipmill: Snipmill, tmp_path: Path) -> None:
    solution = (
        "def ravens_that_sing(birds, sunset):\n    return sum(bird.kind == 1 for bird in birds if bird.time < sunset)\n"
    )
    write_lines(tmp_path / "bench.jsonl", {"task_id": "t/1", "prompt": "Count.", "canonical_solution": solution})
    other = "def ravens_that_sing(x):\n    return x + 1\n"
    rows = [
        {"id": name, "instruction": f"Do {name} now.", "response": code}
        for name, code in (("copy", solution.replace("1", "1 ")), ("other", other), ("third", other.replace("1", "y")))
    ]
    write_lines(tmp_path / "rows", *rows)
    options = ("--near-code", 0, "--near-instructions", 0, "--name-diversity")
    assert snipmill("select", "rows", "--out", "o", "--benchmark", "bench.jsonl", *options).returncode == 0
    reasons = {reject["id"]: reject["reason"] for reject in read_lines(tmp_path / "o.rejects.jsonl")}
    assert reasons.pop("copy") == "contaminated" and list(reasons.values()) == ["duplicate-names"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nonsense", "not valid JSON"),
        (b"[1]", "not an object"),
        (b'{"x": 1}', "none of the columns"),
        (None, "There is no file"),
    ],
)
def test_files_that_are_no_benchmark(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "bench.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        load_index(str(path))


def test_parquet_is_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.Table.from_pylist([{"task_id": "x", "prompt": ITEM.prompt, "test_list": ["assert 1", "assert 2"]}])
    parquet.write_table(table, tmp_path / "bench.parquet")
    (item,) = read_items(str(tmp_path / "bench.parquet"))
    assert (item.name, item.prompt, item.tests) == ("bench/x", ITEM.prompt, "assert 1\nassert 2")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(UsageError, match="no valid Parquet"):
        list(read_items(str(tmp_path / "bad.parquet")))


def test_a_benchmark_that_has_changed_is_read_again_in_the_same_process(snipmill: Snipmill, tmp_path: Path) -> None:
    solution = (
        "def ravens_that_sing(birds, sunset):\n    return sum(bird.kind == 1 for bird in birds if bird.time < sunset)\n"
    )
    write_lines(tmp_path / "rows", {"id": "copy", "instruction": "Do it now.", "response": solution})
    for text, kept in (("def other(x):\n    return x\n", 1), (solution, 0)):
        write_lines(tmp_path / "bench.jsonl", {"task_id": "t/1", "prompt": "Count.", "canonical_solution": text})
        assert snipmill("select", "rows", "--out", "o", "--benchmark", "bench.jsonl").returncode == 0
        assert len(read_lines(tmp_path / "o")) == kept
