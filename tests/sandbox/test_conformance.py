"""The corpora over every tier that this machine offers, as root and as an ordinary user."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import pytest

from snipmill.sandbox.conformance.conform import conform, descendants, own_traces
from snipmill.sandbox.conformance.honest import HONEST
from snipmill.sandbox.conformance.hostile import HOSTILE

ROOT = Path(__file__).parents[2]


def test_the_corpora_are_large_enough() -> None:
    assert len(HOSTILE) >= 60
    assert len(HONEST) >= 30


def test_what_a_program_leaves_is_found_and_what_others_do_is_not() -> None:
    orphan = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)\nos.wait()\n"
    stranger = subprocess.Popen(["unshare", "-m", "sleep", "60"] if os.geteuid() == 0 else ["sleep", "60"])
    before = descendants()
    try:
        with own_traces() as folder:
            subprocess.run([sys.executable, "-c", orphan], check=True)
            (Path(tempfile.gettempdir()) / "left").touch()
            while not (found := descendants() - before):
                time.sleep(0.01)
            (left,) = found
            assert stranger.pid in before and os.listdir(folder) == ["left"]
        os.kill(left, signal.SIGKILL)
        os.waitpid(left, 0)
    finally:
        stranger.kill()
        stranger.wait()
    assert descendants() - before == set()


def test_tier_namespaces_conforms() -> None:
    assert asyncio.run(conform("namespaces")) == {}


DENY_NAMESPACES = """
import ctypes, struct
from snipmill.sandbox.child import linux, seccomp
code = [(0x20, 0, 0, 0), (0x15, 0, 1, seccomp._UNSHARE[linux.MACHINE]), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
program = b"".join(struct.pack("HBBI", *line) for line in code)
buffer = ctypes.create_string_buffer(program, len(program))
linux._syscall("seccomp", linux.syscall_number("seccomp"), 1, 0, struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer)))
"""
CONFORM = """
import asyncio, json
from snipmill.sandbox.driver import choose_tier
from snipmill.sandbox.conformance.conform import conform
tier = asyncio.run(choose_tier("auto"))
assert tier == {tier!r}, tier
print(json.dumps(asyncio.run(conform(tier))))
"""


def opened(code: str, uid: int) -> subprocess.CompletedProcess[str]:
    """Run Python code as a user, in a mount namespace that opens the closed folders which Python itself lies in."""
    closed = str(Path("~root").expanduser())
    shown = sorted({path for path in (sys.base_prefix, sys.prefix, str(ROOT)) if Path(path).is_relative_to(closed)})
    script = ["set -e", "mount -t tmpfs keep /mnt"]
    for number, path in enumerate(shown):
        script += [f"mkdir /mnt/{number}", f"mount --rbind {shlex.quote(path)} /mnt/{number}"]
    if shown:
        script.append(f"mount -t tmpfs -o mode=755 home {shlex.quote(closed)}")
    for number, path in enumerate(shown):
        script += [f"mkdir -p {shlex.quote(path)}", f"mount --rbind /mnt/{number} {shlex.quote(path)}"]
    command = shlex.join([sys.executable, "-c", code])
    user = f"setpriv --reuid={uid} --regid={uid} --clear-groups " if uid else ""
    script.append(f"exec {user}{command}")
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", "\n".join(script)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which becomes any user")


@as_root
def test_tier_namespaces_conforms_for_an_ordinary_user() -> None:
    done = opened(CONFORM.format(tier="namespaces"), uid=65534)
    assert done.stdout.strip() == "{}", done.stdout + done.stderr


@as_root
def test_root_without_namespaces_gets_a_user_for_each_slot() -> None:
    done = opened(DENY_NAMESPACES + CONFORM.format(tier="uid"), uid=0)
    assert done.stdout.strip() == "{}", done.stdout + done.stderr


@as_root
def test_an_ordinary_user_without_namespaces_gets_landlock() -> None:
    done = opened(DENY_NAMESPACES + CONFORM.format(tier="landlock"), uid=65534)
    assert done.stdout.strip() == "{}", done.stdout + done.stderr


DENY_USER_NAMESPACES = """
import ctypes, struct
from snipmill.sandbox.child import linux, seccomp
code = [
    (0x20, 0, 0, 0), (0x15, 0, 3, seccomp._UNSHARE[linux.MACHINE]), (0x20, 0, 0, 16), (0x45, 0, 1, linux.CLONE_NEWUSER),
    (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000),
]
linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
program = b"".join(struct.pack("HBBI", *line) for line in code)
buffer = ctypes.create_string_buffer(program, len(program))
linux._syscall("seccomp", linux.syscall_number("seccomp"), 1, 0, struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer)))
"""
TRY = """
import asyncio, sys
from snipmill.sandbox.driver import Sandbox, try_tier
from snipmill.sandbox.program import Program
print(asyncio.run(try_tier("uid", interpreter=sys.argv[1])))
async def go():
    async with Sandbox(workers=1, tier="uid", interpreter=sys.argv[1]) as sandbox:
        source = "import os, wave\\nassert os.getuid() > 0\\nassert sorted(os.listdir(os.path.dirname(CLOSED)))\\n"
        print((await sandbox.run(Program(source=source.replace("CLOSED", repr(sys.argv[1]))))).status)
if sys.argv[2] == "run":
    asyncio.run(go())
"""


@pytest.fixture
def closed_python(tmp_path: Path) -> str:
    """A Python in a folder that only root can enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    venv.create(closed / "venv", with_pip=False)
    return str(closed / "venv" / "bin" / "python")


@as_root
def test_a_python_in_a_closed_folder_is_shown_to_other_users(closed_python: str) -> None:
    command = [sys.executable, "-c", DENY_USER_NAMESPACES + TRY, closed_python, "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["None", "passed"], done.stdout + done.stderr


@as_root
def test_what_to_do_where_a_closed_python_cannot_be_shown(closed_python: str) -> None:
    command = [sys.executable, "-c", DENY_NAMESPACES + TRY, closed_python, "try"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert "closed to other users; run `chmod o+x /" in done.stdout, done.stdout + done.stderr
