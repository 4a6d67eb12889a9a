import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.codec import MalformedBase, MalformedPicture
from shared.codec.base_key import BaseKey, is_base_key
from shared.codec.base_video import MAX_KEY_BYTES
from shared.codec.picture import PictureMessage
from shared.codec.pieces import Reassembler, split

KEY = BaseKey(3, 200, 128, 63, 65535, 1_000_000, bytes(range(256)) * 2)


def test_a_key_comes_back_in_pieces_for_fourteen_bytes_more() -> None:
    message = KEY.pack()
    assert len(message) == len(KEY.data) + 14
    reassembler = Reassembler()
    whole = [reassembler.add(piece) for piece in reversed(split(message, KEY.pieces_id))]
    assert whole[:-1] == [None] and whole[-1] is not None
    assert is_base_key(whole[-1]) and BaseKey.unpack(whole[-1]) == KEY


def test_counters_wrap() -> None:
    seen = BaseKey.unpack(replace(KEY, generation=17, crop=257, frame=65537, clock_ms=(1 << 20) + 5).pack())
    assert (seen.generation, seen.crop, seen.frame, seen.clock_ms) == (1, 1, 1, 5)


def test_an_end_without_a_base_layer_refuses_it_in_words() -> None:
    with pytest.raises(MalformedPicture, match="update the older end"):
        PictureMessage.unpack(KEY.pack())


@pytest.mark.parametrize("change", [{"size": 100}, {"crf": 0}, {"crf": 71}, {"data": b""}, {"data": bytes(1 << 15)}])
def test_what_does_not_fit_is_not_packed(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        replace(KEY, **change).pack()  # type: ignore[arg-type]


def _packed(at: int, value: int) -> bytes:
    """The key's message with another byte, its checksum right."""
    body = bytearray(KEY.pack()[:-4])
    body[at] = value
    return bytes(body) + zlib.crc32(body).to_bytes(4, "big")


@pytest.mark.parametrize(
    "message",
    [b"", KEY.pack()[:-1], KEY.pack()[:14], bytes(MAX_KEY_BYTES + 15), _packed(0, 1), _packed(1, 16), _packed(3, 13),
     _packed(4, 0), _packed(4, 71), _packed(7, 16)],
)  # fmt: skip
def test_broken_keys_are_refused(message: bytes) -> None:
    with pytest.raises(MalformedBase, match="a base key"):
        BaseKey.unpack(message)


def test_golden_key(golden: Callable[[str, bytes], None]) -> None:
    golden("base_key.bin", KEY.pack())
