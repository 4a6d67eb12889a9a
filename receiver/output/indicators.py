"""How a call is doing, in the words and numbers that window and page show. Pure: samples and times are passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, get_args

Quality = Literal["connecting", "good", "slow", "losing", "stalled"]
BaseRung = Literal["motion and a slow base", "motion and base", "motion and a sharp base", "video and motion"]
"""Steps of the ladder with a base layer, in the sender's words: what else it says is not shown."""
Rung = Literal["no picture yet", "motion only", "motion and pictures"] | BaseRung
"""The steps of the ladder that there are, by what the sender spends its bytes on."""

LATELY = 5.0
"""Seconds over which rates are taken: two messages of statistics, and enough bundles for a share."""
STALLED_SECONDS = 1.5
"""Bundles come every 0.8 s at the slowest, and one that was lost is sent again after a second."""
STALLED_EARLY_SECONDS = 2.5
"""Before the first bundle only signs of life come, every two seconds."""
LOSING_SHARE = 0.1
"""Of the frames, too late to be shown. The playout lets a twentieth go by design, to keep the delay small."""
SLOW_BEHIND = 0.2
"""Seconds that bundles wait in the link: from there on the sender, too, takes it for full."""
SLOW_EXTRA = 0.4
"""Seconds of delay added to hide jitter. From 400 ms one way on, people talk over each other (ITU-T G.114)."""
BUSY, SENDER_BUSY = "this machine is too busy to draw everything", "the other side's machine is busy"
PICTURES_LATELY = 30.0
"""Seconds without a new source after which the call runs on motion only."""


@dataclass(frozen=True)
class Sample:
    """Counters of a running call at a moment; times are seconds of any steady clock."""

    time: float
    heard: float | None
    """When the last message came."""
    received: int
    """Frames that came, in bundles."""
    late: int
    """Frames that came too late."""
    shown: int
    sources_received: int
    sources_held: int
    behind: float
    """Seconds, `Playout.behind`."""
    extra_delay: float
    """Seconds, `Playout.extra_delay`."""
    wire_in: int
    """Bytes on the wire from the sender."""
    wire_back: int
    payload_in: int
    delay_ms: float | None = None
    """From capture to display, lately; None until clocks are known."""
    face: bool = True
    camera_off: bool = False
    with_base: int = 0
    """Frames drawn with a base layer."""
    sends: str = ""
    """What the sender says it sends, not trusted to be one of the ladder's."""
    busy: float = 0.0
    """Seconds, `Timing.busy`."""
    sender_busy: bool = False
    """`IncomingHalf.sender_busy`."""


@dataclass(frozen=True)
class Indicators:
    """What is shown; rates over the last `LATELY` seconds."""

    quality: Quality
    rung: Rung
    fps: float
    wire_in_kbps: float
    wire_back_kbps: float
    payload_kbps: float
    sources_held: int
    delay_ms: float | None
    face: bool
    camera_off: bool = False
    busy: bool = False
    """Whether this machine does not keep up: that is no fault of the link."""
    sender_busy: bool = False
    """Whether the other one does not: nor is that."""

    @property
    def absence(self) -> str:
        """Why the last picture is held, if nobody is to be seen; else nothing."""
        if self.face:
            return ""
        return "the camera at the other end is off" if self.camera_off else "no face at the other end"

    @property
    def busyness(self) -> str:
        """Which processor has too much to do; nothing if none has."""
        return BUSY if self.busy else SENDER_BUSY if self.sender_busy else ""

    def line(self) -> str:
        """One line for a narrow place, most important first."""
        if self.quality == "connecting":
            return "connecting"
        delay = "" if self.delay_ms is None else f" | {self.delay_ms:.0f} ms"
        face = f" | {self.absence}" if self.absence else ""
        face += f" | {self.busyness}" if self.busyness else ""
        return (
            f"link {self.quality} | {self.rung} | {self.wire_in_kbps:.1f} kbit/s in, "
            f"{self.wire_back_kbps:.1f} back{delay}{face}"
        )


def link_quality(silence: float | None, playing: bool, late_share: float, behind: float, extra_delay: float) -> Quality:
    """The link in a word, the worst that is true.

    `silence`: seconds since the last message, None before the first; `playing`: bundles have come; `late_share`: of
    the frames that came lately, 0..1; the rest in seconds, as `Playout` has them.
    """
    if silence is None:
        return "connecting"
    if silence > (STALLED_SECONDS if playing else STALLED_EARLY_SECONDS):
        return "stalled"
    if not playing:
        return "connecting"
    if late_share > LOSING_SHARE:
        return "losing"
    if behind > SLOW_BEHIND or extra_delay > SLOW_EXTRA:
        return "slow"
    return "good"


@dataclass
class Gauges:
    """Turns samples into indicators."""

    _lately: deque[Sample] = field(default_factory=deque)
    _last_source: float | None = None

    def read(self, sample: Sample) -> Indicators:
        """Takes in a sample, taken after those before, and says how the call is doing."""
        lately = self._lately
        if lately and sample.sources_received > max(lately[-1].sources_received, 1):
            self._last_source = sample.time  # the first one is needed on every rung
        lately.append(sample)
        while len(lately) > 2 and lately[1].time <= sample.time - LATELY:
            lately.popleft()
        before = lately[0]
        seconds = max(sample.time - before.time, 1e-9) if len(lately) > 1 else float("inf")
        came = sample.received - before.received
        silence = None if sample.heard is None else sample.time - sample.heard
        late_share = (sample.late - before.late) / came if came > 0 else 0.0
        waits = (0.0, 0.0, 0.0) if sample.sender_busy else (late_share, sample.behind, sample.extra_delay)
        return Indicators(
            quality=link_quality(silence, sample.received > 0, *waits),
            rung=self._rung(sample, before),
            fps=(sample.shown - before.shown) / seconds,
            wire_in_kbps=(sample.wire_in - before.wire_in) * 8 / seconds / 1000,
            wire_back_kbps=(sample.wire_back - before.wire_back) * 8 / seconds / 1000,
            payload_kbps=(sample.payload_in - before.payload_in) * 8 / seconds / 1000,
            sources_held=sample.sources_held,
            delay_ms=sample.delay_ms,
            face=sample.face,
            camera_off=sample.camera_off,
            busy=sample.busy > 0,
            sender_busy=sample.sender_busy,
        )

    def _rung(self, sample: Sample, before: Sample) -> Rung:
        if not sample.sources_held:
            return "no picture yet"
        based = sample.with_base - before.with_base
        if based and 2 * based >= sample.shown - before.shown:
            return next((each for each in get_args(BaseRung) if each == sample.sends), "motion and base")
        lately = self._last_source is not None and sample.time - self._last_source <= PICTURES_LATELY
        return "motion and pictures" if lately else "motion only"
