"""The voice activity gate: which packets hold speech and are worth sending."""

from __future__ import annotations

import numpy as np

from shared.sound.codec import PACKET_MS, RATE, Samples

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


class Gate:
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
