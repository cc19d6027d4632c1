from __future__ import annotations

import pytest

from snipmill.config import Config, ModelTable
from snipmill.config_file import load_config, parse_config, render_config
from snipmill.errors import UsageError


def test_defaults_are_the_method_s() -> None:
    config = parse_config("", "x")
    assert (config.model.temperature, config.model.max_tokens, config.generate.samples) == (0.7, 1536, 10)
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
        ('[model]\ntemperature = "hot"', "model.temperature"),
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
    assert not {name for name in ModelTable.__struct_fields__ if "key" in name}
    assert "key" not in render_config(Config())
