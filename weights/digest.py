"""SHA-256 of files that may be large."""

from __future__ import annotations

import hashlib
from pathlib import Path

from weights.bar import Bar

_CHUNK = 1 << 20


def sha256_of(path: Path, name: str | None = None) -> str:
    """64 hex digits, with a progress bar where it takes long. name: what to call the file. Raises OSError."""
    total, done = hashlib.sha256(), 0
    bar = Bar(f"checking {name or path.name}", path.stat().st_size)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
                done += len(chunk)
                bar.show(done)
    finally:
        bar.close()
    return total.hexdigest()
