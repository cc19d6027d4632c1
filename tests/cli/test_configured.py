"""Options come from the configuration: what a key says is what its option says, and any key can be set on any command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snipmill.cli import reference
from snipmill.cli.configured import configured, find_key
from snipmill.config import CATEGORIES, Config, GenerateTable, LookTable, RunTable, SeedsTable, SelectTable
from snipmill.config_file import (
    change_config,
    load_config,
    parse_assignments,
    parse_config,
    render_config,
    render_value,
)
from snipmill.config_model import ModelTable
from snipmill.reasons import Reason
from tests.conftest import RESPONSE, Snipmill, read_lines, write_lines
from tests.standin import StandIn

DOCS = Path(__file__).parents[2] / "docs"
SHARE = st.floats(0, 1, allow_nan=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
CONFIGS = st.builds(
    Config,
    run=st.builds(RunTable, dir=TEXT, seed=st.integers(0, 1 << 40)),
    seeds=st.builds(
        SeedsTable,
        sources=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
        limit=st.none() | st.integers(1, 99),
        near=SHARE,
        types=st.booleans(),
        license=st.none() | TEXT,
    ),
    model=st.builds(
        ModelTable, base_url=st.none() | TEXT | st.lists(TEXT, max_size=2).map(tuple), timeout=st.floats(0.1, 9)
    ),
    generate=st.builds(
        GenerateTable, categories=st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=3).map(tuple)
    ),
    select=st.builds(
        SelectTable, look=st.builds(LookTable, tags=st.none() | st.booleans(), reasoning=st.none() | SHARE)
    ),
)


def keys(table: Any = Config(), prefix: str = "") -> list[str]:  # noqa: B008
    found: list[str] = []
    for name in table.__struct_fields__:
        value = getattr(table, name)
        found += keys(value, f"{prefix}{name}.") if isinstance(value, msgspec.Struct) else [f"{prefix}{name}"]
    return found


@given(CONFIGS)
def test_any_configuration_reads_back_as_it_was_written(config: Config) -> None:
    assert parse_config(render_config(config), "x") == config


@given(CONFIGS, CONFIGS)
def test_any_key_can_be_set_to_any_value_that_it_can_have(before: Config, wanted: Config) -> None:
    for dotted in keys():
        value: Any = wanted
        for name in dotted.split("."):
            value = getattr(value, name)
        text = "" if value is None else render_value(value)
        changed: Any = change_config(before, parse_assignments([f"{dotted}={text}"]), "--set")
        for name in dotted.split("."):
            changed = getattr(changed, name)
        assert changed == value, dotted


def test_a_list_may_be_a_text_with_commas() -> None:
    changes = parse_assignments(
        ["generate.categories=class, function", "seeds.sources=a", "generate.difficulties=['easy']"]
    )
    changed = change_config(Config(), changes, "--set")
    assert changed.generate.categories == ("class", "function") and changed.seeds.sources == ("a",)
    assert changed.generate.difficulties == ("easy",)


def test_every_key_says_what_it_means() -> None:
    for dotted in keys():
        found = find_key(dotted)
        assert found.meaning.endswith("."), dotted


def test_the_generated_documentation_is_up_to_date() -> None:
    """`python -m snipmill.cli.reference docs` writes it anew."""
    assert (DOCS / "configuration.md").read_text() == reference.configuration_page()
    page = (DOCS / "data.md").read_text()
    assert page == reference.with_reasons(page)
    assert all(f"| `{reason.value}` |" in page and reason.example for reason in Reason)


def test_later_wins() -> None:
    found: list[Config] = []
    command = configured(
        lambda config: found.append(config), ["generate.samples", "seeds.limit"], {"generate.samples": 3}
    )
    nothing = {"generate__samples": None, "seeds__limit": None}
    command(**nothing, assignments=None)
    command(**nothing, assignments=["generate.samples=5", "seeds.limit=7"])
    command(**nothing | {"generate__samples": 9}, assignments=["generate.samples=5"])
    assert [(one.generate.samples, one.seeds.limit) for one in found] == [(3, None), (5, 7), (9, None)]


def test_any_key_on_any_command(snipmill: Snipmill, standin: StandIn, tmp_path: Path) -> None:
    write_lines(tmp_path / "rows", *({"instruction": f"Double it {n}.", "response": RESPONSE} for n in range(2)))
    done = snipmill("select", "rows", "-o", "all", "--set", "select.near_code=0", "--set", "select.near_instructions=0")
    assert done.returncode == 0, done.stderr
    assert [reject["reason"] for reject in read_lines(tmp_path / "all.rejects.jsonl")] == ["duplicate-response"]
    write_lines(
        tmp_path / "seeds.jsonl", *({"seed": f'def f{n}(x):\n    """Add."""\n    return x\n'} for n in range(4))
    )
    (tmp_path / "c.toml").write_text('[run]\ndir = "run"\n[seeds]\nsources = ["seeds.jsonl"]\n')
    done = snipmill(
        "run", "c.toml", "--base-url", standin.url, "--set", "generate.samples=2", "--set", "verify.rerun=false"
    )
    assert done.returncode == 0, done.stderr
    kept = load_config(tmp_path / "run" / "config.toml")
    assert kept.generate.samples == 2 and not kept.verify.rerun and len(standin.requests) == 4 + 4 + 8
    plan = snipmill("status", "run", "--set", "generate.samples=5")
    assert plan.returncode == 0 and "generate.samples=5" in plan.stderr
    assert any(line.split()[:3] == ["responses", "8", "12"] for line in plan.stderr.splitlines()), plan.stderr


@pytest.mark.parametrize("command", ["responses", "select", "audit", "run", "seeds"])
def test_help_shows_the_defaults_of_the_configuration(snipmill: Snipmill, command: str) -> None:
    shown = snipmill(command, "--help").stdout
    assert "--set" in shown and ("default: 0.7" in shown or command not in ("responses", "select"))
