from __future__ import annotations

from pathlib import Path

import pytest

from snipmill.errors import StoreError
from snipmill.records import Completion
from snipmill.store.entries import CompletionEntry
from snipmill.store.journal import Journal, read_journal


def entry(name: str, text: str = "t") -> CompletionEntry:
    return CompletionEntry(
        id=name, outcome="kept", max_tokens=5, completion=Completion(text=text, finish_reason="stop")
    )


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "j" / "a.jsonl"
    with Journal(path, CompletionEntry) as journal:
        journal.append(entry("a", "x" * 200_000))
        journal.append(entry("b"))
        journal.append(entry("a", "new"))
        assert journal.get("a") == entry("a", "new")
    with Journal(path, CompletionEntry) as journal:
        assert len(journal) == 2
        assert journal.get("a") == entry("a", "new")
        assert journal.get("c") is None


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_cut_and_written_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    with Journal(path, CompletionEntry) as journal:
        journal.append(entry("a"))
        journal.append(entry("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert [found.id for found in read_journal(path, CompletionEntry)] == ["a"]
    with Journal(path, CompletionEntry) as journal:
        assert journal.get("a") == entry("a") and journal.get("b") is None
        journal.append(entry("b"))
    assert path.read_bytes() == whole


def test_damage_in_the_middle_is_never_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 3}\n{}\n')
    with pytest.raises(StoreError, match=r"a\.jsonl:1"), Journal(path, CompletionEntry):
        pass


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "a", CompletionEntry),
        pytest.raises(StoreError, match="Another snipmill"),
        Journal(tmp_path / "a", CompletionEntry),
    ):
        pass
