from __future__ import annotations

import pytest

from snipmill.config import Config
from snipmill.config_file import load_config, parse_config, render_config
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
        ("[generate]\ncategories = []", "at least one"),
    ],
)
def test_what_cannot_be_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_config(text, "c.toml")


def test_files_that_are_none(tmp_path: object) -> None:
    for name in ("nowhere.toml", str(tmp_path)):
        with pytest.raises(UsageError):
            load_config(name)


def test_no_key_is_part_of_a_configuration() -> None:
    """Only the name of the variable that holds one."""
    assert [name for name in ModelTable.__struct_fields__ if "key" in name] == ["key_variable"]
    assert "sk-" not in render_config(Config())
