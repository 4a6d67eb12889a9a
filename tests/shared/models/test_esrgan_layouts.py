from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.models.esrgan import RRDBNet
from shared.models.esrgan_layouts import FILE, converted, dimensions, shapes

SMALL = (2, 4, 3)
PARITY = Path(__file__).parent / "parity"


@pytest.fixture
def ours() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {name: value.clone() for name, value in RRDBNet(*SMALL).state_dict().items()}


def as_basicsr(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In the names of Real-ESRGAN's files."""
    names = {
        "RRDB_trunk.": "body.", ".RDB": ".rdb", "trunk_conv": "conv_body", "upconv": "conv_up", "HRconv": "conv_hr"
    }  # fmt: skip
    pattern = re.compile("|".join(map(re.escape, names)))
    return {pattern.sub(lambda found: names[found[0]], name): value for name, value in tensors.items()}


def as_sequence(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In the names of the first release."""
    places = {
        "conv_first": "0", "trunk_conv": f"1.sub.{SMALL[0]}", "upconv1": "3", "upconv2": "6", "HRconv": "8",
        "conv_last": "10",
    }  # fmt: skip
    out = {}
    for name, value in tensors.items():
        layer, _, kind = name.rpartition(".")
        place = places.get(layer) or layer.replace("RRDB_trunk.", "1.sub.") + ".0"
        out[f"model.{place}.{kind}"] = value
    return out


def test_the_three_layouts_have_the_names_of_public_files(ours: dict[str, Tensor]) -> None:
    basicsr, sequence = as_basicsr(ours), as_sequence(ours)
    assert {"body.0.rdb1.conv1.weight", "conv_body.bias", "conv_up1.weight", "conv_hr.bias"} <= basicsr.keys()
    assert {"model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight", "model.1.sub.2.bias"} <= sequence.keys()
    assert len(basicsr) == len(sequence) == len(ours)


@pytest.mark.parametrize("layout", ["ours", "basicsr", "sequence"])
@pytest.mark.parametrize("wrapper", [None, "params_ema", "params"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_layout_becomes_ours(ours: dict[str, Tensor], layout: str, wrapper: str | None, prefix: str) -> None:
    named = {"ours": dict, "basicsr": as_basicsr, "sequence": as_sequence}[layout](ours)
    state: dict[str, Any] = {prefix + name: value for name, value in named.items()}
    name, files = converted({wrapper: state, "iteration": 7} if wrapper else state)
    assert name == "esrgan"
    assert files.keys() == {FILE}
    assert files[FILE].keys() == ours.keys()
    assert all(torch.equal(files[FILE][key], value) for key, value in ours.items())


def test_averaged_weights_are_preferred(ours: dict[str, Tensor]) -> None:
    other = {name: value + 1 for name, value in ours.items()}
    found = converted({"params": as_basicsr(other), "params_ema": as_basicsr(ours)}).files[FILE]
    assert torch.equal(found["HRconv.weight"], ours["HRconv.weight"])


@pytest.mark.parametrize("size", [SMALL, (6, 64, 32), (1, 8, 8)])
def test_shapes_are_those_of_the_network(size: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        state = RRDBNet(*size).state_dict()
    assert shapes(*size) == {name: tuple(value.shape) for name, value in state.items()}
    assert dimensions(state) == size


def test_parity_of_names_and_shapes() -> None:
    published = json.loads((PARITY / "esrgan_rrdb_x4_shapes.json").read_text())
    assert {name: list(shape) for name, shape in shapes(23, 64, 32).items()} == published


def test_relatives_are_refused_by_name(ours: dict[str, Tensor]) -> None:
    def refused(state: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            converted(state)

    basicsr = as_basicsr(ours)
    for channels, scale in ((12, 2), (48, 1)):
        unshuffled = basicsr | {"conv_first.weight": torch.zeros(4, channels, 3, 3)}
        refused({"params_ema": unshuffled}, f"Real-ESRGAN that enlarges by {scale} .*RealESRGAN_x4plus")
    small = {"body.0.weight": torch.zeros(4, 3, 3, 3), "body.0.bias": torch.zeros(4), "body.1.weight": torch.zeros(4)}
    refused({"params": small}, "this is SRVGGNetCompact .*realesr-general-x4v3")
    sequence = as_sequence(ours)
    twice = {name.replace("model.6", "model.5"): value for name, value in sequence.items()}
    refused(twice, r"does not enlarge by 4: .*model\.\{0, 3, 5, 8, 10\}, those of x4 model\.\{0, 3, 6, 8, 10\}")


def test_anything_else_is_refused(ours: dict[str, Tensor]) -> None:
    weight = torch.zeros(4, 3, 3, 3)
    part = {name: value for name, value in ours.items() if name != "RRDB_trunk.1.RDB2.conv3.bias"}
    cases: list[tuple[dict[Any, Any], str]] = [
        ({}, "it is empty"),
        ({"generator": {"weight": weight}}, "'generator' is none"),
        ({"conv_first.weight": [1.0]}, "'conv_first.weight' is none"),
        ({"conv_first.weight": weight.int()}, "'conv_first.weight' is none"),
        ({"encoder.weight": weight, "bias": weight}, r"another network than ESRGAN's generator \(bias, encoder.weight"),
        ({0: weight}, "another network"),
        (part, r"1 tensors differ, such as RRDB_trunk\.1\.RDB2\.conv3\.bias"),
        (ours | {"conv_up3.weight": weight}, r"1 tensors differ, such as conv_up3\.weight"),
        (ours | {"conv_first.weight": torch.tensor(1.0)}, "another network"),
        (ours | {"conv_first.weight": torch.zeros(0, 3, 3, 3)}, "another network"),
        (ours | {"upconv1.weight": weight}, r"1 tensors differ, such as upconv1\.weight"),
    ]
    for state, message in cases:
        with pytest.raises(ValueError, match=message):
            converted(state)
