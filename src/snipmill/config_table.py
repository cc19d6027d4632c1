"""What a table of the configuration is, what its keys say of themselves, and the kinds of numbers that they hold."""

from __future__ import annotations

from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Price = Annotated[float, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


def key(meaning: str, *, default: str | None = None, option: str | None = None) -> msgspec.Meta:
    """What a key of the configuration means.

    Args:
        meaning: one sentence or two, for people.
        default: what happens without a value, where the value itself does not say it.
        option: the name of its command-line option, where it is not the key's.
    """
    extra = {name: text for name, text in (("default", default), ("option", option)) if text is not None}
    return msgspec.Meta(description=meaning, extra=extra)


def as_in_model(meaning: str) -> msgspec.Meta:
    """What a key means that is as in `[model]` until it is set."""
    return key(meaning, default="as in `[model]`")


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""
