"""Streams a data set from the hub row by row. The library is an optional extra; it reads HF_TOKEN and HF_ENDPOINT."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl

from snipmill.errors import UsageError
from snipmill.records import Reject
from snipmill.seeds.document import Document
from snipmill.seeds.sources.table import Columns, row_documents
from snipmill.seeds.sources.tree import Origin

PREFIX = "hub:"
_OPTIONS = ("split", "name", "data_dir", "revision")


def hub_documents(spec: str, columns: Columns, origin: Origin) -> Iterator[Document | Reject]:
    """A document for each row of a data set.

    Args:
        spec: owner/name, with options as in owner/name?split=train&name=python&data_dir=data&revision=main.
        columns: which column holds what.
        origin: the licence that the user states, and the languages to look for.

    Raises:
        UsageError: it cannot be reached, it lacks a column, an option is unknown, or the extra is not installed.
    """
    name, _, query = spec.partition("?")
    options = dict(parse_qsl(query))
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        raise UsageError(f"{PREFIX}{spec}: there is no option {unknown[0]!r}; the options are {', '.join(_OPTIONS)}.")
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
        own = Origin(f"{PREFIX}{name}", revision, origin.license, origin.languages)
        yield from row_documents(rows, name, columns, own)
    except UsageError:
        raise
    except Exception as error:  # the library raises exceptions of many types and packages
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{PREFIX}{spec} cannot be read: {type(error).__name__}: {reason[:300]}") from error
