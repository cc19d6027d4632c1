"""The card of a data set: the hub's YAML header, and a page that says what it is. Nothing in it is typed by hand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from snipmill.config import Config
from snipmill.errors import UsageError
from snipmill.publish.markdown import code, plain
from snipmill.records import Row
from snipmill.stages.calibration_file import shipped_calibration
from snipmill.verification.calibration import Calibration
from snipmill.verification.expected_wrong import WrongRows

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_BARS = 10
# Identifiers of the hub are SPDX ids in small letters; these are the ones that seeds usually have.
_KNOWN_LICENSES = frozenset(
    {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "cc0-1.0", "cc-by-4.0", "mpl-2.0", "zlib"}
    | {"gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "bsl-1.0", "artistic-2.0", "wtfpl", "ncsa", "epl-2.0"}
)
_UNKNOWN = "unknown"
_NOT_EXECUTED = "not executed"


@dataclass
class Census:
    """What the rows of a data set are, counted in one pass."""

    rows: int = 0
    licenses: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    difficulties: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    confidences: list[int] = field(default_factory=lambda: [0] * _BARS)
    wrong: WrongRows = field(default_factory=lambda: WrongRows(shipped_calibration()))
    reviewed: int = 0
    mutants: int = 0
    killed: int = 0
    thinking: int = 0

    def add(self, row: Row) -> None:
        """Count one more row."""
        self.rows += 1
        origin, found = row.provenance, row.verification
        self.licenses[(origin.license if origin is not None else None) or _UNKNOWN] += 1
        self.sources[origin.source if origin is not None else _UNKNOWN] += 1
        self.languages[row.language] += 1
        self.categories[row.category] += 1
        self.difficulties[row.difficulty] += 1
        self.tiers[row.verdict.tier if row.verdict is not None and row.verdict.tier else _NOT_EXECUTED] += 1
        self.thinking += row.thinking is not None
        if found is not None:
            self.wrong.add(found)
            self.reviewed += found.review is not None
            self.confidences[min(int(found.confidence * _BARS), _BARS - 1)] += 1
            self.mutants += found.mutants
            self.killed += found.killed


def take_census(rows: Iterable[Row], calibration: Calibration) -> Census:
    """Count rows.

    Args:
        rows: of the data set.
        calibration: what their evidence is worth.
    """
    census = Census(wrong=WrongRows(calibration))
    for row in rows:
        census.add(row)
    return census


@dataclass(frozen=True)
class Files:
    """What lies beside the card.

    Attributes:
        splits: by format, how many examples each split has.
        features: by format, the types of its columns.
        repository: OWNER/NAME on the hub; None for a folder.
        has_journals: whether what reproduces the data set is there.
        sums: the SHA-256 of the file of checksums of the journals.
    """

    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    features: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    repository: str | None = None
    has_journals: bool = False
    sums: str | None = None


def render_card(manifest: dict[str, Any], config: Config, census: Census, files: Files) -> str:
    """The card as Markdown with the hub's YAML header.

    Args:
        manifest: of the run.
        config: of the run.
        census: of its rows.
        files: what lies beside it.

    Raises:
        UsageError: the extra is not installed.
    """
    try:
        from huggingface_hub import DatasetCard, DatasetCardData
    except ImportError:
        raise UsageError("Cards are written with huggingface_hub: run `pip install 'snipmill[hub]'`.") from None
    header = DatasetCardData(**_header(census, files))
    body = "\n".join(_body(manifest, config, census, files))
    return str(DatasetCard(f"---\n{header.to_yaml()}\n---\n\n{body}\n"))


def _header(census: Census, files: Files) -> dict[str, Any]:
    tags = ["code", "synthetic", "instruction-tuning", "snipmill", *(name.lower() for name in sorted(census.languages))]
    header: dict[str, Any] = {
        "pretty_name": _title(files),
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": [_size(census.rows)],
        "tags": tags,
        **_license(census),
    }
    if files.features:
        header["dataset_info"] = [{"config_name": name, "features": found} for name, found in files.features.items()]
    if files.splits:
        header["configs"] = [
            {
                "config_name": name,
                "default": place == 0,
                "data_files": [{"split": split, "path": f"{name}/{split}-*"} for split in splits],
            }
            for place, (name, splits) in enumerate(files.splits.items())
        ]
    return header


def _license(census: Census) -> dict[str, str]:
    """The one licence of all seeds, or `other` with the list of them."""
    names = sorted(census.licenses)
    if len(names) == 1 and names[0].lower() in _KNOWN_LICENSES:
        return {"license": names[0].lower()}
    name = re.sub(r"[^a-z0-9.]+", "-", names[0].lower()) if len(names) == 1 else "several-see-attribution"
    return {
        "license": "other",
        "license_name": name,
        "license_link": "ATTRIBUTION.md",
        "license_details": ", ".join(names) or _UNKNOWN,
    }


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES if rows < bound), "1M<n<10M")


def _title(files: Files) -> str:
    return files.repository.partition("/")[2] if files.repository else "A data set made with snipmill"


def _body(manifest: dict[str, Any], config: Config, census: Census, files: Files) -> Iterator[str]:
    yield f"# {_title(files)}"
    yield ""
    executed = census.rows - census.tiers.get(_NOT_EXECUTED, 0)
    yield (
        f"{census.rows:,} programming tasks with answers. Each task grew from a piece of real code; the model "
        f"{code(manifest.get('model'))} wrote the tasks, and answered each up to {config.generate.samples} times with tests of its "
        f"own. {executed:,} of the answers passed their tests in an execution{_isolation(manifest)}. Made with snipmill "
        f"{plain(manifest.get('snipmill'))}, {plain(str(manifest.get('started', ''))[:10])}."
    )
    if manifest.get("status") != "done" or manifest.get("stopped"):
        yield ""
        yield f"**The run was not finished when this was written.** {plain(manifest.get('stopped') or '')}".rstrip()
    yield from _loading(files)
    yield from _funnel(manifest)
    yield from _making(manifest, config)
    yield from _origin(census)
    yield from _contamination(manifest, config)
    yield from _trust(manifest, census)
    yield from _limits(census, config)
    yield from _proof(files)


def _isolation(manifest: dict[str, Any]) -> str:
    return " without a sandbox" if manifest.get("sandbox_tier") == "none" else " in a sandbox"


def _loading(files: Files) -> Iterator[str]:
    yield from ("", "## Load it", "", "```python", "from datasets import load_dataset", "")
    if not files.splits:
        yield 'rows = load_dataset("json", data_files="dataset.jsonl", split="train")'
        yield "```"
        return
    where = files.repository or "."
    for place, name in enumerate(files.splits):
        configuration = f', "{name}"' if place else ""
        yield f'load_dataset("{where}"{configuration})'
    yield "```"
    yield ""
    yield "| configuration | split | rows |"
    yield "| --- | --- | ---: |"
    for name, splits in files.splits.items():
        for split, count in splits.items():
            yield f"| {name} | {split} | {count:,} |"


def _funnel(manifest: dict[str, Any]) -> Iterator[str]:
    funnel = manifest.get("funnel")
    if not isinstance(funnel, dict):
        return
    yield from (
        "",
        "## From seeds to rows",
        "",
        "| stage | in | kept | dropped, and why |",
        "| --- | ---: | ---: | --- |",
    )
    for stage, count in funnel.items():
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in count.get("rejected", {}).items())
        yield f"| {stage} | {count.get('in', 0):,} | {count.get('kept', 0):,} | {reasons} |"


def _making(manifest: dict[str, Any], config: Config) -> Iterator[str]:
    yield from ("", "## How it was made", "", "| what | value |", "| --- | --- |")
    models = manifest.get("models") or {}
    for stage, name in models.items():
        yield f"| model for {stage} | {code(name)} |"
    yield f"| prompting | {plain(manifest.get('prompting'))} |"
    for mode, digest in (manifest.get("prompt_hashes") or {}).items():
        yield f"| prompt {plain(mode)} | {code(digest)} |"
    yield f"| few-shot bank | {code(manifest.get('fewshot_hash'))} |"
    sampling = config.model.sampling
    yield f"| temperature | {0.7 if sampling.temperature is None else sampling.temperature} |"
    accept = config.generate.accept
    until = f"until {accept} passed and agreed" if accept else "all are drawn"
    yield f"| samples for a task | at most {config.generate.samples}; {until} |"
    yield f"| sandbox | tier {code(manifest.get('sandbox_tier'))}, {config.execute.timeout:g} s, {config.execute.memory:,} MiB |"
    verify = config.verify
    checks = {"crosswise": verify.agreement, "second run": verify.rerun, "mutants": verify.mutation}
    yield f"| verification | {', '.join(f'{name} {_yes(value)}' for name, value in checks.items())} |"
    yield f"| style of rows | {config.select.style} |"
    yield f"| Python | {plain(manifest.get('python'))} |"
    accounting = manifest.get("accounting") or {}
    if accounting.get("completion_tokens"):
        yield f"| tokens written | {accounting['completion_tokens']:,} |"
    if accounting.get("cost"):
        yield f"| cost | {accounting['cost']:,.2f} |"


def _origin(census: Census) -> Iterator[str]:
    yield from ("", "## Where the seeds come from", "", "| licence | rows |", "| --- | ---: |")
    for name, count in census.licenses.most_common():
        yield f"| {plain(name)} | {count:,} |"
    yield ""
    yield (
        f"{len(census.sources):,} sources; [ATTRIBUTION.md](ATTRIBUTION.md) lists each with its revision, licence, "
        "files and lines. The tasks and answers are the model's; whether its licence allows training with them is for you to check."
    )
    for title, counts in (
        ("Languages", census.languages),
        ("Categories", census.categories),
        ("Difficulties", census.difficulties),
    ):
        yield ""
        yield f"{title}: {', '.join(f'{plain(name)} {count:,}' for name, count in counts.most_common())}."


def _contamination(manifest: dict[str, Any], config: Config) -> Iterator[str]:
    funnel = manifest.get("funnel") or {}
    dropped = sum(count.get("rejected", {}).get("contaminated", 0) for count in funnel.values())
    sets = ["HumanEval", "MBPP"] if config.select.decontaminate else []
    sets += [plain(name.rpartition("/")[2]) for name in config.select.benchmarks]
    yield from ("", "## Contamination", "")
    if not sets:
        yield "The rows were **not** held against any benchmark."
        return
    what = "Seeds and rows" if config.seeds.decontaminate else "Rows, but not their seeds,"
    yield (
        f"{what} were held against {', '.join(sets)}, by runs of 13 words, whole solutions, and names with docstrings: "
        f"{dropped:,} were dropped."
    )


def _trust(manifest: dict[str, Any], census: Census) -> Iterator[str]:
    yield from ("", "## How far to trust a row", "")
    wrong, calibration = census.wrong.estimate(), census.wrong.calibration
    if not wrong.rows:
        yield "The rows carry no evidence beside their verdicts."
        return
    yield (
        f"**About {wrong.expected:,.0f} of {wrong.rows:,} rows ({wrong.share:.0%}) are expected to be wrong; 90% interval "
        f"{wrong.low:,} to {wrong.high:,}.** Each row has a confidence: the fitted probability that its code is right, from what "
        f"the run found of the agreement of its samples and the strength of its tests{_and_review(census)}."
    )
    yield from ("", "| confidence | rows | |", "| --- | ---: | --- |")
    most = max(census.confidences)
    for place, count in enumerate(census.confidences):
        bar = "█" * round(20 * count / most)
        yield f"| {place / _BARS:.1f} to {(place + 1) / _BARS:.1f} | {count:,} | {bar} |"
    yield ""
    if calibration.shipped:
        yield (
            "The weights were fitted on two small models and one kind of task, not on the model of this data set: take the order "
            "of rows as more reliable than the figures. The interval does not cover that difference."
        )
    else:
        yield from _calibrated(manifest, calibration)
    if census.mutants:
        yield ""
        share = f"{census.killed / census.mutants:.0%}"
        yield f"The rows' tests notice {census.killed:,} of {census.mutants:,} mutants of their code ({share})."


def _and_review(census: Census) -> str:
    return f"; a model compared {census.reviewed:,} of them with their tasks" if census.reviewed else ""


def _calibrated(manifest: dict[str, Any], calibration: Calibration) -> Iterator[str]:
    yield (
        f"The weights were fitted on {calibration.judged:,} answers of {code(calibration.model)} to {calibration.tasks:,} tasks "
        f"whose hidden tests are known; {calibration.right:,} of them were right. The interval covers the uncertainty of this fit "
        "and the chance in each row. It does not cover that tasks of this data set may be of another kind."
    )
    for clause in (manifest.get("calibration") or {}).get("misfits", ()):
        yield f"\n**The calibration may not fit: {plain(clause)}.**"


def _limits(census: Census, config: Config) -> Iterator[str]:
    yield from ("", "## Known limits", "")
    verify = config.verify
    yield "- A passing test is evidence, not proof. What all samples of a task misread alike, no agreement between them shows."
    contradicted = " Assertions that most samples contradict were taken out." if verify.repair != "off" else ""
    yield f"- Tests were written by the model that wrote the code.{contradicted if verify.agreement else ''}"
    if not verify.agreement:
        yield "- Samples were not held against each other."
    yield "- Instructions may be vague where the tests are not: names and edge cases are the model's choice."
    unverified = census.tiers.get(_NOT_EXECUTED, 0)
    if unverified:
        yield f"- {unverified:,} rows were not executed."
    if census.licenses.get(_UNKNOWN):
        yield f"- {census.licenses[_UNKNOWN]:,} rows grew from code whose licence is unknown."
    if census.thinking:
        yield f"- {census.thinking:,} rows have a trace of thought; it was not verified."


def _proof(files: Files) -> Iterator[str]:
    yield from ("", "## Prove it", "")
    where = f"hub:{files.repository}" if files.repository else "DIR"
    if not files.has_journals:
        yield "The journals of the run were not published, so the data set can be checked but not made again:"
        yield from ("", "```", f"snipmill audit {where}", "```")
        return
    yield (
        "The journals of the run are in `run/`. From them, without a model, the same bytes are made again, and some programs "
        "run once more:"
    )
    yield from ("", "```", f"snipmill reproduce {where} --execute 0.05", "```", "")
    yield f"One changed byte is named, with its record and field. The checksums of the journals have the SHA-256 `{files.sums}`."


def _yes(value: bool) -> str:
    return "yes" if value else "no"
