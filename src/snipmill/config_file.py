"""Reads configurations from TOML and checks them, changes single keys, and writes configurations down."""

from __future__ import annotations

import difflib
import functools
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from snipmill.config import Config
from snipmill.errors import UsageError


def load_config(path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        UsageError: it does not exist, is not TOML, or holds an invalid value; the message names file and key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"There is no configuration file {path}.") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; give the configuration file itself.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file {path} cannot be read: {error}.") from error
    return parse_config(text, str(path))


def parse_config(text: str, name: str) -> Config:
    """A configuration from TOML.

    Args:
        text: the TOML.
        name: of the file, for messages.

    Raises:
        UsageError: as `load_config`.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML: {error}.") from None
    return _convert(values, name)


def _convert(values: dict[str, Any], name: str) -> Config:
    _refuse_odd_text(values, name)
    _move_old_keys(values)
    for table in _extra_bodies(values):
        _refuse_what_json_has_not(table, name)
    try:
        config = msgspec.convert(values, type=Config)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        place = where.strip("`$.") or "the top level"
        raise UsageError(f"{name}: {place}: {message}. docs/configuration.md lists all keys.") from None
    for dotted in _NEVER_EMPTY:
        if not functools.reduce(getattr, dotted.split("."), config):
            raise UsageError(f"{name}: {dotted} needs at least one value.")
    return config


def _move_old_keys(values: dict[str, Any]) -> None:
    """Take a key of an earlier version for the one that has replaced it."""
    model = values.get("model")
    if isinstance(model, dict) and "temperature" in model and isinstance(model.setdefault("sampling", {}), dict):
        temperature = model.pop("temperature")
        model["sampling"].setdefault("temperature", temperature)


def _refuse_odd_text(value: Any, name: str) -> None:
    """Neither files nor journals can hold NUL, or lone surrogates, which come from arguments that are not UTF-8."""
    if isinstance(value, str):
        if "\0" in value or value != value.encode("utf-8", "replace").decode("utf-8"):
            raise UsageError(f"{name}: {value!r} holds characters that are not text in UTF-8.")
    elif isinstance(value, dict):
        for item in value.values():
            _refuse_odd_text(item, name)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_odd_text(item, name)


def _refuse_what_json_has_not(value: Any, name: str) -> None:
    """Fields of a request are JSON, which has no dates and no infinite numbers."""
    if isinstance(value, dict):
        for item in value.values():
            _refuse_what_json_has_not(item, name)
    elif isinstance(value, list):
        for item in value:
            _refuse_what_json_has_not(item, name)
    elif not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise UsageError(f"{name}: {value} in extra_body has no form in JSON. Write it as a text, or take it out.")


def _extra_bodies(values: Any) -> Iterator[dict[str, Any]]:
    """Each table `extra_body` within a configuration."""
    for part, value in values.items() if isinstance(values, dict) else ():
        if part == "extra_body" and isinstance(value, dict):
            yield value
        else:
            yield from _extra_bodies(value)


_NEVER_EMPTY = (
    "seeds.sources",
    "seeds.kinds",
    "seeds.languages",
    "seeds.licenses",
    "generate.categories",
    "generate.difficulties",
)
_WITH_COMMAS = ("seeds.sources", "select.benchmarks", "model.serve_args")
_RENAMED = {"model.temperature": "model.sampling.temperature"}
_FREE_TABLES = ("extra_body", "headers")  # their keys are the user's


def change_config(config: Config, changes: Mapping[str, Any], name: str = "configuration") -> Config:
    """A configuration with some keys changed.

    Args:
        config: what is changed.
        changes: values by dotted key, such as ``"select.min_confidence"``; None is the built-in default. A list may be one
            text with commas, but for lists whose items may hold commas themselves: there a text is one item.
        name: where the changes come from, for messages.

    Raises:
        UsageError: there is no such key, or a value is invalid.
    """
    values: dict[str, Any] = msgspec.to_builtins(config)
    for dotted, value in changes.items():
        dotted = _RENAMED.get(dotted, dotted)
        table, last = _find_table(values, dotted, name)
        if any(part in _FREE_TABLES for part in dotted.split(".")[:-1]):
            if value is None:
                table.pop(last, None)
            else:
                table[last] = value
            continue
        is_table = isinstance(table.get(last), dict) and last not in _FREE_TABLES
        if last not in table or is_table:
            raise UsageError(f"{name}: there is no key {dotted!r}.{_suggestion(dotted, values)}")
        default = functools.reduce(getattr, dotted.split("."), Config())
        if value is None:
            value = msgspec.to_builtins(default)
        elif isinstance(value, str) and isinstance(default, tuple):
            whole = dotted in _WITH_COMMAS
            value = [value] if whole else [part.strip() for part in value.split(",") if part.strip()]
        table[last] = value
    return _convert(values, name)


def _find_table(values: dict[str, Any], dotted: str, name: str) -> tuple[dict[str, Any], str]:
    """The table that holds a key, and the key's last part. Only within tables whose keys are the user's own, tables are made.

    Raises:
        UsageError: there is no such table.
    """
    *tables, last = dotted.split(".")
    table, is_free = values, False
    for part in tables:
        found = table.setdefault(part, {}) if is_free else table.get(part)
        if not isinstance(found, dict):
            raise UsageError(f"{name}: there is no key {dotted!r}.{_suggestion(dotted, values)}")
        table, is_free = found, is_free or part in _FREE_TABLES
    return table, last


def _suggestion(dotted: str, values: dict[str, Any]) -> str:
    close = difflib.get_close_matches(dotted, _dotted_keys(values, ""), 1)
    return f" Did you mean {close[0]!r}?" if close else " docs/configuration.md lists all keys."


def _dotted_keys(values: dict[str, Any], prefix: str) -> list[str]:
    keys: list[str] = []
    for name, value in values.items():
        keys += _dotted_keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Changes from `KEY=VALUE` texts. A value is TOML where it can be read as such, else a string; empty is the default.

    Raises:
        UsageError: a text has no equals sign.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        dotted, equals, value = assignment.partition("=")
        if not equals or not dotted.strip() or "\n" in assignment:
            raise UsageError(f"--set {assignment!r}: write KEY=VALUE in one line, such as select.min_confidence=0.6.")
        changes[dotted.strip()] = _parse_value(value.strip())
    return changes


def _parse_value(text: str) -> Any:
    if not text:
        return None
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, UnicodeEncodeError):
        return text
    return value if isinstance(value, str | int | float | list | dict) else text  # no key holds a date


def render_config(config: Config) -> str:
    """The configuration as TOML, every key resolved; `parse_config` reads it back unchanged."""
    tables: dict[str, Any] = msgspec.to_builtins(config)
    lines: list[str] = []
    for name, table in tables.items():
        _render_table(name, table, lines)
    return "\n".join(lines).strip() + "\n"


def _render_table(name: str, table: dict[str, Any], lines: list[str]) -> None:
    lines.append(f"\n[{name}]")
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    for key_name, value in table.items():
        if key_name not in inner and value is not None:
            lines.append(f"{_render_key(key_name)} = {render_value(value)}")
    for key_name, value in inner.items():
        _render_table(f"{name}.{_render_key(key_name)}", value, lines)


def _render_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else render_value(name)


def render_value(value: Any) -> str:
    """A value as TOML. JSON strings, numbers, booleans and lists of them are TOML as well, but for one character."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_render_key(key)} = {render_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(render_value, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)  # TOML has inf and nan
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
