from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from shared.models import registry
from shared.models.engine import EngineError
from shared.models.registry import ENGINES, choose_device, load_basis, load_engine, locate, wire_hash


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The catalogue, in a copy that a test may change."""
    copy: dict[str, dict[str, Any]] = json.loads(json.dumps(registry._catalogue()))
    monkeypatch.setattr(registry, "_catalogue", lambda: copy)
    return copy


def test_every_file_is_there_and_whole() -> None:
    for name, entry in registry._catalogue().items():
        assert locate(name) == Path(str(resources.files("weights") / entry["file"]))


def test_every_engine_loads_its_basis() -> None:
    for name in ENGINES:
        assert load_basis(name).keypoint_count == load_engine(name, "cpu", draws=False).keypoint_count


def test_unknown_engines_are_refused_by_name() -> None:
    for ask in (wire_hash, load_basis, load_engine):
        with pytest.raises(EngineError, match="no engine 'vox9000'; known: compact"):
            ask("vox9000")  # type: ignore[operator]


@pytest.mark.parametrize("name", ["compact-motion", "compact-generator", "compact-basis", "compact-upscaler"])
def test_a_missing_file_is_named(entries: dict[str, dict[str, Any]], name: str) -> None:
    entries[name]["file"] = "nowhere.safetensors"
    with pytest.raises(EngineError, match="is missing: install"):
        locate(name)


def test_a_damaged_file_is_not_used(entries: dict[str, dict[str, Any]]) -> None:
    entries["compact-generator"]["sha256"] = "0" * 64
    with pytest.raises(EngineError, match=r"compact_generator\.safetensors is damaged .*expected 000000000000"):
        load_engine("compact", "cpu")
    load_engine("compact", "cpu", draws=False)


def test_the_wire_hash_follows_what_the_wire_depends_on(entries: dict[str, dict[str, Any]]) -> None:
    before = wire_hash("compact")
    assert len(before) == 16 and set(before) <= set("0123456789abcdef")
    entries["compact-generator"]["sha256"] = "1" * 64
    assert wire_hash("compact") == before
    entries["compact-basis"]["sha256"] = "1" * 64
    changed = wire_hash("compact")
    entries["compact-motion"]["sha256"] = "1" * 64
    assert len({before, changed, wire_hash("compact")}) == 3


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(EngineError, match="--device cpu"):
        choose_device("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"
