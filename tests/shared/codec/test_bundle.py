from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from codec_examples import make_basis, make_motions

from shared.codec import MalformedBundle
from shared.codec.bundle import (
    CLOCK_WRAP_MS,
    MAX_BUNDLE_BYTES,
    MOTION_SECTION,
    Bundle,
    BundleEncoder,
    decode_bundle,
    encode_bundle,
    held,
    quantise,
)
from shared.codec.motion_basis import MAX_INTEGER, MotionBasis
from shared.codec.range_coder import Contexts, context_tables
from shared.motion import Motion

BASIS = make_basis()


def _bundle(basis: MotionBasis, frames: tuple[Motion | None, ...]) -> Bundle:
    return Bundle(first_frame=65530, clock_ms=123456, epoch=3, frame_interval_ms=33.3, frames=frames)


def _vectors(frames: tuple[Motion | None, ...]) -> list[list[float] | None]:
    return [None if motion is None else motion.vector().tolist() for motion in frames]


@pytest.mark.parametrize("count", [1, 5, 16])
@pytest.mark.parametrize("spread", [0, 2, 10])
def test_a_bundle_comes_back_as_quantise_says(basis: MotionBasis, count: int, spread: int) -> None:
    sent = _bundle(basis, make_motions(basis, count, spread=spread))
    seen = decode_bundle(encode_bundle(sent, basis), basis)
    assert (seen.first_frame, seen.clock_ms, seen.epoch, seen.frame_interval_ms) == (65530, 123456, 3, 33.3)
    assert _vectors(seen.frames) == _vectors(quantise(sent.frames, basis))
    assert _vectors(seen.frames) == _vectors(sent.frames)


def test_a_number_stays_what_it_was_unless_that_is_clearly_wrong() -> None:
    before = np.array([3, 3, 3, 3, -3])
    assert held(np.array([3.55, 2.45, 3.65, 2.3, -3.55]), before).tolist() == [3, 3, 4, 2, -3]
    assert held(np.array([3.55, -1.2, 9e9]), None).tolist() == [4, -1, MAX_INTEGER]


def test_trembling_below_a_step_costs_nothing_and_is_not_shown(basis: MotionBasis) -> None:
    (motion,) = make_motions(basis, 1)
    beside = replace(motion, rotation=motion.rotation + np.float32(0.55 * basis.pose_steps[0]))
    still, trembling = (_bundle(basis, (motion, second) * 5) for second in (motion, beside))
    assert encode_bundle(trembling, basis) == encode_bundle(still, basis)
    assert _vectors(quantise(trembling.frames, basis)) == _vectors(quantise(still.frames, basis))


def test_a_number_stays_what_it_was_from_one_bundle_to_the_next(basis: MotionBasis) -> None:
    (motion,) = make_motions(basis, 1)
    beside = replace(motion, rotation=motion.rotation + np.float32(0.55 * basis.pose_steps[0]))
    encoder = BundleEncoder(basis)
    sent = [encoder.encode(_bundle(basis, frames)) for frames in ((motion, motion), (None,), (beside, beside))]
    seen = [decode_bundle(data, basis).frames for data in sent]
    assert _vectors(seen[2]) == _vectors((motion, motion))
    assert _vectors(decode_bundle(encode_bundle(_bundle(basis, (beside,)), basis), basis).frames) != _vectors((motion,))


def test_a_header_has_seven_bytes_and_nine_at_a_rare_frame_rate(basis: MotionBasis) -> None:
    usual, rare = (replace(_bundle(basis, (None,)), frame_interval_ms=ms) for ms in (40.0, 41.3))
    assert len(encode_bundle(usual, basis)) <= 7 + 1
    assert len(encode_bundle(rare, basis)) <= 9 + 1
    assert decode_bundle(encode_bundle(rare, basis), basis).frame_interval_ms == 41.3


def test_contexts_number_by_number_are_those_of_all_at_once() -> None:
    differences = np.random.default_rng(0).integers(-9, 10, (5, 4, 8))
    activity, edges = np.array([3, 9, 16, 40, 1, 16, 7, 100], np.uint16), np.array([20, 60, 90], np.uint16)
    expected = context_tables(differences, activity, edges)
    assert set(expected.flat) == {0, 1, 2, 3}
    for bundle, wanted in zip(differences, expected, strict=True):
        one_by_one = Contexts(activity.tolist(), edges.tolist())
        for difference, context in zip(bundle.flat, wanted.flat, strict=True):
            assert one_by_one.next() == context
            one_by_one.note(int(difference))


