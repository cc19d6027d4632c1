"""What a published data set says of how many of its rows are wrong, and by whose weights."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from snipmill.engine.forget import forget
from snipmill.publish.card import Files
from snipmill.publish.journals import publish_journals
from snipmill.publish.release import write_card
from snipmill.seeds.forgotten import Wanted
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.store.run_directory import CALIBRATION, RunDirectory
from snipmill.verification.calibration import decode_calibration, encode_calibration
from tests.conftest import read_lines
from tests.publish.conftest import make_run, seeds_with_origins
from tests.standin import StandIn


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with a calibration of the user's own, which was made for another prompting."""
    folder = tmp_path_factory.mktemp("calibrated")
    own = msgspec.structs.replace(
        shipped_calibration(),
        model="stand-in",
        prompting="chat",
        shipped=False,
        report={"sure_and_wrong": ["secret-7"]},
    )
    (folder / "cal.json").write_bytes(encode_calibration(own))
    seeds = seeds_with_origins(folder / "seeds.jsonl", 8)
    with StandIn() as model:
        return make_run(
            folder / "run", seeds, model.url, verify=f"calibration = {json.dumps(str(folder / 'cal.json'))}"
        )


def test_the_card_of_a_calibrated_run_names_the_calibration_and_what_does_not_fit(calibrated: RunDirectory) -> None:
    card = write_card(calibrated, Files())
    manifest = calibrated.read_manifest()
    wrong = manifest["expected_wrong"]
    assert f"{wrong['low']:,} to {wrong['high']:,}" in card and f"of {wrong['rows']:,} rows" in card
    assert "answers of `stand-in`" in card and "two small models" not in card
    assert "The calibration may not fit" in card and manifest["calibration"]["misfits"]


def test_the_card_of_another_run_says_that_the_weights_are_a_stranger_s(finished: RunDirectory) -> None:
    card = write_card(finished, Files())
    assert "two small models" in card and "90% interval" in card and "may not fit" not in card


def test_the_calibration_is_published_without_its_report_and_proves_the_rows(
    calibrated: RunDirectory, tmp_path: Path
) -> None:
    publish_journals(calibrated, tmp_path / "run")
    published = decode_calibration((tmp_path / "run" / CALIBRATION).read_bytes())
    assert published.model == "stand-in" and published.report == {}
    everything = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"secret-7" not in everything and str(tmp_path.parent).encode() not in everything


def test_what_is_left_after_forgetting_keeps_its_calibration(calibrated: RunDirectory, tmp_path: Path) -> None:
    shutil.copytree(calibrated.path, tmp_path / "copy")
    copy = RunDirectory(tmp_path / "copy")
    confidences = {row["id"]: row["verification"]["confidence"] for row in read_lines(copy.dataset)}
    asyncio.run(forget(copy, Wanted(sources=frozenset({"boats"})), lambda _: None, lambda: None))
    left = read_lines(copy.dataset)
    assert left and all(row["verification"]["confidence"] == confidences[row["id"]] for row in left)
    assert copy.read_manifest()["expected_wrong"]["rows"] == len(left)
