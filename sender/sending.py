"""The sending part of a running call: source, outgoing half, this side's own picture, and figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from sender.analysis import Analysis
from sender.capture import Capture, SourceError
from sender.crop import cut, whole_square
from sender.encoder import CallEncoder
from sender.microphone import Played, Sound
from sender.preview import Preview
from sender.pump import Pump
from shared.call.report import Meter, Snapshot
from shared.models.engine import Picture
from shared.signalling.hello import Hello
from shared.tasks import aside
from shared.transport.link import Link
from shared.trust.verified import Verified

VIEW_SIDE = 256
"""Pixels of this side's own picture in the window of a two-way call."""


class Prepared(NamedTuple):
    """All that a call needs on the sending side."""

    source: str
    """As it was asked for."""
    capture: Capture
    sound: Sound | None
    half: CallEncoder
    hello: Hello
    threads: int = 1
    """That extract motion from a frame."""

    def part(self, link: Link, theirs: Hello, say: Callable[[str], None]) -> Sending:
        """What sends in a call that the other side made, which goes on after this side's source has ended, or failed;
        that is said."""
        self.half.accept_base(theirs.takes_base)
        self.half.reactions.accepted = theirs.takes_reactions
        return Sending(self, link, two_way=True, goes_on=say)

    def give_back(self) -> None:
        """Gives the sources back, which may take seconds. May be called more than once."""
        with ExitStack() as closing:
            closing.callback(self.capture.close)
            if self.sound is not None:
                closing.callback(self.sound.close)

    async def close(self) -> None:
        """Gives the sources back while the event loop goes on. May be called more than once."""
        await aside(self.give_back)


class CallStatistics:
    """Measures the sending part of a running call, for status line and report."""

    def __init__(self, half: CallEncoder, link: Link, two_way: bool = False) -> None:
        """`two_way`: what comes back is the other side's own picture, too, and not charged to sources."""
        self._half, self._link = half, link
        half.counted = lambda: _spent(link, two_way)
        self._delays: list[float] = []  # those the receiver reported, a median every two seconds
        self._statistics: object = None
        self._meter = Meter(self._now, lambda: self._delays, "frames_sent", outgoing=True)
        self.fps = 0.0

    def look(self) -> str:
        """Notes what is new and gives the status text."""
        statistics = self._half.statistics
        if statistics is not None and statistics is not self._statistics:
            self._statistics = statistics
            if statistics.delay_ms:
                self._delays.append(statistics.delay_ms)
        since = self._meter.look(steady=bool(self._half.gallery.sources))
        self.fps = since["fps"]
        delay = f"{self._delays[-1]:.0f} ms" if self._delays else "?"
        base = "".join(f" | {text}" for text in (self._half.sends, self._half.reactions.line(time.monotonic())) if text)
        face = "" if self._half.face is not False else " | no face in the picture"
        if self._half.effort.spare:
            face += " | this machine is too busy for everything"
        elif statistics is not None and statistics.busy_ms is not None:
            face += " | the other side's machine is busy"
        return (
            f"{since['fps']:.1f} fps | {since['payload_kbps']:.1f} kbit/s payload | "
            f"wire {since['wire_kbps_out']:.1f} out {since['wire_kbps_in']:.1f} back | "
            f"{self._half.counts.sources_sent} sources | delay {delay}{base}{face}"
        )

    def report(self) -> dict[str, Any]:
        """Whole and steady figures."""
        return self._meter.report()

    def _now(self) -> Snapshot:
        counts = self._half.counts
        return Snapshot(
            time=time.monotonic(),
            frames=counts.frames_sent,
            sources=counts.sources_sent,
            wire=self._link.wire(),
            payload=self._link.payload(),
            delays=len(self._delays),
            first_frame=counts.first_frame,
            last_frame=counts.last_frame,
        )


def _spent(link: Link, two_way: bool) -> tuple[int, int]:
    """Bytes on the wire so far, out and back, that count for sources."""
    wire = link.wire()
    return wire.sent.size, 0 if two_way else wire.received.size


