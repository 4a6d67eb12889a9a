from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from call_examples import ColourEngine, psnr
from safetensors.torch import load_file, save_file

from sender.sample import sample_frames
from shared.models.batching import warm_up
from shared.models.engine import CompactEngine, Engine, EngineError, Picture
from shared.models.registry import load_engine, locate
from shared.motion import keypoints
from weights.training.export import export


def test_extraction_gives_keypoints_on_the_face(engine: Engine, person: list[Picture]) -> None:
    canonical, motion = engine.extract(person[0])
    assert canonical.shape == motion.expression.shape == (engine.keypoint_count, 3)
    assert motion.translation[2] == 0
    points = keypoints(canonical, motion)[:23, :2]
    pixels = (points + 1) * 128
    assert (pixels > 40).all() and (pixels < 230).all()  # the sample's face is in the middle of the picture
    assert np.ptp(pixels[:, 1]) > 50


def test_the_size_of_the_picture_hardly_matters(engine: Engine, person: list[Picture]) -> None:
    large = np.asarray(cv2.resize(person[0], (512, 512), interpolation=cv2.INTER_LINEAR), np.uint8)
    a, b = engine.extract(person[0]), engine.extract(large)
    assert np.abs(keypoints(*a) - keypoints(*b)).max() < 0.05


def test_keypoints_follow_the_head(engine: Engine, person: list[Picture]) -> None:
    before = keypoints(*engine.extract(person[0]))[:23, :2].mean(0)
    moved = np.roll(person[0], (12, -20), (0, 1))  # pixels down, and to the left
    after = keypoints(*engine.extract(moved))[:23, :2].mean(0)
    assert after - before == pytest.approx([-20 / 128, 12 / 128], abs=0.06)


def test_drawing_the_sources_own_motion_gives_the_source(engine: Engine, person: list[Picture]) -> None:
    for source in (person[0], person[30]):
        canonical, motion = engine.extract(source)
        drawn = engine.draw([(engine.prepare(source, canonical, motion), 1.0)], motion)
        assert drawn.shape == (256, 256, 3)
        assert drawn.dtype == np.uint8
        assert psnr(drawn, source) > 30


def test_another_motion_gives_another_picture_and_leaves_the_source(engine: Engine, person: list[Picture]) -> None:
    canonical, motion = engine.extract(person[0])
    source = [(engine.prepare(person[0], canonical, motion), 1.0)]
    before = engine.draw(source, motion)
    turned = engine.draw(source, engine.extract(person[30])[1])
    assert np.abs(turned.astype(int) - before).mean() > 1
    assert (engine.draw(source, motion) == before).all()


def test_an_engine_without_a_generator_extracts_but_does_not_draw(engine: Engine, person: list[Picture]) -> None:
    sender = load_engine("compact", "cpu", draws=False)
    canonical, motion = sender.extract(person[0])
    assert np.allclose(motion.vector(), engine.extract(person[0])[1].vector(), atol=1e-5)
    with pytest.raises(EngineError, match="without a generator"):
        sender.prepare(person[0], canonical, motion)


@pytest.mark.parametrize("shape", [(128, 128, 3), (256, 128, 3), (256, 256, 4)])
def test_sources_of_another_shape_are_refused(engine: Engine, person: list[Picture], shape: tuple[int, ...]) -> None:
    canonical, motion = engine.extract(person[0])
    with pytest.raises(ValueError, match="256x256x3"):
        engine.prepare(np.zeros(shape, np.uint8), canonical, motion)


def test_warm_up_draws() -> None:
    engine = ColourEngine()
    warm_up(engine, 1)
    assert engine.drawn


def damaged(folder: Path, kind: str) -> Path:
    good, path = locate("compact-motion"), folder / "bad.safetensors"
    tensors = load_file(good)
    name = sorted(tensors)[0]
    match kind:
        case "missing":
            pass
        case "empty":
            path.touch()
        case "cut":
            path.write_bytes(good.read_bytes()[:-1000])
        case "text":
            path.write_text("these are no weights")
        case "shape":
            save_file(tensors | {name: tensors[name][:1].contiguous()}, path)
        case "lacking":
            save_file({k: v for k, v in tensors.items() if k != name}, path)
        case "too many":
            save_file(tensors | {"another": tensors[name].clone()}, path)
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "cut", "text"])
def test_unreadable_weights_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(EngineError, match="is not a readable safetensors file"):
        CompactEngine(damaged(tmp_path, kind), None)


