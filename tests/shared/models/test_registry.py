from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from shared.codec.motion_basis import plain_basis
from shared.models import registry, stored_weights
from shared.models.engine import EngineError
from shared.models.registry import (
    ENGINES,
    choose_device,
    draws_quickly,
    load_basis,
    load_engine,
    locate,
    usual_size,
    wire_hash,
)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The catalogue, in a copy that a test may change."""
    copy: dict[str, dict[str, Any]] = json.loads(json.dumps(registry._catalogue()))
    monkeypatch.setattr(registry, "_catalogue", lambda: copy)
    return copy


def test_every_file_is_there_and_whole() -> None:
    for name, entry in registry._catalogue().items():
        assert locate(name) == Path(str(resources.files("weights") / entry["file"]))


def test_our_engine_loads_its_basis() -> None:
    assert load_basis("compact").keypoint_count == load_engine("compact", "cpu", draws=False).keypoint_count


@pytest.fixture
def no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's store without any weights; its folder."""
    monkeypatch.setattr(stored_weights, "folder", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ENGINES[1:])
def test_published_engines_say_how_to_get_their_weights(no_store: Path, name: str) -> None:
    for ask in (wire_hash, load_basis, load_engine):
        with pytest.raises(
            EngineError, match=rf"{name}_\w+\.safetensors is missing.*weights fetch {name}`.*convert FILE"
        ):
            ask(name)  # type: ignore[operator]


def test_a_published_engines_wire_hash_follows_its_files(no_store: Path) -> None:
    motion, basis = (no_store / f"vox256_{part}.safetensors" for part in ("motion", "basis"))
    motion.write_bytes(b"motion")
    plain_basis(15).save(basis)
    before = wire_hash("vox256")
    assert len(before) == 16 and wire_hash("vox256") == before
    (no_store / "vox256_generator.safetensors").write_bytes(b"the wire does not care")
    assert wire_hash("vox256") == before
    motion.write_bytes(b"another motion")
    changed = wire_hash("vox256")
    plain_basis(14).save(basis)
    assert len({before, changed, wire_hash("vox256")}) == 3


def test_a_published_engines_basis_is_read_and_checked(no_store: Path) -> None:
    path = no_store / "adasr_basis.safetensors"
    plain_basis(15).save(path)
    assert load_basis("adasr").hash == plain_basis(15).hash
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(
        EngineError, match=r"adasr_basis\.safetensors is no motion basis .*convert the checkpoint again"
    ):
        load_basis("adasr")


def test_a_published_engine_has_no_other_generator(no_store: Path) -> None:
    with pytest.raises(EngineError, match="vox256 draws with its own generator: leave --generator out"):
        load_engine("vox256", "cpu", generator="compact")


def test_a_published_engine_draws_in_single_precision(no_store: Path) -> None:
    with pytest.raises(EngineError, match="vox256 draws in fp32 alone: leave --precision out"):
        load_engine("vox256", "cpu", precision="bf16")


def test_what_is_drawn_by_default_and_whether_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [usual_size(name, "cpu") for name in ENGINES] == [256, 256, 256]
    assert [usual_size(name, "cuda") for name in ENGINES] == [512, 256, 512]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [draws_quickly(name, "auto") for name in ENGINES] == [True, False, False]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert all(draws_quickly(name, "auto") for name in ENGINES)


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
