"""The files of packed training data: what is in them, written and read whole, every part checked by its SHA-256.

A file is a ZIP archive without compression of its own: `manifest.json` and members such as `train/NAME.mp4`. Only numpy
is imported, so that many processes that unpack are started at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
_MANIFEST = "manifest.json"
NAME = "pack-{}.zip"
PATTERN = "pack-*.zip"


def write_pack(path: Path, about: dict[str, Any], members: Mapping[str, bytes]) -> None:
    """Writes a file; nobody sees half of it."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        manifest = json.dumps({"format": FORMAT, "digests": digests, **about})
        archive.writestr(_MANIFEST, manifest, zipfile.ZIP_DEFLATED)
        for name, data in members.items():
            archive.writestr(name, data)
    part.replace(path)


def read_manifest(path: Path) -> dict[str, Any]:
    """What a file says of itself. Raises ValueError if it is none of ours, damaged or of another version."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest: dict[str, Any] = json.loads(archive.read(_MANIFEST))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is no packed training data ({error}): write it with python -m weights.training.pack"
        ) from error
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{path.name} is of format {manifest.get('format')}, this program reads {FORMAT}: pack again")
    return manifest


def read_member(path: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """A part of a file. Raises ValueError if it is not what was packed."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path.name} is damaged ({error}): carry it over again, or pack again") from error
    if hashlib.sha256(data).hexdigest() != manifest["digests"].get(name):
        raise ValueError(f"{path.name} is damaged: {name} is not what was packed; carry it over again, or pack again")
    return data


def packed_arrays(arrays: Mapping[str, Any]) -> bytes:
    """Arrays as few bytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return lzma.compress(file.getvalue())


def unpacked_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of `packed_arrays`."""
    with np.load(io.BytesIO(lzma.decompress(data))) as file:
        return {key: file[key] for key in file}
