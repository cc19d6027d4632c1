"""Runs one program as `__main__` in this process and reports the results of its checks and tests.

A program passes when its module ran to its end, its tests passed, its non-daemon threads ended, nothing died with an exception, at
least one check proved something, and no check failed, whether or not the program swallowed the failure. Does not cover isolation,
deadlines and output: the zygote and the slot's server handle these from outside.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
import types
from _json import encode_basestring_ascii
from functools import partial

from snipmill.sandbox.child import pytest_tests, unittest_tests
from snipmill.sandbox.child.checks import Checks
from snipmill.sandbox.child.compilation import Compiled, bind, compile_program
from snipmill.sandbox.child.exceptions import FILENAME, lines_of, message_of
from snipmill.sandbox.child.failures import Failure, guard, raise_problem
from snipmill.sandbox.child.left_tests import run_left_tests
from snipmill.sandbox.child.own_builtins import BUILTINS
from snipmill.sandbox.child.statements import is_main_guard
from snipmill.sandbox.child.test_log import problem_of
from snipmill.sandbox.child.watchers import watch, watch_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__builtins__ = BUILTINS  # programs may replace builtins

# Modules with pools, and the flag that the end of these leaves.
_POOLS = (
    ("concurrent.futures.process", "_global_shutdown"),
    ("concurrent.futures.thread", "_shutdown"),
    ("joblib.externals.loky.process_executor", "_global_shutdown"),
)


_LONGEST = 2000  # characters of a text in a report
# In a program that looks for its own file, or has new interpreters that do.
_ASKING_FOR_THE_FILE = ("__file__", "argv", "spawn", "multiprocessing", "joblib", "n_jobs", FILENAME)


def compile_checked(source: str, tests_line: int | None, modules: Sequence[str] = ()) -> Compiled:
    """Compile a program with its checks instrumented, without running it.

    Raises:
        Failure: the program is not valid Python.
    """
    try:
        return compile_program(source, FILENAME, tests_line, apart=bool(modules))
    except SyntaxError as error:
        raise Failure("syntax-error", f"line {error.lineno}: {error.msg}", line=error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Failure("syntax-error", f"{type(error).__name__}: {error}") from None
    except Exception as error:  # our own fault, which must not count against the program
        raise Failure("sandbox-error", f"the checks cannot be read: {type(error).__name__}: {error}") from None


def compile_source(source: str) -> types.CodeType:
    """Compile a script as it is.

    Raises:
        Failure: it is not valid Python.
    """
    try:
        return compile(source, FILENAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Failure("syntax-error", f"{type(error).__name__}: {error}") from None


def run_program(program: dict[str, Any], session: pytest_tests.Session) -> dict[str, Any]:
    """Compile a program, run it and return its report: status, detail and evidence, as plain JSON values.

    Args:
        program: a dictionary with the fields of `sandbox.program.Program`.
        session: the session of pytest that may run its tests.
    """
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # compiler warnings would be taken for the program's output
            compiled = compile_checked(program["source"], program["tests_line"], program["modules"])
    except Failure as failure:
        return failure.report
    return run_compiled(program, compiled, session)


def run_compiled(program: dict[str, Any], compiled: Compiled, session: pytest_tests.Session) -> dict[str, Any]:
    """Run a compiled program, and return its report.

    The status is `retry-loaded` if the program must be rerun in a process with `threading` loaded, where exceptions in its
    threads are noticed.
    """
    checks = Checks(compiled, program["tests_line"], program["modules"])
    try:
        _run(program, checks, session)
    except Failure as failure:
        report = failure.report
    except Exception as error:  # our own fault: those of the program are guarded
        report = {
            "status": "sandbox-error",
            "detail": f"the harness raised {type(error).__name__}: {message_of(error)}",
        }
    else:
        report = {"status": "passed", "detail": ""}
    if report["status"] != "passed" and checks.failures:
        site, evidence = checks.failures[0]
        line, _, text, *_ = checks.sites[site]
        report["failed_check"] = f"{text}\n{evidence}"
        report["line"] = line
    return _cut(report | _evidence(checks))


def _cut(report: dict[str, Any]) -> dict[str, Any]:
    """The report with texts of a length that can be kept; names and reasons are the program's own."""
    found = dict(report)
    for name, value in report.items():
        if isinstance(value, list):
            found[name] = [str(item)[:_LONGEST] for item in value]
        elif isinstance(value, str):
            found[name] = value[:_LONGEST]
    return found


def _evidence(checks: Checks) -> dict[str, Any]:
    tests = checks.tests
    return {
        "checks_executed": checks.executed,
        "checks_failed": len(checks.failures),
        "checks_written": checks.written(),
        "checks_reached": checks.reached_count(),
        "tests_run": tests.count,
        "tests_skipped": tests.skipped_names(),
        "tests_never_run": tests.never_ran(),
    }


