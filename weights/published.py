"""The catalogue of weights that others have published: `published.json`, or a user's file of the same form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.models.stored_weights import embedded
from weights.errors import WeightsError

LARGEST = 2_000_000_000
"""Bytes a file of unknown size may have."""
KINDS = ("vox256", "adasr", "esrgan")

_LARGEST_STATED = 16_000_000_000
_LARGEST_TEXT = 1_000_000
_MOST_ENTRIES = 256
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Published:
    """Weights that can be fetched."""

    name: str
    purpose: str
    file: str
    """Name of the published file."""
    kind: str
    """One of KINDS: what the file must turn out to be."""
    gives: tuple[str, ...]
    """The files of tensors that it becomes in the store."""
    licence: str
    non_commercial: bool
    page: str
    """Where its authors publish it; where to get it by hand."""
    urls: tuple[str, ...]
    """Addresses of the file itself, best first; none where it cannot be downloaded without a browser."""
    sha256: str | None
    """64 hex digits; None where it is not known: then the first file fetched settles it."""
    size: int | None
    """Bytes, where known."""
    note: str


def published(catalogue: Path | None = None) -> dict[str, Published]:
    """The entries by name, of the catalogue that comes with pinhole or of a file. Raises WeightsError."""
    if catalogue is None:
        return parse(embedded("published.json").read_text(encoding="utf-8"))
    try:
        with catalogue.open("rb") as file:
            text = file.read(_LARGEST_TEXT + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"the catalogue {catalogue} cannot be read: {error}") from error
    try:
        return parse(text)
    except WeightsError as error:
        raise WeightsError(f"{catalogue}: {error}") from error


def parse(text: str) -> dict[str, Published]:
    """The entries by name. Raises WeightsError that names the entry and the field that is wrong."""
    if len(text) > _LARGEST_TEXT:
        raise WeightsError(f"a catalogue has at most {_LARGEST_TEXT} bytes")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"the catalogue is not JSON: {error}") from error
    if not isinstance(entries, dict) or len(entries) > _MOST_ENTRIES:
        raise WeightsError(f"the catalogue is not an object of at most {_MOST_ENTRIES} entries by name")
    result: dict[str, Published] = {}
    for name, fields in entries.items():
        if not _NAME.fullmatch(name):
            raise WeightsError(f"the catalogue's name {name[:40]!r} is not of lower-case letters, digits and hyphens")
        result[name] = _entry(name, fields)
    return result


def safe_file(name: object) -> bool:
    """Whether a file of this name stays in its folder, and is none of those that the commands themselves write."""
    return (
        isinstance(name, str)
        and _FILE.fullmatch(name) is not None
        and ".." not in name
        and not name.endswith((".", ".part", ".new", ".json"))
    )


def safe_url(url: object) -> bool:
    """Whether an address is of http, https, or of a file of this machine."""
    if not isinstance(url, str) or len(url) > 2000 or _CONTROL.search(url) or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return (parts.scheme in ("http", "https") and bool(host)) or (parts.scheme == "file" and bool(parts.path))


def _entry(name: str, fields: object) -> Published:
    if not isinstance(fields, dict):
        raise WeightsError(f"the catalogue's entry {name} is not an object")
    checked = _Fields(name, fields)
    entry = Published(
        name=name, purpose=checked.text("purpose", 200), file=checked.file(), kind=checked.kind(),
        gives=checked.gives(), licence=checked.text("licence", 300), non_commercial=checked.flag("non_commercial"),
        page=checked.page(), urls=checked.urls(), sha256=checked.sha256(), size=checked.size(),
        note=checked.text("note", 500, empty=True),
    )  # fmt: skip
    if fields.keys() - checked.asked:
        raise checked.wrong(min(fields.keys() - checked.asked), "is unknown")
    return entry


class _Fields:
    """The fields of an entry, checked one by one."""

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        self._name, self._fields = name, fields
        self.asked: set[str] = set()

    def wrong(self, field: str, why: str) -> WeightsError:
        return WeightsError(f"the catalogue's entry {self._name}: {field[:40]!r} {why}")

    def text(self, field: str, longest: int, empty: bool = False) -> str:
        value = self._take(field)
        if not isinstance(value, str) or len(value) > longest or not (value or empty) or _CONTROL.search(value):
            raise self.wrong(field, f"is not a text of one line and at most {longest} letters")
        return value

    def flag(self, field: str) -> bool:
        value = self._take(field)
        if not isinstance(value, bool):
            raise self.wrong(field, "is neither true nor false")
        return value

    def file(self) -> str:
        value = self._take("file")
        if not isinstance(value, str) or not safe_file(value):
            raise self.wrong("file", "is not a plain file name (letters, digits, . _ -)")
        return value

    def kind(self) -> str:
        value = self._take("kind")
        if value not in KINDS:
            raise self.wrong("kind", f"is none of {', '.join(KINDS)}")
        return str(value)

    def gives(self) -> tuple[str, ...]:
        value = self._take("gives")
        if not isinstance(value, list) or not 1 <= len(value) <= 16 or not all(safe_file(v) for v in value):
            raise self.wrong("gives", "is not a list of 1 to 16 plain file names (letters, digits, . _ -)")
        return tuple(value)

    def page(self) -> str:
        value = self._take("page")
        if not safe_url(value) or value.startswith("file"):
            raise self.wrong("page", "is not an address of http or https")
        return str(value)

    def urls(self) -> tuple[str, ...]:
        value = self._take("urls")
        if not isinstance(value, list) or len(value) > 16 or not all(safe_url(v) for v in value):
            raise self.wrong("urls", "is not a list of at most 16 addresses of http, https or file")
        return tuple(value)

    def sha256(self) -> str | None:
        value = self._take("sha256")
        if value is not None and not (isinstance(value, str) and _SHA256.fullmatch(value)):
            raise self.wrong("sha256", "is neither null nor 64 lower-case hex digits")
        return value

    def size(self) -> int | None:
        value = self._take("bytes")
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _LARGEST_STATED:
            raise self.wrong("bytes", f"is neither null nor a number of 1 to {_LARGEST_STATED}")
        return value

    def _take(self, field: str) -> Any:
        self.asked.add(field)
        if field not in self._fields:
            raise self.wrong(field, "is missing")
        return self._fields[field]
