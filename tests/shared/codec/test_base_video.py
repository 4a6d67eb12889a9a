import gc

import numpy as np
import pytest
from base_examples import Hanging, coded, scene

from shared.codec import MalformedBase, av1, base_video
from shared.codec.av1 import Bounded, EncoderStuck
from shared.codec.av1_headers import FRAME, SEQUENCE_HEADER, sequence_header, unit, units
from shared.codec.base_video import MAX_KEY_BYTES, MAX_PACKET_BYTES, SIZES, BaseDecoder, BaseEncoder

pytestmark = pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1 or dav1d")


def _error(seen: np.ndarray, sent: np.ndarray) -> float:
    return float(np.abs(seen.astype(float) - sent).mean())


@pytest.mark.parametrize("size", SIZES)
def test_each_picture_comes_back_at_once(size: int) -> None:
    encoder, decoder = BaseEncoder(size, 50), BaseDecoder(size)
    for number, picture in enumerate(scene(size, 6)):
        sent = encoder.encode(picture)
        assert sent is not None and sent.key == (number == 0)
        seen = decoder.decode_key(sent.data) if sent.key else decoder.decode(sent.data)
        assert seen.shape == (size, size, 3) and _error(seen, picture) < 12


def test_quantisers_beyond_ffmpegs_option_cost_less() -> None:
    coarse, fine = (sum(len(each.data) for each in coded(128, crf=crf)) for crf in (70, 63))
    assert coarse < fine


def test_a_key_on_demand_begins_anew_with_a_full_sequence_header() -> None:
    encoder, decoder = BaseEncoder(64, 50), BaseDecoder(64)
    pictures = scene(64, 8)
    sent = [encoder.encode(picture, key=number == 5) for number, picture in enumerate(pictures)]
    assert [each is not None and each.key for each in sent] == [n in (0, 5) for n in range(8)]
    for each, picture in zip(sent[5:], pictures[5:], strict=True):
        assert each is not None
        assert _error(decoder.decode_key(each.data) if each.key else decoder.decode(each.data), picture) < 12
    assert sent[5] is not None
    kinds = [(kind, payload) for kind, _, payload in units(sent[5].data, 3, MalformedBase)]
    assert [kind for kind, _ in kinds] == [SEQUENCE_HEADER, FRAME]
    assert not kinds[0][1][0] & 0x18, "neither still_picture nor reduced_still_picture_header"
    assert sequence_header(kinds[0][1], MalformedBase)[:2] == (64, 64)


def test_without_the_droppable_ones_the_rest_decodes_to_the_same() -> None:
    whole, thinned = BaseDecoder(64), BaseDecoder(64)
    assert 0 < sum(each.droppable for each in coded()) < len(coded()) - 1
    for each in coded():
        seen = whole.decode_key(each.data) if each.key else whole.decode(each.data)
        if not each.droppable:
            again = thinned.decode_key(each.data) if each.key else thinned.decode(each.data)
            assert np.array_equal(seen, again)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    encoder = BaseEncoder(64, 63)
    encoder.encode(scene(64, 1)[0])
    encoder.close()
    BaseEncoder(64, 63).encode(scene(64, 1)[0])
    BaseEncoder(64, 63).close()
    assert capfd.readouterr() == ("", "")


def test_what_is_too_long_is_not_given_out_and_a_key_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = BaseEncoder(64, 50)
    pictures = scene(64, 4)
    assert encoder.encode(pictures[0]) is not None
    monkeypatch.setattr(base_video, "MAX_PACKET_BYTES", 3)
    assert encoder.encode(pictures[1]) is None
    monkeypatch.undo()
    again = encoder.encode(pictures[2])
    assert again is not None and again.key


@pytest.mark.parametrize(("size", "crf"), [(100, 63), (128, 0), (128, 71)])
def test_other_sizes_and_quantisers_are_refused(size: int, crf: int) -> None:
    with pytest.raises(ValueError, match="a base layer has"):
        BaseEncoder(size, crf)


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="64 px RGB"):
        BaseEncoder(64, 63).encode(np.zeros((128, 128, 3), np.uint8))


