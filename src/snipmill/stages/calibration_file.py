"""Reads a calibration: the one that ships, or the user's own file."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path

from snipmill.config import Config
from snipmill.errors import UsageError
from snipmill.store.run_directory import CALIBRATION, RunDirectory
from snipmill.verification.calibration import Calibration, decode_calibration


@functools.cache
def shipped_calibration() -> Calibration:
    """The calibration that comes with snipmill."""
    return decode_calibration(files("snipmill.verification").joinpath("shipped_calibration.json").read_bytes())


def calibration_of(directory: RunDirectory, config: Config) -> Calibration:
    """The calibration of a run: the copy that it keeps, or the one that ships.

    Raises:
        UsageError: it cannot be read.
    """
    kept = directory.path / CALIBRATION
    return load_calibration(str(kept) if kept.is_file() else config.verify.calibration)


def load_calibration(path: str | None) -> Calibration:
    """A calibration's file; None is the one that ships.

    Raises:
        UsageError: it cannot be read.
    """
    if path is None:
        return shipped_calibration()
    try:
        return decode_calibration(Path(path).read_bytes())
    except FileNotFoundError:
        raise UsageError(
            f"verify.calibration: there is no file {path}. `snipmill calibrate CONFIG.toml --out {path}` makes one."
        ) from None
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise UsageError(f"verify.calibration: {path} is no calibration: {error}. Make it anew.") from error
