"""Which clips of which folders are trained on, and whom they show."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from weights.training.source_cache import clip_paths


def chosen_clips(folders: Sequence[Path], without: Sequence[str], limit: int | None) -> list[tuple[Path, str]]:
    """(path, person) of the clips of some folders, but for those of which `clips.csv` says TEXT in COLUMN.

    `without`: COLUMN=TEXT each. Of two clips of one name the first is taken. Raises ValueError if nothing is left.
    """
    found: dict[str, tuple[Path, str]] = {}
    for folder in folders:
        table = folder / "clips.csv"
        rows = {row["file"]: row for row in csv.DictReader(table.open(encoding="utf-8"))} if table.exists() else {}
        for path in clip_paths(folder)[:limit]:
            row = rows.get(path.name, {})
            if any(text in row.get(column, "") for column, _, text in (each.partition("=") for each in without)):
                continue
            found.setdefault(path.stem, (path, row.get("identity") or path.stem.partition("_")[0]))
    if not found:
        raise ValueError("--without leaves no clip: give less of it")
    return [found[name] for name in sorted(found)]
