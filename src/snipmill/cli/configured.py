"""Options from the configuration: a command names the keys that it offers, and receives the resolved configuration.

Type, range, default and help of an option are those of its key (`config`). Every such command also takes --set KEY=VALUE for any
other key. Later wins: built-in defaults, the command's own, a configuration file, --set, options.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
import typer

from snipmill.config import Config
from snipmill.config_file import change_config, load_config, parse_assignments
from snipmill.config_table import Table
from snipmill.errors import UsageError

_REPEATED = ("--benchmark",)  # given once for each value; other lists have commas between their values
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any key of the configuration, such as select.min_confidence=0.6; can be repeated.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Key:
    """A key of the configuration, as its table declares it.

    Attributes:
        dotted: its name, such as `select.min_confidence`.
        type: of its value, without None.
        meaning: what it says.
        least, above, most: bounds of a number; `above` excludes the bound.
        default: its value without a configuration.
        default_text: what a default of None, or an empty one, means.
        option: the name of its option.
    """

    dotted: str
    type: Any
    meaning: str
    least: float | None
    above: float | None
    most: float | None
    default: Any
    default_text: str | None
    option: str


def find_key(dotted: str) -> Key:
    """The declaration of a key."""
    *tables, last = dotted.split(".")
    table: Table = Config()
    for name in tables:
        table = getattr(table, name)
    kind, metas = _unwrap(_hints(type(table))[last])
    extra: dict[str, str] = {}
    for meta in metas:
        extra |= meta.extra or {}
    bounds = [meta for meta in metas if meta.ge is not None or meta.gt is not None]
    return Key(
        dotted=dotted,
        type=kind,
        meaning=next((meta.description for meta in metas if meta.description), ""),
        least=next((meta.ge for meta in bounds if meta.ge is not None), None),
        above=next((meta.gt for meta in bounds if meta.gt is not None), None),
        most=next((meta.le for meta in metas if meta.le is not None), None),
        default=getattr(table, last),
        default_text=extra.get("default"),
        option=extra.get("option", f"--{last.replace('_', '-')}"),
    )


@functools.cache
def _hints(table: type[Table]) -> dict[str, Any]:
    """What a table says of its keys; working it out for every option would be felt at each start."""
    return get_type_hints(table, include_extras=True)


def _unwrap(hint: Any) -> tuple[Any, list[msgspec.Meta]]:
    """A type without None, and everything that is said of it."""
    metas: list[msgspec.Meta] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *found = get_args(hint)
            metas += [meta for meta in found if isinstance(meta, msgspec.Meta)]
        elif get_origin(hint) in (Union, types.UnionType):
            parts = [part for part in get_args(hint) if part is not type(None)]
            if len(parts) > 1:
                return tuple[str, ...], metas  # one address or several
            (hint,) = parts
        else:
            return hint, metas


class Choice(NamedTuple):
    """A key whose option has another name than the key's own, or another help."""

    dotted: str
    option: str | None = None
    help: str | None = None


def _title(dotted: str) -> str:
    """What the table of a key is called in the help."""
    if dotted in ("seeds.start", "seeds.limit"):
        return "Input"
    table = dotted.partition(".")[0]
    _, metas = _unwrap(_hints(Config)[table])
    return next(meta.description for meta in metas if meta.description)


def _chosen(key: str | Choice) -> Key:
    """The declaration of a key, as a command offers it."""
    if isinstance(key, str):
        return find_key(key)
    found = find_key(key.dotted)
    return replace(found, option=key.option or found.option, meaning=key.help or found.meaning)


def _annotation(key: Key, shown: str | None) -> Any:
    """The option of a key, as typer reads it, with its default in words. Without a value it is None: not given."""
    told = f" [dim]\\[default: {shown}][/]" if shown else ""  # typer would not show a default that it is not given
    settings: dict[str, Any] = {
        "help": f"{key.meaning}{told}".replace("`", ""),
        "rich_help_panel": _title(key.dotted),
        "show_default": False,
    }
    kind: Any = key.type
    flag = key.option
    if get_origin(kind) is tuple:
        repeated = key.option in _REPEATED
        kind, settings["metavar"] = (list[str], "FILE") if repeated else (str, "A,B,...")
    elif kind is bool:
        flag = f"{key.option}/--no-{key.option.removeprefix('--')}"
    elif kind in (int, float):
        settings |= {"min": key.least, "max": key.most}
    return Annotated[Union[kind, None], typer.Option(flag, **settings)]  # noqa: UP007 - built at run time


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _value(key: Key, given: Any) -> Any:
    """What was given for a key, as the configuration holds it."""
    if get_origin(key.type) is not tuple:
        return given
    parts = given if isinstance(given, list) else [part.strip() for part in given.split(",") if part.strip()]
    allowed = get_args(get_args(key.type)[0])
    by_name = {name.casefold(): name for name in allowed}
    for part in parts:
        if allowed and part.casefold() not in by_name:
            raise UsageError(f"{key.option}: {part!r} is none of {', '.join(allowed)}.")
    if allowed and not parts:
        return None  # none of a few: the default
    return [by_name.get(part.casefold(), part) if allowed else part for part in parts]


def configured(
    body: Callable[..., None],
    keys: Sequence[str | Choice],
    defaults: Mapping[str, Any] | None = None,
    *,
    from_file: bool = False,
) -> Callable[..., None]:
    """A command out of a function whose first parameter is the resolved configuration.

    Args:
        body: takes `config`, and the command's own arguments and options.
        keys: those that get an option, in the order of the help.
        defaults: values by dotted key that differ for this command.
        from_file: whether the command's first argument is a configuration file.
    """
    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    found = {key.dotted.replace(".", "__"): key for key in map(_chosen, keys)}
    base = change_config(Config(), defaults or {}, "defaults")

    def call(**given: Any) -> None:
        config = load_config(given.pop("config_file")) if from_file else base
        config = change_config(config, parse_assignments(given.pop("assignments") or ()), "--set")
        options = {name: given.pop(name) for name in found}
        for name, value in options.items():
            if value is not None:
                key = found[name]
                config = change_config(config, {key.dotted: _value(key, value)}, key.option)
        body(config, **given)

    parameters = [parameter for parameter in own if parameter.default is inspect.Parameter.empty]
    if from_file:
        parameters.append(_parameter("config_file", ConfigFile))
    optional = [parameter for parameter in own if parameter.default is not inspect.Parameter.empty]
    for name, key in found.items():
        default: Any = functools.reduce(getattr, key.dotted.split("."), base)
        shown = key.default_text if default in (None, ()) else _shown(default)
        optional.append(_parameter(name, _annotation(key, None if from_file else shown), None))
    optional.append(_parameter("assignments", SetOption, None))
    signature = inspect.Signature(
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*parameters, *optional)]
    )
    call.__signature__ = signature  # type: ignore[attr-defined]  # what typer reads
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    call.__name__, call.__doc__ = body.__name__, body.__doc__
    return call


ConfigFile = Annotated[
    str,
    typer.Argument(metavar="CONFIG.toml", help="The configuration; see docs/configuration.md.", show_default=False),
]


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
