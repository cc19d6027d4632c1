"""The live view: it answers what a person asks at any width, in a real terminal and in a log."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from snipmill.cli.live_run import LiveRun
from snipmill.cli.pace import Speeds, plain_line, time_to_go
from snipmill.config_model import PriceTable
from snipmill.engine.progress import Progress
from snipmill.llm.client import Client, Server
from snipmill.llm.fleet import Fleet
from snipmill.records import Usage
from snipmill.stages.budget import Budget
from snipmill.stages.spec import ASKING, STAGES
from tests.conftest import Snipmill, write_lines
from tests.standin import StandIn


def asked_since(moment: float) -> Fleet:
    """Servers that were first asked at a moment."""
    fleet = Fleet([])
    fleet.first_request = moment
    return fleet


def half_way() -> Progress:
    progress = Progress(
        limit=300,
        seeds_done=150,
        found=60,
        with_rows=58,
        doubt=9.0,
        phase="writing",
        model="a-model-with-a-long-name at http://127.0.0.1:8000/v1",
        tier="namespaces",
        stages=tuple(stage.name for stage in STAGES),
        budget=Budget(5.0, None, dict.fromkeys(ASKING, PriceTable(prompt=1.0, completion=4.0)), cost=4.9),
    )
    progress.started = time.monotonic() - 600
    progress.fleets = [asked_since(time.monotonic() - 500)]
    progress.replayed = (50, 10)
    for stage in STAGES:
        count = progress.funnel[stage.name]
        count.kept = 100
        for reason in ("failed", "not-finished", "timeout"):
            count.rejected[reason] = 20
    progress.funnel["responses"].spend(Usage(prompt_tokens=300_000, completion_tokens=120_000), 600.0)
    return progress


def drawn(progress: Progress, width: int) -> list[str]:
    return drawn_by(LiveRun(progress), width)


def drawn_by(view: LiveRun, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, highlight=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 160, 200])
def test_every_width_answers_what_a_person_asks(width: int) -> None:
    lines = drawn(half_way(), width)
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines).replace("\u00a0", " ")
    assert re.search(r"writing · 10 min · done in \d+ min to \d+ min", lines[0])  # how far, when done
    assert "150 of 300" in text and "60 found" in text and "an hour" in text  # how fast, how much is kept
    assert "2,000 tokens each" in text and "15% expected wrong" in text
    assert "4.90 of 5.00 spent" in text and "0.0817 each row" in text  # what it costs
    assert ("failed 20" in text) == (width >= 80)
    bars = [line for line in lines if "━" in line]
    assert len(bars) == len(STAGES) and "╍" in bars[2] and "─" in bars[0]


def test_the_number_of_lines_stays_the_same() -> None:
    begun, later = half_way(), half_way()
    for stage in STAGES[3:]:
        begun.funnel[stage.name].kept = 0
        begun.funnel[stage.name].rejected.clear()
    assert len(drawn(begun, 80)) == len(drawn(later, 80))


def under_way(**figures: Any) -> Progress:
    progress = Progress(phase="writing", **figures)
    progress.fleets = [asked_since(0.0)]
    return progress


def hours(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"done in ([\d.]+) h to ([\d.]+) h", text)
    assert found is not None, text
    return float(found[1]), float(found[2])


def test_the_time_to_go_narrows_as_results_come() -> None:
    def width(done: int, seconds: float) -> float:
        low, high = hours(time_to_go(under_way(limit=10_000, seeds_done=done), seconds))
        assert low < (10_000 - done) * seconds / done / 3600 < high
        return high / low

    assert width(10, 100.0) > width(100, 1000.0) > width(1000, 10_000.0) > 1


def test_nothing_is_said_before_as_many_seeds_have_ended_as_are_under_way() -> None:
    assert time_to_go(under_way(limit=1_000, seeds_done=10, window=64), 60.0) == "time to go not known yet"
    assert "done in" in time_to_go(under_way(limit=1_000, seeds_done=64, window=64), 60.0)
    assert time_to_go(under_way(limit=100, seeds_done=2), 10.0) == "time to go not known yet"
    assert time_to_go(under_way(seeds_done=5), 10.0) == ""  # how many there are is not known
    assert time_to_go(Progress(limit=100, seeds_done=5), 10.0) == ""  # nothing was asked


def test_what_an_earlier_session_made_does_not_count_for_the_pace() -> None:
    progress = under_way(limit=200)
    progress.fleets[0].first_request = None
    for _ in range(100):
        progress.seed_ended(has_row=True, confidence=0.9)
    progress.fleets[0].first_request = 0.0
    for _ in range(10):
        progress.seed_ended(has_row=False, confidence=0.0)
    # 90 more at 10 in 100 s: a quarter of an hour, not a few seconds
    low, high = map(int, re.findall(r"\d+", time_to_go(progress, 100.0)))
    assert 10 <= low < 15 < high <= 26


def test_whatever_ends_the_run_first_is_forecast() -> None:
    slow = under_way(limit=300, seeds_done=295, found=10, with_rows=10, enough=5_000)
    assert "s to" in time_to_go(slow, 600.0) or "about" in time_to_go(slow, 600.0)  # five seeds are left
    spent = under_way(limit=100_000, seeds_done=100)
    spent.funnel["responses"].spend(Usage(prompt_tokens=9_000, completion_tokens=1_000), 10.0)
    spent.budget = Budget(None, 20_000, {}, tokens=10_000)
    low, high = map(int, re.findall(r"\d+", time_to_go(spent, 1_200.0)))
    assert low < 20 < high  # as long again, in minutes


def test_unknown_seeds_fill_no_bar() -> None:
    progress = half_way()
    progress.limit = None
    lines = drawn(progress, 80)
    assert not any("━" in line or "╍" in line for line in lines) and "150 done" in "\n".join(lines)


def test_a_view_that_cannot_be_drawn_ends_no_run() -> None:
    progress = half_way()
    view = LiveRun(progress)
    before = drawn_by(view, 80)
    progress.doubt = "broken"  # type: ignore[assignment]
    assert drawn_by(view, 80) == before
    assert "the run goes on" in drawn_by(LiveRun(progress), 80)[0]


def test_a_hundred_servers_in_trouble_fit_on_a_screen(standin: StandIn) -> None:
    progress, speeds = half_way(), Speeds()
    server = Server(standin.url)
    fleet = Fleet([Client(server) for _ in range(100)])
    for member in fleet._members:
        member.closed_until = time.monotonic() + 60
    progress.fleets = [fleet]
    assert "and 97 more" in progress.trouble and len(drawn(progress, 80)) < 24
    assert speeds.read(progress, 0.0) == {}


def test_a_log_tells_speeds_from_line_to_line() -> None:
    progress, speeds = half_way(), Speeds()
    fleets = [Fleet([Client(Server("http://127.0.0.1:8000/v1"))]) for _ in range(2)]  # of one server
    progress.fleets = list(fleets)
    plain_line(progress, speeds, 0.0)
    for number in range(1, 4):
        for fleet in fleets:
            fleet._members[0].tokens += 1_500
        assert "100 tokens/s" in plain_line(progress, speeds, number * 30.002)


def test_a_log_gets_the_same_in_a_line() -> None:
    line = plain_line(half_way(), Speeds())
    for part in ("writing", "10 min", "150 of 300 seeds done", "100 of 160 responses passed", "done in"):
        assert part in line
    assert "\n" not in line


def config(folder: Path, standin: StandIn) -> None:
    write_lines(
        folder / "seeds.jsonl",
        *({"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(60)),
    )
    (folder / "config.toml").write_text(
        f'[run]\ndir = "run"\n[seeds]\nsources = ["seeds.jsonl"]\n[model]\nbase_url = "{standin.url}"\nconcurrency = 2\n'
    )


def test_in_a_real_terminal_it_is_drawn_and_ctrl_c_says_how_to_go_on(standin: StandIn, tmp_path: Path) -> None:
    standin.delay = 0.05
    config(tmp_path, standin)
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "snipmill", "run", "config.toml"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=other, stdout=subprocess.PIPE, stderr=other, env=env)
    os.close(other)
    shown, sent = b"", False
    while select.select([main], [], [], 60)[0]:
        try:
            piece = os.read(main, 65536)
        except OSError:  # the other side is closed
            break
        shown += piece
        if not sent and re.search(rb"seeds +\S+ +[1-9]\d* of 60", re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown)):
            process.send_signal(signal.SIGINT)
            sent = True
    out, _ = process.communicate(timeout=60)
    os.close(main)
    assert process.returncode == 130 and out == b""
    text = shown.decode(errors="replace")
    assert "━" in text and "Ctrl-C stops" in text and "the same command continues" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii", "TERM": "xterm"}])
def test_a_terminal_that_cannot_draw_gets_lines(standin: StandIn, tmp_path: Path, environment: dict[str, str]) -> None:
    config(tmp_path, standin)
    main, other = pty.openpty()
    command = [sys.executable, "-m", "snipmill", "run", "config.toml", "--limit", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=other, stderr=other, env={**os.environ, **environment})
    os.close(other)
    shown = b""
    while select.select([main], [], [], 60)[0]:
        try:
            shown += os.read(main, 65536)
        except OSError:
            break
    os.close(main)
    assert process.wait(60) == 0
    assert (b"\\u2501" not in shown and "━".encode() not in shown and b"rows in" in shown) or b"row in" in shown


def test_without_a_terminal_nothing_is_drawn(standin: StandIn, tmp_path: Path, snipmill: Snipmill) -> None:
    config(tmp_path, standin)
    done = snipmill("run", "config.toml", "--limit", 3)
    assert done.returncode == 0 and done.stdout == "" and "━" not in done.stderr and "\x1b" not in done.stderr
