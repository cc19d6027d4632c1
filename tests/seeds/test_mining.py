from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from snipmill.config import SeedsTable
from snipmill.errors import UsageError
from snipmill.pipeline.seeds import iterate_seeds
from snipmill.records import Reject, Seed
from snipmill.seeds.extract import extract_functions
from snipmill.seeds.sources import mine

CODE = '''
import os.path, math as m
from sys import argv as arguments
import osmnx

def kept(x, y=1):
    """Return the debug mode of a Mastodon."""
    return x + y

@decorator
def decorated(x):
    """Yields."""
    yield x

def uses_os(p):
    """Join."""
    return os.path.join(p, "a")

def uses_alias(p):
    """First argument."""
    return arguments[0]

def imports_inside(p):
    """Run."""
    import subprocess
    return subprocess.run(p)

def uses_osmnx(p):
    """Graph."""
    return osmnx.graph(p)

def no_arguments():
    """x"""
    return 1

def no_return(x):
    """x"""
    print(x)
    def inner():
        return 1

def single_quotes(x):
    "x"
    return 1

def no_docstring(x):
    return 1

def unfinished(x):
    """x"""
    # TODO: the rest
    return 1

class C:
    def method(self):
        """x"""
        return 1
'''


def mined(path: Path) -> tuple[list[Seed], list[Reject]]:
    records = list(mine(str(path)))
    return [r for r in records if isinstance(r, Seed)], [r for r in records if isinstance(r, Reject)]


def test_the_published_rules(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text(CODE)
    kept, rejects = mined(path)
    names = [seed.seed.partition("def ")[2].partition("(")[0] for seed in kept]
    assert names == ["kept", "decorated", "uses_osmnx"]
    assert Counter(reject.reason for reject in rejects) == {
        "denied-import": 3,
        "no-arguments": 1,
        "no-return-value": 1,
        "docstring-not-triple-quoted": 1,
        "unfinished": 1,
    }
    first = kept[0].provenance
    assert first is not None and (first.line_start, first.line_end) == (6, 8)
    assert kept[1].seed.startswith("@decorator")
    assert CODE.splitlines()[5] == kept[0].seed.splitlines()[0]


def test_the_standard_library_is_named_as_what_it_is() -> None:
    records = list(mine("stdlib"))
    seeds = [record for record in records if isinstance(record, Seed)]
    assert len(seeds) > 300
    for seed in seeds:
        assert seed.provenance is not None
        assert (seed.provenance.source, seed.provenance.license) == ("cpython", "PSF-2.0")
        assert '"""' in seed.seed or "'''" in seed.seed


def test_folders_are_walked_in_order_and_odd_files_cost_only_themselves(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "good.py").write_text(CODE)
    (tmp_path / "a_latin.py").write_bytes(b"# -*- coding: latin-1 -*-\ndef f(x):\n    '''\xe4'''\n    return x\n")
    (tmp_path / "binary.py").write_bytes(b"\x00\x01\xff")
    (tmp_path / "broken.py").write_text(CODE + "\ndef broken(:\n")
    (tmp_path / "empty.py").touch()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(CODE)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.txt")
    kept, rejects = mined(tmp_path)
    paths = [seed.provenance.path for seed in kept if seed.provenance is not None]
    assert paths == ["a_latin.py", *["b/good.py"] * 3, *["broken.py"] * 3]
    assert {reject.reason for reject in rejects} >= {"not-python-text", "unreadable"}
    with pytest.raises(UsageError):
        mined(tmp_path / "nowhere")


def test_repeated_seeds_are_dropped_and_shuffling_is_seeded(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text(CODE)
    dropped: list[Reject] = []
    table = SeedsTable(sources=(str(tmp_path),))
    assert len(list(iterate_seeds(table, 0, dropped.append))) == 3
    assert [reject.reason for reject in dropped].count("duplicate-seed") == 3
    stdlib = SeedsTable(sources=("stdlib",), shuffle=True, limit=20)
    one = [seed.id for seed in iterate_seeds(stdlib, 1, dropped.append)]
    assert one == [seed.id for seed in iterate_seeds(stdlib, 1, dropped.append)]
    assert one != [seed.id for seed in iterate_seeds(stdlib, 2, dropped.append)]
    later = SeedsTable(sources=("stdlib",), shuffle=True, start=5, limit=15)
    assert [seed.id for seed in iterate_seeds(later, 1, dropped.append)] == one[5:]


def test_deep_and_odd_code_does_not_break_the_extractor() -> None:
    assert list(extract_functions(b"(" * 50_000)) == []
    assert list(extract_functions(b"def f(x):\n    '''" + b"a" * 1_000_000)) == []
    assert list(extract_functions(b"if x:\n" + b"  " * 500 + b"y")) == []
