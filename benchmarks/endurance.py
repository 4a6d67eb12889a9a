"""python -m benchmarks.endurance: calls over bad links, and through deaths of a side. See --help."""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.command import command
from benchmarks.endurance_resumed import Deaths, deaths
from benchmarks.endurance_rows import Process, Row, outcome, rows
from benchmarks.progress import Progress
from benchmarks.relay import Relay
from benchmarks.thin_link import Log, NotDrawing, Prepared, base_figures, look_ahead, receive
from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender.call import SenderSettings, prepare_sending
from sender.capture import SourceError
from sender.encoder import CallEncoder
from sender.microphone import SoundSettings
from sender.profiles import DEFAULT_PROFILE, PROFILES
from sender.pump import Pump
from sender.refresh import EveryN, First, RefreshPolicy
from shared.call.loop import TooManyErrors, run_call
from shared.call.report import report_path, write_report
from shared.models.engine import EngineError
from shared.models.registry import ENGINES, load_basis, load_engine
from shared.signalling.offer_answer import SignallingError
from shared.transport.link import LinkClosed
from shared.transport.webrtc import Peer

ABOUT = """\
Calls one after the other, each under one condition: loss, bursts, stalls, thin and long links, disorder, a side killed
and started again, the network gone and back. Each is a row: whether the call survived, the share of frames that were
shown in time, the longest freeze, bytes on the wire, and memory. Motion is extracted before the calls and nothing is
drawn, so that this measures the call and not the machine; all else is as in a call, WebRTC included. Where a side is
killed or the network goes, receiver and signalling are the real ones, in a process of their own.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.endurance --quick --json e.json       ten minutes
  python -m benchmarks.endurance --source talk.mp4 --json e.json    half an hour, ten minutes of it one call
  python -m benchmarks.endurance --only "8 kbit/s"           the rows whose name has this
"""
LOOKED_AHEAD = 4.0
"""Seconds of the source that are played there and back."""
_OPEN_SECONDS = 60.0
_QUEUE_SECONDS = 0.1
"""Between two looks at the relay's queue."""
_FREQ = 250
"""Frames between sources: one every ten seconds, so that pictures are a part of it."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.endurance", description=ABOUT, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--source", default="sample", metavar="FILE", help="its centre square (default: the sample)")
    parser.add_argument("--quick", action="store_true", help="ten minutes: long calls are shorter, or left out")
    parser.add_argument("--only", default="", metavar="TEXT", help="only the rows whose name has this in it")
    parser.add_argument("--profile", choices=tuple(PROFILES), default=DEFAULT_PROFILE)
    parser.add_argument("--engine", choices=ENGINES, default="compact")
    parser.add_argument("--seed", type=int, default=0, help="of the losses (default: 0)")
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures")
    return parser.parse_args(arguments)


class Bench:
    """What the calls have in common: motion known beforehand, and engines that do not draw."""

    def __init__(self, args: argparse.Namespace, progress: Progress) -> None:
        self.settings = SenderSettings(
            peer=None, source=args.source, refresh=EveryN(_FREQ), profile=args.profile, framing="none",
            engine=args.engine, sound=SoundSettings(wanted=False),
        )  # fmt: skip
        prepared = prepare_sending(self.settings)
        self.hello, self._outgoing = prepared.hello, prepared.half
        with prepared.capture as capture:
            self._frames = look_ahead(self._outgoing, capture, LOOKED_AHEAD, progress)
        self._engine, self._basis = load_engine(args.engine, draws=False), load_basis(args.engine)
        self._drawing, self.seed = NotDrawing(self._engine), args.seed

    def frames(self, seconds: float) -> Prepared:
        """So many seconds of them."""
        return Prepared(self._frames.fps, self._frames.pictures, seconds)

    def outgoing(self, policy: RefreshPolicy | None = None) -> CallEncoder:
        """A sender's half for another call; unless a policy says otherwise, sources come at their interval."""
        half = CallEncoder(self._outgoing.settings, self._engine, self._basis, policy or EveryN(_FREQ))
        half.analyse = self._outgoing.analyse  # type: ignore[method-assign]
        half.accept_base(True)
        return half

    def incoming(self) -> CallDecoder:
        """A receiver's half for another call."""
        return CallDecoder(self._drawing, self._basis, Bicubic(), self.hello.fps, base=True)


