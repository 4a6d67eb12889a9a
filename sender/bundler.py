"""The bundler gathers frames of motion, and what was said and coded of the base layer, until they make a bundle.

Frames whose clocks are uneven go into bundles each of which has one interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from sender.base_generation import Coded
from sender.profiles import LARGEST_BUNDLE
from shared.audio.packetizer import Packet
from shared.codec.audio_section import FURTHEST_MS, SoundPacket
from shared.codec.base_section import FURTHEST, MAX_BASE_BYTES, MAX_PACKETS, BasePacket
from shared.codec.bundle import INTERVALS, MAX_FRAMES, Bundle, BundleEncoder
from shared.codec.motion_basis import MotionBasis
from shared.motion import Motion, between

LONGEST_INTERVAL = 0.4095
"""Seconds between frames that a bundle can say."""
_SHORTEST_INTERVAL = 0.001
_OFF = 0.008
"""Seconds that a frame may be from its clock: not seen, and as much as a camera's clock trembles."""
_OFF_SHARE = 0.25
"""Of the interval, the same for fast cameras."""
_MADE = 3
"""Frames in a row that may be made up."""
_BUNDLE_COST, _MADE_COST = 31, 2
"""Bytes."""
_LISTED_OFF = 0.001
"""Seconds by which the last frame may move so that the interval is a listed one, which saves two bytes."""
_SOUND_WAITS = 16
"""Packets of sound that wait for a bundle at most, a second of them: older ones would come too late."""
_CLOCKS = 1 << 32
"""Clocks travel as 32-bit milliseconds, and wrap."""
_FOLLOWS = 1.5
"""A bundle follows the one before, nothing missing between them, within this many intervals of its last frame."""
_FARTHEST = 1000
"""By how much frame numbers jump at most: they wrap, and clocks say the rest."""


class Run(NamedTuple):
    """Frames evenly apart."""

    start: float
    """Seconds at which the first one is placed."""
    interval: float
    """Seconds between two places, as precisely as a bundle says it."""
    places: tuple[int, ...]
    """Of each frame, in intervals from the first; what lies between is to be made up."""


def evenly(clocks: Sequence[float], usual: float) -> list[Run]:
    """Runs that hold frames of these clocks, in their order, for the fewest bytes; `usual`: seconds between frames."""
    best = _runs(clocks, usual)
    if _cost(best) == _BUNDLE_COST or len(clocks) < 2:
        return best
    paces = {b - a for a, b in pairwise(clocks) if b - a > _SHORTEST_INTERVAL}
    return min((best, *(_runs(clocks, pace) for pace in sorted(paces))), key=_cost)


def _runs(clocks: Sequence[float], pace: float) -> list[Run]:
    """Runs as long as they can be, of frames about whole multiples of `pace` seconds apart."""
    runs: list[Run] = []
    begin = 0
    for end in range(1, len(clocks) + 1):
        run = _extended(runs[-1], clocks[begin:end], pace) if end - begin > 1 else None
        if run is None:
            begin = end - 1
            runs.append(Run(clocks[begin], _sayable(pace, 1), (0,)))
        else:
            runs[-1] = run
    return runs


def _extended(run: Run, clocks: Sequence[float], pace: float) -> Run | None:
    """The run with the last of these clocks, too; None if it does not fit."""
    ahead = round((clocks[-1] - clocks[-2]) / pace)
    if not 1 <= ahead <= 1 + _MADE or run.places[-1] + ahead >= MAX_FRAMES:
        return None
    places = (*run.places, run.places[-1] + ahead)
    slope = _slope(places, clocks)
    if not _SHORTEST_INTERVAL <= slope <= LONGEST_INTERVAL:
        return None
    interval = _sayable(slope, places[-1])
    left = [clock - place * interval for clock, place in zip(clocks, places, strict=True)]
    start = sum(left) / len(left)
    if max(left) - start > min(_OFF, _OFF_SHARE * interval) or start - min(left) > min(_OFF, _OFF_SHARE * interval):
        return None
    return Run(start, interval, places)


def _slope(places: Sequence[int], clocks: Sequence[float]) -> float:
    """Seconds from one place to the next, by least squares."""
    middle, mean = sum(places) / len(places), sum(clocks) / len(clocks)
    above = sum((place - middle) * (clock - mean) for place, clock in zip(places, clocks, strict=True))
    return above / sum((place - middle) ** 2 for place in places)


def _sayable(interval: float, count: int) -> float:
    """An interval that a bundle can say, a listed one if so many of it come out nearly alike."""
    tenths = min(max(10_000 * interval, 10_000 * _SHORTEST_INTERVAL), 10_000 * LONGEST_INTERVAL)
    listed = min(INTERVALS, key=lambda each: abs(each - tenths))
    near = abs(listed - tenths) * count <= 10_000 * _LISTED_OFF
    return (listed if near else round(tenths)) / 10_000


def _cost(runs: Sequence[Run]) -> int:
    made = sum(run.places[-1] + 1 - len(run.places) for run in runs)
    return _BUNDLE_COST * len(runs) + _MADE_COST * made


class Made(NamedTuple):
    """A bundle, coded."""

    data: bytes
    first_frame: int
    frames: int
    seconds: float
    """That its frames last."""
    sound: tuple[SoundPacket, ...]
    base: int
    """Packets of the base layer that go for the first time."""
    repeated: int
    """Those that go once more."""
    base_bytes: int
    """What they take."""
    placed: tuple[PlacedFrame, ...]
    """Its frames, those made up left out."""


class PlacedFrame(NamedTuple):
    """A frame that goes."""

    taken: float
    """Clock at which it was taken in."""
    number: int
    clock_ms: int
    """As it travels."""


class _Frame(NamedTuple):
    clock: float
    motion: Motion | None


