"""All formats, in the order of `--format list`."""

from __future__ import annotations

from snipmill.publish.formats import harbor, preferences, repair, reward_tasks, sft
from snipmill.publish.formats.item import Format

TABLES: dict[str, Format] = {
    one.name: one for one in (*sft.FORMATS, *preferences.FORMATS, *repair.FORMATS, *reward_tasks.FORMATS)
}
ROW_FORMATS = frozenset(name for name, one in TABLES.items() if one.of_row is not None)  # show no sample but the rows
ABOUT = {**{name: one.about for name, one in TABLES.items()}, harbor.NAME: harbor.ABOUT}
