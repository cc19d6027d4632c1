"""Files that packages write when a zygote imports them: each of its programs finds them, as if it had imported them itself."""

from __future__ import annotations

import os

from snipmill.sandbox.child.box import WORK
from snipmill.sandbox.child.new_root import OWN_FOLDERS
from snipmill.sandbox.child.walls import Walls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    LeftFile = tuple[str, bytes | None]  # the path, and the content; None for a folder

_LARGEST = 1 << 20  # bytes of all files together


def take(walls: Walls) -> tuple[list[LeftFile], str]:
    """What lies in the box, and why it cannot be put back if that is so."""
    found: list[LeftFile] = []
    size = 0
    for folder in (WORK, *OWN_FOLDERS):
        for entry in _entries(folder, walls):
            if entry.is_dir(follow_symlinks=False):
                found.append((entry.path, None))
            elif entry.is_file(follow_symlinks=False):
                size += entry.stat().st_size
                if size > _LARGEST:
                    return [], "its import writes large files"
                with open(entry.path, "rb") as file:
                    found.append((entry.path, file.read()))
            else:
                return [], "its import makes a file that is not a plain one"
    return found, ""


def _entries(folder: str, walls: Walls) -> Iterator[os.DirEntry[str]]:
    """Everything in a folder of the box, parents first, but what lies there of Python itself."""
    for entry in os.scandir(folder):
        if entry.path in walls.covered:
            continue
        if entry.path not in walls.box_places:
            yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, walls)


def put_back(left: Sequence[LeftFile]) -> None:
    """Write files and folders as they were."""
    for path, content in left:
        if content is None:
            os.makedirs(path, exist_ok=True)
        else:
            with open(path, "wb") as file:
                file.write(content)
