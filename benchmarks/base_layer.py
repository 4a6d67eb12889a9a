"""python -m benchmarks.base_layer: which base layer is worth its bytes, and what is made of it. See --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.command import command
from benchmarks.face_figures import boxes, pump_ratio, sharpness
from benchmarks.loopback import Loopback, Unpaced
from benchmarks.metrics import Picture, luma, ms_ssim, psnr
from benchmarks.quality import find_clips, policy, read_points, true_points
from benchmarks.sheet import strip, write_sheet
from receiver.playout import DueFrame
from receiver.synthesis import Mixed
from receiver.upscale import DEFAULT_UPSCALER, load_upscaler
from sender.capture import SourceError, open_source
from sender.encoder import EncoderSettings
from shared.call.report import write_report
from shared.codec.base_section import BasePacket, pack_base
from shared.codec.base_video import MAX_CRF, SIZES, BaseDecoder, BaseEncoder
from shared.models.base_fusion import BasePicture, LaterPicture, exchange
from shared.models.engine import NATIVE_SIZE, Engine, EngineError
from shared.models.registry import load_basis, load_engine
from shared.motion import Motion

ABOUT = """\
Draws clips as a call does (sources by a policy, motion through its codec) without a base layer, and then with layers of
several sizes, quantisers and rates: the base alone, enlarged; the plain exchange of low frequencies; and as the engine
fuses it. Means over the frames of a clip, its first left out, then over clips.

kbps        payload of the base's sections in bundles of five frames, without its first picture, the key
key_bytes   of that
psnr        of the luma; ms_ssim too
sharp       Laplacian energy in the face over the true one
points_px   distance of what the motion network reads off the picture from the landmarks, at 256 px
pump        change from frame to frame over the true one, where a new base picture comes, over the same between
"""
EXAMPLES = """\
example:
  python -m benchmarks.base_layer --clips CLIPS --points 128:63:2 128:63:4 256:66:2 --json base.json --sheet base.png
"""
WAYS = ("alone", "exchange", "fused")
_BUNDLE = 5


class Point(NamedTuple):
    """One base layer."""

    size: int
    crf: int
    step: int
    """Camera frames from one base picture to the next"""
    preset: int = 7

    @staticmethod
    def parse(text: str) -> Point:
        """SIZE:CRF:STEP[:PRESET]. Raises ArgumentTypeError."""
        try:
            point = Point(*map(int, text.split(":")))
        except (TypeError, ValueError):
            raise argparse.ArgumentTypeError(f"{text!r} is not SIZE:CRF:STEP[:PRESET], as in 128:63:2") from None
        if point.size not in SIZES or not 1 <= point.crf <= MAX_CRF or not 1 <= point.step <= 12:
            raise argparse.ArgumentTypeError(f"{text!r}: sizes are {SIZES}, crf 1 to {MAX_CRF}, steps 1 to 12")
        return point

    def __str__(self) -> str:
        return ":".join(map(str, self))


@dataclass(frozen=True, eq=False)
class Film:
    """A clip, what is needed to draw it, and what is drawn without a base."""

    name: str
    fps: float
    truth: list[Picture]
    drawn: list[Picture]
    given: list[tuple[list[tuple[Any, float]], Motion | None]]
    """Of each frame: prepared sources with their weights, and the motion as it came"""


class Recording(Loopback):
    """A loopback that keeps what each frame was drawn from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.given: list[tuple[list[tuple[Any, float]], Motion | None]] = []

    def _given_out(self, frame: DueFrame | None, mixed: Mixed) -> None:
        known = [(source.features, weight) for source, weight in mixed.sources]
        self.given.append((known, None if frame is None else frame.motion))


def play(path: Path, args: argparse.Namespace, engine: Engine) -> Film:
    """Draws a clip without a base. Raises SourceError, ValueError."""
    with open_source(str(path)) as capture:
        settings = EncoderSettings(capture.fps, _BUNDLE, framing="none")
        upscaler = load_upscaler(DEFAULT_UPSCALER, None, "cpu")
        call = Recording(settings, args.policy, engine, load_basis("compact"), upscaler, Unpaced())
        pairs = []
        for pair in call.play(capture):
            pairs.append(pair)
            if args.frames and len(pairs) >= args.frames:
                break
        fps = capture.fps
    truth, drawn = [a for a, _ in pairs], [b for _, b in pairs]
    return Film(path.stem, fps, truth, drawn, call.given[: len(pairs)])


def coded(film: Film, point: Point) -> tuple[list[BasePicture | None], int, int]:
    """The base picture of each frame, bytes of its sections, and of its key."""
    encoder, decoder = BaseEncoder(point.size, point.crf, point.preset), BaseDecoder(point.size)
    size, waiting, references, key_bytes = 0, list[BasePacket](), 0, 0
    newest: tuple[int, Picture] | None = None
    shown: list[tuple[int, Picture] | None] = []
    for number, picture in enumerate(film.truth):
        if number % point.step == 0:
            small = cv2.resize(picture, (point.size, point.size), interpolation=cv2.INTER_AREA)
            packet = encoder.encode(np.asarray(small, np.uint8))
            if packet is not None:
                newest = number, decoder.decode_key(packet.data) if packet.key else decoder.decode(packet.data)
                if packet.key:
                    key_bytes += len(packet.data)
                else:
                    frame = number % _BUNDLE
                    waiting.append(BasePacket(0, references % 128, packet.droppable, frame, packet.data))
                    references += not packet.droppable
        if number % _BUNDLE == _BUNDLE - 1 and waiting:
            size, waiting = size + len(pack_base(waiting)) + 2, []
        shown.append(newest)
    return [_base(film, point, shown, number) for number in range(len(shown))], size, key_bytes