def _bits(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


def _bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


def _forged(at: int, old: str, new: str) -> bytes:
    """A key whose sequence header has other bits at a place."""
    (_, _, header), (_, frame, _) = units(coded()[0].data, 3, MalformedBase)
    bits = _bits(header)
    assert bits[at : at + len(old)] == old
    return unit(SEQUENCE_HEADER, _bytes(bits[:at] + new + bits[at + len(old) :])) + frame


_SIDES = 29  # bit of frame_width_bits_minus_1: 4 bits, the same for the height, then 6 and 6 bits for 64x64
_SAID = "0101" * 2 + "1" * 12


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (lambda: coded(128)[0].data, "of 128x128 arrived, 64 px"),
        (lambda: _forged(_SIDES, _SAID, "1111" * 2 + "1" * 32), "of 65536x65536 arrived"),
        (lambda: _forged(0, "000", "001"), "another profile"),
        (lambda: _forged(3, "00", "11"), "still pictures"),
        (lambda: _forged(5, "0", "1"), "timing"),
        (lambda: _forged(7, "00000", "00001"), "operating points"),
        (lambda: _forged(24, "00000", "01000"), "level"),
        (lambda: unit(SEQUENCE_HEADER, b"\0\0\0") + unit(FRAME, b"\x10" * 9), "ends too early"),
        (lambda: coded()[0].data[:-1], "unit ends at"),
        (lambda: unit(FRAME, coded()[1].data), "something else"),
        (lambda: bytes(MAX_KEY_BYTES + 1), "at most"),
        (lambda: units(coded()[0].data, 3, MalformedBase)[0][1] + unit(FRAME, coded()[1].data), "type 1 arrived"),
        (lambda: units(coded()[0].data, 3, MalformedBase)[0][1] + unit(FRAME, b"\x80" * 20), "repeated frame"),
        (lambda: units(coded()[0].data, 3, MalformedBase)[0][1] + unit(FRAME, b"\x00" * 20), "hidden frame"),
        (lambda: units(coded()[0].data, 3, MalformedBase)[0][1] + unit(FRAME, b"\x10" + bytes(20)), "cannot be deco"),
    ],
)  # fmt: skip
def test_keys_that_are_none_are_refused_before_a_decoder_sees_them(key: object, message: str) -> None:
    assert callable(key)
    decoder = BaseDecoder(64)
    with pytest.raises(MalformedBase, match=message):
        decoder.decode_key(key())
    with pytest.raises(MalformedBase, match="no key stands before"):
        decoder.decode(coded()[1].data)


def test_a_packet_of_another_stream_ends_the_stream_until_a_key() -> None:
    key, packet = coded()[:2]
    resized = bytearray(packet.data)
    resized[0] |= 0x01  # frame_size_override_flag
    whole = unit(FRAME, packet.data)
    for broken in (b"", bytes(resized), bytes([packet.data[0] & 0x9F]) + packet.data[1:], key.data, whole,
                   bytes(MAX_PACKET_BYTES + 1)):  # fmt: skip
        decoder = BaseDecoder(64)
        decoder.decode_key(key.data)
        with pytest.raises(MalformedBase):
            decoder.decode(broken)
        with pytest.raises(MalformedBase, match="no key stands before"):
            decoder.decode(packet.data)
        decoder.decode_key(key.data)
        decoder.decode(packet.data)


def test_an_encoder_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = Hanging(base_video.open_encoder(64, 55, 8), 2)
    monkeypatch.setattr(base_video, "open_encoder", lambda size, crf, preset: hanging)
    encoder, pictures = BaseEncoder(64, 55), scene(64, 3)
    assert [encoder.encode(each) is not None for each in pictures[:2]] == [True, True]
    monkeypatch.setattr(encoder._within, "_seconds", 0.05)
    for _ in range(2):
        with pytest.raises(EncoderStuck, match="libsvtav1 did not come back"):
            encoder.encode(pictures[2])
    encoder.close()
    del encoder
    gc.collect()
    assert len(hanging.asked) == 3  # it is not asked to end either, by whoever would wait for that
    hanging.let_go.set()


def test_an_encoder_that_cannot_be_opened_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Bounded] = []

    class Noted(Bounded):
        def __init__(self, name: str, seconds: float) -> None:
            super().__init__(name, seconds)
            made.append(self)

    def broken(*_: object) -> None:
        raise OSError("no memory")

    monkeypatch.setattr(base_video, "Bounded", Noted)
    monkeypatch.setattr(base_video, "open_encoder", broken)
    with pytest.raises(OSError, match="no memory"):
        BaseEncoder(64, 55)
    made[0]._thread.join(60)
    assert not made[0]._thread.is_alive()
