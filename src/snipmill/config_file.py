"""Reads configurations from TOML and checks them, changes single keys, and writes configurations down."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterable, Mapping
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
        text = Path(path).read_text(encoding="utf-8")
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
    try:
        config = msgspec.convert(values, type=Config)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        place = where.strip("`$.") or "the top level"
        raise UsageError(f"{name}: {place}: {message}. docs/configuration.md lists all keys.") from None
    if not config.generate.categories or not config.generate.difficulties:
        raise UsageError(f"{name}: generate.categories and generate.difficulties need at least one value each.")
    return config


def change_config(config: Config, changes: Mapping[str, Any], name: str) -> Config:
    """A configuration with some keys changed.

    Args:
        config: what is changed.
        changes: values by dotted key, such as ``"select.min_confidence"``; a list may be one text with commas.
        name: where the changes come from, for messages.

    Raises:
        UsageError: there is no such key, or a value is invalid.
    """
    values: dict[str, Any] = msgspec.to_builtins(config)
    for dotted, value in changes.items():
        *tables, last = dotted.split(".")
        table = values
        for part in tables:
            table = table.get(part, {}) if isinstance(table, dict) else {}
        if last not in table or isinstance(table[last], dict):
            raise UsageError(f"{name}: there is no key {dotted!r}.{_suggestion(dotted, values)}")
        if isinstance(value, str) and isinstance(functools.reduce(getattr, dotted.split("."), Config()), tuple):
            value = [part.strip() for part in value.split(",") if part.strip()]
        table[last] = value
    return _convert(values, name)


def _suggestion(dotted: str, values: dict[str, Any]) -> str:
    close = difflib.get_close_matches(dotted, _dotted_keys(values, ""), 1)
    return f" Did you mean {close[0]!r}?" if close else " docs/configuration.md lists all keys."


def _dotted_keys(values: dict[str, Any], prefix: str) -> list[str]:
    keys: list[str] = []
    for name, value in values.items():
        keys += _dotted_keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return keys


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Changes from `KEY=VALUE` texts. A value is TOML where it can be read as such, else a string; empty is unset.

    Raises:
        UsageError: a text has no equals sign.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        dotted, equals, value = assignment.partition("=")
        if not equals or not dotted.strip():
            raise UsageError(f"--set {assignment!r}: write KEY=VALUE, such as select.min_confidence=0.6.")
        changes[dotted.strip()] = _parse_value(value.strip())
    return changes


def _parse_value(text: str) -> Any:
    if not text:
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


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
            lines.append(f"{key_name} = {render_value(value)}")
    for key_name, value in inner.items():
        _render_table(f"{name}.{key_name}", value, lines)


def render_value(value: Any) -> str:
    """A value as TOML. JSON strings, numbers, booleans and lists of them are TOML as well, but for one character."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
