"""A generation of the base layer: one key, and the packets that go on from it; and what the receiver sees of them.

The sender decodes what it sends, for whoever looks at the picture.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from sender.crop import Crop
from shared.codec.av1 import RgbImage
from shared.codec.base_section import MAX_BASE_BYTES, SEQUENCES
from shared.codec.base_video import BaseDecoder, BaseEncoder
from shared.models.base_fusion import FADE_SECONDS, BasePicture
from shared.motion import Motion


class BaseMirror:
    """One key and the packets that go on from it, decoded as the receiver does it: up to half a millisecond each."""

    def __init__(self, size: int, crf: int, key: bytes, clock: float, motion: Motion | None) -> None:
        """Clocks are seconds of capture; `motion` is the frame's in the crop shown, None without a face."""
        self._crf, self._decoder = crf, BaseDecoder(size)
        self._newest: tuple[RgbImage, Motion, float] | None = None
        """Picture, and motion and clock of its frame."""
        self._show(self._decoder.decode_key(key), clock, motion)

    def add(self, packet: bytes, clock: float, motion: Motion | None) -> None:
        """The next packet that is no key."""
        self._show(self._decoder.decode(packet), clock, motion)

    def lose(self, clocks: Container[float]) -> None:
        """Packets of these frames never go; no other depends on them."""
        if self._newest is not None and self._newest[2] in clocks:
            self._newest = None

    def forget(self) -> None:
        """Nothing of before is shown again: there is nobody in the picture. Packets go on."""
        self._newest = None

    def at(self, clock: float) -> BasePicture | None:
        """What a frame captured at `clock` is drawn with; None if there is nothing that says anything about it."""
        if self._newest is None:
            return None
        picture, motion, taken = self._newest
        age = max(0.0, clock - taken)
        return BasePicture(picture, motion, age, self._crf) if age < FADE_SECONDS else None

    def _show(self, picture: RgbImage, clock: float, motion: Motion | None) -> None:
        if motion is not None:  # the receiver goes on with the one before
            self._newest = picture, motion, clock


@dataclass(frozen=True)
class Coded:
    """A packet that waits for a bundle."""

    generation: int
    sequence: int
    droppable: bool
    clock: float
    """Capture of its frame."""
    data: bytes


@dataclass
class Generation:
    """One key, and the encoder that goes on from it."""

    number: int
    crop_number: int
    crop: Crop
    encoder: BaseEncoder
    key: bytes
    clock: float
    """Of the key's frame."""
    began: float
    mirror: BaseMirror | None = None
    """Where somebody looks at what the receiver shows."""
    sent: bool = False
    """Whether the key went: its frame has a number."""
    held: bool = False
    _sequence: int = 0
    """Of the next packet."""

    @property
    def size(self) -> int:
        """Side in pixels."""
        return self.encoder.size

    @property
    def crf(self) -> int:
        """Its quantiser."""
        return self.encoder.crf

    def shows(self, crop: Crop, number: int) -> bool:
        """Whether it shows this crop, the one of this number."""
        return (self.crop, self.crop_number) == (crop, number)

    def code(self, picture: RgbImage, clock: float, motion: Motion | None, waiting: int) -> Coded | None:
        """The packet of a picture of its size; None if it is more than may go beside `waiting` bytes, and lost.

        Raises EncoderStuck.
        """
        packet = self.encoder.encode(picture)
        if packet is None or packet.key or waiting + len(packet.data) > MAX_BASE_BYTES:
            return None
        coded = Coded(self.number, self._sequence, packet.droppable, clock, packet.data)
        self._sequence = (self._sequence + (not packet.droppable)) % SEQUENCES
        if self.mirror is not None:
            self.mirror.add(packet.data, clock, motion)
        return coded
