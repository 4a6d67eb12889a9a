from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from weights import catalogue

WRITTEN = json.loads(resources.files("weights").joinpath("catalogue.json").read_text(encoding="utf-8"))


def test_the_catalogue_describes_the_files_beside_it() -> None:
    assert catalogue.describe() == WRITTEN


def test_every_weights_file_is_catalogued() -> None:
    folder = Path(str(resources.files("weights")))
    assert {p.name for p in folder.glob("*.safetensors")} == {entry["file"] for entry in WRITTEN.values()}


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_every_entry_says_where_what_and_under_which_licence(name: str) -> None:
    entry = WRITTEN[name]
    assert len(entry["sha256"]) == 64
    assert entry["bytes"] > 0
    assert all(isinstance(entry[key], str) and entry[key] for key in ("file", "purpose", "licence"))


def test_the_embedded_compact_engine_has_at_most_16_mb() -> None:
    assert sum(entry["bytes"] for name, entry in WRITTEN.items() if name.startswith("compact")) <= 16_000_000
