"""python -m benchmarks.two_way: what sound and the other direction cost, by the length of bundles. See --help."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.command import command
from benchmarks.progress import Progress
from benchmarks.tables import markdown
from benchmarks.thin_link import NotDrawing, Prepared, look_ahead
from benchmarks.voice import speech, write_wav
from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender.call import SenderSettings
from sender.capture import SourceError, open_source
from sender.encoder import CallEncoder, EncoderSettings
from sender.microphone import FileSound
from sender.pump import Pump
from sender.refresh import First, FirstSource
from shared.call.directions import Pair
from shared.call.loop import Half, run_call
from shared.call.report import report_path, write_report
from shared.models.engine import EngineError
from shared.models.registry import load_basis, load_engine
from shared.transport.link import LinkClosed, WireBytes
from shared.transport.webrtc import Peer

ABOUT = """\
Makes real calls over WebRTC on loopback in one process, one way and both ways, with every length of bundle, silent and
with speech, and counts what travels. Motion is that of a clip, known beforehand, and nothing is drawn, so that many
calls run side by side; the speech is synthetic. One source is sent, before the count begins.

Rates are kbit/s of IPv4 and UDP bytes. `out`: away from the side that sends, in a two-way call the mean of both
directions; `back`: what comes back for it; `sum`: all that crosses the line, both ways together. `waits`: the time that
the oldest frame of a bundle waits for the newest.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.two_way                                        the sample person
  python -m benchmarks.two_way --video clip.mp4 --seconds 30 --json t.json
