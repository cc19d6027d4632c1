"""Programs that must not pass, each with its right verdict. In each, the claim under test is false or never checked.

A program is (implementation, tests, statuses that are right).
"""

from __future__ import annotations

Case = tuple[str, str, frozenset[str]]


def case(implementation: str, tests: str, *statuses: str) -> Case:
    """A program, and the statuses that are right for it."""
    return implementation, tests, frozenset(statuses)


F = "def f(x):\n    return x + 1\n"
WRONG = "assert f(1) == 3\n"

HOSTILE: dict[str, Case] = {
    # Leaving early -------------------------------------------------------------------------------------------------
    "os_exit_zero": case(F + "import os\nos._exit(0)\n", WRONG, "failed"),
    "os_exit_in_tests": case(F, "import os\nos._exit(0)\n" + WRONG, "failed"),
    "sys_exit_before_tests": case(F + "import sys\nsys.exit(0)\n", WRONG, "failed"),
    "sys_exit_in_tests": case(F, "import sys\nsys.exit()\n" + WRONG, "failed"),
    "raise_system_exit": case(F, "raise SystemExit(0)\n" + WRONG, "failed"),
    "exit_builtin": case(F, "exit(0)\n" + WRONG, "failed"),
    "quit_inside_function": case("def f(x):\n    raise SystemExit\n", WRONG, "failed"),
    "exec_true": case(F + "import os\nos.execv('/bin/true', ['true'])\n", WRONG, "failed"),
    "exec_python": case(
        F + "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', ''])\n", WRONG, "failed", "killed"
    ),
    "kill_self": case(
        F + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
        "import os\nos.kill(os.getpid(), 9)\n" + WRONG,
        "failed",
        "killed",
    ),
    "abort": case(F + "import os\nos.abort()\n", WRONG, "killed", "failed"),
    "segfault": case(F + "import ctypes\nctypes.string_at(0)\n", WRONG, "killed"),
    "fork_and_leave": case(F + "import os\nif os.fork():\n    os._exit(0)\n", "assert f(1) == 2\n", "failed"),
    "child_runs_on": case(
        F + "import os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n    os._exit(0)\n",
        "assert f(1) == 2\n",
        "failed",
    ),
    "atexit_exit_zero": case(F + "import atexit, os\natexit.register(os._exit, 0)\n", WRONG, "failed"),
    "early_return_in_test": case(F, "def test_f():\n    return\n    assert f(1) == 3\ntest_f()\n", "vacuous"),
    "return_before_assert_in_main": case(
        F, "def main():\n    if True:\n        return\n    assert f(1) == 3\nmain()\n", "vacuous"
    ),
    # Nothing is checked --------------------------------------------------------------------------------------------
    "no_tests": case(F, "print(f(1))\n", "vacuous"),
    "if_false": case(F, "if False:\n    assert f(1) == 3\n", "vacuous"),
    "while_false": case(F, "while False:\n    assert f(1) == 3\n", "vacuous"),
    "empty_loop": case(F, "for case in []:\n    assert f(case) == 3\n", "vacuous"),
    "type_checking": case(F, "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    assert f(1) == 3\n", "vacuous"),
    "assert_true": case(F, "f(1)\nassert True\n", "vacuous"),
    "assert_tuple": case(F, "assert (f(1) == 3, 'f is wrong')\n", "vacuous"),
    "assert_string": case(F, "assert 'f(1) == 3'\n", "vacuous"),
    "comment_only": case(F, "# assert f(1) == 3\npass\n", "vacuous"),
    "assert_in_string": case(F, "'''assert f(1) == 3'''\n", "vacuous"),
    "lambda_never_called": case(F, "check = lambda: f(1) == 3\n", "vacuous"),
    "nested_never_called": case(F, "def run():\n    def test_inner():\n        assert f(1) == 3\nrun()\n", "vacuous"),
    "generator_never_run": case(F, "def checks():\n    assert f(1) == 3\n    yield\nchecks()\n", "vacuous"),
    "coroutine_never_awaited": case(F, "async def check():\n    assert f(1) == 3\ncheck()\n", "vacuous"),
    "print_marker": case(F, "print('1 passed')\nprint('PASSED OK')\n", "vacuous"),
    # The failure is found by us ------------------------------------------------------------------------------------
    "uncalled_pytest_function": case(F, "def test_f():\n    assert f(1) == 3\n", "failed"),
    "uncalled_async_test": case(F, "async def test_f():\n    assert f(1) == 3\n", "failed"),
    "unawaited_async_test": case(F, "async def test_f():\n    assert f(1) == 3\ntest_f()\n", "failed"),
    "uncalled_test_class": case(F, "class TestF:\n    def test_one(self):\n        assert f(1) == 3\n", "failed"),
    "uncalled_unittest": case(
        F,
        "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 3)\n",
        "failed",
    ),
    "unittest_main_no_exit": case(
        F,
        "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 3)\nunittest.main(exit=False)\n",
        "failed",
    ),
    "unittest_runner_ignored": case(
        F,
        "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 3)\nunittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))\n",
        "failed",
    ),
    "doctest_ignored": case(
        'def f(x):\n    """\n    >>> f(1)\n    3\n    """\n    return x + 1\n',
        "import doctest\ndoctest.testmod()\n",
        "failed",
    ),
    # The failure is swallowed --------------------------------------------------------------------------------------
    "swallowed_assertion": case(F, "try:\n    assert f(1) == 3\nexcept AssertionError:\n    pass\n", "failed"),
    "swallowed_by_bare_except": case(F, "try:\n    assert f(1) == 3\nexcept:\n    pass\n", "failed"),
    "swallowed_and_printed": case(
        F, "try:\n    assert f(1) == 3\n    print('ok')\nexcept Exception as e:\n    print('failed', e)\n", "failed"
    ),
    "swallowed_in_test_function": case(
        F,
        "def test_f():\n    try:\n        assert f(1) == 3\n    except AssertionError:\n        print('no')\ntest_f()\n",
        "failed",
    ),
    "swallowed_around_call": case(
        F, "def test_f():\n    assert f(1) == 3\ntry:\n    test_f()\nexcept AssertionError:\n    pass\n", "failed"
    ),
    "suppressed": case(
        F, "import contextlib\nwith contextlib.suppress(AssertionError):\n    assert f(1) == 3\n", "failed"
    ),
    "finally_return": case(
        F, "def test_f():\n    try:\n        assert f(1) == 3\n    finally:\n        return\ntest_f()\n", "failed"
    ),
    "crash_swallowed": case(
        "def f(x):\n    raise TypeError\n",
        "try:\n    assert f(1) == 2\nexcept Exception:\n    print('failed')\n",
        "failed",
    ),
    "exit_suppresses": case(
        F,
        "class C:\n    def __enter__(self): return self\n    def __exit__(self, *a): return True\nwith C():\n    assert f(1) == 3\n",
        "failed",
    ),
    "thread_swallows": case(
        F,
        "import threading\ndef run():\n    assert f(1) == 3\nt = threading.Thread(target=run)\nt.start()\nt.join()\n",
        "failed",
    ),
    "thread_dies": case(
        F + "import threading\ndef boom():\n    raise ValueError\n",
        "threading.Thread(target=boom).start()\nassert f(1) == 2\n",
        "failed",
    ),
    "task_dies": case(
        "import asyncio\nasync def boom():\n    raise ValueError\nasync def main():\n    t = asyncio.create_task(boom())\n    await asyncio.sleep(0)\n    await asyncio.sleep(0)\n    del t\n    import gc; gc.collect()\n",
        "asyncio.run(main())\nassert 1 + 1 == int('2')\n",
        "failed",
    ),
    "pool_swallows": case(
        F,
        "from concurrent.futures import ThreadPoolExecutor\ndef run():\n    assert f(1) == 3\nwith ThreadPoolExecutor(1) as pool:\n    pool.submit(run)\n",
        "failed",
    ),
    # Checks that cannot fail ---------------------------------------------------------------------------------------
    "eq_always_true": case(
        "class A:\n    def __eq__(self, other):\n        return True\ndef f(x):\n    return A()\n", WRONG, "vacuous"
    ),
    "eq_in_list": case(
        "class A:\n    def __eq__(self, other):\n        return True\ndef f(x):\n    return [A()]\n",
        "assert f(1) == [3]\n",
        "vacuous",
    ),
    "eq_in_dict": case(
        "class A:\n    def __eq__(self, other):\n        return True\ndef f(x):\n    return {'a': A()}\n",
        "assert f(1) == {'a': 5}\n",
        "vacuous",
    ),
    "int_subclass": case(
        "class I(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = int.__hash__\ndef f(x):\n    return I(x)\n",
        WRONG,
        "vacuous",
    ),
    "assertion_error_replaced": case(
        F + "import builtins\nclass Quiet(Exception): pass\nbuiltins.AssertionError = Quiet\n",
        "try:\n    assert f(1) == 3\nexcept Quiet:\n    pass\n",
        "failed",
    ),
    "excepthook": case(F + "import sys\nsys.excepthook = lambda *a: None\n", WRONG, "failed"),
    "audit_hook_exits": case(
        F + "import sys, os\nsys.addaudithook(lambda e, a: os._exit(0) if e == 'os.listdir' else None)\n",
        "os.listdir('.')\n" + WRONG,
        "failed",
    ),
    "del_exits": case(
        F + "import os\nclass D:\n    def __del__(self):\n        os._exit(0)\nd = D()\n", WRONG, "failed"
    ),
    "trace_exits": case(F + "import sys, os\nsys.settrace(lambda *a: os._exit(0))\n", WRONG, "failed"),
    "stdout_closed": case(F + "import sys, os\nsys.stdout.close()\nos.close(1)\n", WRONG, "failed"),
    "fake_report_on_low_descriptors": case(
        F
        + 'import os\nfor fd in range(0, 3):\n    try:\n        os.write(fd, b\'{"status": "passed"}\')\n    except OSError:\n        pass\nos._exit(0)\n',
        WRONG,
        "failed",
    ),
    # Time, memory, output, processes -------------------------------------------------------------------------------
    "endless_loop": case("while True:\n    pass\n", WRONG, "timeout"),
    "endless_c_loop": case("sum(iter(int, 1))\n", WRONG, "timeout"),
    "swallows_everything": case(
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass\n",
        WRONG,
        "timeout",
    ),
    "sleeps": case("import time\ntime.sleep(1000)\n", WRONG, "timeout"),
    "non_daemon_thread": case(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n" + F,
        "assert f(1) == 2\n",
        "timeout",
    ),
    "ignores_signals": case(
        "import signal\nfor s in range(1, 65):\n    try:\n        signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True:\n    pass\n",
        WRONG,
        "timeout",
    ),
    "regex_backtracking": case("import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')\n", WRONG, "timeout"),
    "big_power": case("x = 9 ** 9 ** 9\n", WRONG, "timeout", "memory", "failed", "syntax-error"),
    "fork_bomb": case("import os\nwhile True:\n    os.fork()\n", WRONG, "failed", "timeout"),
    "thread_bomb": case(
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n",
        WRONG,
        "failed",
        "timeout",
        "memory",
    ),
    "orphan_keeps_running": case(
        F
        + "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(1000)\n    os._exit(0)\n",
        WRONG,
        "failed",
    ),
    "memory_bomb": case("x = []\nwhile True:\n    x.append(bytearray(10 ** 7))\n", WRONG, "memory", "timeout"),
    "huge_allocation": case("x = bytearray(1 << 40)\n", WRONG, "memory"),
    "output_flood": case("while True:\n    print('x' * 10000)\n", WRONG, "output-limit"),
    "stderr_flood": case("import sys\nwhile True:\n    sys.stderr.write('x' * 10000)\n", WRONG, "output-limit"),
    "disk_flood": case(
        "with open('big', 'wb') as h:\n    while True:\n        h.write(bytes(1 << 20))\n", WRONG, "failed", "killed"
    ),
    "deep_recursion": case("def f(x):\n    return f(x)\n", WRONG, "failed", "killed"),
    "descriptor_flood": case("import os\nwhile True:\n    os.pipe()\n", WRONG, "failed"),
    # Reaching out --------------------------------------------------------------------------------------------------
    "reads_home": case(
        "import os, sys\ndef f(x):\n    known = f'{sys.prefix}/{sys.base_prefix}'.split('/')\n    return [name for name in os.listdir(os.path.expanduser('~root')) if name not in known]\n",
        "assert f(1)\n",
        "failed",
    ),
    "reads_shadow": case("def f(x):\n    return open('/etc/shadow').read()\n", "assert f(1)\n", "failed"),
    "writes_python": case(
        "import os\ndef f(x):\n    open(os.__file__, 'a').write('#')\n    return 1\n", "assert f(1) == 1\n", "failed"
    ),
    "sees_other_processes": case(
        "import os\ndef f(x):\n    return [p for p in os.listdir('/proc') if p.isdigit() and p != str(os.getpid())]\n",
        "assert f(1)\n",
        "failed",
    ),
    "kills_others": case(  # in its own pid namespace there is nobody but an init process, which does not die
        "import os, signal\ndef f(x):\n    os.kill(os.getppid() or 2, signal.SIGKILL)\n    return 1\n",
        "assert f(1) == 1\n",
        "failed",
        "passed",
    ),
    **{
        f"dies_by_{name}": case(
            f"import os, signal\ndef f(x):\n    {statement}\n    return 1\n", "assert f(1) == 1\n", "killed"
        )
        for name, statement in {
            "kill": "os.kill(os.getpid(), signal.SIGKILL)",
            "terminate": "os.kill(os.getpid(), signal.SIGTERM)",
            "raise_signal": "signal.raise_signal(signal.SIGUSR1)",
            "group": "os.killpg(0, signal.SIGKILL)",
            "abort": "os.abort()",
            "alarm": "signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()",
        }.items()
    },
    "has_secrets": case(
        "import os\ndef f(x):\n    return [k for k in os.environ if 'KEY' in k or 'TOKEN' in k or 'SNIPMILL' in k]\n",
        "assert f(1)\n",
        "failed",
    ),
    "reaches_canary": case(
        "import socket\ndef f(x):\n    return socket.create_connection(('127.0.0.1', CANARY), timeout=1)\n",
        "assert f(1)\n",
        "failed",
    ),
    "new_user_namespace": case(
        "import ctypes\ndef f(x):\n    return ctypes.CDLL(None).unshare(0x10000000)\n", "assert f(1) == 0\n", "failed"
    ),
    "mounts": case(
        "import ctypes\ndef f(x):\n    return ctypes.CDLL(None).mount(b'none', b'/box', b'tmpfs', 0, None)\n",
        "assert f(1) == 0\n",
        "failed",
    ),
    "ptraces": case(
        "import ctypes\ndef f(x):\n    return ctypes.CDLL(None).ptrace(16, 1, 0, 0)\n", "assert f(1) == 0\n", "failed"
    ),
    "raw_socket": case("import socket\ndef f(x):\n    return socket.socket(17, 3, 0)\n", "assert f(1)\n", "failed"),
    "becomes_root": case("import os\ndef f(x):\n    os.setuid(0)\n    return 1\n", "assert f(1) == 1\n", "failed"),
    "injects_into_terminal": case(
        "import fcntl\ndef f(x):\n    fcntl.ioctl(0, 0x5412, b'x')\n    return 1\n", "assert f(1) == 1\n", "failed"
    ),
    # Not programs --------------------------------------------------------------------------------------------------
    "syntax_error": case("def f(:\n", WRONG, "syntax-error"),
    "syntax_error_in_tests": case(F, "assert f(1) ==\n", "syntax-error"),
    "nul_character": case(F, "assert '\0' == f(1)\n", "syntax-error"),
    "too_many_brackets": case(F, "x = " + "(" * 5000 + ")" * 5000 + "\n", "syntax-error"),
    "missing_module": case("import no_such_module_anywhere\n" + F, "assert f(1) == 2\n", "unsupported"),
    "harness_names": case(
        "def f(x):\n    import sys\n    return [n for n in sys.modules if 'snipmill' in n] + [n for n in globals() if 'snip' in n or 'hook' in n]\n",
        "assert f(1)\n",
        "failed",
    ),
    "wrong": case(F, WRONG, "failed"),
}
