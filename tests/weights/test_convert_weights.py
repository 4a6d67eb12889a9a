from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from shared.models.esrgan_layouts import shapes
from shared.models.stored_weights import Converted, folder, stored
from weights.convert import CONVERTERS, Origin, converted, family, keep, store_names
from weights.errors import WeightsError
from weights.record import Record

ORIGIN = Origin("a.pth", "a" * 64, "Apache-2.0", None)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return folder()


def esrgan_state() -> dict[str, Tensor]:
    return {name: torch.full(shape, 0.5) for name, shape in shapes(1, 4, 2).items()}


def two_files(checkpoint: Mapping[str, Any], kind: str | None) -> Converted:
    """Stands in for the converter of face-vid2vid, whose networks are large."""
    name = kind or "vox256"
    motion = {f"kp_detector.{key}": tensor for key, tensor in checkpoint["kp_detector"].items()}
    return Converted(name, {f"{name}_motion.safetensors": motion, f"{name}_generator.safetensors": {}})


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        ({"kp_detector": {}, "he_estimator": {}, "generator": {}, "epoch": 1}, "vox256"),
        ({"kp_detector": {}}, "vox256"),
        ({"conv_first.weight": 0}, "esrgan"),
        ({"module.conv_first.weight": 0}, "esrgan"),
        ({"params_ema": {"body.0.rdb1.conv1.weight": 0}}, "esrgan"),
        ({"model.0.weight": 0}, "esrgan"),
    ],
)
def test_families_are_told_apart_by_their_keys(checkpoint: dict[str, Any], expected: str) -> None:
    assert family(checkpoint) == expected


@pytest.mark.parametrize("checkpoint", [{}, {"fc.weight": 0}, {"params": {"fc.weight": 0}}, {3: 0}])
def test_other_checkpoints_are_of_no_family(checkpoint: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match="neither"):
        family(checkpoint)


def test_there_is_a_converter_for_every_family() -> None:
    assert set(CONVERTERS) == {"vox256", "esrgan"}
    for convert in CONVERTERS.values():
        with pytest.raises(ValueError, match="checkpoint"):
            convert({"odd": 1}, None)


@pytest.mark.parametrize("wrapper", [None, "params_ema", "state_dict"])
def test_an_esrgan_lands_in_the_store(wrapper: str | None, tmp_path: Path) -> None:
    state: dict[str, Any] = esrgan_state()
    torch.save({wrapper: state} if wrapper else state, tmp_path / "a.pth")
    result = converted(tmp_path / "a.pth")
    [path] = keep(result, "mine", store_names(result, "mine"), ORIGIN)
    assert path == stored("mine.safetensors")
    assert load_file(path).keys() == state.keys()
    [entry] = Record.load().of("mine")
    assert (entry.size, entry.origin, entry.licence) == (path.stat().st_size, "a.pth", "Apache-2.0")


def test_a_checkpoint_of_numbers_that_are_none_is_not_converted(tmp_path: Path) -> None:
    state: dict[str, Any] = esrgan_state()
    next(iter(state.values())).view(-1)[0] = float("nan")
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="NaN or infinite"):
        converted(tmp_path / "a.pth")


def test_several_files_keep_the_names_by_which_they_are_found(tmp_path: Path) -> None:
    parts = {"kp_detector": {"a": torch.ones(2)}, "he_estimator": {}, "generator": {}}
    torch.save(parts, tmp_path / "a.pth")
    result = converted(tmp_path / "a.pth", "adasr", {"vox256": two_files})
    keep(result, "adasr", store_names(result, "adasr"), ORIGIN)
    assert torch.equal(load_file(stored("adasr_motion.safetensors"))["kp_detector.a"], torch.ones(2))
    assert {entry.file for entry in Record.load().of("adasr")} == set(result.files)


def test_a_flat_file_has_the_parts_as_prefixes(tmp_path: Path) -> None:
    flat = {f"{part}.x.weight": torch.ones(1) for part in ("kp_detector", "he_estimator", "generator")}
    save_file(flat, tmp_path / "flat.safetensors")
    result = converted(tmp_path / "flat.safetensors", known={"vox256": two_files})
    assert list(result.files["vox256_motion.safetensors"]) == ["kp_detector.x.weight"]


def test_what_the_converter_says_reaches_the_user(tmp_path: Path) -> None:
    torch.save({"conv_first.weight": torch.zeros(4, 12, 3, 3)}, tmp_path / "x2.pth")
    with pytest.raises(WeightsError, match=r"x2\.pth is not a checkpoint that can be converted: .*enlarges by 2"):
        converted(tmp_path / "x2.pth")


@pytest.mark.parametrize("file", ["../a.safetensors", "a/b.safetensors", "/tmp/a"])
def test_a_converter_cannot_write_outside_the_store(file: str) -> None:
    with pytest.raises(WeightsError, match="cannot be the name of a file"):
        store_names(Converted("a", {file: {}, "b": {}}), "a")


def test_nothing_is_replaced_before_everything_is_written(store: Path) -> None:
    files = ("one.safetensors", "two.safetensors")
    keep(Converted("a", {name: {"x": torch.zeros(1)} for name in files}), "a", files, ORIGIN)
    before = {name: stored(name).read_bytes() for name in (*files, "store.json")}
    broken: dict[str, Any] = {files[0]: {"x": torch.ones(1)}, files[1]: {"x": "no tensor"}}
    with pytest.raises(AttributeError):
        keep(Converted("a", broken), "a", files, ORIGIN)
    assert {name: stored(name).read_bytes() for name in before} == before
    assert {path.name for path in store.iterdir()} == before.keys()


def test_weights_of_another_name_are_not_overwritten() -> None:
    one = Converted("a", {"a.safetensors": {"x": torch.zeros(1)}})
    keep(one, "a", ("a.safetensors",), ORIGIN)
    with pytest.raises(WeightsError, match=r"a\.safetensors in the store belongs to a"):
        keep(one, "b", ("a.safetensors",), ORIGIN)
