from collections.abc import Callable
from dataclasses import replace

import pytest
from base_examples import coded
from codec_examples import make_basis, make_motions

from benchmarks import fuzz_base
from shared.codec import MalformedBundle, av1
from shared.codec.audio_section import MAX_PACKETS as MAX_SOUND_PACKETS
from shared.codec.audio_section import SoundPacket
from shared.codec.base_section import (
    FURTHEST,
    MAX_BASE_BYTES,
    MAX_PACKETS,
    MAX_SECTION_BYTES,
    BasePacket,
    pack_base,
    unpack_base,
)
from shared.codec.base_video import MAX_PACKET_BYTES
from shared.codec.bundle import MAX_BUNDLE_BYTES, MAX_MOTION_BYTES, Bundle, BundleEncoder, decode_bundle, encode_bundle
from shared.codec.motion_basis import MotionBasis

BASIS = make_basis()


def run(*sizes: int, frame: int = 0, step: int = 2, sequence: int = 126) -> tuple[BasePacket, ...]:
    """Packets of so many bytes, droppable where the size is given as negative."""
    packets: list[BasePacket] = []
    for size in sizes:
        droppable = size < 0
        if packets:
            before = packets[-1]
            frame += step if droppable or before.droppable else 2 * step
            sequence = (before.sequence + (not before.droppable)) % 128
        data = (bytes(range(256)) * 16)[: abs(size)]
        packets.append(BasePacket(5, sequence, droppable, frame, data))
    return tuple(packets)


def bundle(basis: MotionBasis, *base: BasePacket, count: int = 5) -> Bundle:
    return Bundle(7, 1000, 2, 40.0, make_motions(basis, count), (), base)


@pytest.mark.parametrize(
    "packets",
    [
        run(40), run(1), run(-1), run(40, -20, 159, -79, 90), run(46, 50, -20, 46, frame=-16), run(160, -80, 1024),
        run(MAX_PACKET_BYTES, -MAX_PACKET_BYTES), run(40, -20, 50, step=7), run(40, -20, 50, frame=-17),
        run(-20, frame=-FURTHEST), run(*[40, -20] * 8), run(-20, -20, 40), run(3, -2, 15, -16, 17),
        (BasePacket(1, 3, False, 0, b"a"), BasePacket(1, 4, False, 2, b"b"), BasePacket(1, 5, False, 5, b"c")),
    ],
)  # fmt: skip
def test_packets_come_back(packets: tuple[BasePacket, ...]) -> None:
    assert unpack_base(pack_base(packets)) == packets


@pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1 or dav1d")
@pytest.mark.parametrize(("size", "crf"), [(64, 55), (128, 63), (256, 70)])
def test_the_headers_of_the_encoder_cost_little(size: int, crf: int) -> None:
    packets, sequence = [], 0
    for number, each in enumerate(coded(size, 13, crf)[1:]):
        packets.append(BasePacket(2, sequence, each.droppable, 2 * number, each.data))
        sequence += not each.droppable
    section = pack_base(packets)
    assert unpack_base(section) == tuple(packets)
    assert len(section) < sum(len(each.data) for each in packets) - 7 * len(packets)


def test_a_bundle_carries_a_base_for_three_bytes_more_than_its_section(basis: MotionBasis) -> None:
    packets = run(50, -20, 45)
    alone, both = encode_bundle(bundle(basis), basis), encode_bundle(bundle(basis, *packets), basis)
    assert len(both) == len(alone) + 3 + len(pack_base(packets))
    assert decode_bundle(both, basis).base == packets


def test_motion_sound_and_base_go_together(basis: MotionBasis) -> None:
    said = (SoundPacket(0, bytes([88] + [7] * 130)),)
    sent = replace(bundle(basis, *run(200, -90, 45), count=16), sound=said)
    seen = decode_bundle(encode_bundle(sent, basis), basis)
    assert (seen.sound, seen.base, len(seen.frames)) == (said, sent.base, 16)


def test_the_largest_sections_fit_a_bundle(basis: MotionBasis) -> None:
    said = tuple(SoundPacket(200 * n, bytes([88]) * 254) for n in range(MAX_SOUND_PACKETS))
    packets = run(*[MAX_BASE_BYTES // 2 - 10] * 2)
    sent = replace(bundle(basis, *packets, count=16), sound=said)
    data = encode_bundle(sent, basis)
    motions = len(encode_bundle(bundle(basis, count=16), basis))
    assert len(data) - motions + MAX_MOTION_BYTES < MAX_BUNDLE_BYTES
    assert decode_bundle(data, basis).base == packets


@pytest.mark.parametrize(
    "packets",
    [
        (), run(*[5] * (MAX_PACKETS + 1)), run(MAX_PACKET_BYTES + 1), run(0), run(*[MAX_PACKET_BYTES] * 3),
        run(5, frame=-FURTHEST - 1), run(5, frame=FURTHEST), run(5, 5)[::-1],
        (run(5)[0], replace(run(5, 5)[1], generation=6)), (run(5)[0], replace(run(5, 5)[1], frame=0)),
        (run(5)[0], replace(run(5, 5)[1], frame=256)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_not_packed(packets: tuple[BasePacket, ...]) -> None:
    with pytest.raises(ValueError, match="base"):
        pack_base(packets)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "3 to"),
        (b"\x50\x00", "3 to"),
        (bytes(MAX_SECTION_BYTES + 1), "3 to"),
        (b"\x50\x80\x50", "means nothing"),
        (b"\x50\x00\x01\x80a", "means nothing"),
        (b"\x50\x00\x00", "means nothing"),
        (b"\x51\x00\x00\x80", "of one frame"),
        (b"\x5f\x00\x50" + b"\xff" * 3000, "more than 4096 bytes"),
        (pack_base(run(40)) + bytes(8), "left over"),
    ],
)
def test_broken_sections_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(MalformedBundle, match=message):
        unpack_base(content)


def test_two_base_sections_are_refused(basis: MotionBasis) -> None:
    data = encode_bundle(bundle(basis, *run(5)), basis)
    content = pack_base(run(5))
    with pytest.raises(MalformedBundle, match="at most one base section"):
        decode_bundle(data[:7] + bytes([3, len(content)]) + content + data[7:], basis)


def test_golden_bundle_with_a_base(basis: MotionBasis, golden: Callable[[str, bytes], None]) -> None:
    encoder = BundleEncoder(basis)
    said = (SoundPacket(0, bytes([88, 1, 2, 3])),)
    sent = (
        bundle(basis, *run(40, -20, 200, frame=-4)),
        replace(bundle(basis, *run(40, 50, -20, step=7)), sound=said),
        bundle(basis, *fuzz_base.packets()),  # as SVT-AV1 writes them
    )
    golden("base_bundles.bin", b"".join(encoder.encode(each) for each in sent))