@pytest.mark.parametrize("kind", ["shape", "lacking", "too many"])
def test_weights_of_another_network_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(EngineError, match="1 tensors differ, such as"):
        CompactEngine(damaged(tmp_path, kind), None)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_are_refused(tmp_path: Path, number: float) -> None:
    path = tmp_path / "black.safetensors"
    for name in ("compact-motion", "compact-generator"):
        tensors = load_file(locate(name))
        key = sorted(tensors)[3]
        tensors[key].view(-1)[-1] = number
        save_file(tensors, path)
        files = (path, None) if name == "compact-motion" else (locate("compact-motion"), path)
        with pytest.raises(EngineError, match=rf"NaN or infinite\) in 1 of \d+ tensors, such as {key}"):
            CompactEngine(*files)


def test_what_training_leaves_is_named_with_what_to_do(tmp_path: Path) -> None:
    motion, generator = load_file(locate("compact-motion")), load_file(locate("compact-generator"))
    whole = generator | {f"motion.{name}": tensor for name, tensor in motion.items()} | {"mesh.0": torch.zeros(3)}
    save_file(whole, tmp_path / "fused.safetensors")
    torch.save({"stage": "fused", "average": whole}, tmp_path / "fused.pt")
    for name in ("fused.safetensors", "fused.pt"):
        with pytest.raises(EngineError, match=rf"python -m weights\.training\.export {name} --folder \."):
            CompactEngine(locate("compact-motion"), tmp_path / name)
        export(tmp_path / name, tmp_path / "made")
        CompactEngine(locate("compact-motion"), tmp_path / "made" / "compact_generator.safetensors")


def test_motion_weights_are_no_generator() -> None:
    with pytest.raises(EngineError, match="weights of another network"):
        CompactEngine(locate("compact-motion"), locate("compact-motion"))


def test_the_weights_of_two_sources_move_the_picture_from_one_to_the_other(
    engine: Engine, person: list[Picture]
) -> None:
    canonical, motion = engine.extract(person[0])
    one, other = (engine.prepare(picture, canonical, motion) for picture in (person[0], 255 - person[0]))
    drawn = [engine.draw([(one, 1 - share), (other, share)], motion) for share in (0.001, 0.5, 0.999)]
    distances = [np.abs(picture.astype(int) - engine.draw([(one, 1.0)], motion)).mean() for picture in drawn]
    assert distances[0] < 3 < distances[1] < distances[2]


def test_a_larger_picture_has_the_detail_of_the_source() -> None:
    small, large = load_engine("compact", "cpu"), load_engine("compact", "cpu", size=512)
    picture = person_of(512)
    canonical, motion = small.extract(picture)
    drawn = large.draw([(large.prepare(picture, canonical, motion), 1.0)], motion)
    assert drawn.shape == (512, 512, 3)
    shrunk = np.asarray(cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    same = small.draw([(small.prepare(shrunk, canonical, motion), 1.0)], motion)
    enlarged = np.asarray(cv2.resize(same, (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)
    assert 1.05 * detail(enlarged) < detail(drawn) < 1.3 * detail(picture)
    assert psnr(np.asarray(cv2.resize(drawn, (256, 256), interpolation=cv2.INTER_AREA), np.uint8), same) > 28


def detail(picture: Picture) -> float:
    return float(np.abs(cv2.Laplacian(picture.astype(np.float32), cv2.CV_32F)).mean())


def person_of(size: int) -> Picture:
    return next(iter(sample_frames(25.0, 0.04, size)))[1]


@pytest.mark.parametrize(
    ("choice", "reason"), [("standard", "no weights of the standard generator"), ("sharper", "there is no generator")]
)
def test_a_generator_without_weights_is_refused(choice: str, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        load_engine("compact", "cpu", generator=choice)


def test_a_generator_may_come_from_a_file(engine: Engine, person: list[Picture], tmp_path: Path) -> None:
    weights = load_file(locate("compact-generator"))
    save_file(weights | {"generator.out.bias": weights["generator.out.bias"] + 1}, tmp_path / "other.safetensors")
    other = load_engine("compact", "cpu", generator=str(tmp_path / "other.safetensors"))
    canonical, motion = engine.extract(person[0])
    drawn = [each.draw([(each.prepare(person[0], canonical, motion), 1.0)], motion) for each in (engine, other)]
    assert (drawn[0] != drawn[1]).any()
    save_file({"x": weights["nearness"]}, tmp_path / "none.safetensors")
    with pytest.raises(EngineError, match="another network"):
        load_engine("compact", "cpu", generator=str(tmp_path / "none.safetensors"))
