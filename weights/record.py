"""`store.json`: what lies in the store, where it came from, and which licence was accepted for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from shared.models.stored_weights import folder
from weights.digest import sha256_of
from weights.errors import WeightsError
from weights.published import safe_file

_VERSION = 1
_LARGEST_TEXT = 1_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Stored:
    """A file of the store."""

    file: str
    name: str
    """The weights it belongs to, such as `esrgan`."""
    sha256: str
    size: int
    origin: str
    """The address it was fetched from, or the name of the user's file."""
    origin_sha256: str
    """Of the published file it was converted from."""
    when: str
    """ISO 8601, UTC."""
    licence: str
    accepted: bool | None
    """Whether the user accepted the licence; None where nothing was asked."""


class Record:
    """The files of the store by name."""

    def __init__(self, files: dict[str, Stored] | None = None) -> None:
        self.files = dict(files or {})

    @staticmethod
    def path() -> Path:
        """Where it is kept."""
        return folder() / "store.json"

    @classmethod
    def load(cls) -> Record:
        """The record in the store; empty if there is none. Raises WeightsError for one that is damaged."""
        try:
            with cls.path().open("rb") as file:
                text = file.read(_LARGEST_TEXT + 1).decode("utf-8")
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise _damaged(str(error)) from error
        return cls(_parsed(text))

    def save(self) -> None:
        """Writes it in one step. Raises OSError."""
        entries = {}
        for name, stored in sorted(self.files.items()):
            entries[name] = asdict(stored)
            del entries[name]["file"]
        text = json.dumps({"version": _VERSION, "files": entries}, indent=2)
        part = self.path().with_name("store.json.part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(self.path())

    def add(self, files: Iterable[Stored]) -> None:
        """Takes files in, in the place of those of the same names."""
        self.files.update({stored.file: stored for stored in files})

    def of(self, name: str) -> list[Stored]:
        """The files of some weights."""
        return [stored for stored in self.files.values() if stored.name == name]


def renew(path: Path, origin: str) -> None:
    """Records a file of the store that was written anew in its place, such as a codec basis fitted to a user's clips.

    A file without a record stays without one. Raises WeightsError or OSError.
    """
    record = Record.load()
    if path.parent == folder() and path.name in record.files:
        sha256, size = sha256_of(path), path.stat().st_size
        record.add([replace(record.files[path.name], sha256=sha256, size=size, origin=origin)])
        record.save()


def _parsed(text: str) -> dict[str, Stored]:
    try:
        whole = json.loads(text) if len(text) <= _LARGEST_TEXT else None
    except (ValueError, RecursionError) as error:
        raise _damaged(f"it is not JSON: {error}") from error
    if not isinstance(whole, dict) or not isinstance(whole.get("files"), dict):
        raise _damaged("it is not an object with files")
    if whole.get("version") != _VERSION:
        raise _damaged(f"its version is {str(whole.get('version'))[:20]!r}, this pinhole knows {_VERSION}")
    return {name: _stored(name, entry) for name, entry in whole["files"].items()}


def _stored(name: str, entry: object) -> Stored:
    expected = {field.name for field in fields(Stored)} - {"file"}
    if not safe_file(name) or not isinstance(entry, dict) or entry.keys() != expected:
        raise _damaged(f"its entry {name[:60]!r} is not one of a file")
    texts = all(isinstance(entry[key], str) for key in ("name", "sha256", "origin", "origin_sha256", "when", "licence"))
    sums = texts and all(_SHA256.fullmatch(entry[key]) for key in ("sha256", "origin_sha256"))
    size = isinstance(entry["size"], int) and not isinstance(entry["size"], bool) and entry["size"] >= 0
    if not (sums and size and entry["accepted"] in (True, False, None)):
        raise _damaged(f"its entry {name[:60]!r} has a wrong field")
    return Stored(file=name, **entry)


def _damaged(why: str) -> WeightsError:
    return WeightsError(
        f"the record {Record.path()} cannot be read ({why}): move it away and fetch or convert the weights again"
    )
