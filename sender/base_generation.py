"""A generation of the base layer: one key, and the packets that go on from it."""

from __future__ import annotations

from dataclasses import dataclass

from sender.base_mirror import BaseMirror
from sender.crop import Crop
from shared.codec.base_section import MAX_BASE_BYTES, SEQUENCES
from shared.codec.base_video import BaseEncoder
from shared.codec.planes import RgbImage
from shared.motion import Motion


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
