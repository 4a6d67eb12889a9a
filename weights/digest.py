"""SHA-256 and sizes of files that may be large."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shared.progress import bytes_bar

_CHUNK = 1 << 20


def sha256_of(path: Path, name: str | None = None) -> str:
    """64 hex digits, with a progress bar where it takes long. name: what to call the file. Raises OSError."""
    total = hashlib.sha256()
    with bytes_bar(f"checking {name or path.name}", path.stat().st_size) as bar, path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
            bar.update(len(chunk))
    return total.hexdigest()


def size_text(size: int) -> str:
    """Such as `64 KB` or `2.11 GB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= 0.9995 * factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
