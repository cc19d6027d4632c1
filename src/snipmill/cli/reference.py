"""`python -m snipmill.cli.reference DOCS`: writes the generated parts of the documentation into a folder of docs.

docs/configuration.md comes from the tables of `config`, docs/commands.md from the commands, and the rejects in docs/data.md and
docs/stages.md from `reasons`. A test holds that they are up to date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import typer

from snipmill.cli.app import app
from snipmill.cli.configured import Key, find_key
from snipmill.config import Config
from snipmill.reasons import Reason

_BEGIN, _END = "<!-- reasons: generated -->", "<!-- /reasons -->"
_INTRODUCTION = """# Configuration

<!-- Generated from src/snipmill/config.py and config_model.py by `python -m snipmill.cli.reference docs`. Change it there. -->

`snipmill run CONFIG.toml` reads one TOML file. Every key has a default; an unknown key or an invalid value is refused with its
name. The resolved configuration is written to `RUN/config.toml`, and can be run again. Secrets are not part of it: keys
and headers come from environment variables, of which it holds the names.

Every command that uses the configuration also takes `--set KEY=VALUE`, for any key: `--set select.min_confidence=0.6`. A value is
read as TOML, or else as text; a list may be written with commas, and `--set seeds.limit=` restores a default. Options such as
`--limit` name the keys that a command needs most. Of several sources the last one wins: built-in default, the command's own
default, configuration file, `--set`, option.

A file for your own code and your own model needs few keys:

```toml
[run]
dir = "my-run"

[seeds]
sources = ["path/to/my/repository"]
license = "LicenseRef-ours"

[model]
base_url = "http://127.0.0.1:8000/v1"

[generate]
samples = 10
```
"""


_COMMANDS = """# Commands

<!-- Generated from src/snipmill/cli/ by `python -m snipmill.cli.reference docs`. Change it there. -->

Every command shows this with `--help`. Progress, counts and errors go to standard error, so `--out -` can be piped. The exit code
is 0 if all went well, and 130 after Ctrl-C; [troubleshooting](troubleshooting.md) lists the others.
"""


def configuration_page() -> str:
    """docs/configuration.md."""
    return "\n".join([_INTRODUCTION.rstrip(), *_tables(Config(), "", {})]) + "\n"


def _tables(table: Any, prefix: str, shown: dict[type, str]) -> Iterator[str]:
    """A section for each table; a kind of table that was shown before is only named."""
    for name in table.__struct_fields__:
        value = getattr(table, name)
        if not isinstance(value, msgspec.Struct):
            continue
        yield f"\n## [{prefix}{name}]\n\n{inspect.getdoc(type(value))}\n"
        if type(value) in shown:
            yield f"It has the keys and tables of [`[{shown[type(value)]}]`](#{shown[type(value)].replace('.', '')})."
            continue
        shown[type(value)] = f"{prefix}{name}"
        keys = [key for key in value.__struct_fields__ if not isinstance(getattr(value, key), msgspec.Struct)]
        if keys:
            yield "| key | default | meaning |\n| --- | --- | --- |"
        for key in keys:
            found = find_key(f"{prefix}{name}.{key}")
            yield f"| `{key}` | {_default(found)} | {found.meaning}{_values(found)} |"
        yield from _tables(value, f"{prefix}{name}.", shown)


def _default(key: Key) -> str:
    if key.default in (None, ()):
        return key.default_text or ("`[]`" if key.default == () else "not set")
    return f"`{msgspec.json.encode(key.default).decode()}`"


def _values(key: Key) -> str:
    """The values that a key takes, where its type says so."""
    kind = key.type
    if get_origin(kind) is tuple:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal and all(f"`{value}`" in key.meaning for value in get_args(kind)):
        return ""  # the meaning names them
    if get_origin(kind) is Literal:
        return (
            f" One of {', '.join(f'`{value}`' for value in get_args(kind))}."
            if key.type is kind
            else (f" Some of {', '.join(f'`{value}`' for value in get_args(kind))}.")
        )
    if key.most is not None and key.least is not None:
        return f" From {key.least:g} to {key.most:g}."
    if key.above is not None:
        return f" Above {key.above:g}." if key.most is None else f" Above {key.above:g}, at most {key.most:g}."
    return f" At least {key.least:g}." if key.least else ""


def commands_page() -> str:
    """docs/commands.md."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("snipmill", [], resilient_parsing=True)
    return "\n".join([_COMMANDS.rstrip(), *_commands(group, context, "snipmill")]) + "\n"


