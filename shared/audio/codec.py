"""Speech as Opus packets: mono, voice mode, 60 ms each; FFmpeg's libopus through PyAV.

The decoder conceals what is lost: libopus takes a packet of its first byte alone for a lost one (RFC 6716, section
4.1), and that byte also says for how long. FFmpeg gives no way to the in-band repair of a lost packet from the next
one (FEC), so no bytes are spent on it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from shared.codec.audio_section import packet_ms

Samples = NDArray[np.float32]
"""(N,) mono, -1..1, RATE a second."""

RATE = 48000
PACKET_MS = 60
PACKET_SAMPLES = RATE * PACKET_MS // 1000
BIT_RATE = 8000
"""Bits/s asked for; running speech takes 5 to 7.4 kbit/s of them."""
CONCEAL_MS = 20
"""Conceal by so much at a time, so that a packet that is a little late loses no more than that."""
CONCEAL_SAMPLES = RATE * CONCEAL_MS // 1000
DECODER_DELAY = 312 / RATE
"""Seconds that decoded sound is late by: the encoder's look-ahead (6.5 ms; RFC 7845, section 4.2)."""


class SpeechEncoder:
    """Codes speech, packet after packet."""

    def __init__(self, bit_rate: int = BIT_RATE) -> None:
        """`bit_rate`: 6000 to 16000 bits/s are meant."""
        context: Any = av.codec.CodecContext.create("libopus", "w")
        context.sample_rate, context.layout, context.format = RATE, "mono", "flt"
        context.bit_rate, context.time_base = bit_rate, Fraction(1, RATE)
        context.options = {"application": "voip", "frame_duration": str(PACKET_MS), "vbr": "on"}
        context.open()
        self._context, self._at = context, 0

    def encode(self, samples: Samples) -> bytes:
        """The packet of the next PACKET_SAMPLES samples. Raises ValueError if it is not so many."""
        if samples.shape != (PACKET_SAMPLES,):
            raise ValueError(f"a packet takes {PACKET_SAMPLES} samples, not {samples.shape}")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, self._at
        self._at += PACKET_SAMPLES
        return b"".join(bytes(packet) for packet in self._context.encode(frame))


class SpeechDecoder:
    """Decodes packets in their order, and makes up what is missing between them."""

    def __init__(self) -> None:
        context: Any = av.codec.CodecContext.create("libopus", "r")
        context.sample_rate, context.layout = RATE, "mono"
        context.open()
        self._context = context
        self._last: int | None = None

    def decode(self, data: bytes) -> Samples:
        """The samples of a packet, as many as it says it lasts; silence for one that does not decode."""
        count = round(packet_ms(data) * RATE / 1000)
        self._last = data[0]
        return self._decode(data, count)

    def conceal(self) -> Samples:
        """CONCEAL_SAMPLES samples in the place of lost ones: the last sound goes on and fades in about 0.1 s."""
        if self._last is None:
            return np.zeros(CONCEAL_SAMPLES, np.float32)
        return self._decode(bytes([_of_20_ms(self._last)]), CONCEAL_SAMPLES)

    def _decode(self, data: bytes, count: int) -> Samples:
        try:
            frames = self._context.decode(av.Packet(data))
        except (av.error.FFmpegError, ValueError):
            frames = []
        if not frames:
            return np.zeros(count, np.float32)
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float32) / 32768
        return np.asarray(np.pad(samples[:count], (0, max(0, count - len(samples)))), np.float32)


def _of_20_ms(first: int) -> int:
    """The first byte of a packet of one frame of 20 ms, coded as the one that begins with `first`."""
    config = first >> 3
    if config < 12:
        config = config & ~3 | 1
    elif config < 16:
        config |= 1
    else:
        config |= 3
    return config << 3
