from __future__ import annotations

import gc
import sys
import threading

from snipmill.python_tree import parse_expression, parse_module

FLAT = f"x = [{','.join(f'f({n}, [a, (b, {{c: d}})])' for n in range(50))}]\n"
DEEP = "\n".join(f"def f{n}(a):\n  if a:\n    for x in a:\n      while x:\n        x = [[[[[1]]]]]" for n in range(20))


class Cycle:
    """Garbage whose end lets other threads run in the middle of a parse."""

    def __init__(self) -> None:
        self.myself = self

    def __del__(self) -> None:
        sum(range(50))


def test_threads_that_parse_at_the_same_time_do_not_break_each_other() -> None:
    """Under Python 3.11 the same with `ast.parse` fails nearly every time."""
    failures: list[BaseException] = []
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()

    def parse_again_and_again(source: str) -> None:
        try:
            for _ in range(60):
                for _ in range(20):
                    Cycle()
                parse_module(source)
                parse_expression(source.partition("\n")[0].removeprefix("x = ").partition("def")[0] or "1")
        except SystemError as error:
            failures.append(error)

    sys.setswitchinterval(1e-6)
    gc.set_threshold(10, 2, 2)
    try:
        threads = [threading.Thread(target=parse_again_and_again, args=(source,)) for source in (FLAT, DEEP) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)
    assert failures == []
