"""Sources of seeds: the running Python's standard library, folders and files of Python code.

Each yields seeds and rejects in a fixed order; nothing is ever imported or run. Files of ready-made seeds (JSONL) are
read by `store.jsonl`.
"""

from __future__ import annotations

import platform
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from snipmill.errors import UsageError
from snipmill.records import Provenance, Reject, Seed, content_hash
from snipmill.seeds.extract import extract_functions
from snipmill.seeds.rules import MAX_LINES, check_function

STDLIB = "stdlib"
_SKIPPED_FOLDERS = frozenset(
    {
        "site-packages",
        "dist-packages",
        "__pycache__",
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "node_modules",
        "turtledemo",
    }
)
_MAX_BYTES = 2_000_000


def seed_id(code: str, language: str = "Python") -> str:
    """The id of a seed: a hash of its text and language, so that equal code has one id wherever it lies."""
    return f"s-{content_hash(language, code)}"


def mine(source: str, max_lines: int = MAX_LINES) -> Iterator[Seed | Reject]:
    """Seeds and rejects of one source.

    Args:
        source: `stdlib`, `stdlib:heapq,json` for some of its modules and packages, a folder, or a Python file.
        max_lines: longer functions are rejected.

    Raises:
        UsageError: the source is none of these.
    """
    if is_stdlib(source):
        yield from _mine_stdlib(source.partition(":")[2], max_lines)
        return
    path = Path(source)
    if path.is_dir():
        yield from _mine_folder(path, path.resolve().name, None, None, max_lines)
    elif path.is_file():
        yield from _mine_file(path, path.name, Provenance(source=path.name), max_lines)
    else:
        raise UsageError(
            f"There is no file or folder {source!r}. Give one, or `{STDLIB}` for Python's standard library."
        )


def is_stdlib(source: str) -> bool:
    """Whether a source names the standard library or some of its modules."""
    return source == STDLIB or source.startswith(f"{STDLIB}:")


def _mine_stdlib(modules: str, max_lines: int) -> Iterator[Seed | Reject]:
    root = Path(sysconfig.get_paths()["stdlib"])
    version, license = platform.python_version(), "PSF-2.0"
    names = [name.strip() for name in modules.split(",") if name.strip()]
    if not names:
        yield from _mine_folder(root, "cpython", version, license, max_lines)
    for name in names:
        paths = [root / f"{name}.py"] if (root / f"{name}.py").is_file() else list(_python_files(root / name))
        if not paths:
            raise UsageError(f"Python's standard library has no module {name!r} in Python (in {STDLIB}:{modules}).")
        for path in paths:
            relative = path.relative_to(root).as_posix()
            origin = Provenance(source="cpython", revision=version, path=relative, license=license)
            yield from _mine_file(path, relative, origin, max_lines)


def _mine_folder(
    root: Path, name: str, revision: str | None, license: str | None, max_lines: int
) -> Iterator[Seed | Reject]:
    for path in _python_files(root):
        relative = path.relative_to(root).as_posix()
        origin = Provenance(source=name, revision=revision, path=relative, license=license)
        yield from _mine_file(path, relative, origin, max_lines)


def _python_files(folder: Path) -> Iterator[Path]:
    """Python files below a folder in a fixed order; hidden folders, tests and installed packages are left out."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            if entry.name not in _SKIPPED_FOLDERS and not entry.name.startswith(".") and not entry.is_symlink():
                yield from _python_files(entry)
        elif entry.suffix == ".py":
            yield entry


def _mine_file(path: Path, shown: str, origin: Provenance, max_lines: int) -> Iterator[Seed | Reject]:
    code = _read(path, shown)
    if isinstance(code, Reject):
        yield code
        return
    for function in extract_functions(code.encode("utf-8", "surrogatepass")):
        record_id = seed_id(function.code)
        broken = check_function(function, max_lines)
        if broken is not None:
            where = f"{shown}:{function.line_start}"
            yield Reject(id=record_id, stage="seeds", reason=broken.reason, detail=f"{where}: {broken.detail}")
            continue
        provenance = Provenance(
            source=origin.source,
            revision=origin.revision,
            path=origin.path,
            line_start=function.line_start,
            line_end=function.line_end,
            license=origin.license,
        )
        yield Seed(id=record_id, seed=function.code, provenance=provenance)


def _read(path: Path, shown: str) -> str | Reject:
    def reject(reason: str, detail: str) -> Reject:
        return Reject(id=f"file-{content_hash(shown)}", stage="seeds", reason=reason, detail=f"{shown}: {detail}")

    try:
        if path.stat().st_size > _MAX_BYTES:
            return reject("file-too-large", f"larger than {_MAX_BYTES} bytes.")
        with tokenize.open(path) as handle:
            text = handle.read()
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        return reject("not-python-text", f"cannot be read as Python source: {error}.")
    except OSError as error:
        return reject("unreadable", f"{error.strerror}.")
    if "\0" in text:
        return reject("not-python-text", "holds NUL characters.")
    return text
