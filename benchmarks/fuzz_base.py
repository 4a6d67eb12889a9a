"""A base layer for the fuzzer: valid messages, and what reads them. Coded once, so that no encoder is needed."""

from __future__ import annotations

import contextlib

from receiver.base_track import BaseTrack
from shared.codec import MalformedBase
from shared.codec.base_key import BaseKey
from shared.codec.base_section import BasePacket, pack_base, unpack_base
from shared.codec.base_video import BaseDecoder
from shared.codec.bundle import Bundle

SIDE = 64
_FIRST = bytes.fromhex(
    "0a0a00000002afff8d5f210832331000e20134c9a618e79006047d6207c48755f9c77b90f05109d3266b2d54d0"
    "f333557a4568a2862a152fcc62043cd3388e2883"
)
_REST = (
    bytes.fromhex("30020009256d33fe00000639e2009c10"),
    bytes.fromhex("30040209256d33f205140000600020009c10"),
    bytes.fromhex("3007000924db33fe000006000300009640"),
    bytes.fromhex("3008040924db33e20471800067de30007e74fe0f83a2a0"),
    bytes.fromhex("300a4009a52433fe000006000300009640"),
)
"""Every second one droppable, from the first on."""
_HELD = 64
"""Packets or pictures that a track may hold."""


def key() -> BaseKey:
    """The key that the packets go on from."""
    return BaseKey(3, 1, SIDE, 66, 0, 0, _FIRST)


def packets() -> tuple[BasePacket, ...]:
    """One after the other, two frames apart."""
    return tuple(BasePacket(3, n // 2, n % 2 == 0, 2 + 2 * n, data) for n, data in enumerate(_REST))


def sections() -> tuple[bytes, ...]:
    """Contents of base sections: usual, repeated, irregular, with long packets."""
    every = packets()
    long = tuple(BasePacket(9, (126 + n) % 128, False, 3 * n - 20, bytes([n]) * (150 * n + 1)) for n in range(6))
    return (pack_base(every), pack_base((every[1], *every[3:])), pack_base(every[2:3]), pack_base(long))


def read_key(message: bytes) -> object:
    """As a receiver does: the message, then the picture."""
    read = BaseKey.unpack(message)
    if read.pack() != message:
        raise AssertionError(f"{read} is packed as another message")
    return BaseDecoder(read.size).decode_key(read.data)


def read_packet(data: bytes) -> object:
    """A packet after the valid key, and one after that."""
    decoder = BaseDecoder(SIDE)
    decoder.decode_key(_FIRST)
    picture = decoder.decode(data)
    with contextlib.suppress(MalformedBase):
        decoder.decode(_REST[0])
    return picture


class Track:
    """One receiving side for all, a bundle with any section every 0.2 s; it must not hold more than a little."""

    def __init__(self) -> None:
        self._track, self._count = BaseTrack(), 0

    def __call__(self, content: bytes) -> object:
        self._count += 1
        now, first = 0.2 * self._count, 5 * self._count
        if self._count % 50 == 1:
            self._track.forget()
        clock = 200 * self._count % (1 << 20)
        bundle = Bundle(first & 0xFFFF, clock, 0, 40.0, (None,) * 5, (), unpack_base(content))
        if self._count % 50 == 1:
            self._track.add_key(BaseKey(3, 1, SIDE, 66, first & 0xFFFF, clock, _FIRST), now)
        self._track.add_bundle(bundle, first, now, now)
        self._track.wants_key(now)
        waiting = max((len(each._waiting) for each in self._track._generations), default=0)
        if max(waiting, len(self._track._early), len(self._track._pictures)) > _HELD:
            raise AssertionError("a track holds more than it may")
        return self._track.at(first, now, 1)
