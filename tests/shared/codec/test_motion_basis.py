from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from shared.codec.bundle import held
from shared.codec.motion_basis import MAX_INTEGER, MotionBasis
from shared.motion import Motion
from weights.training.fit_codec import COMPONENTS

WEIGHTS = Path(__file__).parents[3] / "weights" / "compact_motion_basis.safetensors"


def _motion(basis: MotionBasis, **changes: object) -> Motion:
    zero = basis.motion(np.zeros(len(basis.intra_tables), np.int64))
    return replace(zero, **changes)


def test_pose_comes_back_within_half_a_step(basis: MotionBasis) -> None:
    sent = _motion(
        basis,
        rotation=np.array([20.3, -7.7, 3.14], np.float32),
        scale=1.37,
        translation=np.array([0.3, -0.21, 0], np.float32),
    )
    seen = basis.motion(held(basis.numbers(sent), None))
    assert np.all(np.abs(seen.rotation - sent.rotation) <= basis.pose_steps[:3] / 2 + 1e-5)
    assert abs(np.log(seen.scale / sent.scale)) <= basis.pose_steps[3] / 2 + 1e-5
    assert np.all(np.abs(seen.translation - sent.translation)[:2] <= basis.pose_steps[4:6] / 2 + 1e-6)


def test_expression_in_the_basis_comes_back_within_half_a_step(basis: MotionBasis) -> None:
    coefficients = np.array([0.41, -0.2, 0.117, 0.05])
    expression = (basis.expression_mean + coefficients @ basis.components).astype(np.float32).reshape(-1, 3)
    seen = basis.motion(held(basis.numbers(_motion(basis, expression=expression)), None))
    error = basis.analysis @ (seen.expression - expression).reshape(-1)
    assert np.all(np.abs(error) <= basis.component_steps / 2 + 1e-5)


def test_a_number_that_is_not_coded_is_the_mean(basis: MotionBasis) -> None:
    assert 6 not in basis.coded_pose
    sent = _motion(basis, translation=np.array([0, 0, 0.5], np.float32))
    assert basis.motion(held(basis.numbers(sent), None)).translation[2] == basis.pose_mean[6]


@pytest.mark.parametrize("sign", [-1, 1])
def test_what_no_head_can_do_is_clipped(basis: MotionBasis, sign: int) -> None:
    seen = basis.motion(np.full(len(basis.intra_tables), sign * MAX_INTEGER))
    assert np.abs(seen.rotation).tolist() == [90, 90, 90]
    assert 0.02 * 0.999 <= seen.scale <= 5 * 1.001
    assert np.abs(seen.translation).max() <= 2
    assert np.abs(seen.expression).max() <= 2


def test_a_motion_that_cannot_be_coded_is_refused(basis: MotionBasis) -> None:
    with pytest.raises(ValueError, match="finite"):
        basis.numbers(_motion(basis, rotation=np.array([np.nan, 0, 0], np.float32)))
    with pytest.raises(ValueError, match="positive scale"):
        basis.numbers(_motion(basis, scale=0.0))
    with pytest.raises(ValueError, match="codes 4 keypoints"):
        basis.numbers(_motion(basis, expression=np.zeros((6, 3), np.float32)))


def test_saving_keeps_everything(basis: MotionBasis, tmp_path: Path) -> None:
    basis.save(tmp_path / "basis.safetensors")
    loaded = MotionBasis.load(tmp_path / "basis.safetensors")
    assert loaded.hash == basis.hash
    assert len(basis.hash) == 8
    integers = np.arange(len(basis.intra_tables))
    assert np.array_equal(loaded.motion(integers).vector(), basis.motion(integers).vector())


def test_the_hash_sees_a_changed_table(basis: MotionBasis) -> None:
    frequencies = basis.inter_frequencies.copy()
    frequencies[0, 0, [3, 4]] += np.array([1, -1]).astype(np.uint16)
    assert replace(basis, inter_frequencies=frequencies).hash != basis.hash


def test_parts_that_do_not_fit_are_refused(basis: MotionBasis, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pose_mean"):
        replace(basis, pose_mean=np.zeros(6, np.float32))
    with pytest.raises(ValueError, match="sum to"):
        replace(basis, intra_frequencies=basis.intra_frequencies * 2)
    with pytest.raises(ValueError, match="steps"):
        replace(basis, component_steps=-basis.component_steps)
    swapped = basis.inter_frequencies[..., [*range(basis.inter_frequencies.shape[2] - 1), 0]]
    with pytest.raises(ValueError, match=r"escape|sum to"):
        replace(basis, inter_frequencies=swapped)
    broken = basis.pose_mean.copy()
    broken[1] = np.inf
    replace(basis, pose_mean=broken).save(tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match="NaN or infinite numbers in pose_mean"):
        MotionBasis.load(tmp_path / "broken.safetensors")
    save_file({"other": np.zeros(1, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not a motion basis"):
        MotionBasis.load(tmp_path / "other.safetensors")


def test_the_shipped_basis_loads_and_is_small() -> None:
    shipped = MotionBasis.load(WEIGHTS)
    assert len(shipped.components) <= max(COMPONENTS)
    assert WEIGHTS.stat().st_size < 100_000