def encode_report(report: dict[str, Any]) -> str:
    """Encode a report as a line of JSON, without importing the package `json`."""
    return "{" + ", ".join(f"{encode_basestring_ascii(name)}: {_encode(value)}" for name, value in report.items()) + "}"


def _encode(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_encode, value))}]"
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else encode_basestring_ascii(str(value))


def _run(program: dict[str, Any], checks: Checks, session: pytest_tests.Session) -> None:
    source, modules = program["source"], program["modules"]
    module = stand_as_main(source)
    implementation = _stand_as(modules) if modules else module
    checks.watch(implementation.__dict__, module.__dict__)
    is_watched = watch_threads(checks)
    looks = watch(source, checks)
    if "unittest" in source:
        unittest_tests.watch_unittest(checks)
    if "pytest" in source:
        guard("pytest", partial(_watch_pytest, session, checks, module), checks)
    *parts, tests = checks.codes
    for code in parts:
        guard("the module", partial(_run_implementation, code, implementation.__dict__, source), checks)
    guard("the module", partial(exec, bind(tests, checks.hooks()), module.__dict__), checks)
    raise_problem(checks)
    run_left_tests(module, checks, source, session)
    raise_problem(checks)
    end_threads()
    if not is_watched and "threading" in sys.modules:
        raise Failure("retry-loaded", "the program has loaded threading, which was not watched")
    _judge(checks, [sentence for look in looks for sentence in look()])


def _run_implementation(code: types.CodeType, names: dict[str, Any], source: str) -> None:
    """Run an implementation that stands apart from its tests. The exit in its main guard ends it, not the program."""
    try:
        exec(code, names)
    except SystemExit as error:
        if error.code not in (None, 0) or not _is_in_main_guard(source, lines_of(error)):
            raise


def _is_in_main_guard(source: str, lines: list[int]) -> bool:
    import ast
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guards = [node for node in ast.parse(source).body if isinstance(node, ast.If) and is_main_guard(node)]
    return any(node.lineno <= line <= (node.end_lineno or 0) for node in guards for line in lines[:1])


def stand_as_main(source: str) -> types.ModuleType:
    """Create an empty module `__main__` for code to run in; tracebacks show the source's lines."""
    module = types.ModuleType("__main__")
    path = f"{os.getcwd()}/{FILENAME}"
    module.__dict__.update({"__builtins__": builtins, "__file__": path})
    sys.modules["__main__"] = module
    linecache = sys.modules.get("linecache")
    if linecache is not None:
        for name in (FILENAME, path):
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    if any(word in source for word in _ASKING_FOR_THE_FILE):
        # The program looks for its own file.
        with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.write(source)
    return module


def _stand_as(names: Sequence[str]) -> types.ModuleType:
    """Create an empty module for the implementation, which the tests import by any of these dotted names."""
    module = types.ModuleType(names[0])
    module.__dict__.update({"__builtins__": builtins, "__file__": f"{os.getcwd()}/{FILENAME}"})
    for name in names:
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        inner: types.ModuleType = module
        while parent:
            package = sys.modules.setdefault(parent, types.ModuleType(parent))
            package.__dict__.setdefault("__path__", [])
            package.__dict__[last] = inner
            inner, (parent, _, last) = package, parent.rpartition(".")
    return module


def _watch_pytest(session: pytest_tests.Session, checks: Checks, module: types.ModuleType) -> None:
    with contextlib.suppress(pytest_tests.NotInstalled):  # the program is refused where it imports pytest, if it does
        pytest_tests.watch_pytest(session, checks, module)


# The end --------------------------------------------------------------------------------------------------------------


def end_threads() -> None:
    """End the pools that are still open and wait for non-daemon threads, as the interpreter does at its end."""
    threading: Any = sys.modules.get("threading")
    if threading is None:
        return
    for registered in reversed(getattr(threading, "_threading_atexits", ())):
        registered()
    for name, flag in _POOLS:
        if name in sys.modules:
            setattr(sys.modules[name], flag, False)  # a trial runs further programs in this process
    main = threading.main_thread()
    for thread in threading.enumerate():
        if thread is not main and not thread.daemon:
            thread.join()


def _judge(checks: Checks, left: list[str]) -> None:
    checks.ask_noted_types()
    if checks.died or left:
        raise Failure("failed", (checks.died or left)[0][:800])
    if checks.failures:
        raise Failure("failed", f"{len(checks.failures)} of {checks.executed} checks failed, and the program went on")
    escaped = checks.tests.escaped()
    if escaped is not None:
        name, line, error = escaped
        detail = f"{problem_of(name, error).detail}, and the program went on"
        raise Failure("failed", detail[:800], exception=type(error).__name__, line=line)
    unfinished = checks.unfinished()
    if unfinished is not None:
        line = checks.sites[unfinished][0]
        raise Failure("failed", "a check raised an exception that the program swallowed", line=line)
    if checks.executed == 0:
        raise Failure("vacuous", "the program ended without executing a single check")
    if checks.empty >= checks.executed:
        raise Failure("vacuous", f"no check proves anything: {checks.why_empty}")
