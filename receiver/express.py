"""python -m receiver.express: one photograph, performing an expression. See --help."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from receiver.output.recorder import RecordError
from receiver.performance import FPS, Person, Wish, film, sheet
from sender.crop import Crop, crop_around, cut
from sender.detect import find_heads
from sender.hints import SECOND_HEAD
from shared.call.exit_status import FAILED, OUT_OF_MEMORY, WELL, sentence
from shared.call.options import check_endings, check_free
from shared.files import FILM, PlaceError
from shared.models.engine import SIZES, EngineError, Picture
from shared.models.expression_network import STEPS
from shared.models.expressions import FRAMES_AT_MOST, INTENSITY_AT_MOST, ExpressionPerformer
from shared.models.registry import load_engine
from shared.reactions import LABELS
from shared.signals import ended_by_signals

ALL = "all"
SHEET = (".png",)
ABOUT = f"""\
Draws the person of one photograph performing an expression, from the face as it is to the expression's apex:
{", ".join(LABELS)}.

What comes out is synthetic: it was never filmed. Every picture says so, and so does the file. Use photographs of people
who agree to it.
"""
EXAMPLES = """\
examples:
  python -m receiver.express me.jpg --label surprise --out surprise.mp4
  python -m receiver.express me.jpg --label all --return --out six.mp4     all six, one after the other, and back
  python -m receiver.express me.jpg --label all --sheet six.png            only to look: eight moments of each
  python -m receiver.express me.jpg --label fear --intensity 0.6 --seed 3 --out mild.mp4

A face that shows something already performs from where it is. A neutral one, looking into the camera with its mouth
shut, gives the best pictures; teeth and wrinkles that the photograph does not show are made up.
"""


class PhotographError(Exception):
    """A photograph that cannot be used. The text says why, and what to do."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; `labels` is what is performed. Ends the program where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m receiver.express", description=f"{ABOUT}\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("photograph", type=Path, help="a JPEG, PNG or WebP with one face")
    parser.add_argument("--label", choices=(*LABELS, ALL), required=True, help="what to perform; all: one by one")
    parser.add_argument("--out", type=Path, metavar="FILE.mp4", help="the film")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="a picture with moments of it, a row a label")
    parser.add_argument("--intensity", type=float, default=1.0, metavar="X",
                        help=f"0 to {INTENSITY_AT_MOST:g} times the usual change (default: 1)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, another performance")
    parser.add_argument("--return", dest="returns", action="store_true", help="and back to the face as it was")
    parser.add_argument("--frames", type=int, metavar="N", help=f"of each performance, {FPS:g} a second "
                        f"(default: {STEPS}, or {2 * STEPS} with --return)")  # fmt: skip
    parser.add_argument("--size", type=int, choices=SIZES, default=SIZES[0], help="side in px (default: 256)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    args = parser.parse_args(arguments)
    if args.out is None and args.sheet is None:
        parser.error("nothing is to be made: add --out FILE.mp4, --sheet FILE.png or both")
    args.frames = args.frames or STEPS * (1 + args.returns)
    if not 2 <= args.frames <= FRAMES_AT_MOST:
        parser.error(f"--frames is 2 to {FRAMES_AT_MOST}")
    if not 0 <= args.intensity <= INTENSITY_AT_MOST:
        parser.error(f"--intensity is 0 to {INTENSITY_AT_MOST:g}")
    try:
        check_endings(out=(args.out, FILM), sheet=(args.sheet, SHEET))
        check_free(args)
    except (ValueError, PlaceError) as error:
        parser.error(str(error))
    args.labels = LABELS if args.label == ALL else (args.label,)
    return args


def read_photograph(path: Path) -> Picture:
    """(H, W, 3) RGB, upright as its EXIF says. Raises PhotographError."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise PhotographError(f"'{path}' cannot be read ({error.strerror}): give the file of a photograph") from error
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error:
        bgr = None
    if bgr is None:
        raise PhotographError(f"'{path}' is no picture that can be read: save it as JPEG or PNG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def framed(rgb: Picture, name: str) -> Crop:
    """The square around the only face, as a call frames it. Raises PhotographError for none and for several."""
    heads = find_heads(rgb)
    if not heads:
        raise PhotographError(
            f"no face was found in '{name}': it must be lit, look about into the camera and not be small"
        )
    if len(heads) > 1 and heads[1].side > SECOND_HEAD[0] * heads[0].side:
        raise PhotographError(f"'{name}' shows {len(heads)} faces: cut the picture so that one is left")
    return crop_around(heads[0], rgb.shape[1], rgb.shape[0])


@ended_by_signals("receiver.express")
def main(arguments: list[str] | None = None) -> int:
    """0, 1 with a sentence on stderr, or 130 when interrupted."""
    args = parse(arguments)
    wish = Wish(args.labels, args.frames, args.intensity, args.seed, args.returns)
    try:
        rgb = read_photograph(args.photograph)
        crop = framed(rgb, args.photograph.name)
        performer = ExpressionPerformer.load()
        engine = load_engine("compact", args.device, size=args.size)
        person = Person.read(engine, cut(rgb, crop, args.size))
        if args.out is not None:
            frames = film(args.out, engine, person, wish, performer)
            print(f"wrote {args.out}: {frames} frames, {frames / FPS:.1f} s", file=sys.stderr)
        if args.sheet is not None:
            sheet(args.sheet, engine, person, wish, performer)
            print(f"wrote {args.sheet}", file=sys.stderr)
    except (PhotographError, EngineError, RecordError, PlaceError, ValueError, *OUT_OF_MEMORY) as error:
        print(f"python -m receiver.express: {sentence(error)}", file=sys.stderr)
        return FAILED
    return WELL


if __name__ == "__main__":
    sys.exit(main())
