"""Kill workers, nodes and the driver of a run on a real local Ray at random instants, and compare it with an uninterrupted run.

    python benchmarks/cluster_faults.py [--kills 20] [--seeds 60] [--store]

The cluster has a head and two nodes, each with a raylet of its own; a node that was killed is replaced. The server is the
deterministic one of the tests. With `--store` the run is on a server that speaks S3, which is also gone for 30 seconds once. Told
is whether the files are the same to the byte, and how many requests were asked again, against how many were in flight.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from ray.cluster_utils import Cluster

from tests.standin import StandIn

CONCURRENCY = 8
WORKERS = 2
FILES = ("seeds", "concepts", "instructions", "responses", "execute", "verify", "sanitize", "dataset")
TIMES = re.compile(rb'("wall_ms"|"cpu_ms"|"peak_memory"):[0-9.]+')
VARIABLES = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


class Store:
    """A server that speaks S3, which can be stopped and started with what it holds."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._make = ThreadedMotoServer
        self._server = self._make(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]
        os.environ.update(VARIABLES, AWS_ENDPOINT_URL=f"http://127.0.0.1:{self.port}")

    def be_gone(self, seconds: float) -> None:
        self._server.stop()
        time.sleep(seconds)
        self._server = self._make(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()


def configure(path: Path, directory: str, seeds: Path, url: str) -> Path:
    path.write_text(
        f"[run]\ndir = {json.dumps(directory)}\n[seeds]\nsources = [{json.dumps(str(seeds))}]\n"
        f'[model]\nbase_url = "{url}"\nconcurrency = {CONCURRENCY}\n[generate]\nsamples = 6\nwave = 3\naccept = 2\n'
        "[select]\nnear_instructions = 0\nnear_code = 0\n"
    )
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    return {name: TIMES.sub(rb"\1:0", (folder / f"{name}.jsonl").read_bytes()) for name in FILES}


class Run:
    """A run on the cluster, in which something dies now and then."""

    def __init__(self, config: Path, directory: str, scratch: Path) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(WORKERS)]
        self._command = [sys.executable, "-m", "snipmill", "run", str(config), "--engine", "ray"]
        self._command += ["--address", self.cluster.address]
        self._directory, self._log = directory, scratch / "log"
        self.driver = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as out:
            return subprocess.Popen(self._command, stdout=out, stderr=out, start_new_session=True)

    def worker(self, draw: random.Random) -> int | None:
        """The process of a worker that is at work."""
        manifests = []
        if "://" in self._directory:
            import fsspec

            fs, root = fsspec.url_to_fs(self._directory, skip_instance_cache=True, use_listings_cache=False)
            names = [f"{root}/shards/{index}/manifest.json" for index in range(WORKERS)]
            manifests = [json.loads(fs.cat_file(name)) for name in names if fs.exists(name)]
        else:
            paths = Path(self._directory).glob("shards/*/manifest.json")
            manifests = [json.loads(path.read_text()) for path in paths]
        working = [one["process"]["id"] for one in manifests if one["status"] == "running"]
        return draw.choice(working) if working else None

    def kill(self, what: str, draw: random.Random) -> bool:
        if what == "driver":
            os.kill(self.driver.pid, signal.SIGKILL)
            self.driver.wait()
            self.driver = self.start()
        elif what == "node":
            self.cluster.remove_node(self.nodes.pop(draw.randrange(len(self.nodes))), allow_graceful=False)
            self.nodes.append(self.cluster.add_node(num_cpus=1))
        else:
            process = self.worker(draw)
            if process is None:
                return False
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                return False
        return True

    def close(self) -> None:
        self.driver.kill()
        self.cluster.shutdown()  # type: ignore[no-untyped-call]

    def log(self) -> str:
        return self._log.read_text()[-3000:]


def fetched(url: str, folder: Path) -> Path:
    import fsspec

    fs, root = fsspec.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
    folder.mkdir()
    for name in FILES:
        fs.get_file(f"{root}/{name}.jsonl", str(folder / f"{name}.jsonl"))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--store", action="store_true")
    args = parser.parse_args()
    for name in ("aiohttp.server", "werkzeug"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    draw, killed, runs, same, again = random.Random(0), Counter[str](), 0, 0, 0
    with tempfile.TemporaryDirectory() as temporary, StandIn() as server:
        folder = Path(temporary)
        seeds = folder / "seeds.jsonl"
        code = ({"seed": f'def f{n}(x):\n    """Add {n}."""\n    return x + {n}\n'} for n in range(args.seeds))
        seeds.write_text("".join(json.dumps(record) + "\n" for record in code))
        config = configure(folder / "whole.toml", str(folder / "whole"), seeds, server.url)
        subprocess.run([sys.executable, "-m", "snipmill", "run", str(config)], check=True, capture_output=True)
        expected, needed = files_in(folder / "whole"), len(server.requests)
        server.delay = 0.4
        store, gone = Store() if args.store else None, False
        while killed.total() < args.kills:
            runs += 1
            scratch = folder / f"scratch{runs}"
            scratch.mkdir()
            if store is not None:
                import fsspec

                fsspec.filesystem("s3", skip_instance_cache=True).mkdir(f"bucket{runs}")
            directory = f"s3://bucket{runs}/run" if store is not None else str(folder / f"run{runs}")
            server.requests.clear()
            run = Run(configure(folder / f"run{runs}.toml", directory, seeds, server.url), directory, scratch)
            try:
                while run.driver.poll() is None:
                    time.sleep(draw.uniform(8, 14))
                    if run.driver.poll() is not None or killed.total() >= args.kills:
                        continue
                    what = draw.choice(("worker", "worker", "node", "driver"))
                    if run.kill(what, draw):
                        killed[what] += 1
                        print(
                            f"  run {runs}: killed {what}, {len(server.requests)} of {needed} requests sent", flush=True
                        )
                    if store is not None and not gone:
                        gone = True
                        threading.Thread(target=store.be_gone, args=(30.0,)).start()
                        print(f"  run {runs}: the store is gone for 30 s", flush=True)
                assert run.driver.returncode == 0, run.log()
            finally:
                run.close()
            made = fetched(directory, scratch / "made") if store is not None else Path(directory)
            identical = files_in(made) == expected
            same += identical
            sent: Counter[Any] = Counter(json.dumps(request, sort_keys=True) for request in server.requests)
            again += sum(count - 1 for count in sent.values())
            print(f"run {runs}: identical {identical}, {len(server.requests)} requests for {needed}", flush=True)
    told = ", ".join(f"{number} times a {what}" for what, number in killed.items())
    print(f"{same} of {runs} runs identical to the byte after {killed.total()} kills ({told})")
    print(
        f"{again} requests asked again, {again / max(killed.total(), 1):.1f} per kill, with {CONCURRENCY} in flight at each"
    )


if __name__ == "__main__":
    main()
