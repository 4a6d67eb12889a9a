"""Whether files of weights, embedded or in the store, are the ones that the catalogue and the record tell of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.models import stored_weights
from shared.models.stored_weights import stored
from weights.digest import sha256_of
from weights.record import Record, Stored

_RESTORE = "install pinhole again, or restore it from git"


@dataclass(frozen=True)
class Checked:
    """A file and what is wrong with it."""

    path: Path
    name: str
    problem: str
    """What is wrong and what to do; empty if nothing is."""


def verify(record: Record) -> list[Checked]:
    """Every embedded file and every one of the store, read whole. Raises OSError."""
    checked = []
    for name, entry in embedded().items():
        path = embedded_path(entry)
        problem = _wrong(path, entry["sha256"], entry["bytes"])
        checked.append(Checked(path, name, problem and f"{problem}: {_RESTORE}"))
    for file in record.files.values():
        checked.append(Checked(stored(file.file), file.name, damage(file)))
    return checked


def damage(file: Stored) -> str:
    """What is wrong with a file of the store and what to do; empty if nothing is."""
    problem = _wrong(stored(file.file), file.sha256, file.size)
    return problem and f"{problem}: python -m weights fetch {file.name}, or convert its checkpoint again"


def embedded() -> dict[str, dict[str, Any]]:
    """The entries of `catalogue.json` by name."""
    entries: dict[str, dict[str, Any]] = json.loads(
        stored_weights.embedded("catalogue.json").read_text(encoding="utf-8")
    )
    return entries


def embedded_path(entry: dict[str, Any]) -> Path:
    """Where the file of an entry of `catalogue.json` is."""
    return stored_weights.embedded(entry["file"])


def _wrong(path: Path, sha256: str, size: int) -> str:
    if not path.is_file():
        return "is missing"
    found = path.stat().st_size
    if found != size:
        return f"has {found} bytes, expected {size}"
    digest = sha256_of(path)
    return "" if digest == sha256 else f"is damaged (SHA-256 {digest[:12]}…, expected {sha256[:12]}…)"
