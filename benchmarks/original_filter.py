"""`snipmill execute` against the execution filter of StarCoder2-Instruct, file to file, as whole commands on the same cores.

    python -m venv THEIRS && THEIRS/bin/pip install evalplus==0.2.1 fire tqdm openai tenacity tiktoken pandas
    pip install pandas
    python benchmarks/original_filter.py --original ORIGINAL --python THEIRS/bin/python [--rounds 3] [--mix plain]

ORIGINAL is a checkout of bigcode-project/starcoder2-self-align on GitHub. Its own code runs, unchanged but for one mix: where half
of the programs import pandas, its guard that takes `open` away is lifted, since pandas cannot be imported without. Both run the
same responses, each of which differs from all others by a line:

- `plain`: the responses of the few-shot bank, which import Python's own modules if any
- `numpy`: one in ten imports numpy
- `pandas`: every second one imports pandas
- `sleepers`: 1,000 programs of which 20, spread over the file, sleep beyond their time; 2 and 8 workers

Prints programs per second, by wall time and by CPU time of the whole machine, which must be idle otherwise. 400 programs
include the start of the command. For 2,000, the time of the 400 is subtracted, so that the start is apart.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from snipmill.stages.fewshot_files import load_bank

_NUMPY = (
    ("def scale(values):\n    low, high = values.min(), values.max()\n    return (values - low) / (high - low)",
     "assert np.allclose(scale(np.array([1.0, 2.0, 3.0])), [0.0, 0.5, 1.0])"),
    ("def moving_mean(values, width):\n    return np.convolve(values, np.ones(width) / width, mode='valid')",
     "assert moving_mean(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist() == [1.5, 2.5, 3.5]"),
    ("def outer_sum(left, right):\n    return np.asarray(left)[:, None] + np.asarray(right)[None, :]",
     "assert outer_sum([1, 2], [10, 20]).tolist() == [[11, 21], [12, 22]]\nassert outer_sum([], [1]).shape == (0, 1)"),
    ("def solve(matrix, target):\n    return np.linalg.solve(np.asarray(matrix, float), np.asarray(target, float))",
     "assert np.allclose(solve([[2, 0], [0, 4]], [2, 8]), [1, 2])"),
)  # fmt: skip
_PANDAS = (
    ("def totals(rows):\n    frame = pd.DataFrame(rows, columns=['name', 'amount'])\n"
     "    return frame.groupby('name')['amount'].sum().to_dict()",
     "assert totals([('a', 1), ('b', 2), ('a', 3)]) == {'a': 4, 'b': 2}"),
    ("def fill(values):\n    return pd.Series(values, dtype=float).ffill().tolist()",
     "assert fill([1.0, None, 3.0, None]) == [1.0, 1.0, 3.0, 3.0]"),
    ("def monthly(days, amounts):\n    series = pd.Series(amounts, index=pd.to_datetime(days))\n"
     "    return series.groupby(series.index.month).sum().to_dict()",
     "assert monthly(['2024-01-03', '2024-01-09', '2024-02-01'], [1, 2, 5]) == {1: 3, 2: 5}"),
    ("def join(left, right):\n    return pd.DataFrame(left).merge(pd.DataFrame(right), on='key').to_dict('records')",
     "assert join({'key': [1, 2], 'a': [3, 4]}, {'key': [2], 'b': [5]}) == [{'key': 2, 'a': 4, 'b': 5}]"),
)  # fmt: skip
_SLEEPER = ("def wait():\n    import time\n\n    time.sleep(60)", "assert wait() is None")
_LIFTED = """
import builtins, sys
import evalplus.eval.utils as utils
guard, opening = utils.reliability_guard, builtins.open
def lifted(**limits):
    guard(**limits)
    builtins.open = opening
