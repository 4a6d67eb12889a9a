"""The motion that is sent: which frames go, in which bundles, and what of sound and base layer goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sender.adaptation import LinkAdaptation
from sender.analysis import Analysis
from sender.base_layer import BaseLayerEncoder
from sender.bundler import Bundler
from sender.crop import Crop, Cutter
from sender.frame_rate import Cadence
from shared.audio.packetizer import Packet
from shared.call.loop import Outgoing
from shared.codec.motion_basis import MotionBasis
from shared.codec.pieces import split
from shared.gallery import Gallery
from shared.motion import Motion
from shared.transport.link import Channel
from shared.transport.pacing import PIECE, PicturePacer


@dataclass
class EncoderCounts:
    """Figures for the report."""

    frames_sent: int = 0
    frames_dropped: int = 0
    """Frames that never went because newer ones took their place while the link was stuck."""
    no_face: int = 0
    sources_sent: int = 0
    sources_held: int = 0
    malformed: int = 0
    sound_packets: int = 0
    sound_bytes: int = 0
    first_frame: float | None = None
    last_frame: float | None = None
    """When the first and the last frame were taken in for sending."""


class Flushed(NamedTuple):
    """A bundle that was made."""

    first_frame: int | None = None
    """None if there was none."""
    frames: int = 0
    """That the announced rate has in its time."""
    payload: int = 0
    """Bytes, without the base layer's."""
    clock: float = 0.0
    """Capture of its last frame."""


class MotionStream:
    """Gathers frames until they make a bundle; keys of the base layer go to the pacer. Clocks are those of frames."""

    def __init__(
        self, basis: MotionBasis, fps: float, step: int, gallery: Gallery, base: BaseLayerEncoder, pacer: PicturePacer,
        counts: EncoderCounts, still: bool = False,
    ) -> None:  # fmt: skip
        """`fps`, `step`: camera frames a second as announced, and of how many of them one usually goes. `gallery`: what
        the receiver holds; `flush` before it changes. `still`: whether the newest source's expression goes in the place
        of the face's, which costs nearly nothing."""
        self._fps, self._step = fps, step
        self._bundler, self._cadence = Bundler(basis, fps), Cadence(fps, step)
        self._gallery, self._base, self._pacer, self._counts = gallery, base, pacer, counts
        self._still, self._taken_at = still, 0.0
        self._flushed = Flushed()

    def __len__(self) -> int:
        """Frames that wait."""
        return len(self._bundler)

    @property
    def waiting(self) -> bool:
        """Whether anything, be it sound alone, waits for a bundle."""
        return self._bundler.waiting

    def add_sound(self, packets: Sequence[Packet]) -> None:
        """Takes in what was said, on the clock of the frames."""
        self._bundler.add_sound(packets)

    def add(
        self, analysis: Analysis | None, clock: float, now: float, link: LinkAdaptation, *,
        drawn: tuple[Crop, int] | None, cutter: Cutter | None, codes_base: bool, stuck: bool,
    ) -> list[Outgoing]:  # fmt: skip
        """Takes in a frame captured at `clock`, unless it is one of those between that do not go; what goes now.

        drawn: crop that the receiver draws, and its number. cutter: cuts the frame for the base layer, None if it must
        not be seen. stuck: the link takes nothing, so frames wait, and the oldest make room.
        """
        out = list[Outgoing]()
        if self._step != link.step:
            out += self.flush()  # frames of a bundle are as far apart as each other
            self._step = link.step
        if not self._cadence.goes(clock, self._step):
            return out
        stopped = self._bundler.since_last(clock) > self._cadence.span(link.bundle, self._step)
        if stopped and not stuck:
            out += self.flush()  # what the camera gave before must not grow older
        self._taken_at = now
        motion = None
        if analysis is not None and drawn is not None and not analysis.has_left(drawn[0]):
            motion = analysis.motion_in(drawn[0])
            if self._still:
                motion = replace(motion, expression=self._gallery.sources[-1].motion.expression)
        gone = self._bundler.add(clock, motion)
        self._forget(gone)
        if gone:
            self._base.drop_droppable()
        if codes_base and not stuck and not gone:
            self._code_base(analysis, motion, clock, now, drawn, cutter)
        self._counts.frames_sent += 1
        self._counts.first_frame = now if self._counts.first_frame is None else self._counts.first_frame
        self._counts.last_frame = now
        self._counts.no_face += analysis is None
        enough = self._cadence.bundle(link.bundle, self._step)
        if (len(self) >= enough or stopped) and not stuck:
            out += self.flush()
        return out

    def clear(self) -> None:
        """Drops the frames that wait."""
        self._forget(self._bundler.clear())

    def flush(self) -> list[Outgoing]:
        """All that waits, in as few bundles as hold it; nothing without frames."""
        if not len(self):
            return []
        packets, repeats = self._base.take_packets(), self._base.repeats(self._taken_at)
        every = self._bundler.take(self._gallery.epoch, self._cadence.interval(self._step), packets, repeats)
        seconds, size = sum(made.seconds for made in every), sum(len(made.data) - made.base_bytes for made in every)
        frames = max(1, round(seconds * self._fps / self._step))
        self._flushed = Flushed(every[-1].first_frame, frames, size, every[-1].placed[-1].taken)
        for made in every:
            self._counts.sound_packets += sum(1 for each in made.sound if each.data)
            self._counts.sound_bytes += sum(len(each.data) for each in made.sound)
            self._base.spent(made.base_bytes, made.base, made.repeated)
            for each in made.placed:
                key = self._base.take_key(each.taken, each.number, each.clock_ms)
                if key is not None:
                    self._pacer.add_key(key.pieces_id, split(key.pack(), key.pieces_id, PIECE))
        self._base.settle()
        return [(Channel.MOTION, made.data) for made in every]

    def take_flushed(self) -> Flushed:
        """The last bundle that was made since this was asked."""
        flushed, self._flushed = self._flushed, Flushed()
        return flushed

    def _code_base(
        self, analysis: Analysis | None, motion: Motion | None, clock: float, now: float,
        drawn: tuple[Crop, int] | None, cutter: Cutter | None,
    ) -> None:  # fmt: skip
        """Codes a frame that was just taken in, in the crop that is drawn; and a key in one that is going to be."""
        self._base.take(cutter, drawn, clock, now, self._cadence.interval(self._step), motion)
        if cutter is not None and drawn is not None and analysis is not None and analysis.crop_number != drawn[1]:
            self._base.prepare(cutter, analysis.crop, analysis.crop_number, clock, now, analysis.motion)

    def _forget(self, frames: int) -> None:
        """So many frames that were taken in will never go."""
        self._counts.frames_sent -= frames
        self._counts.frames_dropped += frames
