"""A published checkpoint becomes files of tensors in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from shared.models.esrgan_layouts import converted as esrgan
from shared.models.stored_weights import Converted, check_finite, folder, stored
from shared.models.vox256.convert import converted as vox256
from weights.checkpoint import load
from weights.digest import sha256_of, size_text
from weights.errors import WeightsError
from weights.published import safe_file
from weights.record import Record, Stored

Converter = Callable[[Mapping[str, Any], str | None], Converted]
"""From what a checkpoint holds, and its kind where that is known, to our layout; raises ValueError with a sentence."""

_FACE_PARTS = ("kp_detector", "he_estimator", "generator")
_SUPER_RESOLUTION = ("conv_first.", "RRDB_trunk.", "model.0.", "model.1.sub.", "body.")
_WRAPPERS = ("params_ema", "params")


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint came from, and on which terms."""

    address: str
    """An address, or the name of the user's file without its folders."""
    sha256: str
    licence: str
    accepted: bool | None = None


def family(checkpoint: Mapping[str, Any]) -> str:
    """Which converter a checkpoint is for, by its keys: `vox256` or `esrgan`. Raises ValueError for neither."""
    if any(part in checkpoint for part in _FACE_PARTS):
        return "vox256"
    inner = next((checkpoint[w] for w in _WRAPPERS if isinstance(checkpoint.get(w), Mapping)), checkpoint)
    names = [str(name).removeprefix("module.") for name in inner]
    if any(name.startswith(_SUPER_RESOLUTION) for name in names):
        return "esrgan"
    some = ", ".join(str(name)[:40] for name in list(checkpoint)[:4]) or "nothing"
    raise ValueError(
        f"it holds {some}: neither the three parts of face-vid2vid ({', '.join(_FACE_PARTS)}) nor an ESRGAN generator"
    )


CONVERTERS: dict[str, Converter] = {"esrgan": lambda checkpoint, _: esrgan(checkpoint), "vox256": vox256}
"""The pure functions that know the layouts, by family."""


def _silent(_: str) -> None:
    """Says nothing."""


def converted(
    path: Path, kind: str | None = None, known: Mapping[str, Converter] | None = None,
    say: Callable[[str], None] = _silent,
) -> Converted:  # fmt: skip
    """A checkpoint file in our layout. Raises WeightsError that says what the file is instead.

    kind: `vox256` or `adasr`, whose checkpoints look alike; None leaves it to the file. known: other converters.
    say: hears what happens, as it may take half a minute.
    """
    checkpoint = _nested(load(path))
    say(f"converting {path.name}, {size_text(path.stat().st_size)}")
    try:
        result = (CONVERTERS if known is None else known)[family(checkpoint)](checkpoint, kind)
        for tensors in result.files.values():
            if not isinstance(tensors, bytes | bytearray):  # a motion basis in its own format
                check_finite(tensors, path.name)
        return result
    except ValueError as error:
        raise WeightsError(f"{path.name} is not a checkpoint that can be converted: {error}") from error


def keep(
    result: Converted, name: str, files: tuple[str, ...], origin: Origin, say: Callable[[str], None] = _silent
) -> list[Path]:  # fmt: skip
    """Writes the files of weights `name` into the store and its record; those of the same names are replaced.

    files: their names in the store. Nothing is replaced before all of them are written. Raises WeightsError or OSError.
    """
    record = Record.load()
    for file in files:
        other = record.files.get(file)
        if other is not None and other.name != name:
            raise WeightsError(f"{file} in the store belongs to {other.name}: give these weights another --name")
    folder().mkdir(parents=True, exist_ok=True)
    fresh = {stored(file): stored(file + ".new") for file in files}
    try:
        for part, content in zip(fresh.values(), result.files.values(), strict=True):
            say(f"writing {part.stem}")
            _write(part, content)
        entries = [_entry(path, part, name, origin) for path, part in fresh.items()]
        for path, part in fresh.items():
            part.replace(path)
    finally:
        for part in fresh.values():
            part.unlink(missing_ok=True)
    record.add(entries)
    record.save()
    return list(fresh)


def store_names(result: Converted, name: str) -> tuple[str, ...]:
    """Names in the store of what a checkpoint became. Raises WeightsError.

    A single file is named after the weights; several have the names by which their engine finds them.
    """
    files = (f"{name}.safetensors",) if len(result.files) == 1 else tuple(result.files)
    for file in files:
        if not safe_file(file):
            raise WeightsError(f"{file[:60]!r} cannot be the name of a file: use letters, digits, hyphens and dots")
    return files


def _nested(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parts of face-vid2vid as a checkpoint has them, from a flat file with their names as prefixes.

    Other checkpoints stay as they are, without the wrapping that some training frameworks add.
    """
    if isinstance(checkpoint.get("state_dict"), Mapping):
        return _nested(checkpoint["state_dict"])
    prefixes = {str(name).partition(".")[0] for name in checkpoint}
    if not prefixes.issuperset(_FACE_PARTS) or any(part in checkpoint for part in _FACE_PARTS):
        return checkpoint
    parts: dict[str, dict[str, Any]] = {}
    for name, tensor in checkpoint.items():
        part, _, inner = str(name).partition(".")
        parts.setdefault(part, {})[inner] = tensor
    return parts


def _write(path: Path, content: Mapping[str, Tensor] | bytes) -> None:
    if isinstance(content, bytes | bytearray):
        path.write_bytes(content)
    else:
        save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)


def _entry(path: Path, part: Path, name: str, origin: Origin) -> Stored:
    return Stored(
        file=path.name, name=name, sha256=sha256_of(part, path.name), size=part.stat().st_size, origin=origin.address,
        origin_sha256=origin.sha256, when=datetime.now(UTC).isoformat(timespec="seconds"), licence=origin.licence,
        accepted=origin.accepted,
    )  # fmt: skip
