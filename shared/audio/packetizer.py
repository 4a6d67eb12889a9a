"""The audio packetizer: from samples to packets of speech, and the voice activity gate that leaves silence out.

No clock, no device: samples come with the time of their capture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shared.audio.codec import PACKET_MS, PACKET_SAMPLES, RATE, Samples, SpeechEncoder

HANG_OVER_MS = 300
"""Sound is sent for so long after speech: soft endings of words, and pauses inside them."""
ABOVE_FLOOR_DB = 9.0
"""Speech is so much louder than the noise."""
QUIETEST_DB = -62.0
"""Nothing below this is speech, however quiet the room: of full scale, in the band below."""
BAND_HZ = (150.0, 4000.0)
"""Where speech has its power, and hum and hiss have little."""
_BLOCK = RATE // 50
_RISE_DB = 2.0 * _BLOCK / RATE
"""A block: noise that becomes louder counts as speech until the floor has come up to it, 2 dB a second."""
_FALL = 0.4
"""Share of the way down that the floor goes in a block: a pause between two words shows it."""
_SILENT_DB = -100.0
_TOLERANCE_MS = 20
"""Packets of one run follow each other without a gap although clocks drift apart by so much."""
_FOLLOW = 0.01
"""Share of the way that a part's time moves the clock of the samples: devices tell times that tremble."""
_JUMP_SECONDS = 0.2
"""More than this is no trembling: sound is missing, or the clock was set."""
_SET_BACK_MS = 1000


class VoiceGate:
    """Says packet by packet whether to send it. The noise floor follows what is quiet."""

    def __init__(self) -> None:
        self._floor: float | None = None
        self._hang_over = 0

    def opens(self, samples: Samples) -> bool:
        """Whether this packet is to be sent: there is speech in it, or there was up to 0.3 s before."""
        speech = False
        for begin in range(0, len(samples), _BLOCK):
            speech |= self._speaks(level_db(samples[begin : begin + _BLOCK]))
        if speech:
            self._hang_over = HANG_OVER_MS // PACKET_MS
            return True
        self._hang_over -= 1
        return self._hang_over >= 0

    def _speaks(self, level: float) -> bool:
        if self._floor is None:
            self._floor = min(level, QUIETEST_DB)  # who begins to speak at once is heard
        elif level < self._floor:
            self._floor += _FALL * (level - self._floor)
        else:
            self._floor = min(level, self._floor + _RISE_DB)
        return level > max(self._floor + ABOVE_FLOOR_DB, QUIETEST_DB)


def level_db(samples: Samples) -> float:
    """Power between BAND_HZ in dB of a full-scale square wave; -100 at least."""
    if not len(samples):
        return _SILENT_DB
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    inside = float(power[(hz >= BAND_HZ[0]) & (hz <= BAND_HZ[1])].sum())
    mean_square = inside * 2 / len(samples) ** 2 / 0.375  # of the window
    return max(_SILENT_DB, 10 * float(np.log10(mean_square + 1e-12)))


class Packet(NamedTuple):
    """A packet of speech, or the beginning of silence."""

    clock_ms: int
    """Capture of its first sample; packets of a run are exactly PACKET_MS apart."""
    data: bytes
    """Empty: nothing is said from here on."""


class AudioPacketizer:
    """Cuts sound into packets, leaves silence out, and codes the rest.

    Silence is not coded at all, so that encoder and decoder have heard the same when speech begins again.
    """

    def __init__(self, muted: bool = False) -> None:
        self.muted = muted
        """While it is set nothing is sent."""
        self._gate, self._encoder = VoiceGate(), SpeechEncoder()
        self._waiting = np.zeros(0, np.float32)
        self._begin = 0.0
        """Capture of the first sample that waits, in seconds."""
        self._begin_known = False
        self._end_ms: int | None = None
        """Where the packet before ended."""
        self._speaking = False

    def feed(self, samples: Samples, clock: float) -> list[Packet]:
        """The packets that these samples complete; the first was captured at `clock` seconds of the frames' clock."""
        ahead = clock - self._begin - len(self._waiting) / RATE
        if self._begin_known and abs(ahead) <= _JUMP_SECONDS:
            self._begin += _FOLLOW * ahead
        else:
            self._waiting, self._begin, self._begin_known = np.zeros(0, np.float32), clock, True
        self._waiting = np.concatenate([self._waiting, samples])
        packets: list[Packet] = []
        while len(self._waiting) >= PACKET_SAMPLES:
            packets += self._packet(self._waiting[:PACKET_SAMPLES], round(1000 * self._begin))
            self._waiting = self._waiting[PACKET_SAMPLES:]
            self._begin += PACKET_SAMPLES / RATE
        return packets

    def _packet(self, samples: Samples, clock_ms: int) -> list[Packet]:
        opens = self._gate.opens(samples) and not self.muted
        end = self._end_ms
        if end is None or clock_ms < end - _SET_BACK_MS:
            start = clock_ms
        elif self._speaking and abs(clock_ms - end) <= _TOLERANCE_MS:
            start = end
        else:
            start = max(clock_ms, end)
        if opens:
            self._speaking, self._end_ms = True, start + PACKET_MS
            return [Packet(start, self._encoder.encode(samples))]
        ended, self._speaking = self._speaking, False
        return [Packet(start, b"")] if ended else []
