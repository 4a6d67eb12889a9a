"""The published face-vid2vid networks against the reference's own numbers: same weights, same inputs, same outputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vox256_examples import PARITY, shapes, weights

from shared.models.vox256.blocks import fold
from shared.models.vox256.convert import PARTS
from shared.models.vox256.generator import Generator
from shared.models.vox256.motion import KeypointDetector, Pose, PoseEstimator, angles
from shared.motion import FloatArray, Motion, keypoints

Golden = dict[str, FloatArray]
KEYPOINT_TOLERANCE, PICTURE_TOLERANCE = 1e-4, 1e-3


@pytest.fixture(scope="module")
def golden() -> Golden:
    with np.load(PARITY / "facevid2vid_vox256.npz") as file:
        return dict(file)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one pixel of 4096 hangs on the order of sums: 7e-4 off with one thread, 1.2e-3 with two
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


def picture(golden: Golden, name: str) -> Tensor:
    low = torch.from_numpy(golden[f"{name}_lowres"])
    return F.interpolate(low, size=(256, 256), mode="bicubic", align_corners=False).clamp(0, 1)


def filled_network(part: str) -> nn.Module:
    network = PARTS[part]().eval()
    network.load_state_dict(weights(part))
    fold(network)
    return network


def off(found: Tensor | FloatArray, expected: FloatArray) -> float:
    return float(np.abs(np.asarray(found).reshape(expected.shape) - expected).max())


@pytest.mark.parametrize("part", PARTS)
def test_parameters_have_the_published_names_and_shapes(part: str) -> None:
    with torch.device("meta"):
        network = PARTS[part]()
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == shapes()[part]


def test_parity_of_canonical_keypoints(golden: Golden) -> None:
    detector = filled_network("kp_detector")
    assert isinstance(detector, KeypointDetector)
    assert off(detector(picture(golden, "source")), golden["canonical"]) < KEYPOINT_TOLERANCE


def test_parity_of_pose_expression_and_keypoints(golden: Golden) -> None:
    estimator = filled_network("he_estimator")
    assert isinstance(estimator, PoseEstimator)
    for prefix, name in (("src", "source"), ("drv", "driving")):
        pose: Pose = estimator(picture(golden, name))
        for part, short in zip(pose, ("yaw", "pitch", "roll", "t", "exp"), strict=True):
            assert off(part, golden[f"{prefix}_{short}"]) < KEYPOINT_TOLERANCE
        motion = Motion(
            angles(pose)[0].numpy(), 1.0, pose.translation[0].numpy(), pose.expression[0].numpy().reshape(-1, 3)
        )
        assert off(keypoints(golden["canonical"][0], motion), golden[f"kp_{name}"]) < KEYPOINT_TOLERANCE


def test_parity_of_the_dense_motion_and_of_the_picture(golden: Golden) -> None:
    generator = filled_network("generator")
    assert isinstance(generator, Generator)
    points = (torch.from_numpy(golden[f"kp_{name}"]) for name in ("source", "driving"))
    drawn = generator(picture(golden, "source"), *points)
    assert off(drawn.flow[:, ::4, ::4, ::4], golden["deformation"]) < KEYPOINT_TOLERANCE
    assert off(drawn.occlusion, golden["occlusion"]) < PICTURE_TOLERANCE
    assert off(drawn.picture[..., ::4, ::4], golden["prediction"]) < PICTURE_TOLERANCE