async def relayed(bench: Bench, row: Row) -> dict[str, Any]:
    """Makes a call over the relay; its row of the report."""
    before, why, began = Process.now(), "", time.monotonic()
    outgoing, incoming, log = bench.outgoing(), bench.incoming(), Log()
    a, b, pump, ended = Peer(), Peer(), Pump(outgoing, bench.frames(row.seconds), None), asyncio.Event()
    queues: list[float] = []
    async with Relay(seed=bench.seed) as relay:
        tasks: list[asyncio.Future[Any]] = []
        try:
            await relay.connect(a, b)
            relay.change(row.conditions)
            playing = asyncio.ensure_future(pump.run())
            playing.add_done_callback(lambda _: ended.set())
            tasks = [playing, asyncio.ensure_future(receive(incoming, outgoing, log))]
            there = asyncio.ensure_future(run_call(a, outgoing, ended))
            tasks += [there, asyncio.ensure_future(run_call(b, incoming, asyncio.Event()))]
            async with asyncio.timeout(_OPEN_SECONDS):
                while not log.shown and not there.done():
                    await asyncio.sleep(0.01)
            began = time.monotonic()
            tasks.append(asyncio.ensure_future(_watch_queue(relay, queues)))
            if row.script is not None:
                tasks.append(asyncio.ensure_future(row.script(relay)))
            await asyncio.wait({playing, there}, return_when=asyncio.FIRST_COMPLETED)
            over = time.monotonic()
            await there
            playing.result()
        except TimeoutError:
            why, over = f"no picture within {_OPEN_SECONDS:g} s", time.monotonic()
        except (LinkClosed, TooManyErrors) as error:
            why, over = str(error), time.monotonic()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            wire = a.wire()
            await asyncio.gather(a.close(), b.close())
    gc.collect()
    shown = [at for at, _, _ in log.shown]
    return outcome(
        row.name, shown, began, over, bench.hello.fps, (wire.sent.size, wire.received.size),
        (before, Process.now()), why,
    ) | {
        "sources_sent": outgoing.counts.sources_sent, "sources_held": outgoing.counts.sources_held,
        "longest_queue_s": round(max(queues, default=0.0), 2),
        "queue_over_half_a_second_s": round(sum(each > 0.5 for each in queues) * _QUEUE_SECONDS, 1),
        "drawn_from_a_source_not_held": log.without_source, "malformed": outgoing.counts.malformed
        + incoming.counts.malformed, **base_figures(incoming),
    }  # fmt: skip


async def _watch_queue(relay: Relay, queues: list[float]) -> None:
    """Notes how long a packet away from the sender would wait; runs until cancelled."""
    while True:
        queues.append(relay.there.queueing)
        await asyncio.sleep(_QUEUE_SECONDS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises SourceError, EngineError, SignallingError and OSError."""
    wanted = [row for row in rows(args.quick) if args.only in row.name]
    dying = [row for row in deaths(args.quick) if args.only in row.name]
    if not wanted and not dying:
        raise ValueError(f"--only {args.only!r} is in the name of no row")
    progress = Progress(LOOKED_AHEAD + sum(row.seconds for row in wanted) + sum(row.seconds for row in dying))
    bench = Bench(args, progress)
    results: list[dict[str, Any]] = []
    for row in wanted:
        results.append(_with_progress(progress, row.name, row.seconds, relayed(bench, row)))
    with tempfile.TemporaryDirectory() as folder:
        for number, each in enumerate(dying):
            place = Path(folder) / str(number)
            place.mkdir()
            call = Deaths(each, bench.settings, bench.hello, place, partial(bench.outgoing, First()), bench.frames)
            results.append(_with_progress(progress, each.name, each.seconds, call.run()))
    progress.close("")
    return {
        "settings": {
            "source": args.source if args.source == "sample" else Path(args.source).name, "profile": args.profile,
            "engine": args.engine, "quick": args.quick, "seed": args.seed, "freq": _FREQ,
            "machine": platform.machine(),
        },
        "rows": results,
    }  # fmt: skip


def _with_progress(progress: Progress, name: str, seconds: float, work: Any) -> dict[str, Any]:
    async def watched() -> dict[str, Any]:
        progress.begin(name, seconds)
        task = asyncio.ensure_future(work)
        while not (await asyncio.wait({task}, timeout=0.5))[0]:
            progress.advance(0.5 / seconds)
        result: dict[str, Any] = task.result()
        return result

    return asyncio.run(watched())


def table(report: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'':34}{'survived':>9}{'in time':>9}{'freeze':>8}{'out':>9}{'back':>9}{'memory':>9}{'with base':>11}"]
    for row in report["rows"]:
        based = f"{row['with_base']:.0%}" if "with_base" in row else "-"
        memory = "-" if row["memory_mb"] is None else f"{row['memory_mb']:.0f} MB"
        lines.append(
            f"{row['name']:34}{'yes' if row['survived'] else 'NO':>9}{row['shown_on_time']:9.0%}"
            f"{row['longest_freeze_s']:6.1f} s{row['bytes_out'] / 1000:6.1f} kB{row['bytes_back'] / 1000:6.1f} kB"
            f"{memory:>9}{based:>11}"
        )
        if not row["survived"]:
            lines.append(f"    {row['ended']}")
    return "\n".join(lines)


@command("endurance", EngineError, LinkClosed, SignallingError, SourceError, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the figures and writes them where that was asked for."""
    args = parse(arguments)
    report = run(args)
    print(table(report))
    if args.json is not None:
        write_report(args.json, report)


if __name__ == "__main__":
    sys.exit(main())
