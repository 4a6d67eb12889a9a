"""python -m benchmarks.echo: echo cancellation measured in simulated rooms. See --help."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmarks.command import command
from benchmarks.progress import Progress
from benchmarks.room import Room, blocks
from benchmarks.voice import speech
from shared.audio.codec import PACKET_SAMPLES, RATE, Samples
from shared.audio.echo import LAG_SECONDS, EchoCanceller, EchoUnavailable, load
from shared.audio.packetizer import VoiceGate
from shared.call.report import report_path, write_report

ABOUT = """\
A speaker and a microphone in a simulated room, with the clocks of their devices: 10 s of the far end alone, 10 s of the
near one, 10 s of both, 6 s of the far end. What the microphone gives is compared with what echo cancellation leaves.
The voices are synthetic.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.echo --json echo.json        the usual rooms
  python -m benchmarks.echo --delay 120 --told 0    one of your own: 120 ms, of which the device says nothing
"""
FAR_ALONE, NEAR_ALONE, BOTH, FAR_AGAIN = slice(0, 10), slice(10, 20), slice(20, 30), slice(31, 36)
"""In seconds."""
LENGTH = FAR_AGAIN.stop
FIRST, SETTLED = slice(0, 2), slice(4, 10)
"""Of the far end alone: while the filter learns the room, and when it has."""

USUAL = {
    "20 ms": Room(delay=0.02),
    "80 ms": Room(delay=0.08),
    "150 ms": Room(delay=0.15),
    "250 ms": Room(delay=0.25),
    "250 ms, not told": Room(delay=0.25, told=0.0),
    "80 ms, 104 told": Room(delay=0.08, told=1.3),
    "reverberation 0.6 s": Room(reverberation=0.6),
    "overdriven speaker": Room(overdrive=2.0),
    "loud speaker": Room(loss_db=-6.0),
    "noise": Room(noise_db=-45.0),
    "clocks drift 100 ppm": Room(drift=1e-4),
}


@dataclass(frozen=True)
class Figures:
    """Of one room; levels in dB."""

    erle_first: float
    """Echo return loss enhancement, by how much the far end alone is weaker, in the first two seconds of all."""
    erle: float
    """The same from four seconds on, and after both have spoken."""
    erle_again: float
    sent_without: float
    """Share of packets that the gate sends then: so much the other side hears of itself."""
    sent: float
    near_level: float
    """Of near speech alone, against what the microphone gave; gain control makes quiet speech louder."""
    near_likeness: float
    """Correlation of near speech alone with what comes out, 0..1."""
    both_without: float
    """Near speech against all else while both speak."""
    both: float
    both_level: float
    """Of near speech while both speak, against `near_level`."""
    cpu_ms: float
    """Milliseconds of processor time a second of sound."""


@functools.cache
def voices() -> tuple[Samples, Samples]:
    """(far, near): when who speaks; two voices of different pitch and pace."""
    other = speech(1.3 * LENGTH + 2, 2)
    near = np.interp(np.arange(LENGTH * RATE) * 1.27 + 1.5 * RATE, np.arange(len(other)), other).astype(np.float32)
    far = 0.8 * speech(LENGTH, 1)
    far[_samples(NEAR_ALONE)] = 0
    near[_samples(FAR_ALONE)] = 0
    near[BOTH.stop * RATE :] = 0
    return far, near


def cleaned(canceller: EchoCanceller, room: Room, far: Samples, microphone: Samples) -> tuple[Samples, float]:
    """(what is left of the microphone's sound, at the microphone's times; processor time in seconds)."""
    parts, spent = [np.zeros(0, np.float32)], 0.0
    for taken in blocks(room, far, microphone):
        began = time.process_time()
        if taken.played:
            canceller.play(taken.samples, taken.clock)
        else:
            parts += [clean for _, clean in canceller.clean(taken.samples, taken.clock)]
        spent += time.process_time() - began
    clean = np.concatenate(parts)[round(LAG_SECONDS * RATE) :]
    return np.asarray(np.pad(clean, (0, len(microphone) - len(clean))), np.float32), spent


def measure(room: Room, canceller: EchoCanceller | None = None) -> Figures:
    """The figures of a room. Raises EchoUnavailable."""
    far, near = voices()
    microphone = room.microphone(far, near)
    clean, spent = cleaned(canceller or EchoCanceller(load()), room, far, microphone)
    gain, likeness = _kept(near, clean, NEAR_ALONE)
    before, _ = _kept(near, microphone, NEAR_ALONE)
    both, both_likeness = _kept(near, clean, BOTH)
    _, mixed = _kept(near, microphone, BOTH)
    first, settled, again = (_level(microphone, each) - _level(clean, each) for each in (FIRST, SETTLED, FAR_AGAIN))
    return Figures(
        erle_first=first, erle=settled, erle_again=again,
        sent_without=_sent(microphone), sent=_sent(clean),
        near_level=gain - before, near_likeness=likeness,
        both_without=_ratio(mixed), both=_ratio(both_likeness), both_level=both - gain,
        cpu_ms=1000 * spent / (len(microphone) / RATE),
    )  # fmt: skip


def _samples(seconds: slice) -> slice:
    return slice(seconds.start * RATE, seconds.stop * RATE)


def _level(samples: Samples, seconds: slice) -> float:
    return 10 * float(np.log10(np.mean(samples[_samples(seconds)] ** 2) + 1e-12))


def _sent(samples: Samples) -> float:
    gate = VoiceGate()
    count = len(samples) // PACKET_SAMPLES
    opens = [gate.opens(samples[n * PACKET_SAMPLES : (n + 1) * PACKET_SAMPLES]) for n in range(count)]
    packets = [
        slice(seconds.start * count // LENGTH, seconds.stop * count // LENGTH) for seconds in (SETTLED, FAR_AGAIN)
    ]
    return float(np.mean([opened for each in packets for opened in opens[each]]))


def _kept(near: Samples, samples: Samples, seconds: slice) -> tuple[float, float]:
    """(level in dB, correlation 0..1) of near speech in samples, at the lag of up to 2 ms where it is most like them.

    Second by second, because gain control changes the level; the first two are for settling.
    """
    gains, likenesses = [], []
    for second in range(seconds.start + 2, seconds.stop):
        said = near[_samples(slice(second, second + 1))].astype(np.float64)
        if not np.any(np.abs(said) > 0.01):
            continue
        most = RATE // 500
        around = np.pad(samples, most)[second * RATE : (second + 1) * RATE + 2 * most].astype(np.float64)
        products = np.correlate(around, said, "valid")
        best = int(np.argmax(products))
        heard = around[best : best + RATE]
        gains.append(products[best] / (said @ said))
        likenesses.append(products[best] / (np.linalg.norm(said) * np.linalg.norm(heard) + 1e-9))
    return 20 * float(np.log10(np.mean(gains) + 1e-6)), float(np.mean(likenesses))


def _ratio(likeness: float) -> float:
    """Speech against all else in dB, where its correlation with the sum is `likeness`."""
    return 10 * float(np.log10(likeness**2 / max(1e-9, 1 - likeness**2)))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.echo", description=ABOUT, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--delay", type=float, metavar="MS", help="one room instead of the usual ones, with this delay")
    parser.add_argument("--told", type=float, metavar="SHARE", help="of the delay that the device tells (default: 1)")
    parser.add_argument("--reverberation", type=float, metavar="S", help="time to decay by 60 dB (default: 0.3)")
    parser.add_argument("--loss", type=float, metavar="DB", help="from speaker to microphone (default: 6)")
    parser.add_argument("--noise", type=float, metavar="DB", help="of full scale (default: -60)")
    parser.add_argument("--overdrive", type=float, metavar="X", help="of the speaker, 0 is linear (default: 0)")
    parser.add_argument("--drift", type=float, metavar="PPM", help="of the speaker's clock (default: 0)")
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures")
    args = parser.parse_args(arguments)
    for name in ("told", "reverberation", "loss", "noise", "overdrive", "drift"):
        if args.delay is None and getattr(args, name) is not None:
            parser.error(f"--{name} is for one room: give --delay, too")
    return args


def rooms(args: argparse.Namespace) -> dict[str, Room]:
    """Those to measure, by name."""
    if args.delay is None:
        return USUAL
    given: dict[str, Any] = {
        "told": args.told, "reverberation": args.reverberation, "loss_db": args.loss, "noise_db": args.noise,
        "overdrive": args.overdrive, "drift": None if args.drift is None else args.drift / 1e6,
    }  # fmt: skip
    chosen = {name: value for name, value in given.items() if value is not None}
    return {f"{args.delay:g} ms": replace(Room(delay=args.delay / 1000), **chosen)}


@command("echo", EchoUnavailable, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures room by room."""
    args = parse(arguments)
    asked, found = rooms(args), {}
    load()
    progress = Progress(len(asked))
    for name, room in asked.items():
        progress.begin(name, 1)
        found[name] = measure(room)
    progress.close(f"{len(found)} rooms, {LENGTH} s each")
    print(f"{'':26} {'echo weaker by (dB)':^20} {'sent of it':^13} {'near':^11} {'both, dB':^23} {'CPU':>5}")
    print(f"{'':26} {'first':>6} {'then':>6} {'again':>6} {'without':>7} {'with':>5} {'dB':>5} {'like':>5} "
          f"{'without':>8} {'with':>6} {'level':>7} {'ms/s':>5}")  # fmt: skip
    for name, f in found.items():
        print(f"{name:26} {f.erle_first:6.1f} {f.erle:6.1f} {f.erle_again:6.1f} {f.sent_without:7.0%} {f.sent:5.0%} "
              f"{f.near_level:+5.1f} {f.near_likeness:5.2f} {f.both_without:8.1f} {f.both:6.1f} {f.both_level:+7.1f} "
              f"{f.cpu_ms:5.1f}")  # fmt: skip
    if args.json is not None:
        write_report(args.json, {name: {"room": asdict(asked[name])} | asdict(f) for name, f in found.items()})


if __name__ == "__main__":
    sys.exit(main())