"""
SOUNDS = ("silent", "speech", "speech without a pause")
_SETTLE_SECONDS = 2.0
"""From the first source held to the beginning of the count."""
_APART = 0.07
"""Seconds between the first frames of both sides: their bundles do not go at the same moment."""


@dataclass(frozen=True)
class Row:
    """What one kind of call takes."""

    both_ways: bool
    sound: str
    bundle: int
    waits_ms: float
    out_kbps: float
    back_kbps: float
    sum_kbps: float


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.two_way", description=ABOUT, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--video", default="sample", metavar="FILE", help="its centre square (default: the sample)")
    parser.add_argument("--bundles", type=int, nargs="+", default=[2, 3, 5, 8, 10], choices=range(1, 11), metavar="N",
                        help="frames of motion a message, 1 to 10 (default: 2 3 5 8 10)")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=15.0, metavar="S",
                        help="that are counted of every call (default: 15)")  # fmt: skip
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures")
    args = parser.parse_args(arguments)
    if args.seconds <= 0:
        parser.error("--seconds must be positive")
    return args


class Side:
    """One end of a call: what it sends, if it does, and a receiving half that draws nothing."""

    def __init__(self, engine: NotDrawing, known: CallEncoder, frames: Prepared) -> None:
        """`known` has the motion of all `frames`."""
        self._engine, self._known, self._frames = engine, known, frames
        self.peer = Peer()
        self.incoming = CallDecoder(engine, load_basis("compact"), Bicubic(), frames.fps)
        self.outgoing: CallEncoder | None = None
        self.pump: Pump | None = None
        self.held = asyncio.Event()

    def send(self, bundle: int, voice: Path | None) -> None:
        """Sends too, from now on."""
        settings = EncoderSettings(self._frames.fps, bundle, framing="none")
        half = CallEncoder(settings, self._engine, load_basis("compact"), First(), first=FirstSource())
        half.analyse = self._known.analyse  # type: ignore[method-assign]
        self.outgoing = half
        self.pump = Pump(half, self._frames, None, None if voice is None else FileSound(voice))
        on_held = half.sources.on_held

        def held(source_id: int) -> None:
            on_held(source_id)
            self.held.set()

        half.sources.on_held = held

    @property
    def half(self) -> Half:
        """All that this side says and hears."""
        if self.outgoing is None:
            return self.incoming
        return Pair(self.outgoing, self.incoming)

    async def take_sources(self) -> None:
        """What a receiver does with its half, drawing left out; runs until cancelled."""
        while True:
            while (job := self.incoming.next_job()) is not None:
                self.incoming.add_source(self.incoming.prepare(job))
            while self.incoming.due(time.monotonic()) is not None:
                pass
            await asyncio.sleep(0.02)


async def measure(
    sides: tuple[Side, Side], both_ways: bool, sound: str, bundle: int, voice: Path | None, seconds: float
) -> Row:
    """Makes one call. Raises LinkClosed."""
    a, b = sides
    a.send(bundle, voice)
    if both_ways:
        b.send(bundle, voice)
    senders = [side for side in sides if side.pump is not None]
    try:
        await a.peer.accept_answer(await b.peer.accept_offer(await a.peer.create_offer()))
        await asyncio.gather(a.peer.wait_open(), b.peer.wait_open())
        running = [asyncio.ensure_future(run_call(side.peer, side.half, asyncio.Event())) for side in sides]
        running += [asyncio.ensure_future(side.take_sources()) for side in sides]  # type: ignore[arg-type]
        for side in senders:
            assert side.pump is not None
            running.append(asyncio.ensure_future(side.pump.run()))  # type: ignore[arg-type]
            await asyncio.sleep(_APART)
        try:
            await asyncio.gather(*(side.held.wait() for side in senders))
            await asyncio.sleep(_SETTLE_SECONDS)
            began, before = time.monotonic(), a.peer.wire()
            await asyncio.sleep(seconds)
            out, back = _rates(before, a.peer.wire(), time.monotonic() - began)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    finally:
        await asyncio.gather(a.peer.close(), b.peer.close())
    assert a.outgoing is not None
    waits = 1000 * (bundle - 1) / a.outgoing.settings.fps
    away = statistics.fmean((out, back)) if both_ways else out
    return Row(both_ways, sound, bundle, round(waits, 1), *(round(x, 2) for x in (away, back, out + back)))


def _rates(before: WireBytes, after: WireBytes, seconds: float) -> tuple[float, float]:
    """kbit/s out and back."""
    out, back = after.sent.size - before.sent.size, after.received.size - before.received.size
    return out * 8 / seconds / 1000, back * 8 / seconds / 1000


async def run(args: argparse.Namespace, frames: Prepared, known: CallEncoder, folder: Path) -> list[Row]:
    """All calls, those of one kind side by side; rows by kind and bundle."""
    engine = NotDrawing(load_engine("compact", "cpu", draws=False))
    voices = {
        "silent": None,
        "speech": write_wav(folder / "speech.wav", speech(_long(args.seconds))),
        "speech without a pause": write_wav(folder / "on.wav", speech(_long(args.seconds), pauses=False)),
    }
    progress, rows = Progress(2.0 * len(SOUNDS)), list[Row]()
    for both_ways in (False, True):
        for sound in SOUNDS:
            progress.begin(f"{'two-way' if both_ways else 'one-way'}, {sound}", 1.0)
            rows += await asyncio.gather(*(
                measure(
                    (Side(engine, known, frames), Side(engine, known, frames)), both_ways, sound, bundle,
                    voices[sound], args.seconds,
                )
                for bundle in args.bundles
            ))  # fmt: skip
            progress.advance(1.0)
    progress.close(f"made {len(rows)} calls")
    return rows


def _long(seconds: float) -> float:
    """Of a recording, so that it lasts through a call."""
    return seconds + _SETTLE_SECONDS + 10


def table(rows: Iterable[Row]) -> str:
    """For people."""
    cells = [
        [
            "two-way" if row.both_ways else "one-way", row.sound, str(row.bundle), f"{row.waits_ms:.0f} ms",
            *(f"{rate:.1f}" for rate in (row.out_kbps, row.back_kbps, row.sum_kbps)),
        ]
        for row in rows
    ]  # fmt: skip
    return markdown(["call", "sound", "bundle", "waits", "out", "back", "sum"], cells)


@command("two_way", SourceError, EngineError, LinkClosed, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    args = parse(arguments)
    settings = SenderSettings(None, args.video, framing="none")
    with open_source(settings.source) as capture, tempfile.TemporaryDirectory() as folder:
        basis, engine = load_basis("compact"), load_engine("compact", "cpu", draws=False)
        known = CallEncoder(EncoderSettings(capture.fps, framing="none"), engine, basis, First())
        progress = Progress(1.0)
        frames = look_ahead(known, capture, args.seconds, progress)
        frames = Prepared(frames.fps, frames.pictures, _long(args.seconds))
        progress.close("motion is known")
        rows = asyncio.run(run(args, frames, known, Path(folder)))
    print(table(rows))
    if args.json is not None:
        write_report(args.json, {"video": args.video, "seconds": args.seconds, "rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    sys.exit(main())
