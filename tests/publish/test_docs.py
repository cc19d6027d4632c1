"""The pages on training and rewards speak of every format."""

from __future__ import annotations

from pathlib import Path

from snipmill.publish.formats import harbor, reward_tasks
from snipmill.publish.formats.catalogue import ABOUT

DOCS = Path(__file__).parents[2] / "docs"


def test_every_format_has_its_part() -> None:
    training, rewards = ((DOCS / name).read_text() for name in ("training.md", "rewards.md"))
    of_rewards = {harbor.NAME, *(one.name for one in reward_tasks.FORMATS)}
    for name in ABOUT:
        if name in of_rewards:
            assert f"--format {name}" in rewards, name
        else:
            assert f"### {name}\n" in training, name
