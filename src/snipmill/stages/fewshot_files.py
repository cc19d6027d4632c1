"""Reads a few-shot bank from where it lies: the one that comes with snipmill, a folder like it, or an original file."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path

from snipmill.errors import UsageError
from snipmill.prompts.fewshot import Bank, parse_bank, parse_judging, parse_original_bank
from snipmill.prompts.review import Shown, parse_examples


def load_bank(path: str | None) -> Bank:
    """The few-shot bank at a path; None for our own.

    Raises:
        UsageError: it is not there, or not a bank.
    """
    if path is None:
        return parse_bank(_packaged("bank"))
    place = Path(path)
    try:
        if place.is_dir():
            return parse_bank({item.stem: item.read_text("utf-8") for item in place.iterdir() if _is_part(item.name)})
        return parse_original_bank(place.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no few-shot bank {path}: give a folder of examples, or a text file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The few-shot bank {path} cannot be read: {error}.") from error


def load_judging() -> Bank:
    """The examples of the judge."""
    return parse_judging(_packaged("judging"))


@functools.cache
def load_reviewing() -> tuple[Shown, ...]:
    """The examples of the reviewer."""
    return parse_examples((files("snipmill.prompts") / "reviewing.md").read_text("utf-8"))


def _packaged(name: str) -> dict[str, str]:
    folder = files("snipmill.prompts") / name
    return {item.name.removesuffix(".md"): item.read_text("utf-8") for item in folder.iterdir() if _is_part(item.name)}


def _is_part(name: str) -> bool:
    return name.endswith(".md") and name.lower() != "readme.md"
