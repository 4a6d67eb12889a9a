"""Loads what a user says is a checkpoint: tensors only, never code; and says what it is if it is not one."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from weights.errors import WeightsError

_LARGEST = 16_000_000_000
_NEEDED = re.compile(r"GLOBAL ([\w.]{1,80})")
_HEAD = 512


def load(path: Path) -> Mapping[str, Any]:
    """What a checkpoint holds, by name, on the CPU. Raises WeightsError for any other file; runs nothing of it."""
    head = _head(path)
    kind = _other_kind(head)
    if kind:
        raise WeightsError(f"{path.name} is {kind}")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _LARGEST:
        return _safetensors(path)
    if head.startswith(b"PK"):
        _check_zip(path)
    elif not head.startswith(b"\x80"):
        raise WeightsError(f"{path.name} is not a checkpoint: neither of PyTorch nor safetensors")
    return _torch(path, mapped=head.startswith(b"PK"))


def _head(path: Path) -> bytes:
    if (path / "saved_model.pb").exists():
        raise WeightsError(f"{path.name} is a TensorFlow SavedModel: it is used as it is, by --upscaler tfhub")
    try:
        if path.is_dir():
            raise WeightsError(f"{path.name} is a folder: give the checkpoint file in it")
        size = path.stat().st_size
        if size > _LARGEST:
            raise WeightsError(f"{path.name} has {size} bytes: no checkpoint of this kind is that large")
        with path.open("rb") as file:
            return file.read(_HEAD)
    except FileNotFoundError as error:
        raise WeightsError(f"there is no file {path}") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error


def _other_kind(head: bytes) -> str:
    """What a file is that is often taken for a checkpoint, and what to do; nothing if it is none of those."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "empty: download it again"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "a web page, saved by mistake: open it in a browser and download the file that it offers"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself: download it from the page, or run `git lfs pull`"
    if head.startswith(b"\x89HDF") or head[4:8] == b"TFL3":
        return "a TensorFlow model: only PyTorch checkpoints and safetensors are converted"
    if head.startswith((b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")) or head[257:262] == b"ustar":
        return "an archive: unpack it and give the checkpoint in it"
    return ""


def _check_zip(path: Path) -> None:
    """Raises WeightsError unless a zip file is one that PyTorch writes, whole, and not blown up."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path.name} is cut off or damaged ({error}): download it again") from error
    names = {member.filename.partition("/")[2] for member in members}
    if "constants.pkl" in names:
        raise WeightsError(f"{path.name} is a TorchScript program, which is code: give a checkpoint of plain weights")
    if "data.pkl" not in names:
        raise WeightsError(f"{path.name} is a zip archive, not a checkpoint: unpack it and give the checkpoint in it")
    if sum(member.file_size for member in members) > max(_LARGEST, 2 * path.stat().st_size):
        raise WeightsError(f"{path.name} would unpack to far more than a checkpoint holds: it is not used")


def _torch(path: Path, mapped: bool) -> Mapping[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of odd pickles: whether they load says it better
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        needed = _NEEDED.search(str(error))
        if needed and not _ends_with(path, needed[1].rpartition(".")[2]):
            raise WeightsError(
                f"{path.name} needs code to be loaded ({needed[1]}), which a checkpoint of weights does not: it is not "
                "used; have whoever made it save its state_dict alone"
            ) from error
        raise WeightsError(f"{path.name} is no checkpoint, or is damaged: {_first_line(error)}") from error
    except Exception as error:  # what a broken file makes the loader raise is not documented
        raise WeightsError(
            f"{path.name} is cut off or damaged ({_first_line(error)}): download it again"
        ) from error  # fmt: skip
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path.name} holds a {type(loaded).__name__}, not weights by name")
    return loaded


def _ends_with(path: Path, name: str) -> bool:
    """Whether a file stops in the middle of a name, which is then none that it needs; the last letter is dropped."""
    with path.open("rb") as file:
        file.seek(-min(len(name) + 1, path.stat().st_size), 2)
        return name.encode() in file.read()


def _safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name} is cut off or damaged ({_first_line(error)}): download it again") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
