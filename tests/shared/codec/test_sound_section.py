from collections.abc import Callable
from dataclasses import replace

import pytest
from codec_examples import make_basis, make_motions

from shared.codec import MalformedBundle
from shared.codec.audio_section import FURTHEST_MS, MAX_PACKETS, SoundPacket, pack_sound, packet_ms, unpack_sound
from shared.codec.bundle import Bundle, decode_bundle, encode_bundle
from shared.codec.motion_basis import MotionBasis

WIDE_60 = 11 << 3
"""First byte of a packet of 60 ms, wide band."""
BASIS = make_basis()


def packet(start_ms: int, size: int = 40) -> SoundPacket:
    """A packet of 60 ms, of noise."""
    return SoundPacket(start_ms, bytes([WIDE_60]) + bytes(range(size - 1)))


def bundle(basis: MotionBasis, *sound: SoundPacket, count: int = 3) -> Bundle:
    return Bundle(7, 1000, 2, 40.0, make_motions(basis, count), sound)


@pytest.mark.parametrize(
    ("data", "lasts"),
    [
        (b"", 0), (bytes([WIDE_60]), 60), (bytes([1 << 3]), 20), (bytes([12 << 3]), 10), (bytes([16 << 3]), 2.5),
        (bytes([1 << 3 | 1]), 40), (bytes([31 << 3 | 3, 3]), 60),
    ],
)  # fmt: skip
def test_a_packet_says_how_long_it_lasts(data: bytes, lasts: float) -> None:
    assert packet_ms(data) == lasts


@pytest.mark.parametrize("data", [bytes([4]), bytes([3]), bytes([3, 0]), bytes([WIDE_60 | 3, 63])])
def test_stereo_and_impossible_lengths_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a packet"):
        packet_ms(data)


def test_packets_come_back_with_their_starts() -> None:
    said = (packet(-103), packet(-43), SoundPacket(17, b""), packet(400), SoundPacket(460, b""))
    assert unpack_sound(pack_sound(said)) == said
    assert len(pack_sound((packet(0), packet(60)))) == 2 + 2 * 41


def test_a_bundle_carries_sound_for_three_bytes_more(basis: MotionBasis) -> None:
    said = (packet(-60), packet(0))
    alone, both = encode_bundle(bundle(basis), basis), encode_bundle(bundle(basis, *said), basis)
    assert len(both) == len(alone) + 3 + len(pack_sound(said))
    seen = decode_bundle(both, basis)
    assert seen.sound == said
    assert [m.vector().tolist() for m in seen.frames if m] == [m.vector().tolist() for m in decode_bundle(
        alone, basis).frames if m]  # fmt: skip


def test_nobody_in_the_picture_is_heard_all_the_same(basis: MotionBasis) -> None:
    sent = replace(bundle(basis, packet(5)), frames=(None, None))
    seen = decode_bundle(encode_bundle(sent, basis), basis)
    assert (seen.frames, seen.sound) == ((None, None), (packet(5),))


def test_much_motion_beside_sound_fits(basis: MotionBasis) -> None:
    sent = replace(bundle(basis, packet(5)), frames=make_motions(basis, 16, spread=100))
    data = encode_bundle(sent, basis)
    assert len(data) > 200
    assert decode_bundle(data, basis).sound == (packet(5),)


@pytest.mark.parametrize(
    "said",
    [
        (), (packet(0),) * 2, (packet(60), packet(0)), (packet(0, 255),), (packet(FURTHEST_MS + 1),),
        tuple(SoundPacket(0, b"") for _ in range(MAX_PACKETS + 1)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_not_packed(said: tuple[SoundPacket, ...]) -> None:
    with pytest.raises(ValueError, match="sound"):
        pack_sound(said)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0", b"\0\0\5ab", b"\0\0\xff\0", b"\0\0\1\4", b"\x7f\0\0", b"\0\0" + bytes(MAX_PACKETS + 1)],
)
def test_broken_sections_are_refused(content: bytes) -> None:
    with pytest.raises(MalformedBundle, match="sound"):
        unpack_sound(content)


def test_two_sections_of_sound_are_refused(basis: MotionBasis) -> None:
    data = encode_bundle(bundle(basis, packet(0)), basis)
    content = pack_sound((packet(0),))
    doubled = data[:7] + bytes([2, len(content)]) + content + data[7:]
    with pytest.raises(MalformedBundle, match="at most one sound section, 2 arrived"):
        decode_bundle(doubled, basis)


def test_golden_bundle_with_sound(basis: MotionBasis, golden: Callable[[str, bytes], None]) -> None:
    golden("sound_bundle.bin", encode_bundle(bundle(basis, packet(-60), packet(0), SoundPacket(60, b"")), basis))