utils.reliability_guard = lifted
"""
_THEIRS = """
from star_align.execution_filter import main
main(response_path=sys.argv[1], result_path=sys.argv[2], max_workers=int(sys.argv[3]))
"""
_TIMEOUT = 4  # seconds; the original's


class Cost(NamedTuple):
    """What a command took, in seconds, and how many programs passed."""

    wall: float
    cpu: float
    passed: int


def _response(code: str, tests: str) -> str:
    return (
        f"[Reasoning]\nAs asked.\n\n[Implementation]\n```python\n{code}\n```\n\n"
        f"[Explanation]\nIt does it.\n\n[Tests]\n```python\n{tests}\n```"
    )


def _plain() -> list[str]:
    return [example.response for example in load_bank(None).examples if example.response is not None]


def responses(mix: str, count: int) -> Iterator[str]:
    """The responses of a mix, each with a line of its own, since equal programs run once."""
    plain = _plain()
    numpy = [_response(f"import numpy as np\n\n\n{code}", tests) for code, tests in _NUMPY]
    pandas = [_response(f"import pandas as pd\n\n\n{code}", tests) for code, tests in _PANDAS]
    draw = random.Random(0)
    sleepers = set(range(0, count, 50)) if mix == "sleepers" else set()
    for number in range(count):
        if number in sleepers:
            chosen = _response(*_SLEEPER)
        elif mix == "numpy" and number % 10 == 3:
            chosen = draw.choice(numpy)
        elif mix == "pandas" and number % 2:
            chosen = draw.choice(pandas)
        else:
            chosen = draw.choice(plain)
        yield chosen.replace("```python\n", f"```python\n# {number}\n", 1)


def _busy() -> float:
    """Seconds of CPU time that this machine has spent on anything."""
    user, nice, system, _idle, _wait, irq, soft, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _timed(command: list[str], environment: dict[str, str], out: Path) -> Cost:
    busy, started = _busy(), time.perf_counter()
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    wall, cpu = time.perf_counter() - started, _busy() - busy
    if done.returncode:
        sys.exit(f"{command[:4]} failed:\n{done.stderr[-2000:]}")
    return Cost(wall, cpu, sum(1 for _ in out.open()))


def _write(folder: Path, mix: str, count: int) -> Path:
    path = folder / f"{mix}-{count}.jsonl"
    with path.open("w") as file:
        for number, response in enumerate(responses(mix, count)):
            file.write(json.dumps({"id": f"r-{number}", "instruction": "Do it.", "response": response}) + "\n")
    return path


def run_ours(path: Path, workers: int) -> Cost:
    """`snipmill execute`, with an output of its own."""
    out = Path(tempfile.mkdtemp(dir=path.parent)) / "out.jsonl"
    command = [sys.executable, "-m", "snipmill", "execute", str(path), "--out", str(out)]
    options = ["--set", f"execute.workers={workers}", "--set", f"execute.timeout={_TIMEOUT}"]
    return _timed([*command, *options], {}, out)


def theirs(original: Path, python: str, mix: str) -> Callable[[Path, int], Cost]:
    """The original's filter, as a command."""
    script = (_LIFTED if mix == "pandas" else "import sys\n") + _THEIRS

    def run(path: Path, workers: int) -> Cost:
        out = Path(tempfile.mkdtemp(dir=path.parent)) / "out.jsonl"
        command = [python, "-c", script, str(path), str(out), str(workers)]
        return _timed(command, {"PYTHONPATH": str(original / "src")}, out)

    return run


def _report(name: str, count: int, ours: list[Cost], others: list[Cost]) -> None:
    wall = statistics.median(other.wall / our.wall for our, other in zip(ours, others, strict=True))
    cpu = statistics.median(other.cpu / our.cpu for our, other in zip(ours, others, strict=True))
    rates = [count / statistics.median(cost.wall for cost in costs) for costs in (ours, others)]
    print(
        f"{name:24} {rates[0]:7.1f} /s   original {rates[1]:7.1f} /s   wall {wall:5.2f}   cpu {cpu:5.2f}   "
        f"passed {ours[-1].passed} and {others[-1].passed}",
        flush=True,
    )


def _less(cost: Cost, start: Cost) -> Cost:
    return Cost(cost.wall - start.wall, cost.cpu - start.cpu, cost.passed - start.passed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--original", type=Path, required=True, help="a checkout of the original")
    parser.add_argument("--python", required=True, help="an interpreter that has what it needs")
    parser.add_argument("--mix", action="append", choices=("plain", "numpy", "pandas", "sleepers"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", type=int, nargs=2, default=(400, 2000), metavar=("FEW", "MANY"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for mix in args.mix or ("plain", "numpy", "pandas", "sleepers"):
            run_theirs = theirs(args.original, args.python, mix)
            if mix == "sleepers":
                path = _write(Path(folder), mix, 1000)
                for workers in (2, 8):
                    ours, others = [run_ours(path, workers)], [run_theirs(path, workers)]
                    _report(f"{mix}, {workers} workers", 1000, ours, others)
                continue
            few, many = args.programs
            short, long = _write(Path(folder), mix, few), _write(Path(folder), mix, many)
            pairs = [(run_ours(short, 2), run_theirs(short, 2)) for _ in range(args.rounds)]
            _report(f"{mix}, {few}, cold", few, [our for our, _ in pairs], [other for _, other in pairs])
            rest = [(_less(run_ours(long, 2), our), _less(run_theirs(long, 2), other)) for our, other in pairs]
            _report(f"{mix}, {many}, start apart", many - few, [our for our, _ in rest], [other for _, other in rest])


if __name__ == "__main__":
    main()
