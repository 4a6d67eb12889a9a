"""The motion codec's figures, on motions made up here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from call_examples import write_clip

from benchmarks.motion_codec import (
    FRAMES,
    HEADER_BYTES,
    Coding,
    code_length,
    coded_bytes,
    correlation,
    encoded_bytes,
    main,
    measure,
    quantised,
    table,
)
from benchmarks.motions import Mesh, Recording, openings
from benchmarks.one_euro import OneEuro, rise_frames
from shared.codec.bundle import Bundle, encode_bundle
from shared.codec.motion_basis import MotionBasis
from shared.codec.range_coder import TOTAL, FrequencyTable
from shared.models.engine import Picture
from shared.models.layers import LANDMARKS
from shared.models.registry import load_basis


@pytest.fixture(scope="module")
def basis() -> MotionBasis:
    return load_basis("compact")


def recording(basis: MotionBasis, frames: int = 50, seed: int = 0, mesh: Mesh | None = None) -> Recording:
    """A face that wanders within the basis."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.7, (frames, len(basis.intra_tables))), axis=0)
    vectors = np.stack([basis.motion(row).vector() for row in walk])  # type: ignore[arg-type]
    canonical = np.tile(rng.uniform(-0.5, 0.5, (basis.keypoint_count, 3)), (frames, 1, 1))
    return Recording("made up", vectors, canonical.astype(np.float32), mesh)


def test_computed_sizes_are_those_that_the_codec_writes(basis: MotionBasis) -> None:
    clips = [recording(basis, seed=seed) for seed in range(3)]
    for step in (1, 2):
        computed = measure(basis, clips, Coding(step=step)).bytes_per_frame
        assert computed == pytest.approx(encoded_bytes(basis, clips, step), abs=0.15)


def test_the_header_is_the_codecs(basis: MotionBasis) -> None:
    assert len(encode_bundle(Bundle(0, 0, 0, 40.0, (None,)), basis)) - HEADER_BYTES in (0, 1)


def test_each_part_of_the_codec_saves_bytes(basis: MotionBasis) -> None:
    clips = [recording(basis)]
    whole = measure(basis, clips, Coding())
    for coding in (Coding(entropy=False), Coding(predict=False), Coding(dead_zone=0.5)):
        assert measure(basis, clips, coding).bytes_per_frame > whole.bytes_per_frame
    assert measure(basis, clips, Coding(dead_zone=0.5)).error_px < whole.error_px


def test_filtering_makes_less_tremble_and_more_wrong(basis: MotionBasis) -> None:
    clips = [recording(basis)]
    whole, pose, everything = (measure(basis, clips, Coding(filtered=name)) for name in ("", "pose", "all"))
    assert everything.trembling_px < pose.trembling_px < whole.trembling_px
    assert everything.error_px > pose.error_px > whole.error_px


def test_a_still_face_is_coded_without_error_between_frames(basis: MotionBasis) -> None:
    one = recording(basis, 1)
    still = Recording("still", np.repeat(one.vectors, 20, 0), np.repeat(one.canonical, 20, 0), None)
    figures = measure(basis, [still], Coding())
    assert figures.trembling_px == 0
    assert figures.lips_true is figures.eyelids_true is None


def test_numbers_are_held_within_bundles_and_across() -> None:
    numbers = np.full((2 * FRAMES, 3), 0.55)
    numbers[0] = 0.45
    assert (quantised(numbers, Coding()) == 0).all()
    numbers[FRAMES + 1 :] = 0.65
    assert (quantised(numbers, Coding())[FRAMES + 1 :] == 1).all()
    assert (quantised(numbers, Coding(dead_zone=0.5))[1:] == 1).all()


def test_code_length_is_that_of_the_probabilities() -> None:
    table = FrequencyTable([0, TOTAL // 4, TOTAL // 2, TOTAL // 8, 0, TOTAL // 8])
    numbers = np.array([[0], [-1], [1], [9], [2]])
    assert code_length(numbers, [table], 2) == 1 + 2 + 3 + 2 * (3 + 16)


def test_fixed_length_codes_have_the_bits_of_the_range(basis: MotionBasis) -> None:
    integers = np.zeros((10, 2), np.int64)
    integers[3] = (7, 8)
    assert coded_bytes(integers, basis, Coding(entropy=False)) == 10 * (3 + 4) / 8


def test_openings_are_those_of_lips_and_eyelids() -> None:
    points, mesh = np.zeros((2, len(LANDMARKS) + 3, 3)), np.zeros((2, 478, 3))
    for landmark, height in ((14, 3.0), (145, 1.0), (374, 2.0)):
        points[1, LANDMARKS.index(landmark), 1] = mesh[1, landmark, 1] = height
    for lips, eyelids in (openings(points), openings(mesh, of_mesh=True)):
        assert lips.tolist() == [0, 3]
        assert eyelids.tolist() == [0, 1.5]


def test_correlation_of_what_does_not_move_is_unknown() -> None:
    assert np.isnan(correlation(np.ones(5), np.arange(5.0)))
    assert correlation(np.arange(5.0), 3 - np.arange(5.0)) == pytest.approx(-1)


def test_one_euro_lags_less_the_larger_the_step() -> None:
    frames = [rise_frames(OneEuro(1.5, 0.3), size, 0.04) for size in (0.5, 5, 500)]
    assert frames[0] > frames[1] > frames[2] == 0
    assert rise_frames(OneEuro(1e9, 0.0), 1, 0.04) == 0


def test_the_command_writes_what_it_prints(
    person: list[Picture], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "x_a.mp4", person[:20])
    out = tmp_path / "m.json"
    assert main(["--clips", str(tmp_path), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["clips"] == ["x_a"]
    assert 0 < report["embedded"]["25_hz"]["bytes_per_frame"] < report["raw_fp16_bytes"]
    assert report["embedded"]["25_hz"]["error_px"] > 0
    assert table(report) in capsys.readouterr().out


def test_a_folder_without_clips_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", str(tmp_path)]) == 1
    assert "holds no clip" in capsys.readouterr().err