class Bundler:
    """One call's bundles. Clocks are seconds of the frames' clock.

    A frame's number counts frames of the announced rate: within a bundle each is as far from the one before as its
    interval is from that of the announced rate, a whole number and at least 1, as the receiver reckons, too; between
    bundles, numbers follow the clocks. So a gap in the numbers is one in time.
    """

    def __init__(self, basis: MotionBasis, fps: float) -> None:
        """`fps`: camera frames a second, as they were announced."""
        self._encoder, self._fps = BundleEncoder(basis), fps
        self._frames: list[_Frame] = []
        self._sound: list[Packet] = []
        self._last_clock: float | None = None
        self._last_number, self._last_place = -1, float("-inf")
        self._base_before: list[tuple[int, Coded]] = []
        """Packets of the bundle before that others depend on, with the numbers of their frames."""
        self._base_number = -1
        """Of the frame of the last packet."""

    def __len__(self) -> int:
        """Frames that wait."""
        return len(self._frames)

    def since_last(self, clock: float) -> float:
        """Seconds from the last frame that was taken in to `clock`; 0 before the first."""
        return clock - self._last_clock if self._last_clock is not None else 0.0

    @property
    def waiting(self) -> bool:
        """Whether anything, be it sound alone, waits."""
        return bool(self._frames or self._sound)

    def add(self, clock: float, motion: Motion | None) -> int:
        """Takes in a frame, captured at `clock`; how many older ones went for it, as no more than a bundle may wait."""
        self._last_clock = clock
        self._frames.append(_Frame(clock, motion))
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

    def take(self, epoch: int, usual: float, base: Sequence[Coded] = (), repeats: int | None = None) -> list[Made]:
        """All that waits, as one bundle where clocks allow it; nothing without frames.

        `usual`: seconds between two frames lately; `base`: packets of frames that were taken in, in their order;
        `repeats`: generation of which what others depend on goes once more with the next bundle.
        """
        frames, self._frames = self._frames, []
        made, taken = [], 0
        runs = evenly([frame.clock for frame in frames], usual) if frames else []
        for index, run in enumerate(runs):
            own = frames[taken : taken + len(run.places)]
            taken += len(run.places)
            due = [each for each in base if index == len(runs) - 1 or each.clock < frames[taken].clock]
            base = base[len(due) :]
            made.append(self._code(run, own, epoch, due, repeats))
        return made

    def _code(
        self, run: Run, frames: Sequence[_Frame], epoch: int, coded: Sequence[Coded], repeats: int | None
    ) -> Made:
        clock = clock_ms(run.start)
        step = max(1, round(run.interval * self._fps))
        first = self._number(run, step)
        motions = _filled(run, [frame.motion for frame in frames])
        placed = tuple(
            PlacedFrame(frame.clock, first + place * step, clock_ms(run.start + place * run.interval))
            for frame, place in zip(frames, run.places, strict=True)
        )
        again, new = self._with_numbers(coded, placed, repeats)
        bundle = Bundle(
            first_frame=first & 0xFFFF,
            clock_ms=clock,
            epoch=epoch,
            frame_interval_ms=1000 * run.interval,
            frames=motions,
            sound=self._sound_after(clock),
            base=tuple(
                BasePacket(each.generation, each.sequence, each.droppable, number - first, each.data)
                for number, each in again + new
            ),
        )
        self._last_number += step * (len(motions) - 1)
        self._last_place = run.start + (len(motions) - 1) * run.interval
        seconds = len(motions) * run.interval
        data = self._encoder.encode(bundle)
        return Made(
            data, bundle.first_frame, len(motions), seconds, bundle.sound,
            len(new), len(again), self._encoder.base_bytes, placed,
        )  # fmt: skip

    def _with_numbers(
        self, coded: Sequence[Coded], placed: Sequence[PlacedFrame], repeats: int | None
    ) -> tuple[list[tuple[int, Coded]], list[tuple[int, Coded]]]:
        """What is repeated, and new packets, with the numbers of their frames."""
        first, new = placed[0], list[tuple[int, Coded]]()
        numbers = {each.taken: each.number for each in placed}
        for each in coded:  # that of a frame which was dropped has its place before the first
            ahead = min(max(1, round((first.taken - each.clock) * self._fps)), FURTHEST)
            self._base_number = max(numbers.get(each.clock, first.number - ahead), self._base_number + 1)
            new.append((self._base_number, each))
        again = [
            (number, each)
            for number, each in self._base_before
            if number - first.number >= -FURTHEST and each.generation == repeats
        ]
        if new and new[0][1].generation != repeats:
            again = []
        again = again[max(0, len(again) + len(new) - MAX_PACKETS) :]
        if sum(len(each.data) for _, each in again + new) > MAX_BASE_BYTES:
            again = []
        self._base_before = [each for each in new if not each[1].droppable]
        return again, new

    def _number(self, run: Run, step: int) -> int:
        """Of a run's first frame."""
        gap = run.start - self._last_place
        if self._last_number < 0:
            self._last_number = 0
        elif 0 < gap <= _FOLLOWS * run.interval:
            self._last_number += step
        else:
            self._last_number += max(step + 1, round(min(gap * self._fps, _FARTHEST)))
        return self._last_number

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


def _filled(run: Run, motions: Sequence[Motion | None]) -> tuple[Motion | None, ...]:
    """The motion at every place of a run: what is missing is made from its neighbours, if both show a face."""
    filled = list(motions[:1])
    for (a, before), (b, after) in pairwise(zip(run.places, motions, strict=True)):
        for place in range(a + 1, b):
            share = (place - a) / (b - a)
            filled.append(None if before is None or after is None else between(before, after, share))
        filled.append(after)
    return tuple(filled)
