"""Where weights lie that a user has fetched or converted; the embedded ones lie in the package `weights`."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path


def folder() -> Path:
    """The user's folder of weights; it may not exist yet."""
    return user_data_path("pinhole", appauthor=False) / "weights"


def stored(name: str) -> Path:
    """Path of a file of the store, such as `vox256_motion.safetensors`; it may not exist yet."""
    return folder() / name
