"""The sources of a call: which frames become one, and the way of each until the receiver holds it.

Each frame is shown to the scheduler by `consider` (quick), which may hand back a job. `perform` of the job is slow and
touches no state but the encoder's: a worker may run it, one job at a time. What it gives is for `done`, which queues
the source's pieces if one is to go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from sender.adaptation import LinkAdaptation
from sender.analysis import Analysis
from sender.cpu_load import Spare
from sender.critic import Coder, Critic, Probe, ProbeResult, QualityRefresh
from sender.crop import Crop
from sender.refresh import Budget, FirstSource, RefreshPolicy, WhenWorse
from sender.source_coder import MadeSource, SourceCoder, SourceJob, code_source
from shared.codec import MalformedMessage
from shared.codec.picture import Quality
from shared.codec.pieces import split
from shared.gallery import Gallery, Held, Mixture
from shared.models.base_fusion import BasePicture
from shared.models.engine import Engine
from shared.transport.pacing import FIRST_PIECE, PIECE, PicturePacer

_RESEND_SECONDS = 20.0
"""A source not acknowledged by then is given up and another one sent."""
IN_FLIGHT = 64
"""Unacknowledged sources remembered: one that was given up may still arrive, after a tunnel for one."""
_REST = 2.0
"""From one source to the next on a link that carries less than usual, as a multiple of the time that one takes."""


Job = SourceJob | Probe
Result = MadeSource | ProbeResult


class SentSource(NamedTuple):
    """A source that goes out."""

    source_id: int
    size: int
    """Bytes of its message."""


@dataclass(frozen=True, eq=False)
class _Flying:
    """A source under way."""

    held: Held
    crop: Crop
    since: float


class SourceScheduler:
    """Scheduler of sources: they go as refresh policy, byte budget, link and processor allow. Mirrors the receiver's
    gallery."""

    def __init__(
        self,
        engine: Engine,
        policy: RefreshPolicy,
        quality: Quality,
        pacer: PicturePacer,
        budget: Budget | None = None,
        first: FirstSource | None = None,
    ) -> None:
        """Without `first`, the first frame with a face becomes the first source. `engine` must draw for `WhenWorse`."""
        self.gallery = Gallery()
        self.requested = False
        """Whether the receiver asked for a source."""
        self.connected = True
        """Whether it is known what the receiver holds: not from the loss of a connection until it says so."""
        self.on_held: Callable[[int], None] = lambda source_id: None
        """Called with the id of each source that the receiver has taken; set it."""
        self._policy, self._quality, self._pacer = policy, quality, pacer
        self._budget, self._first = budget, first
        self._encoder = SourceCoder()
        self._critic = Critic(engine) if isinstance(policy, WhenWorse) else None
        self._refresh = None if self._critic is None else QualityRefresh(self._critic)
        self._flying: dict[int, _Flying] = {}
        self._crops: dict[int, Crop] = {}
        self._mixture = Mixture()
        self._frames = 0
        self._last_id = 0
        self._since_source = 0
        self._last_size = 0
        self._newest: tuple[int, list[bytes]] | None = None
        """Id and pieces of the last source that was made."""
        self._rest_until = float("-inf")

    @property
    def probes(self) -> bool:
        """Whether the policy looks at what the receiver draws."""
        return self._refresh is not None

    @property
    def stuck(self) -> int:
        """Times that the encoder hung."""
        return self._encoder.stuck

    @property
    def in_flight(self) -> tuple[Held, ...]:
        """The sources that may arrive, oldest first: sent, or being coded."""
        return tuple(flying.held for flying in self._flying.values())

    def consider(
        self, analysis: Analysis, clock: float, now: float, link: LinkAdaptation, base: BasePicture | None = None,
        spare: Spare = Spare.NOTHING,
    ) -> Job | None:  # fmt: skip
        """Something to do with a frame captured at `clock` seconds, if there is.

        base: what the receiver draws it with. spare: what is left out for want of a processor; what must go still does.
        """
        if not analysis.clear or not self.connected or self._waits(link, now):
            return None
        self._since_source += 1
        if self._is_flying(analysis.crop_number, now):
            return None
        sources = self.gallery.sources
        if not sources:
            chosen = analysis if self._first is None else self._first.offer(analysis, clock)
            return None if chosen is None else self._job(chosen, now, link)
        crops_ahead = (analysis.crop_number - sources[-1].crop) % 256
        if crops_ahead >= 128:  # a frame that waited: the receiver is past its crop
            return None
        if self.requested or crops_ahead:
            return self._job(analysis, now, link)
        if spare >= Spare.SOURCES:
            return None
        room = self._room(now)
        if self._policy.wants(self._since_source, analysis.motion, [s.motion for s in sources]):
            return None if room == 0 else self._job(analysis, now, link, room)
        if self._refresh is None or spare >= Spare.LOOKS:
            return None
        self._frames += 1
        self._mixture.step(sources, analysis.motion, self._frames)
        # what has not quite faded in is good for it already, or another source would be sent meanwhile
        wanted = [s.source_id for s in self._mixture.wanted]
        return self._refresh.probe(analysis, wanted, clock, now, room, self._coder(link), base)

    def first_of_those_offered(self, now: float, link: LinkAdaptation) -> Job | None:
        """The job of a first source when no other frame will come to choose from."""
        best = None if self._first is None or self.gallery.sources else self._first.best()
        return None if best is None else self._job(best, now, link)

    def done(self, result: Result, now: float, link: LinkAdaptation) -> SentSource | None:
        """Takes in what a job gave; what goes out now, if a source does. Raises ValueError if it is too large.

        Unsent pieces of older sources are dropped, as a new one supersedes them.
        """
        if isinstance(result, MadeSource):
            message, received = result.message, result.received
        else:
            assert self._refresh is not None
            analysis, candidate = result.probe.analysis, self._refresh.take(result, now)
            if candidate is None or self._is_outdated(analysis, now):
                return None
            message, received = replace(candidate.message, source_id=self._begin(analysis, now)), candidate.source
        if self._refresh is not None:
            self._refresh.sent(message.source_id, received)
        data = message.pack()
        self._last_size = len(data)
        if self._budget is not None:
            self._budget.sent(len(data))
        self._pacer.drop_all_but(message.source_id)
        self._newest = message.source_id, split(data, message.source_id, PIECE if self.gallery.sources else FIRST_PIECE)
        if self.connected:
            self._pacer.add(*self._newest)
        self._rest_until = now + _REST * len(data) / link.picture_rate
        return SentSource(message.source_id, len(data))

    def spent(self, out: int, back: int, now: float) -> None:
        """So many bytes have been on the wire so far."""
        if self._budget is not None:
            self._budget.note(out, back, now)

    def held(self, epoch: int, ids: tuple[int, ...], now: float) -> int:
        """The receiver says what it holds, which is the truth from here on; how many sources are new to it.

        After the loss of a connection, the newest source goes again from its beginning if it has not arrived and still
        should. Raises MalformedMessage if some were never sent.
        """
        landed = self._mirror(epoch, ids)
        if landed:
            self._pacer.arrived(now)
        if not self.connected:
            self.connected = True
            self._pacer.restart(nothing_held=not ids)
            if self._newest is not None and self._goes_again(self._newest[0], now):
                self._pacer.add(*self._newest)
        return landed

    def assume_held(self, source_id: int) -> None:
        """Goes on as if the receiver had said that it holds this source: for calls into a file."""
        double = Gallery(self.gallery.bound, self.gallery.epoch, self.gallery.sources)
        double.add(self._flying[source_id].held)
        self._mirror(double.epoch, tuple(s.source_id for s in double.sources))

    def disconnect(self) -> None:
        """The connection was lost, or is a new one: no source goes until the receiver has said what it holds."""
        self.connected = False
        self._pacer.restart(nothing_held=False)

    def crop_drawn(self) -> tuple[Crop, int] | None:
        """The crop that the receiver draws and its number, which change only when a new source is held."""
        sources = self.gallery.sources
        return (self._crops[sources[-1].source_id], sources[-1].crop) if sources else None

    def _coder(self, link: LinkAdaptation) -> Coder:
        return partial(code_source, size=link.picture_size, quality=self._quality, encode=self._encoder.encode)

    def _job(self, analysis: Analysis, now: float, link: LinkAdaptation, room: int | None = None) -> SourceJob:
        return SourceJob(self._begin(analysis, now), analysis, room, self._coder(link), self._critic)

    def _begin(self, analysis: Analysis, now: float) -> int:
        """The id of a source that is on its way from now on."""
        self._since_source, self.requested = 0, False
        self._last_id = (self._last_id + 1) % (1 << 16)
        held = Held(self._last_id, analysis.crop_number, analysis.canonical, analysis.motion)
        self._flying[held.source_id] = _Flying(held, analysis.crop, now)
        while len(self._flying) > IN_FLIGHT:
            del self._flying[next(iter(self._flying))]
        return self._last_id

    def _mirror(self, epoch: int, ids: tuple[int, ...]) -> int:
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
        if self._refresh is not None:
            self._refresh.held(ids, self._flying)
        if self._budget is not None and ids:
            self._budget.begin()
        return len(landed)

    def _goes_again(self, source_id: int, now: float) -> bool:
        """Gives up older sources than the newest that was sent; whether it should go again: not if it has arrived, or
        shows a crop of before."""
        for other, flying in self._flying.items():
            if (source_id - other) % (1 << 16) < 1 << 15:
                self._flying[other] = replace(flying, since=float("-inf"))
        again, sources = self._flying.get(source_id), self.gallery.sources
        if again is None or (sources and (again.held.crop - sources[-1].crop) % 256 >= 128):
            return False
        self._flying[source_id] = replace(again, since=now)
        return True

    def _waits(self, link: LinkAdaptation, now: float) -> bool:
        """On a link that carries less than usual, one source after the other goes whole, with a rest between them:
        newer ones would take its place again and again, and none arrive."""
        return bool(self.gallery.sources) and link.limited and (self._pacer.pending > 0 or now < self._rest_until)

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
