"""The sources: which frames become one, and which of them the receiver holds.

A frame goes through `consider` (quick), which may hand back a job. `perform` of the job is slow and touches nothing of
this object's state; `done` takes its result and gives the message that is to be sent, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sender.analysis import Analysis
from sender.budget import Budget
from sender.critic import Critic
from sender.crop import Crop, cut, whole_square
from sender.first_source import FirstSource
from sender.quality import Coder, Finding, Look, QualityRefresh
from sender.refresh import RefreshPolicy, WhenWorse
from shared.codec.errors import MalformedMessage
from shared.codec.picture import Picture as PictureMessage
from shared.codec.picture import PictureCodec, Quality, encode_picture
from shared.gallery import Gallery, Held
from shared.mixture import Mixture
from shared.models.engine import Engine, Picture
from shared.models.exchange import BasePicture

_RESEND_SECONDS = 20.0
"""A source not acknowledged by then is given up and another one sent."""
_IN_FLIGHT = 64
"""Unacknowledged sources remembered: one that was given up may still arrive, after a tunnel for one."""
_COARSER = 15
"""Steps of quality by which a picture that is too large is coded anew: a quarter of its bytes each."""
_COARSEST = 20

Encode = Callable[[Picture, Quality], tuple[PictureCodec, bytes]]
"""Codes a picture, as `encode_picture` does."""


def code_source(
    analysis: Analysis, room: int | None, *, size: int, quality: Quality, encode: Encode = encode_picture
) -> PictureMessage:
    """A frame as a source of `size` pixels a side, still without its id. Slow.

    Quality is lowered to make it fit into `room` bytes, if there is a bound and any quality does.
    """
    small = cut(analysis.picture, whole_square(analysis.picture), size)
    while True:
        codec, data = encode(small, quality)
        source = PictureMessage(0, analysis.crop_number, codec, size, size, analysis.canonical, analysis.motion, data)
        if room is None or quality == "max" or quality <= _COARSEST or len(source.pack()) <= room:
            return source
        quality = max(quality - _COARSER, _COARSEST)


@dataclass(frozen=True, eq=False)
class SourceJob:
    """A frame that is to become a source."""

    source_id: int
    analysis: Analysis
    room: int | None
    code: Coder
    critic: Critic | None

    def perform(self) -> MadeSource:
        """The source. Slow."""
        message = replace(self.code(self.analysis, self.room), source_id=self.source_id)
        return MadeSource(message, None if self.critic is None else self.critic.receive(message))


@dataclass(frozen=True, eq=False)
class MadeSource:
    """A source that is ready to go."""

    message: PictureMessage
    received: Any
    """As the receiver will have it, if somebody will look at that."""


Job = SourceJob | Look
Result = MadeSource | Finding


@dataclass(frozen=True, eq=False)
class _Flying:
    """A source under way."""

    held: Held
    crop: Crop
    since: float


class Sources:
    """Decides by a policy, within a budget, and mirrors the receiver's gallery."""

    def __init__(
        self,
        code: Coder,
        engine: Engine,
        policy: RefreshPolicy,
        budget: Budget | None = None,
        first: FirstSource | None = None,
    ) -> None:
        """Without `first`, the first frame with a face becomes the first source. `engine` must draw for `WhenWorse`."""
        self.gallery = Gallery()
        self.requested = False
        """Whether the receiver asked for a source."""
        self.on_held: Callable[[int], None] = lambda source_id: None
        self._code, self._policy, self._budget, self._first = code, policy, budget, first
        self._critic = Critic(engine) if isinstance(policy, WhenWorse) else None
        self._quality = None if self._critic is None else QualityRefresh(self._critic, code)
        self._flying: dict[int, _Flying] = {}
        self._crops: dict[int, Crop] = {}
        self._mixture = Mixture()
        self._frames = 0
        self._last_id = 0
        self._since_source = 0
        self._last_size = 0

    @property
    def looks(self) -> bool:
        """Whether the policy looks at what the receiver draws."""
        return self._quality is not None

    def consider(
        self, analysis: Analysis, clock: float, now: float, base: BasePicture | None = None, *,
        refresh: bool = True, looks: bool = True,
    ) -> Job | None:  # fmt: skip
        """Something to do with a frame captured at `clock` seconds, if there is.

        base: what the receiver draws it with. refresh: whether there may be a source that is only better than what is
        held; looks: whether it may be looked at what the receiver draws. Without either, what must go still does.
        """
        self._since_source += 1
        if self._is_flying(analysis.crop_number, now):
            return None
        sources = self.gallery.sources
        if not sources:
            chosen = analysis if self._first is None else self._first.offer(analysis, clock)
            return None if chosen is None else self._job(chosen, now)
        crops_ahead = (analysis.crop_number - sources[-1].crop) % 256
        if crops_ahead >= 128:  # a frame that waited: the receiver is past its crop
            return None
        if self.requested or crops_ahead:
            return self._job(analysis, now)
        if not refresh:
            return None
        room = self._room(now)
        if self._policy.wants(self._since_source, analysis.motion, [s.motion for s in sources]):
            return None if room == 0 else self._job(analysis, now, room)
        if self._quality is None or not looks:
            return None
        self._frames += 1
        self._mixture.step(sources, analysis.motion, self._frames)
        # what has not quite faded in is good for it already, or another source would be sent meanwhile
        return self._quality.look(analysis, [s.source_id for s in self._mixture.wanted], clock, now, room, base)

    def first_of_those_offered(self, now: float) -> Job | None:
        """The job of a first source when no other frame will come to choose from."""
        best = None if self._first is None or self.gallery.sources else self._first.best()
        return None if best is None else self._job(best, now)

    def done(self, result: Result, now: float) -> PictureMessage | None:
        """Takes in what a job gave; the message of a source that is to be sent now comes back."""
        if isinstance(result, MadeSource):
            message, received = result.message, result.received
        else:
            assert self._quality is not None
            analysis, candidate = result.look.analysis, self._quality.take(result, now)
            if candidate is None or self._is_outdated(analysis, now):
                return None
            message, received = replace(candidate.message, source_id=self._begin(analysis, now)), candidate.source
        if self._quality is not None:
            self._quality.sent(message.source_id, received)
        self._last_size = len(message.pack())
        if self._budget is not None:
            self._budget.sent(self._last_size)
        return message

    def spent(self, out: int, back: int, now: float) -> None:
        """So many bytes have been on the wire so far."""
        if self._budget is not None:
            self._budget.note(out, back, now)

    def mirror(self, epoch: int, ids: tuple[int, ...]) -> int:
        """The receiver says what it holds, which is the truth from here on; how many sources are new to it.

        Raises MalformedMessage if some were never sent.
        """
        known = {s.source_id: s for s in self.gallery.sources}
        if any(source_id not in known and source_id not in self._flying for source_id in ids):
            raise MalformedMessage(f"the receiver says it holds sources {list(ids)}, some were never sent")
        landed = [source_id for source_id in ids if source_id in self._flying]
        for source_id in landed:
            flying = self._flying.pop(source_id)
            known[source_id], self._crops[source_id] = flying.held, flying.crop
            self.on_held(source_id)
        self.gallery.mirror(epoch, tuple(known[source_id] for source_id in ids))
        self._crops = {source_id: self._crops[source_id] for source_id in ids if source_id in self._crops}
        if self._quality is not None:
            self._quality.held(ids, self._flying)
        if self._budget is not None and ids:
            self._budget.begin()
        return len(landed)

    def goes_again(self, source_id: int, now: float) -> bool:
        """The newest source that was sent is to go again from its beginning, and older ones are given up: the
        connection was lost. Whether it still should: not if it has arrived, or shows a crop of before."""
        for other, flying in self._flying.items():
            if (source_id - other) % (1 << 16) < 1 << 15:
                self._flying[other] = replace(flying, since=float("-inf"))
        again, sources = self._flying.get(source_id), self.gallery.sources
        if again is None or (sources and (again.held.crop - sources[-1].crop) % 256 >= 128):
            return False
        self._flying[source_id] = replace(again, since=now)
        return True

    def assume_held(self, source_id: int) -> None:
        """Goes on as if the receiver had said that it holds this source: for calls into a file."""
        double = Gallery(self.gallery.bound, self.gallery.epoch, self.gallery.sources)
        double.add(self._flying[source_id].held)
        self.mirror(double.epoch, tuple(s.source_id for s in double.sources))

    def crop_drawn(self) -> Crop | None:
        """The crop that the receiver draws, which changes only when a new source is held."""
        return self._crops.get(self.gallery.sources[-1].source_id) if self.gallery.sources else None

    def crop_number_drawn(self) -> int:
        """Its number; 0 while none is drawn."""
        return self.gallery.sources[-1].crop if self.gallery.sources else 0

    def _job(self, analysis: Analysis, now: float, room: int | None = None) -> SourceJob:
        return SourceJob(self._begin(analysis, now), analysis, room, self._code, self._critic)

    def _begin(self, analysis: Analysis, now: float) -> int:
        """The id of a source that is on its way from now on."""
        self._since_source, self.requested = 0, False
        self._last_id = (self._last_id + 1) % (1 << 16)
        held = Held(self._last_id, analysis.crop_number, analysis.canonical, analysis.motion)
        self._flying[held.source_id] = _Flying(held, analysis.crop, now)
        while len(self._flying) > _IN_FLIGHT:
            del self._flying[next(iter(self._flying))]
        return self._last_id

    def _is_flying(self, crop_number: int, now: float) -> bool:
        return any(f.held.crop == crop_number and now - f.since <= _RESEND_SECONDS for f in self._flying.values())

    def _is_outdated(self, analysis: Analysis, now: float) -> bool:
        sources = self.gallery.sources
        return not sources or sources[-1].crop != analysis.crop_number or self._is_flying(analysis.crop_number, now)

    def _room(self, now: float) -> int | None:
        """Bytes that a source may have now: any number without a budget, none until it has earned one."""
        if self._budget is None:
            return None
        room = self._budget.room(now)
        return room if self._budget.allows(min(room, self._last_size), now) else 0
