"""What becomes of a checkpoint, and what is said of one that is something else. Tensors have no contents here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from vox256_examples import ENCODER_NORMS, empty_checkpoint, shapes

from shared.codec.motion_basis import MotionBasis, plain_basis
from shared.models.vox256.convert import converted

Checkpoint = dict[str, Any]


def test_the_published_checkpoint_becomes_three_files() -> None:
    name, files = converted(empty_checkpoint())
    assert name == "vox256"
    assert list(files) == ["vox256_motion.safetensors", "vox256_generator.safetensors", "vox256_basis.safetensors"]
    motion, generator, basis = files.values()
    expected = {
        f"{part}.{key}": shape for part in ("kp_detector", "he_estimator") for key, shape in shapes()[part].items()
    }
    assert {key: tuple(tensor.shape) for key, tensor in motion.items()} == expected
    assert {key: tuple(tensor.shape) for key, tensor in generator.items()} == shapes()["generator"]
    assert MotionBasis(**{key: tensor.numpy() for key, tensor in basis.items()}).hash == plain_basis(15).hash


def test_prefixes_of_several_gpus_are_dropped_half_precision_widened_and_counters_made_up() -> None:
    checkpoint: Checkpoint = empty_checkpoint()
    for part in shapes():
        checkpoint[part] = {
            f"module.{key}": tensor.half()
            for key, tensor in checkpoint[part].items()
            if not key.endswith("num_batches_tracked")
        }
    motion, generator, _ = converted(checkpoint).files.values()
    assert {key: tuple(tensor.shape) for key, tensor in generator.items()} == shapes()["generator"]
    assert generator["second.weight"].dtype == motion["kp_detector.kp.bias"].dtype == torch.float32
    assert generator["first.norm.num_batches_tracked"].dtype == torch.int64


def lacking(*norms: str) -> Checkpoint:
    checkpoint: Checkpoint = empty_checkpoint()
    for key in list(checkpoint["generator"]):
        if key.rpartition(".")[0] in norms:
            del checkpoint["generator"][key]
    return checkpoint


def test_a_generator_without_norms_in_its_encoder_is_adasrs() -> None:
    name, files = converted(lacking(*ENCODER_NORMS))
    assert name == "adasr"
    assert list(files) == ["adasr_motion.safetensors", "adasr_generator.safetensors", "adasr_basis.safetensors"]
    kept = set(files["adasr_generator.safetensors"])
    assert set(shapes()["generator"]) - kept == {f"{norm}.{leaf}" for norm in ENCODER_NORMS for leaf in LEAVES}


LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def test_who_says_that_it_is_adasrs_is_believed_and_vox256_lacks_nothing() -> None:
    assert converted(empty_checkpoint(), "adasr").name == "adasr"
    with pytest.raises(ValueError, match=r"lacks 3 norms, such as first\.norm, which vox256 has"):
        converted(lacking(*ENCODER_NORMS), "vox256")
    with pytest.raises(ValueError, match="'compact' is none of vox256, adasr"):
        converted(empty_checkpoint(), "compact")


def change(part: str, key: str, value: object) -> Callable[[Checkpoint], None]:
    def apply(checkpoint: Checkpoint) -> None:
        if value is None:
            del checkpoint[part][key]
        else:
            checkpoint[part][key] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda c: c.clear(), r"no kp_detector, he_estimator, generator \(it holds nothing"),
        (lambda c: [c.clear(), c.update({"conv_first.weight": 0})], r"no face-vid2vid .*it holds conv_first\.weight"),
        (lambda c: c.pop("he_estimator"), "has no he_estimator: it is of an earlier kind"),
        (change("kp_detector", "jacobian.weight", torch.zeros(1)), "has a Jacobian"),
        (change("generator", "up_blocks.0.conv.weight", torch.zeros(1)), "the one without SPADE"),
        (
            change("generator", "fourth.bias", None),
            r"generator .* 1 tensors differ \(fourth\.bias is missing, exp.* 256",
        ),
        (change("generator", "odd", torch.zeros(2, 3)), r"1 tensors differ \(odd is 2x3, expected missing"),
        (change("kp_detector", "kp.bias", torch.zeros(10)), r"kp_detector .*kp\.bias is 10, expected 15"),
        (change("generator", "first.norm.running_var", None), r"first\.norm\.running_var is missing, expected 64"),
        (change("he_estimator", "fc_t.bias", [1, 2, 3]), "holds a list at 'fc_t.bias' where a tensor belongs"),
    ],
)
def test_other_files_are_refused_with_a_reason(spoil: Callable[[Checkpoint], object], reason: str) -> None:
    checkpoint: Checkpoint = empty_checkpoint()
    spoil(checkpoint)
    with pytest.raises(ValueError, match=reason):
        converted(checkpoint)


def test_norms_are_missed_where_adasr_has_them_too() -> None:
    with pytest.raises(ValueError, match=r"4 tensors differ \(dense_motion_network\.norm\.weight is missing"):
        converted(lacking("dense_motion_network.norm"))
