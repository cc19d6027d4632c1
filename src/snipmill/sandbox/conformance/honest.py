"""Honest programs that must pass, however they are written: (implementation, tests)."""

from __future__ import annotations

F = "def f(x):\n    return x + 1\n"

HONEST: dict[str, tuple[str, str]] = {
    "plain": (F, "assert f(1) == 2\n"),
    "recursion": ("def fact(n):\n    return 1 if n < 2 else n * fact(n - 1)\n", "assert fact(10) == 3628800\n"),
    "mutual_recursion": (
        "def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n > 0 and even(n - 1)\n",
        "assert even(10)\n",
    ),
    "helper": ("def g(x):\n    return x * 2\ndef f(x):\n    return g(x) + 1\n", "assert f(2) == 5\n"),
    "import_in_function": ("def f(x):\n    import math\n    return math.sqrt(x)\n", "assert f(4) == 2.0\n"),
    "module_import": ("import math\ndef f(x):\n    return math.floor(x)\n", "assert f(2.5) == 2\n"),
    "global_state": (
        "COUNT = 0\ndef f():\n    global COUNT\n    COUNT += 1\n    return COUNT\n",
        "f()\nassert f() == 2\nassert COUNT == 2\n",
    ),
    "comprehension_scope": (
        "K = 3\ndef f(xs):\n    return [x * K for x in xs]\n",
        "assert [f([y])[0] for y in range(3)] == [0, 3, 6]\n",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int = 2\n",
        "assert P(1) == P(1, 2)\nassert P(1) != P(2)\n",
    ),
    "future_annotations": (
        "from __future__ import annotations\ndef f(x: Nowhere) -> int:\n    return 1\n",
        "assert f(0) == 1\n",
    ),
    "pickled_class": (
        "import pickle\nclass A:\n    def __init__(self, x):\n        self.x = x\n",
        "assert pickle.loads(pickle.dumps(A(3))).x == 3\n",
    ),
    "threads": (
        "import threading\ndef f():\n    out = []\n    ts = [threading.Thread(target=out.append, args=(i,)) for i in range(8)]\n    [t.start() for t in ts]\n    [t.join() for t in ts]\n    return sorted(out)\n",
        "assert f() == list(range(8))\n",
    ),
    "thread_not_joined": (
        "import threading\nout = []\nthreading.Thread(target=out.append, args=(1,)).start()\n" + F,
        "assert f(1) == 2\n",
    ),
    "thread_pool": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f(xs):\n    with ThreadPoolExecutor(2) as p:\n        return list(p.map(abs, xs))\n",
        "assert f([-1, 2]) == [1, 2]\n",
    ),
    "asyncio": (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1\n",
        "assert asyncio.run(f(1)) == 2\n",
    ),
    "asyncio_gather": (
        "import asyncio\nasync def f(x):\n    return x\nasync def main():\n    return await asyncio.gather(f(1), f(2))\n",
        "assert asyncio.run(main()) == [1, 2]\n",
    ),
    "async_test": ("async def f(x):\n    return x + 1\n", "async def test_f():\n    assert await f(1) == 2\n"),
    "tempfile": (
        "import tempfile\ndef f(text):\n    with tempfile.NamedTemporaryFile('w+') as h:\n        h.write(text)\n        h.seek(0)\n        return h.read()\n",
        "assert f('a') == 'a'\n",
    ),
    "working_folder": (
        "def f(text):\n    with open('out.txt', 'w') as h:\n        h.write(text)\n    with open('out.txt') as h:\n        return h.read()\n",
        "assert f('a') == 'a'\n",
    ),
    "folder_is_empty": ("import os\n", "assert os.listdir('.') == []\nopen('left_behind', 'w').close()\n"),
    "memory_300mb": (
        "def f():\n    block = bytearray(300 * 1024 * 1024)\n    return len(block)\n",
        "assert f() == 314572800\n",
    ),
    "a_second_of_cpu": (
        "import time\ndef f():\n    end = time.process_time() + 1\n    n = 0\n    while time.process_time() < end:\n        n += 1\n    return n\n",
        "assert f() > 0\n",
    ),
    "output_200kb": (
        "def f():\n    for _ in range(200):\n        print('x' * 1000)\n    return 1\n",
        "assert f() == 1\n",
    ),
    "unittest_uncalled": (
        F,
        "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 2)\n",
    ),
    "unittest_main": (
        F,
        "import unittest\nclass T(unittest.TestCase):\n    def setUp(self):\n        self.x = 1\n    def test_f(self):\n        self.assertEqual(f(self.x), 2)\n    def test_error(self):\n        with self.assertRaises(TypeError):\n            f('a')\nif __name__ == '__main__':\n    unittest.main()\n",
    ),
    "pytest_functions": (F, "def test_one():\n    assert f(1) == 2\ndef test_two():\n    assert f(2) == 3\n"),
    "pytest_class": (
        F,
        "class TestF:\n    def setup_method(self):\n        self.x = 1\n    def test_one(self):\n        assert f(self.x) == 2\n",
    ),
    "called_test_function": (F, "def test_f():\n    assert f(1) == 2\ntest_f()\nprint('ok')\n"),
    "doctest": (
        'def f(x):\n    """\n    >>> f(1)\n    2\n    """\n    return x + 1\n',
        "import doctest\ndoctest.testmod()\n",
    ),
    "main_guard": (
        F + "if __name__ == '__main__':\n    print(f(1))\n",
        "if __name__ == '__main__':\n    assert f(1) == 2\n",
    ),
    "sys_exit_at_the_end": (
        F + "import sys\n",
        "def main():\n    assert f(1) == 2\n    return 0\nif __name__ == '__main__':\n    sys.exit(main())\n",
    ),
    "expected_exception": (
        "def f(x):\n    raise ValueError('no')\n",
        "try:\n    f(1)\n    assert False, 'no error'\nexcept ValueError as e:\n    assert str(e) == 'no'\n",
    ),
    "expected_exception_in_check": (
        "def f(x):\n    if x < 0:\n        raise ValueError\n    return x\n",
        "assert f(1) == 1\ntry:\n    assert f(-1) == 0\nexcept ValueError:\n    pass\n",
    ),
    "implementation_asserts": (
        "def f(x):\n    assert x > 0, 'positive'\n    return x\n",
        "try:\n    f(-1)\n    refused = False\nexcept AssertionError:\n    refused = True\nassert refused\nassert f(2) == 2\n",
    ),
    "own_equality": (
        "class V:\n    def __init__(self, x):\n        self.x = x\n    def __eq__(self, other):\n        return isinstance(other, V) and self.x == other.x\n",
        "assert V(1) == V(1)\nassert V(1) != V(2)\n",
    ),
    "equality_that_raises": (
        "class V:\n    def __init__(self, x):\n        self.x = x\n    def __eq__(self, other):\n        return self.x == other.x\n",
        "assert V(1) == V(1)\nassert [V(1)] == [V(1)]\n",
    ),
    "warnings": (
        "import warnings\ndef f():\n    warnings.warn('old')\n    return 1\n",
        "with warnings.catch_warnings(record=True) as w:\n    warnings.simplefilter('always')\n    assert f() == 1\n    assert len(w) == 1\n",
    ),
    "getsource": ("import inspect\ndef f(x):\n    return x\n", "assert 'return x' in inspect.getsource(f)\n"),
    "localhost_server": (
        "import socket, threading\ndef f():\n    s = socket.create_server(('127.0.0.1', 0))\n    def serve():\n        c, _ = s.accept()\n        c.sendall(b'hi')\n        c.close()\n    t = threading.Thread(target=serve)\n    t.start()\n    c = socket.create_connection(s.getsockname())\n    data = c.recv(2)\n    t.join()\n    return data\n",
        "assert f() == b'hi'\n",
    ),
    "subprocess_of_python": (
        "import subprocess, sys\ndef f():\n    return subprocess.run([sys.executable, '-c', 'print(1 + 1)'], capture_output=True, text=True).stdout.strip()\n",
        "assert f() == '2'\n",
    ),
    "multiprocessing_lock": (
        "import multiprocessing\ndef f():\n    with multiprocessing.Lock():\n        return 1\n",
        "assert f() == 1\n",
    ),
    "fork_and_wait": (
        "import os\ndef f():\n    pid = os.fork()\n    if pid == 0:\n        os._exit(3)\n    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n",
        "assert f() == 3\n",
    ),
    "signals": (
        "import signal\ndef f():\n    seen = []\n    signal.signal(signal.SIGALRM, lambda *a: seen.append(1))\n    signal.setitimer(signal.ITIMER_REAL, 0.01)\n    signal.pause()\n    return seen\n",
        "assert f() == [1]\n",
    ),
    "own_proc": (
        "def f():\n    with open('/proc/self/status') as h:\n        return h.read()\n",
        "import os\nassert 'VmRSS' in f()\nassert [p for p in os.listdir('/proc') if p.isdigit()] == [str(os.getpid())]\n",
    ),
    "unicode": (
        "def f(x):\n    return x.upper()\n",
        "assert f('äöü') == 'ÄÖÜ'\nassert '\\ud800' != 'x'\nprint('\\u2028')\n",
    ),
    "zoneinfo": (
        "from datetime import datetime, timezone\ndef f():\n    return datetime(2024, 1, 1, tzinfo=timezone.utc).isoformat()\n",
        "assert f() == '2024-01-01T00:00:00+00:00'\n",
    ),
    "chained_comparison": (F, "assert 1 < f(1) < 3\nassert f(1) == 2 and f(2) == 3\nassert not f(1) == 3\n"),
    "assert_with_message": (F, "assert f(1) == 2, f'got {f(1)}'\n"),
    "parametrised_loop": (F, "for x, want in [(1, 2), (2, 3)]:\n    assert f(x) == want\n"),
    "windows_line_ends": (F.replace("\n", "\r\n"), "assert f(1) == 2\r\n"),
    "walrus": (F, "assert (y := f(1)) == 2\nassert y == 2\n"),
    "match_statement": (
        "def f(x):\n    match x:\n        case [a, *_]:\n            return a\n        case _:\n            return None\n",
        "assert f([3, 4]) == 3\nassert f(5) is None\n",
    ),
}
