"""Loads the embedding model for semantic duplicates (extra `semantic`)."""

from __future__ import annotations

from typing import Any

from snipmill.errors import UsageError


def load_embedder(model: str) -> Any:
    """A model2vec model: a folder, or a name on the hub.

    Raises:
        UsageError: the extra is not installed, or there is no such model.
    """
    try:
        from model2vec import StaticModel
    except ImportError:
        raise UsageError("Semantic duplicates need `pip install 'snipmill[semantic]'`.") from None
    try:
        return StaticModel.from_pretrained(model)
    except Exception as error:  # the loader raises many kinds; all mean that there is no such model
        raise UsageError(
            f"There is no embedding model {model!r}: give a folder or a name on the hub ({error})."
        ) from error
