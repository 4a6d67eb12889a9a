"""The base layer of what is sent: which frames are coded, as what, and when it begins anew with a key.

Nothing is coded that will not be sent. While a key is under way nothing is: the first packet that goes on from it once
it is held takes 20 to 70 bytes however old the key is by then (up to two seconds, 128 px), where the packets in between
would take a hundred to a thousand, and another key 700. Clocks are seconds of the frames' clock, `now` any steady one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sender.base_mirror import BaseMirror
from sender.crop import Crop
from sender.profile import BasePoint
from shared.codec.base_key import BaseKey
from shared.codec.base_section import GENERATIONS, MAX_BASE_BYTES, MAX_PACKETS, SEQUENCES
from shared.codec.base_video import MAX_CRF, BaseEncoder
from shared.codec.bounded import EncoderStuck
from shared.codec.planes import RgbImage
from shared.models.exchange import BasePicture
from shared.motion import Motion

KEY_EVERY = 2.0
"""Seconds between two keys, each of which costs as much as a second of packets."""
KEY_PATIENCE = 10.0
"""Seconds after which a key that is not held is given up: on the thinnest link it takes two."""
REPEAT_SECONDS = 20.0
"""For so long after a loss was reported each bundle repeats what is needed of the one before."""
BUCKET_SECONDS = 2.0
"""Of the rate that packets may have, saved up at most."""
DEBT_SECONDS = 0.5
"""Of the rate, owed at most."""
COARSER = 3
"""Steps by which the quantiser is raised where many pictures are skipped; twice as many where most are."""
FINER_AFTER, FINER_AT_LAST = 20.0, 160.0
"""Seconds after which it is lowered again: the first time, and at most; twice as long each time that it was raised."""
JUDGED = 3.0
"""Seconds over which skipped pictures are counted."""
TOO_MUCH = 5.0
"""Seconds from one picture of more bytes than a packet may have to the next, within which the quantiser is too fine."""
MOST_STUCK = 3
"""Times that an encoder may hang in a call: each keeps motion back for seconds."""
MANY = 0.35
"""Share of skipped pictures from which on the quantiser is too fine."""

logger = logging.getLogger(__name__)

_SECTION_SHARE = 2 / 3
"""Of packets' bytes that a section has: how they begin is coded (measured)."""

Cutter = Callable[[Crop, int], RgbImage | None]
"""Gives a frame's crop, (size, size, 3); None where this part of the frame is not there any more."""


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
class BaseCounts:
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


@dataclass
class _Generation:
    """One key, and the encoder that goes on from it."""

    number: int
    crop_number: int
    crop: Crop
    encoder: BaseEncoder
    key: bytes
    clock: float
    """Of the key's frame."""
    began: float
    sent: bool = False
    """Whether the key went: its frame has a number."""
    held: bool = False
    sequence: int = 0
    """Of the next packet."""
    mirror: BaseMirror | None = None
    """Where somebody looks at what the receiver shows."""

    @property
    def size(self) -> int:
        """Side in pixels."""
        return self.encoder.size

    @property
    def crf(self) -> int:
        """Its quantiser."""
        return self.encoder.crf


