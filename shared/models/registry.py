"""Engines by name, their weights checked against the catalogue before use."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from shared.codec.motion_basis import MotionBasis
from shared.models import stored_weights
from shared.models.engine import NATIVE_SIZE, SIZES, CompactEngine, Engine, EngineError
from shared.models.vox256.convert import basis_file, generator_file, motion_file
from shared.models.vox256.engine import TRAINED_SIZES, Vox256Engine

ENGINES = ("compact", *TRAINED_SIZES)
"""The first is ours, with embedded weights; the others are published ones, whose weights a user fetches."""
GENERATORS = ("auto", "compact", "standard")
"""What draws: by the device, the small one for a CPU, or ten times its compute for a GPU."""


def _catalogue() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = json.loads(
        stored_weights.embedded("catalogue.json").read_text(encoding="utf-8")
    )
    return entries


def locate(name: str) -> Path:
    """Path of a catalogued weights file. Raises EngineError if it is missing or its SHA-256 is not the catalogue's."""
    entry = _catalogue()[name]
    path = stored_weights.embedded(entry["file"])
    if not path.is_file():
        raise EngineError(f"the weights file {entry['file']} is missing: install pinhole again, or restore it from git")
    found = _digest(path)
    if found != entry["sha256"]:
        raise EngineError(
            f"the weights file {entry['file']} is damaged (SHA-256 {found[:12]}…, expected {entry['sha256'][:12]}…): "
            "install pinhole again, or restore it from git"
        )
    return path


def locate_stored(engine: str, file: str) -> Path:
    """Path of a weights file of a published engine in the user's store. Raises EngineError if it is not there."""
    path = stored_weights.stored(file)
    if not path.is_file():
        raise EngineError(
            f"the weights of {engine} are not on this machine ({file} is missing): get them with `python -m weights "
            f"fetch {engine}`, or with `python -m weights convert FILE` from a checkpoint you have"
        )
    return path


def wire_hash(engine: str) -> str:
    """16 hex digits of what the wire depends on: motion network, expression basis and probability tables."""
    if _known(engine) in TRAINED_SIZES:
        hashes = [_digest(locate_stored(engine, file)) for file in (motion_file(engine), basis_file(engine))]
    else:
        hashes = [_catalogue()[f"{engine}-{part}"]["sha256"] for part in ("motion", "basis")]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def load_basis(engine: str) -> MotionBasis:
    """The motion codec's basis and tables of an engine. Raises EngineError."""
    if _known(engine) not in TRAINED_SIZES:
        return MotionBasis.load(locate(f"{engine}-basis"))
    path = locate_stored(engine, basis_file(engine))
    try:
        return MotionBasis.load(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise EngineError(f"{path.name} is no motion basis ({error}): convert the checkpoint again") from error


def load_engine(
    name: str,
    device: str = "auto",
    draws: bool = True,
    size: int = NATIVE_SIZE,
    generator: str = "auto",
    backend: str = "torch",
    precision: str = "auto",
) -> Engine:
    """An engine on `auto`, `cpu` or `cuda` that draws pictures of `size` px.

    draws: False leaves the generator out (a sender that only extracts). generator: one of GENERATORS, or a file with
    weights of one on the same motion network; published engines have but their own. backend: one of BACKENDS;
    precision: one of PRECISIONS; only `compact` has a choice of either. Raises EngineError.
    """
    device = choose_device(device)
    if _known(name) in TRAINED_SIZES:
        if generator != "auto":
            raise EngineError(f"{name} draws with its own generator: leave --generator out")
        if backend == "openvino":
            raise EngineError(f"{name} draws with PyTorch alone: leave --backend out")
        if precision == "bf16":
            raise EngineError(f"{name} draws in fp32 alone: leave --precision out")
        own = locate_stored(name, generator_file(name)) if draws else None
        return Vox256Engine(locate_stored(name, motion_file(name)), own, device, size, name)
    drawing = locate_generator(generator, device) if draws else None
    return CompactEngine(locate("compact-motion"), drawing, device, size, backend, precision)


def usual_size(engine: str, device: str) -> int:
    """Side of the pictures that an engine draws if nobody says: the largest it can on a GPU, else NATIVE_SIZE."""
    return min(SIZES[-1], TRAINED_SIZES.get(engine, SIZES[-1])) if device == "cuda" else NATIVE_SIZE


def draws_quickly(engine: str, device: str) -> bool:
    """Whether an engine draws several pictures a second: on a CPU the published ones take many seconds for one."""
    return engine not in TRAINED_SIZES or choose_device(device) == "cuda"


def locate_generator(choice: str, device: str) -> Path:
    """Weights of a generator for `cpu` or `cuda`. Raises EngineError where there are none."""
    larger = "standard-generator" in _catalogue()
    if choice == "compact" or (choice == "auto" and not (larger and device == "cuda")):
        return locate("compact-generator")
    if choice in GENERATORS and larger:
        return locate("standard-generator")
    if choice in GENERATORS:
        raise EngineError(
            "no weights of the standard generator come with this version: train them (weights/README.md) and give "
            "their file as --generator, or use --generator compact"
        )
    if not Path(choice).is_file():
        raise EngineError(f"there is no generator {choice!r}: give {', '.join(GENERATORS)} or a file with weights")
    return Path(choice)


def choose_device(device: str) -> str:
    """`cuda` where there is one, if `auto`. Raises EngineError for a CUDA device that is asked for and not there."""
    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError("no CUDA device was found: use --device cpu, or install a CUDA build of PyTorch")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _digest(path: Path) -> str:
    status = path.stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns)


@cache
def _digest_of(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file, which takes a second for hundreds of megabytes: once for each state of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _known(name: str) -> str:
    if name not in ENGINES:
        raise EngineError(f"there is no engine {name!r}; known: {', '.join(ENGINES)}")
    return name
