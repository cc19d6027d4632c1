from __future__ import annotations

from pathlib import Path

from snipmill.publish.attribution import attribute, render_attribution
from snipmill.records import Provenance, Row
from tests.conftest import Snipmill, write_lines


def row(number: int, source: str | None, license: str | None = "MIT", path: str = "a.py", start: int = 3) -> Row:
    origin = None
    if source is not None:
        origin = Provenance(
            source=source, revision="1.0", path=path, line_start=start, line_end=start + 2, license=license
        )
    return Row(id=f"r-{number}", seed="", concepts=[], instruction="i", response="r", provenance=origin)


def test_every_row_is_attributed_once() -> None:
    rows = [
        row(1, "x"),
        row(2, "x", start=9),
        row(3, "x", "Apache-2.0", "b|c.py"),
        row(4, "y"),
        row(5, None),
        row(6, "x"),
    ]
    found = attribute(rows)
    assert sum(found.rows.values()) + found.without == found.total == 6
    text = "\n".join(render_attribution(found))
    assert "| x | 1.0 | MIT | 3 | 1 |" in text
    assert "| unknown | unknown | unknown | 1 | |" in text
    assert "- a.py: lines 3-5, 9-11" in text
    assert "b\\|c.py" in text
    assert text == "\n".join(render_attribution(attribute(rows[::-1])))


def test_it_is_written_from_a_data_set(tmp_path: Path, snipmill: Snipmill) -> None:
    origin = {"source": "x", "revision": "1", "path": "a.py", "line_start": 1, "line_end": 2, "license": "MIT"}
    write_lines(
        tmp_path / "data.jsonl",
        {"instruction": "i", "response": "r", "provenance": origin},
        {"instruction": "j", "response": "r"},
    )
    done = snipmill("attribution", "data.jsonl", "-o", "ATTRIBUTION.md")
    assert done.returncode == 0
    assert "| x | 1 | MIT | 1 | 1 |" in (tmp_path / "ATTRIBUTION.md").read_text()
    assert "1 rows have no known origin or licence" in done.stderr
    assert snipmill("attribution", "nothing.jsonl", "-o", "out").returncode == 2
