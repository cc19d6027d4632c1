"""Runs one program as `__main__` in this process and reports the results of its checks.

A program passes when its module ran to its end, its non-daemon threads ended, nothing died with an exception, at least
one check was executed, and no check failed, whether or not the program swallowed the failure. Does not cover isolation,
deadlines and output: the zygote and the slot's server handle these from outside.
"""

from __future__ import annotations

import builtins
import sys
import types
from _json import encode_basestring_ascii
from functools import partial

from snipmill.sandbox.child.checks import Checks, show
from snipmill.sandbox.child.instrument import Compiled, bind, compile_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FILENAME = "program.py"


class Failure(Exception):
    """The program did not pass; holds the report's fields."""

    def __init__(self, status: str, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.report: dict[str, Any] = {"status": status, "detail": detail, **fields}


def compile_checked(source: str, tests_line: int | None) -> Compiled:
    """Compile a program with its checks instrumented, without running it.

    Raises:
        Failure: the program is not valid Python.
    """
    try:
        return compile_program(source, FILENAME, tests_line)
    except SyntaxError as error:
        raise Failure("syntax-error", f"line {error.lineno}: {error.msg}", line=error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Failure("syntax-error", f"{type(error).__name__}: {error}") from None


def run_program(source: str, tests_line: int | None) -> dict[str, Any]:
    """Compile a program, run it and return its report: status, detail and evidence, as plain JSON values.

    Args:
        source: the program.
        tests_line: where its tests part begins.
    """
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # compiler warnings would be taken for the program's output
            compiled = compile_checked(source, tests_line)
    except Failure as failure:
        return failure.report
    return run_compiled(source, compiled)


def run_compiled(source: str, compiled: Compiled) -> dict[str, Any]:
    """Run a compiled program, and return its report.

    The status is `again` if the program must be rerun in a process with `threading` loaded, where exceptions in its
    threads are noticed.
    """
    checks = Checks(compiled)
    try:
        _run(source, checks)
    except Failure as failure:
        report = failure.report
    else:
        return {"status": "passed", "detail": "", "checks_executed": checks.executed, "checks_failed": 0}
    report["checks_executed"] = checks.executed
    report["checks_failed"] = checks.failed
    if checks.first_failure is not None:
        site, evidence = checks.first_failure
        line, text, *_ = checks.sites[site]
        report["failed_check"] = f"{text}\n{evidence}"
        report["line"] = line
    return report


def encode_report(report: dict[str, Any]) -> str:
    """Encode a report as a line of JSON, without importing the package `json`."""
    fields = (
        f"{encode_basestring_ascii(name)}: "
        + ("null" if value is None else str(value) if isinstance(value, int) else encode_basestring_ascii(value))
        for name, value in report.items()
    )
    return "{" + ", ".join(fields) + "}"


def _run(source: str, checks: Checks) -> None:
    module = stand_as_main(source)
    watched = _prepare(source, checks)
    for code in (*checks.codes[:-1], bind(checks.codes[-1], checks.hooks())):
        _guard("the module", partial(exec, code, module.__dict__), source)
    _run_found_tests(module, checks, source)
    _end_threads()
    if not watched and "threading" in sys.modules:
        raise Failure("retry-loaded", "the program has loaded threading, which was not watched")
    _judge(checks)


def stand_as_main(source: str) -> types.ModuleType:
    """Create an empty module `__main__` for code to run in; tracebacks show the source's lines."""
    module = types.ModuleType("__main__")
    module.__dict__.update({"__builtins__": builtins, "__file__": FILENAME})
    sys.modules["__main__"] = module
    linecache = sys.modules.get("linecache")
    if linecache is not None:
        linecache.cache[FILENAME] = (len(source), None, source.splitlines(keepends=True), FILENAME)
    return module


def _prepare(source: str, checks: Checks) -> bool:
    """Adapt the modules that the program may use. Returns whether exceptions that end a thread will be noticed."""
    if "asyncio" in source:
        _adapt_asyncio(checks)
    if "unittest" in source:
        _adapt_unittest()
    threading: Any = sys.modules.get("threading")
    if threading is None:
        return False

    def thread_died(args: Any) -> None:
        if args.exc_type is not SystemExit:
            checks.died.append(f"a thread died with {args.exc_type.__name__}: {args.exc_value}")

    threading.excepthook = thread_died
    return True


def _adapt_asyncio(checks: Checks) -> None:
    """Record unhandled exceptions of an event loop's tasks."""
    import asyncio.base_events

    def task_died(_loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        checks.died.append(f"an asyncio task died with {show(error)}" if error else str(context.get("message")))

    asyncio.base_events.BaseEventLoop.default_exception_handler = task_died  # type: ignore[method-assign,assignment]


def _guard(what: str, action: Callable[[], Any], source: str) -> None:
    """Run a part of the program; any exception that escapes is a failure, except a clean exit in the last statement."""
    try:
        action()
    except BaseException as error:  # anything a program can raise is its own failure
        _judge_exception(what, error, source)


def _judge_exception(what: str, error: BaseException, source: str) -> None:
    """Raise an exception of the program as a `Failure`; return for a clean exit in its last statement."""
    if isinstance(error, Failure):
        raise error
    if isinstance(error, SystemExit):
        if error.code not in (None, 0) or not _in_last_statement(error, source):
            detail = f"{what} ended early with exit code {error.code!r}"
            raise Failure("failed", detail, exception="SystemExit") from None
        return
    if isinstance(error, MemoryError):
        raise Failure("memory", "the program ran out of memory", exception="MemoryError", line=_line(error)) from None
    if isinstance(error, ModuleNotFoundError):
        detail = f"the module {error.name!r} is not installed in the sandbox's interpreter"
        raise Failure("unsupported", detail, exception="ModuleNotFoundError", line=_line(error)) from None
    kind = type(error).__name__
    raise Failure("failed", f"{what} raised {kind}: {_message(error)}", exception=kind, line=_line(error)) from None


def _message(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except BaseException:  # the program's own __str__ may raise anything
        return "<no message>"


def _lines(error: BaseException) -> list[int]:
    """The program's own lines in an exception's traceback, from the outermost to the innermost."""
    found = []
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == FILENAME:
            found.append(step.tb_lineno)
        step = step.tb_next
    return found


def _line(error: BaseException) -> int | None:
    lines = _lines(error)
    return lines[-1] if lines else None


def _in_last_statement(error: BaseException, source: str) -> bool:
    """Whether the module had reached its last top-level statement, such as `sys.exit(main())` at the end."""
    import ast

    lines = _lines(error)
    return bool(lines) and lines[0] >= ast.parse(source).body[-1].lineno


def _run_found_tests(module: types.ModuleType, checks: Checks, source: str) -> None:
    """Run the tests that a test runner would find and that the program did not run itself."""
    for name in checks.test_functions:
        function = module.__dict__.get(name)
        if name not in checks.begun and isinstance(function, types.FunctionType) and not _required(function):
            _guard(name, lambda function=function: _call(function), source)  # type: ignore[misc]
    # The source of a test class contains "Test", in its own name or in its base's; other programs need no search.
    for name, value in list(module.__dict__.items()) if "Test" in source else ():
        if isinstance(value, type) and value.__module__ == "__main__" and name not in checks.begun:
            if _is_test_case(value):
                _run_test_case(value)
            elif name.startswith("Test"):
                _run_test_class(value, source)
    _collect_doctests(checks)


def _required(function: types.FunctionType) -> int:
    code = function.__code__
    return code.co_argcount - len(function.__defaults__ or ())


def _call(function: Callable[[], Any]) -> None:
    result = function()
    if isinstance(result, types.CoroutineType):
        import asyncio

        asyncio.run(result)


def _is_test_case(kind: type) -> bool:
    unittest = sys.modules.get("unittest")
    return unittest is not None and issubclass(kind, unittest.TestCase)


def _run_test_case(kind: type) -> None:
    import io
    import unittest

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(kind)
    result = unittest.TextTestRunner(stream=io.StringIO(), verbosity=0).run(suite)
    _judge_test_result(result)


def _judge_test_result(result: Any) -> None:
    for kind, problems in (("failed", result.failures), ("raised an exception", result.errors)):
        if problems:
            test, text = problems[0]
            last = text.strip().splitlines()[-1] if text.strip() else ""
            raise Failure("failed", f"{test} {kind}: {last}"[:800], exception=last.partition(":")[0][:80] or None)
    if result.unexpectedSuccesses:
        raise Failure("failed", f"{result.unexpectedSuccesses[0]} was expected to fail and did not")


def _run_test_class(kind: type, source: str) -> None:
    """A plain class of test methods, as pytest collects it."""
    methods = [name for name in dir(kind) if name.startswith("test") and callable(getattr(kind, name))]
    for name in methods:

        def one(name: str = name) -> None:
            instance = kind()
            for setup in ("setup_method", "setUp", "setup"):
                if hasattr(instance, setup):
                    getattr(instance, setup)()
                    break
            _call(getattr(instance, name))

        _guard(f"{kind.__name__}.{name}", one, source)


def _collect_doctests(checks: Checks) -> None:
    """Count the examples that the program ran with `doctest.testmod` as checks."""
    doctest = sys.modules.get("doctest")
    runner = getattr(doctest, "master", None)
    if runner is None:
        return
    checks.executed += runner.tries
    if runner.failures:
        checks.failed += runner.failures
        raise Failure("failed", f"{runner.failures} of {runner.tries} doctest examples failed")


def _end_threads() -> None:
    """Wait for the program's non-daemon threads, as the interpreter does at its end."""
    threading = sys.modules.get("threading")
    if threading is None:
        return
    main = threading.main_thread()
    for thread in threading.enumerate():
        if thread is not main and not thread.daemon:
            thread.join()


def _judge(checks: Checks) -> None:
    if checks.died:
        raise Failure("failed", checks.died[0][:800])
    if checks.failed:
        raise Failure("failed", f"{checks.failed} of {checks.executed} checks failed, and the program went on")
    unfinished = checks.unfinished()
    if unfinished is not None:
        line = checks.sites[unfinished[0]][0]
        raise Failure("failed", "a check raised an exception that the program swallowed", line=line)
    if checks.executed == 0:
        raise Failure("vacuous", "the program ended without executing a single check")


def _adapt_unittest() -> None:
    """Make `unittest.main()` run the program's tests without ending the process, and judge its result."""
    import unittest

    class Program(unittest.TestProgram):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["exit"] = False
            kwargs["argv"] = ["program"]
            super().__init__(*args, **kwargs)
            _judge_test_result(self.result)

    unittest.main = Program
