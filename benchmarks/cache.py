"""Results kept by what they were made of, so that the same command goes on from where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from platformdirs import user_cache_path

Figures = dict[str, Any]


def digest(*parts: object) -> str:
    """32 hex digits of bytes, arrays, and whatever JSON can write."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.shape}{part.dtype}".encode())
            part = np.ascontiguousarray(part).tobytes()
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:32]


def code_digest(*modules: ModuleType) -> str:
    """Of the source code of modules, and of all modules in packages: what they compute depends on it."""
    paths: list[Path] = []
    for module in modules:
        path = Path(str(module.__file__))
        paths += sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    return digest(*(path.read_bytes() for path in paths))


def default_folder() -> Path:
    """Where this user's caches are, by the conventions of the system."""
    return user_cache_path("pinhole", appauthor=False) / "benchmarks"


class Cache:
    """Figures in a folder, a JSON file per key."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder nothing is kept beyond this object. Raises OSError if the folder cannot be made."""
        self._folder = folder
        self._memory: dict[str, Figures] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Figures | None:
        """The figures of a key; None if there are none, or not whole ones."""
        if self._folder is None:
            return self._memory.get(key)
        try:
            figures: Figures = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return figures

    def put(self, key: str, figures: Figures) -> None:
        """Keeps figures. Raises OSError."""
        if self._folder is None:
            self._memory[key] = figures
            return
        part = self._folder / f"{key}.{os.getpid()}.part"
        part.write_text(json.dumps(figures), encoding="utf-8")
        part.replace(self._folder / f"{key}.json")

    def remember(self, key: str, make: Callable[[], Figures]) -> Figures:
        """The figures of a key, made and kept if they are not there."""
        figures = self.get(key)
        if figures is None:
            figures = make()
            self.put(key, figures)
        return figures
