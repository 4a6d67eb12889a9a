"""The seed paper's figure in numbers: bytes of 600 frames against the interval between sources.

A call would not send sources as often as the left end of the figure has them: it paces them. So nothing is played here;
the messages are made that a link without bounds would carry, each source held as soon as it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from benchmarks.accounting import Message, messages_on_wire
from benchmarks.cache import Cache, Figures, digest
from benchmarks.clip import Clip
from benchmarks.codecs import H264
from benchmarks.ours import CallSettings, OurSide, baseline_figures
from benchmarks.progress import Progress
from sender.crop import cut, whole_square
from shared.codec import control
from shared.codec.bundle import Bundle, BundleEncoder
from shared.codec.picture import PictureMessage, encode_picture
from shared.codec.pieces import split
from shared.gallery import EPOCHS, Gallery, Held
from shared.motion import FloatArray, Motion
from shared.transport.link import Channel

FRAMES = 600
WORK = 15.0
"""Seconds that an interval takes, roughly: what the progress bar goes by."""
_STEPS = 8
"""Intervals tried, spread evenly in their logarithm."""


def intervals(first: int, last: int) -> list[int]:
    """Whole intervals from `first` to `last`. Raises ValueError unless 1 <= first <= last."""
    if not 1 <= first <= last:
        raise ValueError(f"a sweep goes from one interval to a longer one, such as 1:100, not {first}:{last}")
    return sorted({round(x) for x in np.geomspace(first, last, _STEPS)})


class Sweep:
    """`FRAMES` frames of a clip, played forward and back until it is long enough."""

    def __init__(self, ours: OurSide, clip: Clip, cache: Cache, progress: Progress) -> None:
        self._ours, self._clip, self._cache, self._progress = ours, clip, cache, progress
        there_and_back = [*range(len(clip.pictures)), *range(len(clip.pictures) - 2, 0, -1)]
        self._order = [there_and_back[at % len(there_and_back)] for at in range(FRAMES)]
        self._motions: list[tuple[FloatArray, Motion]] = []
        self._sources: dict[tuple[int, int], int] = {}
        """Bytes of the picture message of a frame at a size."""

    def run(self, calls: Mapping[str, CallSettings], values: Sequence[int]) -> Figures:
        """Payload and bytes on the wire of each call, by interval."""
        points: Figures = {"frames": FRAMES, "video": self._clip.name}
        for name, settings in calls.items():
            points[name] = []
            for interval in values:
                self._progress.begin(f"a source of {settings.picture_size} px every {interval} frames", WORK)
                points[name].append(self._measure(settings, interval))
        return points

    def lines(self, report: Figures, default: Figures | None) -> Figures:
        """What the others take for as many frames: the baseline, and H.264 at our quality, from the clip's report, and
        at its `default`, a point of its curve."""
        baseline = baseline_figures(report["face_vid2vid"]["source_bytes"], FRAMES, self._clip.fps)
        wire = sum(baseline["wire_bytes_out"].values()) + sum(baseline["wire_bytes_back"].values())
        found = {"face_vid2vid": {"payload_bytes": baseline["payload_bytes"], "wire_bytes_both": wire}}
        if default is not None and H264 in report["codecs"]:
            equal = report["codecs"][H264]["at_our_quality"]
            note = ": its floor, better" if equal["below_floor"] else ""
            found |= {"h264_default": self._bytes(default), "h264_equal_quality": self._bytes(equal) | {"note": note}}
        return found

    def _bytes(self, rates: Figures) -> Figures:
        """Of `FRAMES` frames at these rates; None where there is no rate."""
        if rates["kbps"] is None:
            return {"payload_bytes": None, "wire_bytes_both": None}
        a_kbps = FRAMES / self._clip.fps * 1000 / 8
        both = rates["wire_kbps"] + rates["wire_kbps_back"]
        return {"payload_bytes": round(rates["kbps"] * a_kbps), "wire_bytes_both": round(both * a_kbps)}

    def _measure(self, settings: CallSettings, interval: int) -> Figures:
        setting = asdict(replace(settings, refresh=f"freq:{interval}"))
        key = digest("sweep", self._ours.identity, self._clip.digest, setting, FRAMES)
        return self._cache.remember(key, lambda: self._bytes_of(settings, interval))

    def _bytes_of(self, settings: CallSettings, interval: int) -> Figures:
        messages = list(self._messages(settings, interval))
        wire = messages_on_wire(messages, FRAMES / self._clip.fps)
        return {
            "interval": interval,
            "payload_bytes": sum(m.size for m in messages if m.forward),
            "wire_bytes_both": wire.sent.size + wire.received.size,
        }

    def _messages(self, settings: CallSettings, interval: int) -> Iterator[Message]:
        """Sources and the answers that they are held; bundles, each of frames between two sources."""
        gallery, waiting, outgoing = Gallery(), list[Motion](), settings.outgoing(self._clip.fps)
        encoder = BundleEncoder(self._ours.basis)
        for at, frame in enumerate(self._order):
            time = at / self._clip.fps
            canonical, motion = self._extracted(frame)
            if at % interval == 0:
                if waiting:
                    yield self._bundle(encoder, waiting, gallery.epoch, time)
                    waiting = []
                source_id = at // interval % (1 << 16)
                for piece in split(bytes(self._source_bytes(settings, frame)), source_id):
                    yield Message(True, Channel.PICTURES, len(piece), time)
                gallery.add(Held(source_id, 0, canonical, motion))
                held = control.SourceHeld(gallery.epoch % EPOCHS, tuple(each.source_id for each in gallery.sources))
                yield Message(False, Channel.CONTROL, len(control.pack_control(held)), time)
            if at % outgoing.step == 0:
                waiting.append(motion)
            if len(waiting) == outgoing.bundle:
                yield self._bundle(encoder, waiting, gallery.epoch, time)
                waiting = []
            self._progress.advance(1 / FRAMES)
        if waiting:
            yield self._bundle(encoder, waiting, gallery.epoch, time)

    def _bundle(self, encoder: BundleEncoder, motions: Sequence[Motion], epoch: int, time: float) -> Message:
        bundle = Bundle(0, 0, epoch, 1000 / self._clip.fps, tuple(motions))
        return Message(True, Channel.MOTION, len(encoder.encode(bundle)), time)

    def _extracted(self, frame: int) -> tuple[FloatArray, Motion]:
        while len(self._motions) <= frame:  # the first time through is forward
            self._motions.append(self._ours.engine.extract(self._clip.pictures[len(self._motions)]))
        return self._motions[frame]

    def _source_bytes(self, settings: CallSettings, frame: int) -> int:
        key = settings.picture_size, frame
        if key not in self._sources:
            picture, size = self._clip.pictures[frame], settings.picture_size
            codec, data = encode_picture(cut(picture, whole_square(picture), size), settings.picture_quality)
            canonical, motion = self._extracted(frame)
            self._sources[key] = len(PictureMessage(1, 0, codec, size, size, canonical, motion, data).pack())
        return self._sources[key]