class Sending:
    """The sending part of a running call (see `shared.call.directions.Direction`)."""

    name = "sent"

    def __init__(
        self, prepared: Prepared, link: Link, preview: Preview | None = None, *,
        seconds: float | None = None, two_way: bool = False, goes_on: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        """`goes_on`: the call is not over when the source is, or fails, but goes on for the other side's sake; this is
        told why the source failed."""
        self._prepared, self._goes_on = prepared, goes_on
        self._watch = CallStatistics(prepared.half, link, two_way)
        self._pump = Pump(prepared.half, prepared.capture, seconds, prepared.sound, prepared.threads)
        self._preview = preview
        self._showing: asyncio.Task[None] | None = None
        self._view: tuple[Picture, Analysis | None] | None = None
        self._pump.on_frame = self._seen
        if preview is not None:
            preview.with_base = prepared.half.base_goes
            preview.on_reaction, preview.own_note = self.react, self.reaction_line

    @property
    def half(self) -> CallEncoder:
        """See `Part.half`."""
        return self._prepared.half

    async def run(self) -> None:
        """Plays the source to its end. Raises ValueError, and SourceError where the call does not go on."""
        try:
            await self._pump.run()
        except SourceError as error:
            if self._goes_on is None:
                raise
            self._goes_on(f"sending nothing any more: {error}")
            self._pump.go_dark()
        self._view = None
        if self._goes_on is not None:
            await self._prepared.close()  # another program may want the camera
            await asyncio.Event().wait()

    async def play_out(self) -> None:
        """Nothing: after the goodbye nobody listens."""

    def watch_over(self, verified: Verified) -> None:
        """Nothing: there is no window to show it in."""

    def look(self) -> str:
        """Notes what is new and gives the status text."""
        return self._watch.look()

    def brief(self) -> str:
        """A few words on how it goes."""
        self._watch.look()
        off = " (camera off)" if self._pump.camera_off else ""
        return f"sending {self._watch.fps:.1f} fps{off}, {self.half.counts.sources_sent} sources"

    async def close(self, ended: str) -> None:
        """Gives camera and microphone back."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._prepared.close)
            if self._showing is not None:
                closing.push_async_callback(asyncio.wait, [self._showing])
            closing.callback(self._watch.look)

    def report(self) -> dict[str, Any]:
        """The figures of what was sent."""
        counts = self.half.counts
        return (
            {"source": self._prepared.source, "source_kind": self._prepared.capture.source_kind}
            | {"precision": self.half.precision}
            | self._watch.report()
            | {
                "frames_repeated": self._pump.repeated,
                "frames_spared": self._pump.spared,
                "times_spared": self.half.effort.leaves_out,
                "frames_without_face": counts.no_face,
                "face_seen": self.half.face_seen,
                "sources_held": counts.sources_held,
                "sources_stuck": self.half.sources.stuck,
                "malformed": counts.malformed,
                "reactions_sent": self.half.reactions.sent,
                "sound_packets": counts.sound_packets,
                "sound_bytes": counts.sound_bytes,
            }
            | {f"base_{name}": count for name, count in asdict(self.half.base_counts).items()}
        )

    @property
    def can_be_muted(self) -> bool:
        """Whether there is sound to send."""
        return self._prepared.sound is not None

    def mute(self, muted: bool) -> None:
        """Sends no sound, or sends it again."""
        if self._prepared.sound is not None:
            self._prepared.sound.voice.muted = muted

    def cancel_echo(self, played: Played, say: Callable[[str], None]) -> None:
        """Sends nothing of what a speaker on this side plays; if it cannot be helped, `say` tells."""
        if self._prepared.sound is not None:
            self._prepared.sound.cancel_echo(played, say)

    def turn_camera_off(self, off: bool) -> None:
        """Sends no motion, which the other side is told, or sends it again."""
        self._pump.camera_off = off
        if off:
            self._view = None

    def react(self, number: int) -> None:
        """Has this side's person perform an expression at the other end, 1 to 6."""
        self.half.reactions.react(number, time.monotonic())

    def reaction_line(self) -> str:
        """What became of that, for a moment; else nothing."""
        return self.half.reactions.line(time.monotonic())

    def view(self) -> Picture | None:
        """This side's own picture as in a mirror, (S, S, 3), what is sent of it if there is a face; None if none."""
        if self._view is None:
            return None
        picture, seen = self._view
        crop = whole_square(picture) if seen is None else seen.crop
        return np.ascontiguousarray(cut(picture, crop, VIEW_SIDE)[:, ::-1])

    def _seen(self, picture: Picture, seen: Analysis | None) -> None:
        self._view = picture, seen
        if self._preview is None:
            return
        if self._showing is not None and self._showing.done():
            self._showing.result()
            self._showing = None
        if self._showing is None:
            crop = None if seen is None else seen.crop
            self._showing = asyncio.ensure_future(self._preview.show_soon(picture, crop))
