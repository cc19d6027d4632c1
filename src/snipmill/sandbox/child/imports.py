"""Finds out which installed packages a program imports, without running or importing anything.

Only what is certain counts: a module that lies in one of this Python's folders, and whose import is a statement of the program.
Python's own modules do not count; those that programs often import are loaded anyway.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STATEMENT = re.compile(r"^[ \t]*(?:from[ \t]+([^\W\d]\w{0,80})|import[ \t]+([^\n#]+))", re.MULTILINE)
# A program that looks at how modules are imported, or changes it, must import everything itself.
_LOOKS_AT_IMPORTS = re.compile(
    r"environ|putenv|sys\.(?:modules|path)|from sys import|meta_path|path_hooks|\breload\b|__import__|\.py['\"]"
    r"|settrace|setprofile|addaudithook|tracemalloc"
)
_CHANGES_WARNINGS = re.compile(r"(?:simplefilter|filterwarnings)\(")
_LONGEST = 50_000  # characters of a program that is looked at
_MOST_NAMES = 4096
_SUFFIXES = (".py", *EXTENSION_SUFFIXES)


class InstalledModules:
    """The modules of the packages that are installed for this Python.

    Args:
        folders: where packages are installed.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = [folder for folder in folders if os.path.isdir(folder)]
        self._packages: dict[str, list[str] | None] = {}
        self._lazy: dict[str, bool] = {}

    def imported_by(self, source: str) -> tuple[str, ...]:
        """The names of the installed modules that a program imports, in its order, as `loading.Loader.load` takes them.

        Empty for a program that looks at how modules are imported.
        """
        if len(source) > _LONGEST:
            return ()
        places = [place for place, name in _first_names(source) if self._is_package(name)]
        if not places or _LOOKS_AT_IMPORTS.search(source):
            return ()
        changes = _CHANGES_WARNINGS.search(source)
        if changes is not None and changes.start() < places[-1]:  # the import would add filters of its own
            return ()
        try:
            return tuple(dict.fromkeys(self._modules(ast.parse(source), source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ()

    def _modules(self, tree: ast.AST, source: str) -> Iterator[str]:
        for node in _nodes(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                for alias in node.names:
                    name = re.escape(alias.asname or alias.name)
                    yield from self._asked_for(alias.name, re.findall(rf"\b{name}\.(\w+)", source))
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                yield from self._asked_for(node.module, [alias.name for alias in node.names])
            else:
                continue
            yield from (name for name in names if self._exists(name))

    def _asked_for(self, module: str, names: Sequence[str]) -> Iterator[str]:
        """A module, and what a program asks of it, where it imports more only when it is asked, such as `numpy.random`."""
        if self._exists(module):
            yield module
            if self._is_lazy(module):
                yield from (f"{module}:{name}" for name in dict.fromkeys(names))

    def _is_lazy(self, module: str) -> bool:
        """Whether a module's source defines what happens when it is asked for a name that it lacks."""
        if module not in self._lazy:
            paths = [path for folder in self._parents(module) for path in (f"{folder}/__init__.py", f"{folder}.py")]
            self._lazy[module] = any("def __getattr__" in _read(path) for path in paths)
        return self._lazy[module]

    def _is_package(self, name: str) -> bool:
        return self._locations(name) is not None

    def _locations(self, name: str) -> list[str] | None:
        """Where the submodules of a package are; none for a module, None where nothing of that name is installed."""
        if name not in self._packages:
            if len(self._packages) >= _MOST_NAMES:
                self._packages.clear()
            spec = None if name in sys.stdlib_module_names else PathFinder.find_spec(name, self._folders)
            is_file = spec is not None and spec.has_location
            self._packages[name] = list(spec.submodule_search_locations or []) if spec and is_file else None
        return self._packages[name]

    def _exists(self, dotted: str) -> bool:
        first, *rest = dotted.split(".")
        if self._locations(first) is None or any(part.startswith("__") for part in rest):  # `__main__` runs a program
            return False
        folders = self._parents(dotted)
        return not rest or any(os.path.isfile(path) for folder in folders for path in _files(folder))

    def _parents(self, dotted: str) -> list[str]:
        """Where a module may be, without what its files add to its name."""
        first, *rest = dotted.split(".")
        return ["/".join((folder, *rest)) for folder in self._locations(first) or ()]


def _files(path: str) -> list[str]:
    return [f"{path}/__init__.py", *(path + suffix for suffix in _SUFFIXES)]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _first_names(source: str) -> Iterator[tuple[int, str]]:
    """The first parts of the names in lines that look like imports, and where these lines begin."""
    for match in _STATEMENT.finditer(source):
        if match[1]:
            yield match.start(), match[1]
        else:
            for name in match[2].split(","):
                yield match.start(), name.strip().partition(" ")[0].partition(".")[0]


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements, but those for type checkers alone."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += reversed(node.orelse)
        else:
            inner = (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
            pending += reversed(list(inner))
