from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import zstandard
from dulwich import porcelain
from dulwich.repo import Repo
from dulwich.server import BackendRepo, DictBackend
from dulwich.web import make_wsgi_chain
from identify.vendor.licenses import LICENSES

from snipmill.errors import UsageError
from snipmill.records import Reject, Seed
from snipmill.seeds.document import Document
from snipmill.seeds.mine_document import MineSettings, mine_document
from snipmill.seeds.sources.resolve import expand_glob, open_source
from snipmill.seeds.sources.table import Columns
from snipmill.seeds.sources.tree import Origin
from tests.conftest import Snipmill
from tests.hub import Hub

CODE = '''def half(x):
    """Return half of x."""
    return x / 2
'''
MIT = dict(LICENSES)["MIT"].encode()


def opened(source: object, columns: Columns | None = None, license: str | None = None) -> list[Document | Reject]:
    return list(open_source(str(source), columns, Origin("", None, license)))


def seeds_of(source: object, columns: Columns | None = None, license: str | None = None) -> list[Seed | Reject]:
    found: list[Seed | Reject] = []
    for one in opened(source, columns, license):
        found += [one] if isinstance(one, Reject) else mine_document(one, MineSettings())
    return found


def reasons(found: list[Seed | Reject]) -> list[str]:
    return [one.reason if isinstance(one, Reject) else "kept" for one in found]


def paths(found: list[Document | Reject]) -> list[str | None]:
    return [one.path for one in found if isinstance(one, Document)]


def test_gitignore_files_hold_for_what_lies_below_them(tmp_path: Path) -> None:
    for name in ("a.py", "build/x.py", "pkg/kept.py", "pkg/local.py", "pkg/deep/local.py", "pkg/deep/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(CODE)
    (tmp_path / ".gitignore").write_text("build/\nlocal.py\n")
    (tmp_path / "pkg" / "deep" / ".gitignore").write_text("!local.py\n/b.py\n")
    assert paths(opened(tmp_path)) == ["a.py", "pkg/deep/local.py", "pkg/kept.py"]


def test_the_nearest_licence_holds(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_bytes(MIT)
    (tmp_path / "vendored").mkdir()
    (tmp_path / "vendored" / "COPYING").write_text("You may look at this, and nothing else.")
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "gpl.py").write_text("# SPDX-License-Identifier: GPL-3.0-or-later\n" + CODE)
    (tmp_path / "vendored" / "b.py").write_text(CODE)
    found = seeds_of(tmp_path)
    assert reasons(found) == ["kept", "license-not-allowed", "license-not-allowed"]
    first = found[0]
    assert isinstance(first, Seed) and first.provenance is not None and first.provenance.license == "MIT"
    unlicensed = tmp_path / "vendored" / "COPYING"
    unlicensed.unlink()
    (tmp_path / "LICENSE").unlink()
    assert reasons(seeds_of(tmp_path)) == ["license-unknown", "license-not-allowed", "license-unknown"]
    assert reasons(seeds_of(tmp_path, license="MIT")) == ["kept", "license-not-allowed", "kept"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "COPYING").write_text(dict(LICENSES)["GPL-3.0"])
    (other / "LICENSE.thirdparty").write_text("You may do what the vendor agreement permits, and nothing else at all.")
    (other / "half.py").write_text(CODE)
    assert reasons(seeds_of(other, license="MIT")) == ["license-not-allowed"]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[Path, str, str]]:
    """A repository with two commits, and uncommitted work; its path and the ids of the commits."""
    root = tmp_path / "project"
    root.mkdir()
    with porcelain.init(root):
        pass
    ids: list[str] = []
    for number, name in enumerate(("old.py", "sub/new.py")):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(CODE.replace("half", f"half_{number}"))
        (root / "LICENSE").write_bytes(MIT)
        porcelain.add(root, [path, root / "LICENSE"])
        ids.append(porcelain.commit(root, message=b"more", author=b"A <a@b.c>", committer=b"A <a@b.c>").decode())
    porcelain.tag_create(root, b"v1", objectish=ids[0].encode(), annotated=True, message=b"one", author=b"A <a@b.c>")
    porcelain.branch_create(root, "side", objectish=ids[0])
    (root / "uncommitted.py").write_text(CODE)
    (root / "link.py").symlink_to(root / "old.py")
    yield root, ids[0], ids[1]


