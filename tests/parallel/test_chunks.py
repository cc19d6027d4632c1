from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from snipmill.config import Config, SelectTable
from snipmill.engine.files import Files
from snipmill.engine.rows_by_hand import sanitize_file, select_file
from snipmill.errors import StoreError
from snipmill.parallel import chunks
from snipmill.parallel.chunks import _HERE, CHUNK, map_chunks
from snipmill.records import Row
from snipmill.stages.stage_count import StageCount
from snipmill.store.jsonl import Writer
from tests.conftest import RESPONSE


def squares_and_process(numbers: list[int]) -> list[tuple[int, int]]:
    return [(number * number, os.getpid()) for number in numbers]


def die(numbers: list[int]) -> list[int]:
    if (_HERE + 2) * CHUNK in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbers


def test_results_come_in_order_from_several_processes() -> None:
    results = list(chain.from_iterable(map_chunks(squares_and_process, range((_HERE + 3) * CHUNK + 3), cores=2)))
    assert [square for square, _ in results] == [number * number for number in range((_HERE + 3) * CHUNK + 3)]
    processes = {process for _, process in results}
    assert len(processes) == 3 and os.getpid() in processes  # the first items are worked on here


def test_a_few_items_need_no_process() -> None:
    assert list(map_chunks(squares_and_process, range(3), cores=2)) == [
        [(0, os.getpid()), (1, os.getpid()), (4, os.getpid())]
    ]


def test_inputs_are_read_as_results_are_taken() -> None:
    read = 0

    def numbers() -> Iterator[int]:
        nonlocal read
        for number in range(100 * CHUNK):
            read += 1
            yield number

    results = map_chunks(squares_and_process, numbers(), cores=2)
    next(results)
    assert read <= (_HERE + 12) * CHUNK
    results.close()  # type: ignore[attr-defined]


def test_a_killed_worker_is_one_sentence() -> None:
    with pytest.raises(StoreError, match="worker process was killed"):
        list(map_chunks(die, range((_HERE + 3) * CHUNK), cores=2))


def test_several_cores_and_one_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "rows.jsonl"
    with Writer[Row](source) as out:
        for number in range((_HERE + 2) * CHUNK // 4):
            response = RESPONSE.replace("double", f"double_{number % 1500}")
            out.write(
                Row(
                    id=f"r-{number}",
                    seed="",
                    concepts=[],
                    instruction=f"Task {number // 2} {number}.",
                    response=response,
                )
            )
    monkeypatch.setattr(chunks, "_HERE", 4)
    produced = []
    for available in (1, 2):
        monkeypatch.setattr(chunks, "available_cores", lambda available=available: available)
        folder = tmp_path / str(available)
        folder.mkdir()
        config = Config(select=SelectTable(style="smart", name_diversity=True))
        select_file(Files(str(source), str(folder / "chosen")), config, StageCount())
        sanitize_file(Files(str(folder / "chosen"), str(folder / "smart")), config, StageCount())
        produced.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert produced[0] == produced[1]
    assert produced[0]["smart"]