class BaseLayer:
    """The base layer of one call."""

    def __init__(self, usual: BasePoint | None, always: bool = False, looked_at: bool = False) -> None:
        """`usual`: on a good link, None for no base; `always`: it goes on without a face; `looked_at`: what is coded is
        decoded again, for `shown`."""
        self.counts = BaseCounts()
        self.accepted = False
        """Whether the other side takes one: set it."""
        self.fits = True
        """False once even the coarsest quantiser takes more than the rate: a lower rung is due."""
        self.given_up = False
        """Whether encoders hung so often that there is no base in this call any more."""
        self._always, self._looked_at = always, looked_at
        self._level, self._crf = usual, 0 if usual is None else usual.crf
        self._current: _Generation | None = None
        """Of the crop that is drawn."""
        self._coming: _Generation | None = None
        """Of the crop that will be, or what takes the place of the current one once it is held."""
        self._number = -1
        self._waiting: list[Coded] = []
        self._key_at = self._last_clock = self._repeat_until = float("-inf")
        self._credit, self._credit_at = 0.0, float("-inf")
        self._looks: list[tuple[float, bool]] = []
        """When pictures were due lately, and whether each was skipped."""
        self._changed_at = self._lost_at = float("-inf")
        self._finer_after = FINER_AFTER

    @property
    def active(self) -> bool:
        """Whether a base may go at all."""
        return self.accepted and self._level is not None and not self.given_up

    @property
    def crf(self) -> int:
        """Of the next key."""
        return self._crf

    def descend(self, level: BasePoint | None) -> None:
        """What the link carries from now on: another point, or nothing."""
        before = self._level
        if level == before:
            return
        self._level, self.fits, self._looks = level, True, []
        if level is None:
            self.stop()
        elif before is None or (level.size, level.crf) != (before.size, before.crf):
            self._crf = level.crf

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
            other = (current.size, current.crf) != (level.size, self._crf)
            if other and self._coming is None:
                self._coming = self._begin(cutter, *drawn, clock, now, motion)
            if self._coming is None or self._coming.clock < clock:
                self._code(current, cutter, clock, now, motion)

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
        wanted, current, coming = (crop, number), self._current, self._coming
        if not self.active or current is None or wanted == (current.crop, current.crop_number):
            return
        if coming is None or wanted != (coming.crop, coming.crop_number):
            self._coming = self._begin(cutter, crop, number, clock, now, motion) or coming

    def take_key(self, clock: float, frame: int, clock_ms: int) -> BaseKey | None:
        """A frame got its number and its place in time; if a key shows it, the message that is to go."""
        for each in (self._current, self._coming):
            if each is not None and not each.sent and each.clock == clock:
                each.sent = True
                self.counts.keys += 1
                self.counts.key_bytes += len(each.key)
                self._credit -= len(each.key)
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
        self._credit -= size * packets / max(1, packets + repeated)

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
            self._current = None
            self._waiting.clear()

    def lost(self, now: float) -> None:
        """Bundles were lost on the way, and repaired too late."""
        self._repeat_until = now + REPEAT_SECONDS

    def repeats(self, now: float) -> int | None:
        """The generation of which bundles repeat what is needed of the one before; None if nothing is repeated."""
        return None if now >= self._repeat_until or self._current is None else self._current.number

    def _follow(self, crop: Crop, number: int, now: float) -> None:
        """Goes over to the key that was prepared once its crop is drawn, and it held if there is another until then."""
        current, coming = self._current, self._coming
        if current is not None and (current.crop, current.crop_number) != (crop, number):
            current = None
        fits = coming is not None and (coming.crop, coming.crop_number) == (crop, number)
        if fits and coming is not None and (current is None or coming.held):
            current, coming = coming, None
        late = now - KEY_PATIENCE
        current = None if current is not None and not current.held and current.began < late else current
        coming = None if coming is not None and not coming.held and coming.began < late else coming
        if current is not self._current:
            self._waiting.clear()
        self._current, self._coming = current, coming

    def _begin(
        self, cutter: Cutter, crop: Crop, crop_number: int, clock: float, now: float, motion: Motion | None
    ) -> _Generation | None:
        level = self._level
        if level is None or now - self._key_at < KEY_EVERY or (picture := cutter(crop, level.size)) is None:
            return None
        self._key_at, self._last_clock = now, clock
        try:
            encoder = BaseEncoder(level.size, self._crf)
            key = encoder.encode(picture)
        except EncoderStuck as error:
            self._hung(error)
            return None
        self.counts.coded += 1
        if key is None:  # no camera gives such a picture: noise at a fine quantiser
            self._crf = min(self._crf + COARSER, MAX_CRF)
            return None
        self._number = (self._number + 1) % GENERATIONS
        mirror = BaseMirror(level.size, self._crf, key.data, clock, motion) if self._looked_at else None
        return _Generation(self._number, crop_number, crop, encoder, key.data, clock, now, mirror=mirror)

    def _code(self, current: _Generation, cutter: Cutter, clock: float, now: float, motion: Motion | None) -> None:
        self._last_clock = clock
        if (
            not self._affordable(now)
            or len(self._waiting) >= MAX_PACKETS
            or (picture := cutter(current.crop, current.size)) is None
        ):
            return
        try:
            coded = current.encoder.encode(picture)
        except EncoderStuck as error:
            self._current = None  # another one begins with a key
            self._waiting.clear()
            self._hung(error)
            return
        self.counts.coded += 1
        before = sum(len(each.data) for each in self._waiting)
        if coded is None or coded.key or before + len(coded.data) > MAX_BASE_BYTES:  # more than may go: it is lost
            self._current = None
            self._waiting.clear()
            if now - self._lost_at < TOO_MUCH:  # once is a cut in a film; so soon again, all of it is too much
                self._raise(2 * COARSER, now)
            self._lost_at = now
            return
        self._waiting.append(Coded(current.number, current.sequence, coded.droppable, clock, coded.data))
        current.sequence = (current.sequence + (not coded.droppable)) % SEQUENCES
        if current.mirror is not None:
            current.mirror.add(coded.data, clock, motion)

    def _hung(self, error: EncoderStuck) -> None:
        self.counts.stuck += 1
        logger.info("the base layer begins anew: %s", error)
        if self.counts.stuck == MOST_STUCK:
            self.given_up = True
            self.stop()
            logger.warning("there is no base layer in this call any more: its encoder hung %d times", MOST_STUCK)

    def _affordable(self, now: float) -> bool:
        """Whether the rate has room for another packet; where too often it has not, the next key is a coarser one."""
        assert self._level is not None
        rate = 125 * self._level.kbps
        # a large key must not look like pictures that are too dear, or another one would follow
        credit = max(self._credit, -DEBT_SECONDS * rate) + rate * (now - self._credit_at)
        self._credit = min(credit, BUCKET_SECONDS * rate)
        self._credit_at = now
        room = self._credit > _SECTION_SHARE * sum(len(each.data) for each in self._waiting)
        self.counts.skipped += not room
        self._looks = [look for look in self._looks if now - look[0] <= JUDGED] + [(now, not room)]
        self._judge(self._level, now)
        return room

    def _raise(self, steps: int, now: float) -> None:
        """Codes coarser from the next key on."""
        self._changed_at, self._finer_after = now, min(2 * self._finer_after, FINER_AT_LAST)
        self.fits = self._crf < MAX_CRF
        self._crf = min(self._crf + steps, MAX_CRF)
        self._looks = []

    def _judge(self, level: BasePoint, now: float) -> None:
        if self._changed_at == float("-inf"):
            self._changed_at = now
        skipped = sum(was for _, was in self._looks) / len(self._looks)
        if skipped > MANY and now - self._changed_at > JUDGED:
            self._raise(COARSER if skipped < 2 * MANY else 2 * COARSER, now)
        elif not skipped and self._crf > level.crf and now - self._changed_at > self._finer_after:
            self._changed_at = now
            self._crf = max(self._crf - COARSER, level.crf)
