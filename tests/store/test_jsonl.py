from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from snipmill.records import Concepts, Record, Reject, Response, Seed
from snipmill.store.jsonl import Writer, encode_line
from snipmill.store.reading import read_records
from snipmill.tables.compression import MAGIC

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
GOOD = b'{"seed":"s","concepts":["a"],"instruction":"Do it.","response":"Done."}'


@given(
    st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b" ")) | st.just(GOOD), min_size=1, max_size=8)
)
def test_a_bad_line_costs_only_itself(lines: list[bytes]) -> None:
    assume(not lines[0].startswith(tuple(MAGIC)))  # such a file is a compressed one
    with TemporaryDirectory() as folder:
        path = Path(folder) / "in"
        path.write_bytes(b"\n".join([*lines, GOOD]) + b"\n")
        found = list(read_records(str(path), Response, "execute"))
    good = [record for record in found if isinstance(record, Response)]
    assert len(good) == lines.count(GOOD) + 1
    assert {record.id for record in good} == {"r-79668e3218449816835e"}
    lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    assert len(found) == sum(bool(line.strip()) for line in lines) + 1
    assert all(str(path) in record.id for record in found if isinstance(record, Reject))


def test_a_lone_surrogate_beside_foreign_columns_costs_nothing_else() -> None:
    """UTF-8 cannot carry it: it becomes a question mark, wherever it stands."""
    bad = {
        "seed": "s",
        "concepts": ["a"],
        "instruction": "\ud800",
        "response": "r",
        "stars": 5,
        "\ud800": ["\udfff", 1],
    }
    with TemporaryDirectory() as folder:
        path, copy = Path(folder) / "in", Path(folder) / "out"
        path.write_text(json.dumps(bad) + "\n" + GOOD.decode() + "\n")
        with Writer[Response](copy) as out:
            for record in read_records(str(path), Response, "execute"):
                assert isinstance(record, Response)
                out.write(record)
        first, second = map(json.loads, copy.read_text().splitlines())
    assert (first["instruction"], first["stars"], first["?"], second["response"]) == ("?", 5, ["?", 1], "Done.")


@given(
    st.dictionaries(NAMES.filter(lambda name: name not in {"id", "columns"} | set(Concepts.__struct_fields__)), VALUES)
)
def test_foreign_columns_go_along_unchanged(foreign: dict[str, object]) -> None:
    row = {"seed": "s", "concepts": ["a"], **foreign}
    with TemporaryDirectory() as folder:
        path, copy = Path(folder) / "in", Path(folder) / "out"
        path.write_text(json.dumps(row) + "\n")
        (record,) = read_records(str(path), Concepts, "instructions")
        assert isinstance(record, Concepts)
        with Writer[Concepts](copy) as out:
            out.write(record)
        written = json.loads(copy.read_text())
        (again,) = read_records(str(copy), Concepts, "instructions")
    assert {name: written[name] for name in foreign} == json.loads(json.dumps(foreign))
    assert msgspec.structs.asdict(again)["concepts"] == ["a"] and again.id == record.id


def rows_of(tmp: str, text: str, kind: type[Record] = Response) -> list[Record]:
    path = Path(tmp) / "in.jsonl"
    path.write_text(text)
    return list(read_records(str(path), kind, "execute"))


def test_null_is_the_same_as_nothing() -> None:
    plain = {"instruction": "Do it.", "response": "Done."}
    spelled: list[dict[str, object]] = [
        {"seed": None},
        {"sample": None, "id": None},
        {"language": "python"},
        {"language": "Python", "id": ""},
    ]
    with TemporaryDirectory() as folder:
        found = rows_of(folder, "".join(json.dumps({**plain, **more}) + "\n" for more in [{}, *spelled]))
    assert len({record.id for record in found}) == 1 and all(isinstance(record, Response) for record in found), found


def test_samples_keep_what_they_hold_and_bad_ones_are_told_apart() -> None:
    good = '{"response": "Done.", "score": 1.10, "exact": 1.0000000000000000000001}'
    row = '{"id": "x", "instruction": "Do it.", "parsing_result": [' + f"{good}, 5, null" + "]}\n"
    with TemporaryDirectory() as folder:
        first, *bad = rows_of(
            folder,
            row
            + '{"instruction": "a", "parsing_result": []}\n{"instruction": "b", "response": "c", "parsing_result": []}\n',
        )
    assert (
        isinstance(first, Response) and isinstance(first.columns, dict) and bytes(first.columns["source_id"]) == b'"x"'
    )
    assert (bytes(first.columns["score"]), bytes(first.columns["exact"])) == (b"1.10", b"1.0000000000000000000001")
    assert [record.id.partition(":")[2] for record in bad[:3]] == ["1, sample 1", "1, sample 2", "2"]
    assert isinstance(bad[3], Response) and bad[3].response == "c"


def test_columns_of_any_name_stay() -> None:
    odd = {"(columns)": {"a": 1}, "source_id": "mine", "id": 7, "columns": 3}
    with TemporaryDirectory() as folder:
        (record,) = rows_of(folder, json.dumps({"instruction": "Do it.", "response": "Done.", **odd}) + "\n")
        assert isinstance(record, Response)
        line = encode_line(record)
        (again,) = rows_of(folder, line.decode())
    written = json.loads(line)
    assert (written["(columns)"], written["source_id"], written["source_id_"], written["columns"]) == (
        {"a": 1},
        "mine",
        7,
        3,
    )
    assert again == record


def test_a_folder_of_another_language_is_no_python() -> None:
    rows = [
        {"content": "x = 1", "data_dir": folder} for folder in ("python", "data/python", "javascript", "some/where")
    ]
    with TemporaryDirectory() as folder:
        found = rows_of(folder, "".join(json.dumps(row) + "\n" for row in rows), Seed)
    assert [getattr(one, "language", getattr(one, "reason", "")) for one in found] == [
        "Python",
        "Python",
        "unknown-language",
        "Python",
    ]
