"""python -m benchmarks.thin_link: a real call over a thin, slow or lossy link on this machine. See --help."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.command import command
from benchmarks.progress import Progress
from benchmarks.relay import Conditions, Relay
from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender.analysis import Analysis
from sender.call import SenderSettings, prepare_sending
from sender.call_recording import limited
from sender.capture import Capture, Frame, SourceError
from sender.encoder import CallEncoder
from sender.microphone import SoundSettings
from sender.profiles import DEFAULT_PROFILE, PROFILES
from sender.pump import Pump
from sender.refresh import EveryN
from shared.call.loop import run_call
from shared.call.report import Meter, Snapshot, report_path, write_report
from shared.codec.bundle import CLOCK_WRAP_MS
from shared.models.engine import Engine, EngineError, Picture
from shared.models.registry import ENGINES, load_basis, load_engine
from shared.transport.link import LinkClosed
from shared.transport.webrtc import Peer

ABOUT = """\
Two peers in this process call each other by WebRTC through a UDP relay that is as thin, slow and lossy as asked. All
is as in a call, except that motion is extracted before the call and nothing is drawn: this measures the link, not the
machine (`benchmarks.speed` does). A new source goes out every so many frames, whether it is needed or not, so that one
is under way most of the time. Delays are those from capture to the moment a frame is due for display, by one clock.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.thin_link                                 16 kbit/s, 200 ms round trip, the built-in sample
  python -m benchmarks.thin_link --loss 20 --rate 0 --rtt 100    no rate limit, every fifth packet lost, both ways
  python -m benchmarks.thin_link --profile thin --rate 8 --video talk.mp4 --json t.json
"""
POLL_SECONDS = 0.002
_PLAY_OUT_SECONDS = 2.0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.thin_link", description=ABOUT, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--video", default="sample", metavar="FILE", help="its centre square (default: the sample)")
    parser.add_argument("--rate", type=float, default=16.0, metavar="KBPS",
                        help="kbit/s each way, IPv4 and UDP headers counted; 0: unlimited (default: 16)")  # fmt: skip
    parser.add_argument("--rtt", type=float, default=200.0, metavar="MS", help="round trip (default: 200)")
    parser.add_argument("--loss", type=float, default=0.0, metavar="PERCENT",
                        help="packets lost each way, once connected (default: 0)")  # fmt: skip
    parser.add_argument("--profile", choices=tuple(PROFILES), default=DEFAULT_PROFILE)
    parser.add_argument("--freq", type=int, default=100, metavar="N", help="frames between sources (default: 100)")
    parser.add_argument("--picture-size", type=int, choices=(64, 128, 256, 512), metavar="PX",
                        help="default: by profile")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S",
                        help="length of the call; a shorter video is played again (default: 20)")  # fmt: skip
    parser.add_argument("--engine", choices=ENGINES, default="compact")
    parser.add_argument("--seed", type=int, default=0, help="of the losses (default: 0)")
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures")
    args = parser.parse_args(arguments)
    if args.rate < 0 or args.rtt < 0 or not 0 <= args.loss < 100 or args.seconds <= 0:
        parser.error("--rate and --rtt must not be negative, --loss must be 0 to 100, --seconds positive")
    return args


class Prepared(Capture):
    """Frames whose motion is known already, again and again for some time."""

    kind = "file"

    def __init__(self, fps: float, pictures: Sequence[Picture], seconds: float) -> None:
        self.fps = fps
        self.pictures, self._count = pictures, round(seconds * fps)

    def __iter__(self) -> Iterator[Frame]:
        there_and_back = [*self.pictures, *self.pictures[-2:0:-1]]  # without a jump
        for number, picture in enumerate(itertools.islice(itertools.cycle(there_and_back), self._count)):
            yield number / self.fps, picture

    def close(self) -> None:
        pass


@dataclass
class Log:
    """What was seen of a call."""

    shown: list[tuple[float, float, bool]] = field(default_factory=list)
    """Time, delay in ms, and whether a source was under way, of each frame that was due and could be drawn."""
    without_source: int = 0
    """Frames whose source the receiver did not hold: must stay 0."""
    not_drawable: int = 0
    lags: list[float] = field(default_factory=list)
    """Milliseconds by which the machine woke the process too late: what delays owe to other work on it."""


class NotDrawing:
    """An engine that prepares sources in no time; the rest is the real one's."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.size, self.keypoint_count = engine.name, engine.size, engine.keypoint_count
        self.precision = engine.precision
        self.extract, self.draw = engine.extract, engine.draw

    def prepare(self, picture: Picture, canonical: Any, motion: Any) -> Any:
        """Nothing: nothing is drawn from it."""
        return None


