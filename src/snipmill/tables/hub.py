"""Streams a data set from the hub row by row. The library is an optional extra; it reads HF_TOKEN and HF_ENDPOINT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from snipmill.errors import UsageError

PREFIX = "hub:"
_OPTIONS = ("split", "name", "data_dir", "revision")


class HubRows(NamedTuple):
    """The rows of a data set, and its commit."""

    revision: str | None
    rows: Iterator[dict[str, Any]]


def open_hub(address: str) -> HubRows:
    """Open a data set on the hub. Reading the rows raises a UsageError where it breaks off.

    Args:
        address: hub:OWNER/NAME, with options as in hub:owner/name?split=train&name=python&data_dir=data&revision=main.

    Raises:
        UsageError: it cannot be reached, an option is unknown, or the extra is not installed.
    """
    name, _, query = address.removeprefix(PREFIX).partition("?")
    options = dict(parse_qsl(query))
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        raise UsageError(f"{address}: there is no option {unknown[0]!r}; the options are {', '.join(_OPTIONS)}.")
    try:
        import datasets
        from huggingface_hub import HfApi
    except ImportError:
        raise UsageError(f"{PREFIX}{name} is on the hub; to read it, run `pip install 'snipmill[datasets]'`.") from None
    datasets.disable_progress_bars()
    try:
        revision = HfApi().dataset_info(name, revision=options.get("revision")).sha
        rows = datasets.load_dataset(
            name,
            options.get("name"),
            data_dir=options.get("data_dir"),
            split=options.get("split", "train"),
            revision=revision,
            streaming=True,
        )
    except Exception as error:  # the library raises exceptions of many types and packages
        raise _unreadable(address, error) from error
    return HubRows(revision, _rows(address, rows))


def _rows(address: str, rows: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from rows
    except Exception as error:
        raise _unreadable(address, error) from error


def _unreadable(address: str, error: Exception) -> UsageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UsageError(f"{address} cannot be read: {type(error).__name__}: {reason[:300]}")
