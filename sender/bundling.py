"""Gathers frames of motion, and what was said meanwhile, until they make a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sender.profile import LARGEST_BUNDLE
from sender.voice import Packet
from shared.codec.bundle import Bundle, BundleEncoder
from shared.codec.motion_basis import MotionBasis
from shared.codec.sound import FURTHEST_MS, SoundPacket
from shared.motion import Motion

_SOUND_WAITS = 16
"""Packets of sound that wait for a bundle at most, a second of them: older ones would come too late."""
_CLOCKS = 1 << 32
"""Clocks travel as 32-bit milliseconds, and wrap."""


class Made(NamedTuple):
    """A bundle, coded."""

    data: bytes
    first_frame: int
    frames: int
    sound: tuple[SoundPacket, ...]


class _Frame(NamedTuple):
    number: int
    clock: float
    motion: Motion | None


class Bundler:
    """One call's bundles. Clocks are seconds of the frames' clock."""

    def __init__(self, basis: MotionBasis, fps: float) -> None:
        """`fps`: camera frames a second."""
        self._encoder, self._fps = BundleEncoder(basis), fps
        self._frames: list[_Frame] = []
        self._sound: list[Packet] = []

    def __len__(self) -> int:
        """Frames that wait."""
        return len(self._frames)

    @property
    def waiting(self) -> bool:
        """Whether anything, be it sound alone, waits."""
        return bool(self._frames or self._sound)

    def add(self, number: int, clock: float, motion: Motion | None) -> int:
        """Takes in a frame, captured at `clock`; how many older ones went for it, as no more than a bundle may wait."""
        self._frames.append(_Frame(number, clock, motion))
        gone = max(0, len(self._frames) - LARGEST_BUNDLE)
        del self._frames[:gone]
        return gone

    def add_sound(self, packets: Sequence[Packet]) -> None:
        """Takes in what was said, on the clock of the frames."""
        self._sound = [*self._sound, *packets][-_SOUND_WAITS:]

    def clear(self) -> int:
        """Drops the frames that wait; how many that were."""
        gone = len(self._frames)
        self._frames.clear()
        return gone

    def take(self, epoch: int, step: int) -> Made | None:
        """All that waits as one bundle, none without frames. Its frames are `step` camera frames apart."""
        if not self._frames:
            return None
        frames, self._frames = self._frames, []
        clock = clock_ms(frames[0].clock)
        bundle = Bundle(
            first_frame=frames[0].number & 0xFFFF,
            clock_ms=clock,
            epoch=epoch,
            frame_interval_ms=1000 * step / self._fps,
            frames=tuple(frame.motion for frame in frames),
            sound=self._sound_after(clock),
        )
        return Made(self._encoder.encode(bundle), bundle.first_frame, len(frames), bundle.sound)

    def _sound_after(self, clock: int) -> tuple[SoundPacket, ...]:
        """The sound that waits, for a bundle of this clock."""
        sound, self._sound = self._sound, []
        packets: list[SoundPacket] = []
        for begin, data in sound:
            packet = SoundPacket((begin - clock + _CLOCKS // 2) % _CLOCKS - _CLOCKS // 2, data)
            if packets and packet.start_ms < packets[-1].start_ms:  # the clock was set back
                packets.clear()
            if abs(packet.start_ms) <= FURTHEST_MS:
                packets.append(packet)
        return tuple(packets)


def clock_ms(seconds: float) -> int:
    """A clock as it travels."""
    return round(seconds * 1000) % _CLOCKS
