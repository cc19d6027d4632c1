"""Record the samples of the false-pass benchmark: from the journal of a sampling to one committed file.

    python benchmarks/false_passes/tasks.py ../shared/benchmarks/sanitized-mbpp.json > instructions.jsonl
    snipmill responses instructions.jsonl -o responses.jsonl --model MODEL --samples 8 --temperature 0.6 \\
        --max-tokens 450 --draws 1 --shots 1 --fewshot benchmarks/false_passes/bank --concurrency 16
    python benchmarks/false_passes/record.py instructions.jsonl responses.jsonl.journal.jsonl MODEL 8 \\
        benchmarks/false_passes/FOLDER

The second command is the long one, and continues where it was stopped. Written are the tasks that have all their samples, behind
those that the folder holds already: sampling can go on elsewhere, with the instructions that are not there yet. `bank-six` is
another bank, whose example has six assertions instead of three; its answers were sampled with 600 tokens at most.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

from snipmill.config import Config, GenerateTable, ShotsTable
from snipmill.config_model import ModelTable, SamplingTable
from snipmill.prompts.responses import STAGE
from snipmill.records import Instruction, Response
from snipmill.stages.generate import Generate, SampleTask
from snipmill.stages.runner import Runner
from snipmill.stages.settings import for_models, resolve_generation
from snipmill.store.entries import CompletionEntry
from snipmill.store.journal import Journal
from snipmill.store.reading import read_records

HERE = Path(__file__).parent


def main() -> None:
    """Write recorded.jsonl.gz into the model's folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instructions")
    parser.add_argument("journal", type=Path)
    parser.add_argument("model", help="as the sampling named it")
    parser.add_argument("samples", type=int, help="of each task")
    parser.add_argument("folder", type=Path, help="of the model")
    parser.add_argument("--bank", type=Path, default=HERE / "bank", help="the few-shot bank of the sampling")
    args = parser.parse_args()
    config = Config(
        model=ModelTable(sampling=SamplingTable(temperature=0.6), max_tokens=450),
        generate=GenerateTable(shots=ShotsTable(responses=1), draws=1, fewshot=str(args.bank)),
    )
    settings = for_models(resolve_generation(config), {STAGE.name: args.model})[STAGE.name]
    work: Generate[Instruction, Response] = Generate(STAGE, settings)
    tasks = samples = 0
    written = args.folder / "recorded.jsonl.gz"
    lines = gzip.decompress(written.read_bytes()).decode().splitlines() if written.exists() else []
    there = {json.loads(line)["task"] for line in lines}
    with Journal(args.journal, CompletionEntry, read_only=True) as journal:
        runner = Runner(work, journal)
        for record in read_records(args.instructions, Instruction, "record"):
            assert isinstance(record, Instruction)
            answers = [runner.look_up(SampleTask(record, range(sample, sample + 1))) for sample in range(args.samples)]
            if None in answers or record.id in there:
                continue
            tasks += 1
            for sample, answer in enumerate(answers):
                response = answer[0].response if answer and isinstance(answer[0], Response) else None
                samples += response is not None
                row = {"task": record.id, "instruction": record.instruction, "sample": sample, "response": response}
                lines.append(json.dumps(row))
    args.folder.mkdir(exist_ok=True)
    written.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", mtime=0))
    print(f"{len(there)} tasks were there; {tasks} new ones, {samples} well-formed of {tasks * args.samples} samples")


if __name__ == "__main__":
    main()
