"""The stages after verification by hand, file to file: no model, no sandbox, and nothing imported that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snipmill.config import Config
from snipmill.engine.files import Files, Output, read_input
from snipmill.records import Reject, Row
from snipmill.stages.stage_count import StageCount

if TYPE_CHECKING:
    from snipmill.verification.expected_wrong import ExpectedWrong


def sanitize_file(files: Files, config: Config, count: StageCount) -> None:
    """Check the responses of a file and write them as rows in a style.

    Raises:
        SnipmillError: the file or the output cannot be used.
    """
    from snipmill.stages.sanitize_rows import sanitize_rows

    with Output(files, count) as output:
        rows = read_input(files, Row, "sanitize", output)
        for outcome in sanitize_rows(rows, config.select, config.run.seed):
            if isinstance(outcome, Reject):
                output.write_and_count(outcome)
            else:
                output.write_line(outcome)


def select_file(files: Files, config: Config, count: StageCount) -> ExpectedWrong:
    """Choose among the rows of a file. With a calibration, their confidences are worked out anew.

    Returns:
        how many of the chosen rows are expected to be wrong.

    Raises:
        SnipmillError: the file, the output, a calibration, a benchmark or a model of embeddings cannot be used.
    """
    from snipmill.stages.calibration_file import load_calibration
    from snipmill.stages.select_rows import select_lines
    from snipmill.verification.confidence import recalibrated
    from snipmill.verification.expected_wrong import WrongRows

    calibration = load_calibration(config.verify.calibration)
    wrong = WrongRows(calibration)
    with Output(files, count) as output:
        rows = read_input(files, Row, "select", output)
        if config.verify.calibration is not None:
            rows = recalibrated(rows, calibration)
        for line in select_lines(rows, config.select, config.run.seed, output.write_and_count):
            output.write_line(line)
            wrong.add_line(line)
    return wrong.estimate()