def _base(film: Film, point: Point, shown: Sequence[tuple[int, Picture] | None], number: int) -> BasePicture | None:
    """What a receiver has for a frame: the newest base picture, and the next if it comes in the same bundle."""
    newest = shown[number]
    motion = None if newest is None else film.given[newest[0]][1]
    if newest is None or motion is None:
        return None
    after = None
    last = min(number // _BUNDLE * _BUNDLE + _BUNDLE, len(shown))
    coming = next((each for each in shown[number + 1 : last] if each is not None and each[0] > number), None)
    then = None if coming is None else film.given[coming[0]][1]
    if number > newest[0] and coming is not None and then is not None:
        after = LaterPicture(coming[1], then, (coming[0] - number) / film.fps)
    return BasePicture(newest[1], motion, (number - newest[0]) / film.fps, point.crf, after)


def drawn_with(film: Film, bases: Sequence[BasePicture | None], way: str, engine: Engine) -> list[Picture]:
    """What is shown of a film in one of WAYS."""
    out: list[Picture] = []
    for without, (sources, motion), base in zip(film.drawn, film.given, bases, strict=True):
        if base is None or motion is None or not sources:
            out.append(without)
        elif way == "alone":
            out.append(np.asarray(cv2.resize(base.picture, without.shape[:2], interpolation=cv2.INTER_CUBIC), np.uint8))
        elif way == "exchange":
            out.append(exchange(without, base))
        else:
            out.append(engine.draw(sources, motion, base))
    return out


def figures(film: Film, drawn: Sequence[Picture], points: Sequence[Any], engine: Engine, step: int) -> dict[str, float]:
    """Of one clip."""
    truth, shown = [luma(p) for p in film.truth], [luma(p) for p in drawn]
    faces = [boxes(p, len(t)).face for p, t in zip(points, truth, strict=True)]
    after, looked = range(1, len(truth)), range(1, len(truth), 5)
    apart = [np.linalg.norm(read_points(engine, drawn[n]) - points[n], axis=-1).mean() * 128 for n in looked]
    return {
        "psnr": float(np.mean([psnr(truth[n], shown[n]) for n in after])),
        "ms_ssim": float(np.mean([ms_ssim(truth[n], shown[n]) for n in after])),
        "sharp": float(
            np.mean([sharpness(shown[n], faces[n]) / max(sharpness(truth[n], faces[n]), 1e-3) for n in after])
        ),
        "points_px": float(np.mean(apart)),
        "pump": pump_ratio(truth, shown, [n % step == 0 for n in range(len(truth))]),
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.base_layer", description=ABOUT, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--clips", type=Path, required=True, metavar="FOLDER", help="square clips as .mp4, 256 px")
    parser.add_argument("--points", type=Point.parse, nargs="+", default=[Point(128, 63, 2)],
                        metavar="SIZE:CRF:STEP", help="base layers (default: 128:63:2)")  # fmt: skip
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--policy", type=policy, default="quality", metavar="first|quality|freq:N|pose:DEG")
    parser.add_argument("--generator", default="auto", metavar="NAME|FILE", help="as the receiver has it")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="a row per clip and point, at its worst frame")
    return parser.parse_args(arguments)


@command("base_layer", EngineError, SourceError, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, writes what was asked for and prints the means."""
    args = parse(arguments)
    engine = load_engine("compact", "cpu", generator=args.generator)
    rows: dict[str, list[dict[str, float]]] = {}
    sheet: list[Picture] = []
    for path in find_clips(args.clips, NATIVE_SIZE, args.limit):
        film = play(path, args, engine)
        points = true_points(path, film.truth, engine)
        rows.setdefault("motion only", []).append(
            figures(film, film.drawn, points, engine, 2) | {"kbps": 0.0, "key_bytes": 0}
        )
        for point in args.points:
            bases, size, key_bytes = coded(film, point)
            shown = {way: drawn_with(film, bases, way, engine) for way in args.ways}
            for way, pictures in shown.items():
                found = figures(film, pictures, points, engine, point.step)
                kbps = size * 8 * film.fps / len(film.truth) / 1000
                rows.setdefault(f"{point} {way}", []).append(found | {"kbps": kbps, "key_bytes": key_bytes})
            sheet.append(_row(film, shown, point))
        print(f"{film.name}: {_line(*list(rows.items())[-1])}", file=sys.stderr, flush=True)
    for name, clips in rows.items():
        print(_line(name, clips))
    if args.json is not None:
        write_report(args.json, {"rows": {name: _mean(clips) for name, clips in rows.items()}, "clips": rows})
    if args.sheet is not None:
        write_sheet(args.sheet, sheet)


def _mean(clips: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([clip[key] for clip in clips])), 4) for key in clips[0]}


def _line(name: str, clips: Sequence[dict[str, float]]) -> str:
    m = _mean(clips)
    return (
        f"{name:22s} {m['kbps']:5.2f} kbit/s  {m['psnr']:6.2f} dB  {m['ms_ssim']:.4f}  sharp {m['sharp']:.2f}  "
        f"points {m['points_px']:.2f} px  pump {m['pump']:.2f}"
    )


def _row(film: Film, shown: dict[str, list[Picture]], point: Point) -> Picture:
    worst = int(np.argmin([psnr(luma(a), luma(b)) for a, b in zip(film.truth, film.drawn, strict=True)]))
    cells = [("true", film.truth[worst]), ("motion only", film.drawn[worst])]
    return strip(f"{film.name} {point}, frame {worst}", cells + [(way, each[worst]) for way, each in shown.items()])


if __name__ == "__main__":
    sys.exit(main())
