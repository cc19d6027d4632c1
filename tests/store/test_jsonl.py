from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from snipmill.records import Concepts, Reject, Response
from snipmill.store.jsonl import Writer
from snipmill.store.reading import read_records

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