def test_a_repository_is_read_at_a_commit(repository: tuple[Path, str, str]) -> None:
    root, first, second = repository
    found = seeds_of(root)
    assert reasons(found) == ["kept", "kept"]
    for seed in found:
        assert isinstance(seed, Seed) and seed.provenance is not None
        origin = seed.provenance
        assert (origin.source, origin.revision, origin.license) == ("project", second, "MIT")
    for revision in ("v1", first, first[:10]):
        (only,) = opened(f"{root}@{revision}")
        assert isinstance(only, Document) and (only.path, only.revision) == ("old.py", first)
    with pytest.raises(UsageError, match=r"no revision 'nope'"):
        opened(f"{root}@nope")
    with pytest.raises(UsageError, match="no git repository that can be read"):
        opened(f"git+{root.parent}")


def test_a_part_of_a_repository_is_under_its_licence(repository: tuple[Path, str, str]) -> None:
    root, _, _ = repository
    (root / ".gitignore").write_text("ignored.py\n")
    (root / "sub" / "ignored.py").write_text(CODE)
    (seed,) = seeds_of(root / "sub")
    assert isinstance(seed, Seed) and seed.provenance is not None
    origin = seed.provenance
    assert (origin.source, origin.revision, origin.path, origin.license) == ("project", None, "sub/new.py", "MIT")


def test_a_repository_without_commits_is_told_in_one_sentence(tmp_path: Path) -> None:
    with porcelain.init(tmp_path):
        pass
    with pytest.raises(UsageError, match="has no commits"):
        opened(tmp_path)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_a_repository_is_cloned_over_http_and_its_user_is_not_kept(repository: tuple[Path, str, str]) -> None:
    root, first, second = repository
    with Repo(str(root)) as repo:
        backends: dict[str, BackendRepo] = {"/project": repo}
        app = make_wsgi_chain(DictBackend(backends))
        server = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            address = f"127.0.0.1:{server.server_port}/project"
            found = opened(f"git+http://user@{address}")
            assert paths(found) == ["old.py", "sub/new.py"]
            for one in found:
                assert isinstance(one, Document)
                assert (one.source, one.revision) == (f"http://{address}", second)
            assert paths(opened(f"git+http://{address}@side")) == ["old.py"]
            (old,) = opened(f"git+http://{address}@{first}")
            assert isinstance(old, Document) and old.path == "old.py"
            with pytest.raises(UsageError, match="cannot be cloned") as caught:
                opened(f"git+http://somebody@{address}-of-nobody")
            assert "somebody" not in str(caught.value)
        finally:
            server.shutdown()
            server.server_close()


