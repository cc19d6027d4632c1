from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from snipmill.config import Config, RunTable, SeedsTable
from snipmill.errors import UsageError
from snipmill.records import Reject, Seed
from snipmill.seeds.extract.python import extract_functions
from snipmill.seeds.mine_document import MineSettings, mine_document
from snipmill.seeds.sources.resolve import open_source
from snipmill.seeds.sources.tree import Origin
from snipmill.stages.seed_stream import iterate_seeds, resolve_seeds
from snipmill.store.reading import read_records
from snipmill.text.code import syntax_tree

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

def decorator(f):
    return f

class C:
    def method(self):
        """x"""
        return 1
'''


def mined_from(source: str, **settings: Any) -> list[Seed | Reject]:
    mine = MineSettings(licenses=frozenset({"any"}), **settings)
    documents = open_source(source, None, Origin(""))
    return [found for one in documents for found in ([one] if isinstance(one, Reject) else mine_document(one, mine))]


def configured(*sources: str, **seeds: Any) -> Config:
    return Config(seeds=SeedsTable(sources=sources, licenses=("any",), types=False, **seeds))


def mined(path: Path) -> tuple[list[Seed], list[Reject]]:
    records = mined_from(str(path))
    return [r for r in records if isinstance(r, Seed)], [r for r in records if isinstance(r, Reject)]


def test_the_published_rules(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text(CODE)
    kept, rejects = mined(path)
    names = [seed.seed.rpartition("\ndef ")[2].removeprefix("def ").partition("(")[0] for seed in kept]
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
    assert kept[1].seed.startswith("def decorator(f):\n    return f\n\n\n@decorator\ndef decorated")
    assert CODE.splitlines()[5] == kept[0].seed.splitlines()[0]
    assert kept[2].seed.startswith("import osmnx\n\n\ndef uses_osmnx")


@pytest.mark.xdist_group("stdlib")
def test_the_standard_library_is_named_as_what_it_is(mined_stdlib: Path) -> None:
    seeds = [record for record in read_records(str(mined_stdlib), Seed, "seeds") if isinstance(record, Seed)]
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
    assert {reject.reason for reject in rejects} >= {"not-text"}
    with pytest.raises(UsageError):
        mined(tmp_path / "nowhere")


def test_repeated_seeds_are_dropped_and_shuffling_is_seeded(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text(CODE)
    dropped: list[Reject] = []
    assert len(list(iterate_seeds(resolve_seeds(configured(str(tmp_path), near=0)), dropped.append))) == 3
    assert [reject.reason for reject in dropped].count("duplicate-seed") == 3

    def drawn(run_seed: int, **order: int) -> list[str]:
        table = configured("stdlib:heapq,json,statistics,textwrap,calendar", shuffle=True, **order)
        config = msgspec.structs.replace(table, run=RunTable(seed=run_seed))
        return [seed.id for seed in iterate_seeds(resolve_seeds(config), dropped.append)]

    one = drawn(1, limit=20)
    assert len(one) == 20
    assert one == drawn(1, limit=20)
    assert one != drawn(2, limit=20)
    assert drawn(1, start=5, limit=15) == one[5:]


def test_deep_and_odd_code_does_not_break_the_extractor() -> None:
    for code in (b"(" * 50_000, b"def f(x):\n    '''" + b"a" * 1_000_000, b"if x:\n" + b"  " * 500 + b"y"):
        assert list(extract_functions(syntax_tree(code))) == []