def _commands(group: Any, context: Any, path: str) -> Iterator[str]:
    """A section for each command, in the order of the help."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from _commands(command, context, f"{path} {name}")
            continue
        here = command.make_context(name, [], resilient_parsing=True)
        given = [_metavar(one, here) for one in command.params if one.param_type_name == "argument"]
        usage = " ".join([path, name, *given, "[OPTIONS]"])
        yield f"\n## {path} {name}\n\n```text\n{usage}\n```\n\n{inspect.cleandoc(command.help)}\n"
        yield "| option | meaning |\n| --- | --- |"
        records = (parameter.get_help_record(here) for parameter in command.params)
        yield from (_option(*record) for record in records if record is not None)  # hidden ones have none


def _metavar(parameter: Any, context: Any) -> str:
    """What an argument stands for."""
    name: str = parameter.get_help_record(context)[0]
    return re.sub(r" <.*>$", "", name).upper() if parameter.metavar is None else re.sub(r" <.*>$", "", name)


def _option(name: str, meaning: str) -> str:
    """A row for an option or an argument, as the help has it: at its end stand default, range and `required` in brackets."""
    name = re.sub(r" <(\w+)( range)?(\[\w+\])?>$", "", name)  # the type
    told = " ".join(meaning.replace(r"[dim]\[", "[").replace("][/]", "]").split())
    notes: list[str] = []
    while bracketed := re.search(r"\s*\[((?:default: |required|[\d.]*(?:<=)?x[<>])[^\[\]]*)\]$", told):
        told = told[: bracketed.start()]
        notes[:0] = bracketed.group(1).split("; ")
    cells = [f"`{name}`", " ".join([told, *map(_note, notes)])]
    return " | ".join(["", *(cell.replace("|", "\\|") for cell in cells), ""]).strip()


def _note(note: str) -> str:
    """A default, a range or `required`, as words."""
    if note.startswith("default: "):
        value = note.removeprefix("default: ").removeprefix("(").removesuffix(")")
        return f"Default: {value if ' ' in value else f'`{value}`'}."
    return "Required." if note == "required" else f"`{note}`."


def reasons_table() -> str:
    """The table of reject reasons, in the order of the data."""
    lines = ["| stage | reason | for example |", "| --- | --- | --- |"]
    lines += [f"| {reason.stages} | `{reason.value}` | {reason.example} |" for reason in Reason]
    return "\n".join(lines)


def with_stage_reasons(page: str) -> str:
    """docs/stages.md with the reasons of each stage of today."""

    def reasons(match: re.Match[str]) -> str:
        stage = match.group(1)
        rows = [f"| `{one.value}` | {one.example} |" for one in Reason if stage in one.stages.split(", ")]
        table = "\n".join(["| dropped as | for example |", "| --- | --- |", *rows])
        return f"<!-- reasons of {stage}: generated -->\n{table}\n<!-- /reasons -->"

    return re.sub(r"<!-- reasons of (\S+): generated -->.*?<!-- /reasons -->", reasons, page, flags=re.DOTALL)


def with_reasons(page: str) -> str:
    """docs/data.md with the table of today."""
    before, _, rest = page.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{reasons_table()}\n{_END}{rest.partition(_END)[2]}"


def main() -> None:
    """Write the generated parts into the folder that is given."""
    docs = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (docs / "configuration.md").write_text(configuration_page(), encoding="utf-8")
    (docs / "commands.md").write_text(commands_page(), encoding="utf-8")
    for name, change in (("data.md", with_reasons), ("stages.md", with_stage_reasons)):
        page = docs / name
        page.write_text(change(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
