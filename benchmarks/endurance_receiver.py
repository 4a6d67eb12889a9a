"""The receiver of `benchmarks.endurance`: the real one but for the drawing, and it notes when it showed a frame."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmarks.thin_link import NotDrawing
from receiver.decoder import CallDecoder
from receiver.playout import DueFrame
from receiver.server import Receiver
from receiver.settings import ReceiverContext, ReceiverSettings
from receiver.upscale import Bicubic
from shared.call.report import StatusLine
from shared.models.engine import Picture
from shared.models.registry import ENGINES, load_basis, load_engine
from shared.signals import ended_by_signals, interruptible


class LoggingStudio(ReceiverContext):
    """Has each call's frames written down: the time of the steady clock that all processes share, a line each."""

    log: TextIO

    def half(self, fps: float, *rest: Any) -> CallDecoder:
        """A fresh half for a call at `fps` frames a second."""
        half = super().half(fps, *rest)
        shown, size, log = half.shown, self.engine.size, self.log
        blank: Picture = np.zeros((size, size, 3), np.uint8)

        def note(frame: DueFrame, now: float) -> None:
            print(f"{time.monotonic():.3f}", file=log, flush=True)
            shown(frame, now)

        half.shown = note  # type: ignore[method-assign]
        half.draw = lambda frame, mixed: blank  # type: ignore[method-assign]
        return half


@ended_by_signals("benchmarks.endurance_receiver")
def main() -> None:
    """Takes one call, or goes on with the one in the state file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance_receiver", description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, default="compact")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    settings = ReceiverSettings(
        host="127.0.0.1", port=0, engine=args.engine, state=args.state, report=args.report, audio=False, qr=False
    )
    context = LoggingStudio(NotDrawing(load_engine(args.engine, draws=False)), load_basis(args.engine), Bicubic())
    with args.log.open("a", encoding="ascii") as log:
        object.__setattr__(context, "log", log)  # a context does not change but for this
        asyncio.run(interruptible(Receiver(settings, context, StatusLine()).run()))


if __name__ == "__main__":
    sys.exit(main())
