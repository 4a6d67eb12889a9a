"""The receiving side of the base layer: packets and keys in any order, decoded in theirs, and what to draw with.

Frames are numbers and clocks seconds as the playout counts them; `now` is any clock that goes on. Nothing here waits,
so that it can run wherever decoding (about half a millisecond a picture) does no harm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from receiver.base_generation import WAITING, DecodedBase, Generation, PlacedPacket
from shared.codec import MalformedBase
from shared.codec.base_key import BaseKey
from shared.codec.bundle import CLOCK_WRAP_MS, Bundle

OLDEST = 0.5
"""Seconds from the frame drawn beyond which a base says nothing about it."""
REQUEST_EVERY = 2.0
"""Seconds between two requests for a key, each of which costs the sender half a kilobyte."""
_REPAIRED_WITHIN = 1.0
"""Seconds in which a lost bundle comes again, if it comes: 0.6, and a round trip. A key would not be here sooner."""
_PICTURES = 48
"""Decoded pictures kept: those between what is decoded and what is drawn, and OLDEST before that, at 25 a second."""
_STALL = 15.0
"""Seconds of a stall whose bundles may come all at once."""
_MOST_PACKETS, _MOST_BYTES = 30.0, 16_000.0
"""A second, over long: 128 kbit/s, three times the highest rung. Repetitions are not counted."""
_MOST_KEYS = 8.0
"""In a row: the first, and those of changing crops."""
_WRAP = 1 << 16
_TOLERANCE = 1e-3


class _Allowance:
    """So much a second, saved up for a while."""

    def __init__(self, rate: float, most: float) -> None:
        self._rate, self._most, self._left, self._at = rate, most, most, float("-inf")

    def take(self, amount: float, now: float) -> bool:
        """Whether so much is allowed at `now`; then it is taken."""
        self._left = min(self._most, self._left + self._rate * max(0.0, now - self._at))
        self._at = max(self._at, now)
        if amount > self._left:
            return False
        self._left -= amount
        return True


class BaseTrack:
    """The base layer of one call. One caller at a time."""

    def __init__(self) -> None:
        self.decoded = 0
        """Pictures decoded, keys included."""
        self.keys = 0
        """Keys among them."""
        self.requests = 0
        """Keys asked for."""
        self._generations: deque[Generation] = deque(maxlen=2)
        """The newest key's, and the one before: a key of a new crop comes before the crop is drawn."""
        self._pictures: deque[DecodedBase] = deque(maxlen=_PICTURES)
        self._early: deque[PlacedPacket] = deque(maxlen=WAITING)
        """Packets whose key is not here, by arrival."""
        self._early_since: float | None = None
        self._early_key: BaseKey | None = None
        """The newest key that came before any bundle said what its frame and clock mean."""
        self._reference: tuple[int, int, int, float] | None = None
        """Frame and clock of the newest bundle: on the wire, and as the playout counts them."""
        self._last_packet = self._last_request = float("-inf")
        self._failed = False
        """Whether something could not be decoded since the last key and the last request."""
        self._packet_allowance = _Allowance(_MOST_PACKETS, _MOST_PACKETS * _STALL)
        self._byte_allowance = _Allowance(_MOST_BYTES, _MOST_BYTES * _STALL)
        self._key_allowance = _Allowance(1 / REQUEST_EVERY, _MOST_KEYS)

    @property
    def generation(self) -> int | None:
        """Of the newest key held, which the sender waits to hear of; None if there is none or it leads no further."""
        newest = self._generations[-1] if self._generations else None
        return None if newest is None or newest.broken else newest.key.generation

    def add_bundle(self, bundle: Bundle, first_frame: int, clock: float, now: float, step: int = 1) -> None:
        """Takes in a bundle's packets, late or not: `first_frame` and `clock` are its first frame's in the playout.

        `step`: frame numbers that one of its intervals counts. Raises MalformedBase for what cannot be decoded and for
        more than any sender sends.
        """
        if self._reference is None or first_frame >= self._reference[1]:
            self._reference = bundle.first_frame, first_frame, bundle.clock_ms, clock
        interval = bundle.frame_interval_ms / 1000 / step
        placed = [PlacedPacket(each, first_frame + each.frame, clock + each.frame * interval) for each in bundle.base]
        early_key, self._early_key = self._early_key, None
        try:
            if early_key is not None:
                self._begin(early_key, now)
            for each in placed:
                self._add(each, now)
            for generation in self._generations:
                generation.go_on(now)
        except MalformedBase:
            self._failed = True
            raise

    def add_key(self, key: BaseKey, now: float) -> bool:
        """Takes in a key; whether it is held now, so that packets may follow. One that is there changes nothing.

        False as well for one that is older than what is there, and where no bundle has come yet: the next one takes it
        in. Raises MalformedBase for one that cannot be decoded, and for more than any sender sends.
        """
        if self._reference is None:
            self._early_key = key
            return False
        try:
            return self._begin(key, now)
        except MalformedBase:
            self._failed = True
            raise

    def at(self, frame: int, clock: float, crop: int) -> DecodedBase | None:
        """The newest base not newer than a frame captured at `clock` and drawn in `crop`; None if none is that near."""
        return next(self.fitting(frame, clock, crop), None)

    def fitting(self, frame: int, clock: float, crop: int) -> Iterator[DecodedBase]:
        """All that `at` chooses from, newest first."""
        found = [
            each
            for each in self._pictures
            if each.crop == crop and each.frame <= frame and clock - each.clock <= OLDEST + _TOLERANCE
        ]
        return iter(sorted(found, key=lambda each: each.frame, reverse=True))

    def after(self, frame: int, clock: float, crop: int) -> DecodedBase | None:
        """The next base newer than a frame captured at `clock` and drawn in `crop`; None if none as near has come."""
        later = (
            each
            for each in self._pictures
            if each.crop == crop and each.frame > frame and 0 < each.clock - clock <= OLDEST + _TOLERANCE
        )
        return min(later, key=lambda each: each.frame, default=None)

    def wants_key(self, now: float) -> bool:
        """Whether the caller is to ask the sender for a key at `now`: True at most once in REQUEST_EVERY.

        Where a packet is missing for longer than a repair takes, or a key is, while others come; and after an error.
        """
        if now - self._last_request < REQUEST_EVERY:
            return False
        since = [each for each in (*self._waits(), self._early_since) if each is not None]
        missing = any(now - each > _REPAIRED_WITHIN for each in since) and now - self._last_packet <= REQUEST_EVERY
        if not (self._failed or missing):
            return False
        self._failed, self._last_request = False, now
        self.requests += 1
        return True

    def drop_pictures(self) -> None:
        """Nothing decoded until now is shown again; packets go on."""
        self._pictures.clear()

    def forget(self) -> None:
        """After a resume: nothing from before is shown again, and packets wait for a new key."""
        self._generations.clear()
        self._pictures.clear()
        self._early.clear()
        self._early_since, self._early_key, self._reference = None, None, None

    def _waits(self) -> list[float | None]:
        """Since when packets of the generation in use, or of newer ones, wait for others.

        A key of the same crop takes the place of the one before, whether or not packets have followed it yet.
        """
        found: list[float | None] = []
        for each in reversed(self._generations):
            if found and each.key.crop == self._generations[-1].key.crop:
                break
            found.append(None if each.broken else each.waits_since)
            if each.in_use:
                break
        return found

    def _add(self, placed: PlacedPacket, now: float) -> None:
        numbered = [each for each in self._generations if each.key.generation == placed.packet.generation]
        if numbered:
            known = numbered[-1].has(placed)
        else:
            known = any(each.frame == placed.frame for each in self._early)
            known |= bool(self._generations) and placed.frame <= self._generations[-1].key_frame
        if known:
            return
        size = len(placed.packet.data)
        if not (self._packet_allowance.take(1, now) and self._byte_allowance.take(size, now)):
            raise MalformedBase("more of a base layer arrived than any sender sends: dropped")
        self._last_packet = now
        if numbered:
            numbered[-1].add(placed)
        else:
            self._early.append(placed)
            self._early_since = now if self._early_since is None else self._early_since

    def _begin(self, key: BaseKey, now: float) -> bool:
        for each in self._generations:
            if each.key == key:
                return not each.broken
        frame, clock = self._place(key)
        if self._generations and frame <= self._generations[-1].key_frame:
            return False
        if not self._key_allowance.take(1, now):
            raise MalformedBase("more keys of a base layer arrived than any sender sends: dropped")
        generation = Generation(key, frame, clock, self._found)
        self.keys += 1
        self._generations.append(generation)
        self._failed = False
        for placed in self._early:
            if placed.packet.generation == key.generation and not generation.has(placed):
                generation.add(placed)
        self._early.clear()
        self._early_since = None
        generation.go_on(now)
        return True

    def _place(self, key: BaseKey) -> tuple[int, float]:
        """Frame and clock of a key as the playout counts them."""
        assert self._reference is not None
        wire_frame, frame, wire_clock, clock = self._reference
        ahead = (key.frame - wire_frame + _WRAP // 2) % _WRAP - _WRAP // 2
        half = CLOCK_WRAP_MS // 2
        return frame + ahead, clock + ((key.clock_ms - wire_clock + half) % CLOCK_WRAP_MS - half) / 1000

    def _found(self, decoded: DecodedBase) -> None:
        self.decoded += 1
        self._pictures.append(decoded)
