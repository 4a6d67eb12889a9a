"""Engines by name, their weights checked against the catalogue before use."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from shared.codec.motion_basis import MotionBasis
from shared.models.engine import NATIVE_SIZE, CompactEngine, Engine, EngineError

ENGINES = ("compact",)
GENERATORS = ("auto", "compact", "standard")
"""What draws: by the device, the small one for a CPU, or ten times its compute for a GPU."""


def _catalogue() -> dict[str, dict[str, Any]]:
    text = resources.files("weights").joinpath("catalogue.json").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = json.loads(text)
    return entries


def locate(name: str) -> Path:
    """Path of a catalogued weights file. Raises EngineError if it is missing or its SHA-256 is not the catalogue's."""
    entry = _catalogue()[name]
    path = Path(str(resources.files("weights").joinpath(entry["file"])))
    if not path.is_file():
        raise EngineError(f"the weights file {entry['file']} is missing: install pinhole again, or restore it from git")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != entry["sha256"]:
        raise EngineError(
            f"the weights file {entry['file']} is damaged (SHA-256 {found[:12]}…, expected {entry['sha256'][:12]}…): "
            "install pinhole again, or restore it from git"
        )
    return path


def wire_hash(engine: str) -> str:
    """16 hex digits of what the wire depends on: motion network, expression basis and probability tables."""
    entries = _catalogue()
    parts = entries[f"{_known(engine)}-motion"]["sha256"] + entries[f"{engine}-basis"]["sha256"]
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def load_basis(engine: str) -> MotionBasis:
    """The motion codec's basis and tables of an engine."""
    return MotionBasis.load(locate(f"{_known(engine)}-basis"))


def load_engine(
    name: str, device: str = "auto", draws: bool = True, size: int = NATIVE_SIZE, generator: str = "auto"
) -> Engine:
    """An engine on `auto`, `cpu` or `cuda` that draws pictures of `size` px.

    draws: False leaves the generator out (a sender that only extracts). generator: one of GENERATORS, or a file with
    weights of one on the same motion network. Raises EngineError.
    """
    _known(name)
    device = choose_device(device)
    drawing = locate_generator(generator, device) if draws else None
    return CompactEngine(locate("compact-motion"), drawing, device, size)


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


def _known(name: str) -> str:
    if name not in ENGINES:
        raise EngineError(f"there is no engine {name!r}; known: {', '.join(ENGINES)}")
    return name