def test_frames_without_a_face_stay_so(basis: MotionBasis) -> None:
    a, b = make_motions(basis, 2)
    for frames in ((None,), (None, a, None, b), (a, None, b, None), (None,) * 16):
        assert _vectors(decode_bundle(encode_bundle(_bundle(basis, frames), basis), basis).frames) == _vectors(frames)


def test_counters_wrap(basis: MotionBasis) -> None:
    bundle = Bundle(0x10005, 5 * CLOCK_WRAP_MS + 7, 0x102, 40.0, (None,))
    seen = decode_bundle(encode_bundle(bundle, basis), basis)
    assert (seen.first_frame, seen.clock_ms, seen.epoch) == (5, 7, 2)


def test_the_wildest_motion_fits(basis: MotionBasis) -> None:
    extremes = [basis.motion(np.full(len(basis.intra_tables), s * MAX_INTEGER)) for s in (-1, 1) * 8]
    data = encode_bundle(_bundle(basis, tuple(extremes)), basis)
    assert len(data) < MAX_BUNDLE_BYTES
    assert _vectors(decode_bundle(data, basis).frames) == _vectors(quantise(extremes, basis))


def test_a_still_face_costs_little(basis: MotionBasis) -> None:
    (motion,) = make_motions(basis, 1)
    one = len(encode_bundle(_bundle(basis, (motion,)), basis))
    sixteen = len(encode_bundle(_bundle(basis, (motion,) * 16), basis))
    assert sixteen - one < 15 * 2 * len(basis.intra_tables) / 8


def test_unknown_sections_are_skipped(basis: MotionBasis) -> None:
    data = encode_bundle(_bundle(basis, make_motions(basis, 3)), basis)
    header, motion = bytes([data[0] | 0x80]) + data[1:7], bytes([0x80 | MOTION_SECTION]) + data[7:]
    short, long = b"\x63\x03abc", b"\x64\x80\xc8" + bytes(200)
    with_length = bytes([MOTION_SECTION, len(motion) - 1]) + motion[1:]
    for sections in (short + long + motion, with_length + long + short, short + with_length + b"\xe5the last"):
        seen = decode_bundle(header + sections, basis)
        assert _vectors(seen.frames) == _vectors(decode_bundle(data, basis).frames)


def test_bytes_that_are_no_bundle_are_refused(basis: MotionBasis) -> None:
    data = encode_bundle(_bundle(basis, make_motions(basis, 3)), basis)
    header, motion = bytes([data[0] | 0x80]) + data[1:7], bytes([0x80 | MOTION_SECTION]) + data[7:]
    with_length = bytes([MOTION_SECTION, len(motion) - 1]) + motion[1:]
    cases = {
        "bytes": b"\x31",
        "version 4": b"\x42" + data[1:],
        "interval of 0.0 ms": data[:5] + bytes([data[5] & 0xF0]) + data[6:7] + bytes(2) + data[7:],
        "interval of 409.6 ms": data[:5] + bytes([data[5] & 0xF0]) + data[6:7] + b"\x10\0" + data[7:],
        "0 arrived": header,
        "one motion section, 2 arrived": header + with_length + motion,
        "section ends": header + with_length[:-1],
        "left over": data + b"\xaa" * 10,
        f"{MAX_BUNDLE_BYTES + 1} arrived": data.ljust(MAX_BUNDLE_BYTES + 1, b"\0"),
    }
    for message, malformed in cases.items():
        with pytest.raises(MalformedBundle, match=message):
            decode_bundle(malformed, basis)


def test_a_bundle_that_the_format_cannot_hold_is_refused(basis: MotionBasis) -> None:
    bundle = _bundle(basis, (None,))
    for change in ({"frames": ()}, {"frames": (None,) * 17}, {"frame_interval_ms": 0.0}, {"frame_interval_ms": 500.0}):
        with pytest.raises(ValueError, match=r"holds 1 to 16|frame interval"):
            encode_bundle(replace(bundle, **change), basis)


def test_golden_bundle(basis: MotionBasis, golden: Callable[[str, bytes], None]) -> None:
    near, far = make_motions(basis, 3), make_motions(basis, 1, seed=4, spread=100)
    golden("bundle.bin", encode_bundle(_bundle(basis, (*near, None, *far)), basis))
