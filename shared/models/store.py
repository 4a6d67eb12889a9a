"""Where weights lie: those that a user has fetched or converted, and the embedded ones, in the package `weights`."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path


def embedded(name: str) -> Path:
    """Path of a file of the package `weights`; it may be missing.

    Found by its place beside this package: by its name, a `weights.py` of the user's could be taken for it.
    """
    return Path(__file__).parents[2] / "weights" / name


def folder() -> Path:
    """The user's folder of weights; it may not exist yet."""
    return user_data_path("pinhole", appauthor=False) / "weights"


def stored(name: str) -> Path:
    """Path of a file of the store, such as `vox256_motion.safetensors`; it may not exist yet."""
    return folder() / name