def _wheel(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("thing/__init__.py", "")
        file.writestr("thing/a.py", CODE)
        file.writestr(
            "thing/b.py", "from thing.a import half\n\n" + CODE.replace("half(x)", "use(x)\n").replace("\n:", ":")
        )
        file.writestr("thing-1.2.dist-info/METADATA", "Metadata-Version: 2.4\nName: thing\nLicense-Expression: isc\n")
        file.writestr("../outside.py", CODE)


def _sdist(path: Path) -> None:
    with tarfile.open(path, "w:gz") as file:
        members = {
            "thing-1.2/thing/a.py": CODE.encode(),
            "thing-1.2/LICENSE": MIT,
            "thing-1.2/PKG-INFO": b"Name: thing\n",
        }
        for name, raw in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            file.addfile(member, io.BytesIO(raw))
        link = tarfile.TarInfo("thing-1.2/etc.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)


@pytest.mark.parametrize(
    ("name", "make", "license"),
    [("thing-1.2-py3-none-any.whl", _wheel, "ISC"), ("thing-1.2.tar.gz", _sdist, "MIT")],
)
def test_archives_are_read_in_place(tmp_path: Path, name: str, make: object, license: str) -> None:
    assert callable(make)
    make(tmp_path / name)
    first = next(one for one in seeds_of(tmp_path / name) if isinstance(one, Seed))
    assert first.provenance is not None
    origin = first.provenance
    assert (origin.source, origin.revision, origin.path, origin.license) == ("thing", "1.2", "thing/a.py", license)
    assert not [path for path in paths(opened(tmp_path / name)) if path in ("etc.py", "outside.py")]
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    with pytest.raises(UsageError, match="cannot be read as an archive"):
        opened(tmp_path / name)


ROWS = [
    {"content": CODE, "lic": "mit", "where": "a.py", "lang": "python"},
    {"content": CODE.replace("half", "quarter"), "lic": "Apache License 2.0", "where": "b.py", "lang": "Python"},
    {"content": CODE.replace("half", "third"), "lic": "GPLv3", "where": "c.py", "lang": "Python"},
    {"content": CODE, "lic": "No idea", "where": "d.py", "lang": "Python"},
    {"content": CODE, "lic": "MIT", "where": "e.rs", "lang": "Rust"},
    {"content": "", "lic": "MIT", "where": "f.py", "lang": "Python"},
]
COLUMNS = Columns("content", "lic", "where", language="lang")
OUTCOMES = ["kept", "kept", "license-not-allowed", "license-not-allowed", "other-language", "not-a-row"]


def _tables(folder: Path) -> list[Path]:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    for name, raw in (
        ("t.jsonl", lines),
        ("t.jsonl.gz", gzip.compress(lines)),
        ("t.jsonl.bz2", bz2.compress(lines)),
        ("t.jsonl.xz", lzma.compress(lines)),
        ("t.jsonl.zst", zstandard.ZstdCompressor().compress(lines)),
    ):
        (folder / name).write_bytes(raw)
    for name, delimiter in (("t.csv", ","), ("t.tsv", "\t")):
        with (folder / name).open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(ROWS[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(ROWS)
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist(ROWS), folder / "t.parquet")
    return sorted(folder.iterdir())


def test_tables_of_every_kind_give_the_same(tmp_path: Path) -> None:
    files = _tables(tmp_path)
    assert len(files) == 8
    for path in files:
        found = seeds_of(path, COLUMNS)
        assert reasons(found) == OUTCOMES, path
        first = found[0]
        assert isinstance(first, Seed) and first.provenance is not None
        assert (first.provenance.source, first.provenance.path) == (path.name, "a.py")
        with pytest.raises(UsageError, match=r"no column 'code'; its columns are content, lang, lic, where"):
            opened(path, Columns("code"))
    assert expand_glob(f"{tmp_path}/*.jsonl*") == [str(path) for path in files if ".jsonl" in path.name]
    with pytest.raises(UsageError, match="No file matches"):
        expand_glob(f"{tmp_path}/*.nothing")
    with pytest.raises(UsageError, match="--column"):
        opened(tmp_path / "t.csv")


def test_odd_rows_cost_only_themselves(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    good = json.dumps({"content": CODE, "lic": ["MIT", "Apache-2.0"]}).encode() + b"\n"
    path.write_bytes(
        good + b"{broken\n[1]\n\n" + b'{"content": 7, "lic": "MIT"}\n{"lic": "MIT"}\n' + b"[" * 9000 + b"\n" + good
    )
    found = seeds_of(path, Columns("content", "lic"))
    assert reasons(found) == ["kept", *["not-a-row"] * 5, "kept"]
    assert isinstance(found[0], Seed) and found[0].provenance is not None
    assert found[0].provenance.license == "Apache-2.0 AND MIT"
    whole = tmp_path / "cut.jsonl.gz"
    whole.write_bytes(gzip.compress(good * 1000)[:-20])
    *before, last = opened(whole, Columns("content"))
    assert len(before) > 900 and all(isinstance(one, Document) for one in before)
    assert isinstance(last, Reject) and last.reason == "damaged-file"


def test_files_of_any_kind_cost_only_themselves(tmp_path: Path) -> None:
    (tmp_path / "binary.py").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "broken.py").write_text(
        f"{CODE}\n\ndef bad(x:\n    '''No.'''\n    return (\n\n\n{CODE.replace('half', 'after')}"
    )
    (tmp_path / "deep.py").write_text("x = " + "(" * 5000 + ")" * 5000 + "\n\n" + CODE.replace("half", "deep"))
    (tmp_path / "latin.py").write_bytes('def f(x):\n    """é"""\n    return x\n'.encode("latin-1"))
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    (tmp_path / "long.py").write_bytes(b"x = 1\n" * 9_000_000)
    (tmp_path / "nested.py").write_text(
        'def nested(x):\n    """Return it."""\n    return x' + "[(\n" * 50 + "0" + ",)]\n" * 50
    )
    (tmp_path / "utf16.py").write_text(CODE, encoding="utf-16")
    os.mkfifo(tmp_path / "pipe.py")
    os.mkfifo(tmp_path / "LICENSE")
    os.mkfifo(tmp_path / ".gitignore")
    (tmp_path / "coded.py").write_text("# coding: undefined\n" + CODE)
    (tmp_path / "puny.py").write_text("# coding: punycode\n" + CODE)
    found = [one for one in opened(tmp_path, license="MIT") if not isinstance(one, Document) or one.path != "pipe.py"]
    outcomes: dict[str, list[str]] = {}
    for one in found:
        assert isinstance(one, Document)
        outcomes[str(one.path)] = reasons(list(mine_document(one, MineSettings())))
    outcomes.pop("puny.py")  # any outcome will do: it did not end the mining
    assert outcomes == {
        "binary.py": ["not-text"],
        "broken.py": ["kept", "kept", "file-syntax-error"],
        "coded.py": ["not-text"],
        "deep.py": ["kept"],
        "latin.py": ["not-text"],
        "long.py": ["file-too-large"],
        "nested.py": ["nested-too-deeply"],
        "utf16.py": ["not-text"],
    }
    gone = Document("gone.py", tmp_path / "gone.py", license="MIT")
    assert reasons(list(mine_document(gone, MineSettings()))) == ["unreadable"]
    fifo = Document("pipe.py", tmp_path / "pipe.py", license="MIT")
    assert reasons(list(mine_document(fifo, MineSettings()))) == ["unreadable"]


def test_a_data_set_on_the_hub_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    files = {"datasets/owner/code/resolve/main/data/train.jsonl": lines}
    script = tmp_path / "stream.py"
    script.write_text(
        "import sys\n"
        "from snipmill.errors import UsageError\n"
        "from snipmill.seeds.sources.resolve import open_source\n"
        "from snipmill.seeds.sources.table import Columns\n"
        "from snipmill.seeds.sources.tree import Origin\n"
        "try:\n"
        "    for one in open_source(sys.argv[1], Columns('content', 'lic', 'where', language='lang'), Origin('')):\n"
        "        print(getattr(one, 'source', '-'), getattr(one, 'revision', '-'), getattr(one, 'path', '-'))\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    with Hub(files) as hub:
        done = run_script(script, "hub:owner/code", tmp_path, hub.url)
        assert done[0] == f"hub:owner/code {hub.COMMIT} a.py"
        assert len(done) == len(ROWS)
        (missing,) = run_script(script, "hub:owner/none", tmp_path, hub.url)
        assert missing.startswith("hub:owner/none cannot be read: ")
        (option,) = run_script(script, "hub:owner/code?splt=train", tmp_path, hub.url)
        assert "no option 'splt'" in option


def run_script(script: Path, argument: str, home: Path, endpoint: str) -> list[str]:
    import subprocess
    import sys

    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf")}
    done = subprocess.run(
        [sys.executable, str(script), argument],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"content": CODE, "n": n}) + "\n" for n in range(3000)).encode()
    packed = {
        "t.jsonl.gz": gzip.compress(lines),
        "t.jsonl.bz2": bz2.compress(lines),
        "t.jsonl.xz": lzma.compress(lines),
        "t.jsonl.zst": zstandard.ZstdCompressor().compress(lines),
    }
    with tarfile.open(tmp_path / "x-1.0.tar.xz", "w:xz") as file:
        for n in range(200):
            member = tarfile.TarInfo(f"x-1.0/{n}.py")
            raw = os.urandom(500)
            member.size = len(raw)
            file.addfile(member, io.BytesIO(raw))
    packed["x-1.0.tar.xz"] = (tmp_path / "x-1.0.tar.xz").read_bytes()
    draw = random.Random(1)
    for name, raw in packed.items():
        for attempt in range(12):
            damaged = bytearray(raw)
            if attempt < 4:
                del damaged[draw.randrange(len(raw) // 4, len(raw) - 4) :]
            else:
                damaged[draw.randrange(20, len(raw) - 20)] ^= 0xFF
            (tmp_path / name).write_bytes(damaged)
            try:
                found = opened(tmp_path / name, Columns("content"))
            except UsageError as error:
                assert "cannot be read" in str(error) and "\n" not in str(error)
            else:
                told = isinstance(found[-1], Reject) and found[-1].reason == "damaged-file"
                assert told or attempt >= 4, "a file that ends too early may not look whole"
    double = zstandard.ZstdCompressor().compress(lines[: len(lines) // 2]) + zstandard.ZstdCompressor().compress(
        lines[len(lines) // 2 :]
    )
    (tmp_path / "two.jsonl.zst").write_bytes(double)
    assert len(opened(tmp_path / "two.jsonl.zst", Columns("content"))) == 3000


def test_one_damaged_member_costs_only_itself(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for n in range(20):
            file.writestr(f"{n:02}.py", CODE * 50)
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    start = raw.index(b"07.py") + 10
    raw[start : start + 10] = b"\xff" * 10
    (tmp_path / "a.zip").write_bytes(raw)
    found = opened(tmp_path / "a.zip")
    assert [one.reason for one in found if isinstance(one, Reject)] == ["unreadable"]
    assert len(found) == 20


def test_committed_package_metadata_and_files_named_like_licences(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "thing-1.0.dist-info").mkdir(parents=True)
    (root / "thing-1.0.dist-info" / "METADATA").write_text("Name: thing\nLicense-Expression: MIT\n")
    (root / "license.php").write_text("<?php\n/** Doubles. */\nfunction f($x) { return 2 * $x; }\n")
    (root / "a.py").write_text(CODE)
    with porcelain.init(root):
        pass
    porcelain.add(root, [path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts])
    porcelain.commit(root, message=b"all", author=b"A <a@b.c>", committer=b"A <a@b.c>")
    found = list(open_source(str(root), None, Origin("", None, None, frozenset({"Python", "PHP"}))))
    assert paths(found) == ["a.py", "license.php"]


def test_a_folder_that_is_named_is_read_whatever_is_ignored_above_it(repository: tuple[Path, str, str]) -> None:
    root, _, _ = repository
    (root / ".gitignore").write_text("*\n[z-a]\nfoo\\\n")
    assert paths(opened(root / "sub")) == ["new.py"]
    (root / ".gitignore").write_text("!\n[z-a]\nfoo\\\nnew.py\n")
    assert paths(opened(root / "sub")) == []


def test_folders_without_end_cost_only_themselves(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(150):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text(CODE)
    found = opened(tmp_path)
    assert paths(found) == ["b.py"]
    assert [one.reason for one in found if isinstance(one, Reject)] == ["unreadable"]


def test_an_address_with_a_password_is_refused_before_it_is_written(tmp_path: Path, snipmill: Snipmill) -> None:
    (tmp_path / "c.toml").write_text(
        '[run]\ndir = "run"\n[seeds]\nsources = ["git+https://user:hunter2@localhost/x"]\n'
    )
    done = snipmill("run", "c.toml")
    assert done.returncode == 2 and "holds a password" in " ".join(done.stderr.split())
    assert "hunter2" not in done.stderr and not (tmp_path / "run").exists()


def test_a_damaged_archive_does_not_look_whole(tmp_path: Path) -> None:
    path = tmp_path / "x-1.0.tar"
    with tarfile.open(path, "w") as file:
        for n in range(100):
            member = tarfile.TarInfo(f"x-1.0/{n:03}.py")
            member.size = len(CODE)
            file.addfile(member, io.BytesIO(CODE.encode()))
    assert len(opened(path)) == 100
    raw = bytearray(path.read_bytes())
    raw[50 * 1024 + 3] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(UsageError, match=r"damaged after x-1\.0/049\.py"):
        opened(path)


def test_a_row_of_parquet_that_is_no_text_costs_only_itself(tmp_path: Path) -> None:
    from pyarrow import StringArray, Table, array, parquet, py_buffer

    raw = [CODE.encode(), b"\xff\xfe", CODE.encode()]
    offsets = [0, len(raw[0]), len(raw[0]) + 2, 2 * len(raw[0]) + 2]
    column = StringArray.from_buffers(3, array(offsets, "int32").buffers()[1], py_buffer(b"".join(raw)))
    parquet.write_table(Table.from_arrays([column], ["content"]), tmp_path / "t.parquet")
    found = opened(tmp_path / "t.parquet", Columns("content"))
    assert [isinstance(one, Document) for one in found] == [True, False, True]
