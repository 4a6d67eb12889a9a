"""All weights there are, embedded, in the store, or to be fetched: one line each."""

from __future__ import annotations

from collections.abc import Mapping

from shared.models.stored_weights import stored
from weights.digest import size_text
from weights.published import Published
from weights.record import Record
from weights.verify import embedded, embedded_path


def overview(catalogue: Mapping[str, Published], record: Record) -> str:
    """A table of names, states, sizes, licences and purposes. Whether files are whole is not looked at."""
    rows = [("name", "state", "size", "licence", "purpose")]
    for name, entry in embedded().items():
        state = "embedded" if embedded_path(entry).is_file() else "missing"
        rows.append((name, state, size_text(entry["bytes"]), entry["licence"], entry["purpose"]))
    for name, published in catalogue.items():
        state = _state(record, name)
        how = "fetched" if state == "converted" else state or ("not fetched" if published.urls else "by hand")
        rows.append((name, how, _size(record, published), _short(published), published.purpose))
    for name in sorted({file.name for file in record.files.values()} - catalogue.keys()):
        files = record.of(name)
        size = size_text(sum(file.size for file in files))
        rows.append((name, _state(record, name), size, files[0].licence, f"from {files[0].origin}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    ]
    return "\n".join(lines)


def _state(record: Record, name: str) -> str:
    files = record.of(name)
    if not files:
        return ""
    return "converted" if all(stored(file.file).is_file() for file in files) else "missing"


def _size(record: Record, entry: Published) -> str:
    """Of what lies in the store, else of the download."""
    files = record.of(entry.name)
    if files:
        return size_text(sum(file.size for file in files))
    return "?" if entry.size is None else size_text(entry.size)


def _short(entry: Published) -> str:
    """The licence without its address and remarks."""
    licence = entry.licence.partition(" (")[0].partition(";")[0]
    return f"{licence}, non-commercial" if entry.non_commercial else licence
