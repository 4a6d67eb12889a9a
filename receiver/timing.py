"""Timing in the receiver's half: how late pictures come on display and by whose fault, and what the sender hears of it.

Times are seconds of the receiver's clock and passed in; the sender's clock is another one, which is asked for.
"""

from __future__ import annotations

from statistics import median

from receiver.delay import URGENT, URGENT_EVERY, Attention, ClockOffset, Delays, QueueDelayEstimator
from receiver.playout import DueFrame, Playout
from shared.codec import control
from shared.codec.bundle import CLOCK_WRAP_MS

STATISTICS_SECONDS = 2.0
_BUSY = 0.05
"""Seconds of this machine's own lateness from which the sender is told of it."""
_DRAWN_WITHIN = 0.08
"""Seconds that drawing may take on a machine that keeps up: two frames are drawn at a time."""
_CLOCK_EVERY = 5
"""The sender's clock is asked for in the first statistics and in every fifth after that."""
_CLOCK_AT_ONCE = 3
_RECENT = 50
_LAG_FOLLOWS = 0.05
"""Share of a frame's lag from due to shown in that which sound waits for: about the last second counts."""
_MAX_DISPLAY_LAG = 0.5
_CLOCK_MASK = 0xFFFFFFFF
"""Clocks and delays travel as 32-bit milliseconds."""


class Timing:
    """Follows clocks, delays and lateness of one call."""

    def __init__(self, playout: Playout) -> None:
        self.first_shown: float | None = None
        self.last_shown: float | None = None
        """When the first and the last frame were put on display."""
        self.on_display: DueFrame | None = None
        """The frame that was last put on display."""
        self.display_lag = 0.0
        """Seconds from the moment a frame is due until it is on display, lately."""
        self._playout = playout
        self._link, self._attention = QueueDelayEstimator(), Attention()
        self._next_statistics, self._last_statistics = 0.0, float("-inf")
        self._statistics_sent = 0
        self._clock = ClockOffset()
        self._first_offset: float | None = None
        """Of the clocks when it became known: delays are kept as that one would have them."""
        self._delays = Delays()

    def look(self, now: float) -> None:
        """The call's loop looks after its messages."""
        self._attention.look(now)

    def waited(self, now: float) -> float:
        """Seconds that a message taken in now may have waited in this machine."""
        return self._attention.waited(now)

    def bundle(self, captured: float, now: float, waited: float) -> None:
        """A bundle was taken in whose last frame was captured at `captured` and which may have `waited` here."""
        self._link.add(captured, now, waited)
        if self._link.behind >= URGENT:
            self._next_statistics = min(self._next_statistics, self._last_statistics + URGENT_EVERY)

    def clock_told(self, theirs_ms: int, asked_ms: int, now: float) -> None:
        """The sender's clock came, in answer to the statistics that carried ours as `asked_ms`."""
        age = ((round(now * 1000) - asked_ms) & _CLOCK_MASK) / 1000  # the clock that travelled has wrapped
        self._clock.add(theirs_ms / 1000, now - age, now)
        self._first_offset = self.clock_offset if self._first_offset is None else self._first_offset

    def reconnected(self, now: float, replaced: bool) -> None:
        """There is a new connection; `replaced`: to a sender that was started again, whose clock is another one."""
        if replaced:
            self._clock, self._statistics_sent = ClockOffset(), 0
        self._next_statistics, self._link = now, QueueDelayEstimator()

    def shown(self, frame: DueFrame, now: float) -> None:
        """A frame was put on display at `now`."""
        self.first_shown = now if self.first_shown is None else self.first_shown
        self.last_shown, self.on_display = now, frame
        offset = self.clock_offset
        if offset is not None or self._first_offset is None:  # clocks drift apart in a call
            self._delays.add(now - frame.capture - ((offset or 0.0) - (self._first_offset or 0.0)))
        if self._playout.delay is not None:
            lag = min(max(0.0, now - frame.capture - self._playout.delay), _MAX_DISPLAY_LAG)
            self.display_lag += _LAG_FOLLOWS * (lag - self.display_lag)

    @property
    def behind(self) -> float:
        """Seconds by which the last bundles came behind the fastest: what waits in the link."""
        return self._link.behind

    @property
    def busy(self) -> float:
        """Seconds by which pictures lately came on display, or messages were taken in, later than they should have for
        this machine's own sake; 0 where that is little."""
        late = max(self.display_lag - _DRAWN_WITHIN, self._attention.lately)
        return late if late >= _BUSY else 0.0

    @property
    def clock_offset(self) -> float | None:
        """Seconds to add to the sender's clock to have ours; None until it is known."""
        return self._clock.seconds

    @property
    def sound_delay(self) -> float | None:
        """Seconds from capture to the moment sound is to be heard, which is when its picture is on display."""
        return None if self._playout.delay is None else self._playout.delay + self.display_lag

    def delays_ms(self, last: int | None = None) -> list[float]:
        """Milliseconds from capture to display: of frames from the whole call (see `Delays`), or of the last up to 64.

        Empty until clocks are known.
        """
        offset = self._first_offset
        if offset is None:
            return []
        seconds = self._delays.all() if last is None else self._delays.latest(last)
        return [_wrapped(1000 * (each - offset)) for each in seconds]

    @property
    def delays_known(self) -> int:
        """How many delays `delays_ms` gives."""
        return 0 if self._first_offset is None else len(self._delays)

    def statistics_due(self, now: float) -> bool:
        """Whether the sender is to be told at `now`; then it counts as told."""
        if now < self._next_statistics:
            return False
        self._next_statistics, self._last_statistics = now + STATISTICS_SECONDS, now
        return True

    def statistics(self, received: int, shown: int, bundles: int, now: float) -> control.Stats:
        """What the sender is told, with these counts of frames and bundles."""
        wants = self._statistics_sent < _CLOCK_AT_ONCE or self._statistics_sent % _CLOCK_EVERY == 0
        self._statistics_sent += 1
        return control.Stats(
            received=received,
            shown=shown,
            late=self._playout.late,
            bundles=bundles,
            highest_frame=self._playout.highest_frame,
            delay_ms=min(max(0, round(median(self.delays_ms(_RECENT) or [0]))), _CLOCK_MASK),
            behind_ms=min(round(1000 * self.behind), _CLOCK_MASK),
            clock_ms=round(now * 1000) & _CLOCK_MASK if wants else None,
            busy_ms=round(1000 * self.busy) or None,
        )


def _wrapped(delay_ms: float) -> float:
    """A delay between clocks of which one starts again every CLOCK_WRAP_MS."""
    half = CLOCK_WRAP_MS / 2
    return (delay_ms + half) % CLOCK_WRAP_MS - half
