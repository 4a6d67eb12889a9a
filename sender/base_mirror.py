"""What the receiver sees of the base layer: the sender decodes what it sends, for whoever looks at the picture."""

from __future__ import annotations

from collections.abc import Container

from shared.codec.base_video import BaseDecoder
from shared.codec.planes import RgbImage
from shared.models.exchange import FADE_SECONDS, BasePicture
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
