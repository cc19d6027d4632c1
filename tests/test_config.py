from __future__ import annotations

import pytest

from snipmill.config import Config
from snipmill.config_file import change_config, load_config, parse_config, render_config
from snipmill.config_model import ModelTable
from snipmill.errors import UsageError


def test_defaults_are_the_method_s() -> None:
    config = parse_config("", "x")
    assert (config.model.sampling.temperature, config.model.max_tokens, config.generate.samples) == (None, 1536, 10)
    shots = config.generate.shots
    assert (shots.concepts, shots.instructions, shots.responses) == (8, 8, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[run]\nseed = 4\n[generate]\ncategories = ["class"]\n[generate.shots]\nresponses = 2\n',
        '[seeds]\nsources = ["a\\"b", "ü"]',
        '[model.extra_body]\n"a.b" = [1, {c = "d", e = [true, 2.5]}]\nx = {}\n[model.headers]\nX-Team = "T"\n',
        "[run]\nmax_cost = inf\n",
    ],
)
def test_a_rendered_configuration_reads_back(text: str) -> None:
    config = parse_config(text, "x")
    assert parse_config(render_config(config), "y") == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[generate]\nsamples = 0", "generate.samples"),
        ("[generate]\nsample = 3", "sample"),
        ('[model]\nprompting = "talk"', "model.prompting"),
        ('[model]\ntemperature = "hot"', "model.sampling.temperature"),
        ("[model", "no TOML"),
        ("[model.extra_body]\nx = inf", "JSON"),
        ("[model.extra_body]\nx = [{y = 2024-01-01}]", "JSON"),
        ("[model.stages.responses]\nnam = 'x'", "nam"),
        ("[model.sampling]\ntop_p = 2", "model.sampling.top_p"),
        ("[judge.model.sampling]\ntop_k = 0.5", "judge.model.sampling.top_k"),
        ("[model]\nextra_body = 3", "extra_body"),
        ("[generate]\ncategories = []", "at least one"),
    ],
)
def test_what_cannot_be_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_config(text, "c.toml")


def test_free_tables_can_be_changed_key_by_key() -> None:
    config = parse_config("[model.extra_body]\na = 1\nb = {c = 2}\n", "x")
    changed = change_config(config, {"model.extra_body.a": None, "model.extra_body.b.d": True})
    assert changed.model.extra_body == {"b": {"c": 2, "d": True}}
    assert change_config(config, {"model.extra_body": None}).model.extra_body == {}
    for wrong in ("modle.extra_body.x", "model.stages.respones.extra_body.x", "model.extra_body.a.z"):
        with pytest.raises(UsageError, match="there is no key"):
            change_config(config, {wrong: 1})


def test_the_old_key_of_the_temperature_is_read() -> None:
    for text in ("[model]\ntemperature = 0.3", "[model]\ntemperature = 0.9\n[model.sampling]\ntemperature = 0.3"):
        assert parse_config(text, "x").model.sampling.temperature == 0.3
    assert change_config(Config(), {"model.temperature": 0.3}).model.sampling.temperature == 0.3


def test_files_that_are_none(tmp_path: object) -> None:
    for name in ("nowhere.toml", str(tmp_path)):
        with pytest.raises(UsageError):
            load_config(name)


def test_no_key_is_part_of_a_configuration() -> None:
    """Only the name of the variable that holds one."""
    assert [name for name in ModelTable.__struct_fields__ if "key" in name] == ["key_variable"]
    assert "sk-" not in render_config(Config())
