"""The base layer of what is sent: which frames are coded, as what, and when it begins anew with a key.

Nothing is coded that will not be sent. While a key is under way nothing is: the first packet that goes on from it once
it is held takes 20 to 70 bytes however old the key is by then (up to two seconds, 128 px), where the packets in between
would take a hundred to a thousand, and another key 700. Clocks are seconds of the frames' clock, `now` any steady one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sender.base_generation import BaseMirror, Coded, Generation
from sender.base_rate import BaseRate
from sender.crop import Crop, Cutter
from sender.profiles import BasePoint
from shared.codec.av1 import EncoderStuck
from shared.codec.base_key import BaseKey
from shared.codec.base_section import GENERATIONS, MAX_PACKETS
from shared.codec.base_video import BaseEncoder
from shared.models.base_fusion import BasePicture
from shared.motion import Motion

KEY_EVERY = 2.0
"""Seconds between two keys, each of which costs as much as a second of packets."""
KEY_PATIENCE = 10.0
"""Seconds after which a key that is not held is given up: on the thinnest link it takes two."""
REPEAT_SECONDS = 20.0
"""For so long after a loss was reported each bundle repeats what is needed of the one before."""
MOST_STUCK = 3
"""Times that an encoder may hang in a call: each keeps motion back for seconds."""

logger = logging.getLogger(__name__)


@dataclass
class BaseSentCounts:
    """Figures for the report."""

    coded: int = 0
    """Pictures, keys included."""
    keys: int = 0
    """That went out."""
    key_bytes: int = 0
    packets: int = 0
    """That went out, repeated ones not counted."""
    section_bytes: int = 0
    """Of bundles, with what was repeated."""
    skipped: int = 0
    """Pictures that the rate left no room for."""
    requests: int = 0
    """Keys asked for."""
    refused: int = 0
    """Of these, so soon after another key that none went."""
    stuck: int = 0
    """Times that the encoder hung, and was left behind."""


class BaseLayerEncoder:
    """The base layer of one call."""

    def __init__(self, usual: BasePoint | None, always: bool = False, looked_at: bool = False) -> None:
        """`usual`: on a good link, None for no base; `always`: it goes on without a face; `looked_at`: what is coded is
        decoded again, for `shown`."""
        self.counts = BaseSentCounts()
        self.accepted = False
        """Whether the other side takes one: set it."""
        self.given_up = False
        """Whether encoders hung so often that there is no base in this call any more."""
        self._always, self._looked_at = always, looked_at
        self._level, self._rate = usual, BaseRate(0 if usual is None else usual.crf)
        self._current: Generation | None = None
        """Of the crop that is drawn."""
        self._coming: Generation | None = None
        """Of the crop that will be, or what takes the place of the current one once it is held."""
        self._number = -1
        self._waiting: list[Coded] = []
        self._key_at = self._last_clock = self._repeat_until = float("-inf")

    @property
    def active(self) -> bool:
        """Whether a base may go at all."""
        return self.accepted and self._level is not None and not self.given_up

    @property
    def crf(self) -> int:
        """Quantiser of the next key."""
        return self._rate.crf

    @property
    def fits(self) -> bool:
        """False once even the coarsest quantiser takes more than the rate: a lower rung is due."""
        return self._rate.fits

    def descend(self, level: BasePoint | None) -> None:
        """What the link carries from now on: another point, or nothing."""
        before = self._level
        if level == before:
            return
        self._level = level
        coded_alike = before is not None and level is not None and (level.size, level.crf) == (before.size, before.crf)
        self._rate.begin(None if level is None or coded_alike else level.crf)
        if level is None:
            self.stop()

    def stop(self) -> None:
        """Nothing that was coded goes any more, and what comes begins with a key: the camera is off, or the way is."""
        self._current = self._coming = None
        self._waiting.clear()

    def take(
        self, cutter: Cutter | None, drawn: tuple[Crop, int] | None, clock: float, now: float, interval: float,
        motion: Motion | None,
    ) -> None:  # fmt: skip
        """Takes in a frame that is going to be sent, captured at `clock`: codes it if it is due.

        `drawn`: crop and its number as the receiver draws it; `interval`: seconds between frames that are sent;
        `motion`: in that crop, None without a face.
        """
        if motion is None and self._current is not None and self._current.mirror is not None:
            self._current.mirror.forget()
        level = self._level
        if not self.active or level is None or cutter is None or drawn is None:
            return
        if motion is None and not self._always:  # an empty chair, or who else is in the room; the picture is held
            return
        if 0 <= clock - self._last_clock < 1 / level.rate - 0.5 * interval:
            return
        self._follow(*drawn, now)
        current = self._current
        if current is None:
            self._current = self._begin(cutter, *drawn, clock, now, motion)
            if self._current is not None and self._coming is not None and not self._coming.held:
                self._coming = None  # its key would come after a newer one, and be refused
        elif current.held:
            other = (current.size, current.crf) != (level.size, self.crf)
            if other and self._coming is None:
                self._coming = self._begin(cutter, *drawn, clock, now, motion)
            if self._coming is None or self._coming.clock < clock:
                self._code(current, level, cutter, clock, now, motion)

    def shown(self, clock: float, number: int) -> BasePicture | None:
        """What the receiver draws a frame with that was captured at `clock`, in the crop of this number.

        None where it has nothing, and where nobody looks.
        """
        current = self._current
        if current is None or not current.held or current.crop_number != number or current.mirror is None:
            return None
        return current.mirror.at(clock)

    def prepare(self, cutter: Cutter, crop: Crop, number: int, clock: float, now: float, motion: Motion) -> None:
        """The key of a crop that is going to be drawn, from a frame in which it can be cut, with its motion there."""
        current, coming = self._current, self._coming
        if not self.active or current is None or current.shows(crop, number):
            return
        if coming is None or not coming.shows(crop, number):
            self._coming = self._begin(cutter, crop, number, clock, now, motion) or coming

    def take_key(self, clock: float, frame: int, clock_ms: int) -> BaseKey | None:
        """A frame got its number and its place in time; if a key shows it, the message that is to go."""
        for each in (self._current, self._coming):
            if each is not None and not each.sent and each.clock == clock:
                each.sent = True
                self.counts.keys += 1
                self.counts.key_bytes += len(each.key)
                self._rate.spend(len(each.key))
                return BaseKey(each.number, each.crop_number, each.size, each.crf, frame & 0xFFFF, clock_ms, each.key)
        return None

    def settle(self) -> None:
        """All frames until now have gone, or never will: a key that has not is given up."""
        if self._current is not None and not self._current.sent:
            self._current, self._key_at = None, float("-inf")
        if self._coming is not None and not self._coming.sent:
            self._coming, self._key_at = None, float("-inf")

    def take_packets(self) -> list[Coded]:
        """What goes with the next bundles."""
        taken, self._waiting = self._waiting, []
        return taken

    def drop_droppable(self) -> None:
        """Frames were dropped: of what was coded only that goes which later packets need."""
        if self._current is not None and self._current.mirror is not None:
            self._current.mirror.lose({each.clock for each in self._waiting if each.droppable})
        self._waiting = [each for each in self._waiting if not each.droppable]

    def spent(self, size: int, packets: int, repeated: int) -> None:
        """Sections of so many bytes went, with so many new packets and some that were repeated."""
        self.counts.section_bytes += size
        self.counts.packets += packets
        self._rate.spend(size * packets / max(1, packets + repeated))

    def held(self, generation: int | None, asks: bool, now: float) -> None:
        """The receiver says which key it holds, if any, and whether it needs one."""
        for each in (self._current, self._coming):
            if each is not None and each.sent and each.number == generation:
                each.held = True
        lost = generation is None and self._current is not None and self._current.held
        if asks or lost:
            self.request(now)

    def assume_held(self) -> None:
        """As if the receiver had said that it holds every key that went."""
        for each in (self._current, self._coming):
            if each is not None and each.sent:
                each.held = True

    def request(self, now: float) -> None:
        """The receiver needs a key: it goes with the next picture, unless one went just now or is under way."""
        self.counts.requests += 1
        self.lost(now)
        if now - self._key_at < KEY_EVERY or (self._current is not None and not self._current.held):
            self.counts.refused += 1
        else:
            self._restart()

    def lost(self, now: float) -> None:
        """Bundles were lost on the way, and repaired too late."""
        self._repeat_until = now + REPEAT_SECONDS

    def repeats(self, now: float) -> int | None:
        """The generation of which bundles repeat what is needed of the one before; None if nothing is repeated."""
        return None if now >= self._repeat_until or self._current is None else self._current.number

    def _follow(self, crop: Crop, number: int, now: float) -> None:
        """Goes over to the key that was prepared once its crop is drawn, and it held if there is another until then."""
        current, coming = self._current, self._coming
        if current is not None and not current.shows(crop, number):
            current = None
        if coming is not None and coming.shows(crop, number) and (current is None or coming.held):
            current, coming = coming, None
        late = now - KEY_PATIENCE
        current = None if current is not None and not current.held and current.began < late else current
        coming = None if coming is not None and not coming.held and coming.began < late else coming
        if current is not self._current:
            self._waiting.clear()
        self._current, self._coming = current, coming

    def _begin(
        self, cutter: Cutter, crop: Crop, crop_number: int, clock: float, now: float, motion: Motion | None
    ) -> Generation | None:
        level = self._level
        if level is None or now - self._key_at < KEY_EVERY or (picture := cutter(crop, level.size)) is None:
            return None
        self._key_at, self._last_clock = now, clock
        try:
            encoder = BaseEncoder(level.size, self.crf)
            key = encoder.encode(picture)
        except EncoderStuck as error:
            self._hung(error)
            return None
        self.counts.coded += 1
        if key is None:  # no camera gives such a picture: noise at a fine quantiser
            self._rate.exceeded_by_key()
            return None
        self._number = (self._number + 1) % GENERATIONS
        mirror = BaseMirror(level.size, self.crf, key.data, clock, motion) if self._looked_at else None
        return Generation(self._number, crop_number, crop, encoder, key.data, clock, now, mirror)

    def _code(
        self, current: Generation, level: BasePoint, cutter: Cutter, clock: float, now: float, motion: Motion | None
    ) -> None:
        self._last_clock = clock
        waiting = sum(len(each.data) for each in self._waiting)
        if not self._rate.affords(level, waiting, now):
            self.counts.skipped += 1
            return
        if len(self._waiting) >= MAX_PACKETS or (picture := cutter(current.crop, current.size)) is None:
            return
        try:
            coded = current.code(picture, clock, motion, waiting)
        except EncoderStuck as error:
            self._restart()
            self._hung(error)
            return
        self.counts.coded += 1
        if coded is None:
            self._restart()
            self._rate.exceeded(now)
        else:
            self._waiting.append(coded)

    def _restart(self) -> None:
        """What comes next is a key."""
        self._current = None
        self._waiting.clear()

    def _hung(self, error: EncoderStuck) -> None:
        self.counts.stuck += 1
        logger.info("the base layer begins anew: %s", error)
        if self.counts.stuck == MOST_STUCK:
            self.given_up = True
            self.stop()
            logger.warning("there is no base layer in this call any more: its encoder hung %d times", MOST_STUCK)