def look_ahead(half: CallEncoder, capture: Capture, seconds: float, progress: Progress) -> Prepared:
    """Extracts the motion of all frames, and has the half find it when the call asks for it."""
    known: dict[int, Analysis | None] = {}
    pictures: list[Picture] = []
    expected = max(1, round(min(seconds, capture.duration or seconds) * capture.fps))
    progress.begin("extracting motion", 1.0)
    for _, picture in limited(capture, seconds):
        known[id(picture)] = half.analyse(picture)
        pictures.append(picture)  # which also keeps its id its own
        progress.advance(1 / expected)
    half.analyse = lambda frame: known[id(frame)]  # type: ignore[method-assign]
    return Prepared(capture.fps, pictures, seconds)


async def receive(half: CallDecoder, sender: CallEncoder, log: Log) -> None:
    """What a receiver does with its half, drawing left out; runs until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        while (job := half.next_job()) is not None:
            half.add_source(await loop.run_in_executor(None, half.prepare, job))
        now = time.monotonic()
        while (item := half.due(now)) is not None:
            frame, mixed = item
            if not mixed:
                log.not_drawable += frame.motion is not None
                continue
            half.shown(frame, now)
            held = {s.source_id for s in half.gallery.at(frame.epoch)}  # others may still be fading out
            log.without_source += not any(source.held.source_id in held for source, _ in mixed.sources)
            delay = 1000 * (now - frame.capture) % CLOCK_WRAP_MS
            log.shown.append((now, delay, sender.counts.sources_sent > sender.counts.sources_held))
        await asyncio.sleep(POLL_SECONDS)
        log.lags.append(1000 * (time.monotonic() - now - POLL_SECONDS))


async def call(args: argparse.Namespace, outgoing: CallEncoder, incoming: CallDecoder, frames: Prepared,
               progress: Progress) -> dict[str, Any]:  # fmt: skip
    """Makes the call; all figures. Raises LinkClosed."""
    rate = args.rate * 1000 if args.rate else float("inf")
    relay = Relay(Conditions(rate, args.rtt / 2000), Conditions(rate, args.rtt / 2000), args.seed)
    a, b, log = Peer(), Peer(), Log()
    async with relay:
        try:
            began = time.monotonic()
            await relay.connect(a, b)
            opened = time.monotonic()
            for way in (relay.there, relay.back):
                way.conditions.loss = args.loss / 100
            pump, ended = Pump(outgoing, frames, None), asyncio.Event()
            playing = asyncio.ensure_future(pump.run())
            playing.add_done_callback(lambda _: ended.set())
            meter = Meter(lambda: _now(outgoing, a), list, "frames_sent", outgoing=True)
            others = [
                asyncio.ensure_future(receive(incoming, outgoing, log)),
                asyncio.ensure_future(_watch(meter, outgoing, args.seconds, progress)),
            ]
            try:
                await asyncio.gather(run_call(a, outgoing, ended), run_call(b, incoming, asyncio.Event()))
                await asyncio.sleep(_PLAY_OUT_SECONDS)
                playing.result()
            finally:
                for task in (playing, *others):
                    task.cancel()
                await asyncio.gather(playing, *others, return_exceptions=True)
        finally:
            await asyncio.gather(a.close(), b.close())
    counts, playout = incoming.counts, incoming.playout
    return {
        "open_s": round(opened - began, 3),
        "first_picture_s": round(log.shown[0][0] - opened, 3) if log.shown else None,
        "delay_ms": {
            "all": spread([delay for _, delay, _ in log.shown]),
            "source_under_way": spread([delay for _, delay, under_way in log.shown if under_way]),
            "otherwise": spread([delay for _, delay, under_way in log.shown if not under_way]),
        },
        "machine_lag_ms": spread(log.lags),
        "longest_still_s": longest_still([at for at, _, _ in log.shown]),
        "frames": {
            "sent": outgoing.counts.frames_sent, "dropped": outgoing.counts.frames_dropped,
            "received": counts.frames_received, "shown": counts.frames_shown, "late": playout.late,
            "skipped": playout.skipped, "drawn_from_a_source_not_held": log.without_source,
            "not_drawable": log.not_drawable, "repeated_by_a_busy_sender": pump.repeated,
        },
        "sources": {"sent": outgoing.counts.sources_sent, "held": outgoing.counts.sources_held},
        "malformed": outgoing.counts.malformed + counts.malformed,
        "relay": {
            way: {"packets_in": each.entered.packets, "packets_out": each.left.packets}
            for way, each in (("there", relay.there), ("back", relay.back))
        },
        "sender": meter.report(), **base_figures(incoming),
    }  # fmt: skip


def base_figures(half: CallDecoder) -> dict[str, float]:
    """Share of the frames shown that had a base layer, and the oldest of these bases in seconds."""
    assert half.base is not None
    counts, shown = half.base.counts, max(half.counts.frames_shown, 1)
    return {"with_base": round(counts.frames / shown, 3), "oldest_base_s": round(counts.oldest, 3)}


def spread(delays: Sequence[float]) -> dict[str, float | None]:
    """Percentiles of delays; None where there are none."""
    names = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    return {name: round(float(np.percentile(delays, at)), 1) if len(delays) else None for name, at in names.items()}


def longest_still(times: Sequence[float]) -> float | None:
    """Longest time in seconds between two frames shown; None with less than two."""
    return round(max(b - a for a, b in itertools.pairwise(times)), 3) if len(times) > 1 else None


def table(report: dict[str, Any]) -> str:
    """The figures for people."""
    s, frames, steady = report["settings"], report["frames"], report["sender"]["steady"]
    rate = f"{s['rate_kbps']:g} kbit/s" if s["rate_kbps"] else "no rate limit"
    lines = [
        f"{s['video']}, profile {s['profile']}: {rate}, {s['rtt_ms']:g} ms round trip, {s['loss_percent']:g} % lost",
        f"open after {report['open_s']:.2f} s, first picture {_or_none(report['first_picture_s'], '.2f')} s later",
        "",
        f"{'delay, ms':20}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}",
    ]
    for name, values in report["delay_ms"].items():
        lines.append(f"{name.replace('_', ' '):20}" + "".join(f"{_or_none(v, '.0f'):>8}" for v in values.values()))
    lines.append(f"{'machine lag':20}" + "".join(f"{_or_none(v, '.0f'):>8}" for v in report["machine_lag_ms"].values()))
    lines += [
        "",
        f"frames: {frames['sent']} sent, {frames['received']} received, {frames['shown']} shown, "
        f"{frames['late']} late, {frames['skipped']} skipped; "
        f"longest still {_or_none(report['longest_still_s'], '.2f')} s",
        f"sources: {report['sources']['sent']} sent, {report['sources']['held']} held; frames drawn from one not held: "
        f"{frames['drawn_from_a_source_not_held']}",
        f"with a base layer: {report['with_base']:.0%}, none older than {report['oldest_base_s']:.2f} s",
        f"wire from the first source on: {steady['wire_kbps_out']:.2f} kbit/s out, {steady['wire_kbps_in']:.2f} back",
    ]
    for way in ("out", "in"):
        kinds = steady[f"wire_bytes_{way}_by_kind"]
        seconds = max(steady["duration_s"], 1e-9)
        parts = ", ".join(f"{kind} {size * 8 / seconds / 1000:.2f}" for kind, size in kinds.items() if size)
        lines.append(f"  {'out' if way == 'out' else 'back'}: {parts}")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises SourceError, EngineError, LinkClosed, ValueError."""
    settings = SenderSettings(
        peer=None, source=args.video, refresh=EveryN(args.freq), profile=args.profile, picture_size=args.picture_size,
        framing="none", engine=args.engine, sound=SoundSettings(wanted=False),
    )  # fmt: skip
    progress = Progress(args.seconds + 3)
    prepared = prepare_sending(settings)
    outgoing = prepared.half
    with prepared.capture as capture:
        frames = look_ahead(outgoing, capture, args.seconds, progress)
    engine = NotDrawing(load_engine(args.engine, draws=False))
    outgoing.accept_base(True)
    incoming = CallDecoder(engine, load_basis(args.engine), Bicubic(), prepared.hello.fps, base=True)
    report = asyncio.run(call(args, outgoing, incoming, frames, progress))
    progress.close("")
    return {
        "settings": {
            "video": args.video if args.video == "sample" else args.video.rpartition("/")[2],
            "profile": args.profile, "rate_kbps": args.rate, "rtt_ms": args.rtt, "loss_percent": args.loss,
            "freq": args.freq, "seconds": args.seconds, "picture_size": outgoing.settings.picture_size,
            "bundle": outgoing.settings.bundle, "seed": args.seed,
        },
    } | report  # fmt: skip


@command("thin_link", EngineError, LinkClosed, SourceError, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the figures and writes them where that was asked for."""
    args = parse(arguments)
    report = run(args)
    print(table(report))
    if args.json is not None:
        write_report(args.json, report)


async def _watch(meter: Meter, half: CallEncoder, seconds: float, progress: Progress) -> None:
    """Marks when the call is steady, and shows how far it is; runs until cancelled."""
    progress.begin("calling", seconds)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            meter.look(steady=bool(half.gallery.sources))
            await asyncio.sleep(0.1)
            progress.advance(0.1 / seconds)


def _now(half: CallEncoder, link: Peer) -> Snapshot:
    return Snapshot(
        time=time.monotonic(), frames=half.counts.frames_sent, sources=half.counts.sources_sent, wire=link.wire(),
        payload=link.payload(), delays=0, first_frame=half.counts.first_frame, last_frame=half.counts.last_frame,
    )  # fmt: skip


def _or_none(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    sys.exit(main())
