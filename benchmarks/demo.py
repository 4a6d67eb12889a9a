"""A whole call on this machine: `python -m benchmarks.demo --folder demo`.

Sender and receiver run as two processes, as two people would run them: HTTP signalling, DTLS, data channels. The person
is the one in front of the camera, or, without a camera, a public-domain portrait animated by geometry.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.command import command
from benchmarks.processes import CallFailed, call
from receiver.output.recorder import Recorder, RecordError
from sender.capture import Capture, SourceError, open_source
from sender.encoder import CallEncoder, EncoderSettings
from sender.refresh import First
from shared.call.report import write_report
from shared.media import open_media
from shared.models.engine import EngineError, Picture
from shared.models.registry import load_basis, load_engine

SECONDS = 10.0
_MOMENTS = 6
_LABEL_HEIGHT = 22


def open_person() -> tuple[Capture, str]:
    """The first camera, or else the animated portrait; and which it was, in words."""
    try:
        return open_source("camera:0"), "the camera of this machine"
    except SourceError:
        return open_source("sample"), "a public-domain portrait animated by geometry, as there is no camera"


def write_clip(path: Path, capture: Capture, seconds: float) -> None:
    """Writes the first seconds of a capture to an MP4 file."""
    with capture:
        recorder: Recorder | None = None
        try:
            for _, picture in takewhile(lambda item: item[0] < seconds, capture):
                if recorder is None:
                    height, width = (side // 2 * 2 for side in picture.shape[:2])
                    recorder = Recorder(path, capture.fps, (width, height))
                recorder.write(picture[:height, :width])
        finally:
            if recorder is not None:
                recorder.close()


def frames(path: Path) -> Iterator[Picture]:
    """The pictures of a video file, (H, W, 3) RGB."""
    with open_media(path) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def side_by_side(clip: Path, drawn: Path, path: Path) -> None:
    """Writes a picture: what the camera saw above, what the receiver drew below, at moments all along the call."""
    outputs = list(frames(drawn))
    if not outputs:
        raise CallFailed("the receiver recorded nothing")
    moments = set(np.linspace(0, len(outputs) - 1, _MOMENTS).round().astype(int).tolist())
    settings = EncoderSettings(fps=25)
    half = CallEncoder(settings, load_engine("compact", "cpu", draws=False), load_basis("compact"), First())
    columns = []
    for number, frame in enumerate(frames(clip)):
        analysis = half.analyse(frame)  # every frame: the crop follows the head
        if number in moments:
            seen = np.zeros_like(outputs[number]) if analysis is None else analysis.picture
            columns.append(np.vstack([seen, outputs[number]]))
    sheet = np.hstack(columns)
    size = outputs[0].shape[0]
    rows = [
        _label("camera", sheet.shape[1]),
        sheet[:size],
        _label("receiver (reconstructed)", sheet.shape[1]),
        sheet[size:],
    ]
    if not cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)):
        raise CallFailed(f"'{path}' cannot be written; is the disk full?")


def _label(text: str, width: int) -> Picture:
    bar = np.full((_LABEL_HEIGHT, width, 3), 32, np.uint8)
    cv2.putText(bar, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
    return bar


@command("demo", CallFailed, EngineError, RecordError, SourceError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where to write (default: demo)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"length of the call (default: {SECONDS:g})")
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    clip, drawn = args.folder / "source.mp4", args.folder / "call.mp4"
    capture, person = open_person()
    print(f"the person in this call: {person}", flush=True)
    write_clip(clip, capture, args.seconds)
    both = call(["--source", clip], ["--out", drawn, "--overwrite"], show_sender=True)
    side_by_side(clip, drawn, args.folder / "side_by_side.png")
    write_report(args.folder / "report.json", {"person": person, **both})
    _summary(both["sender"], both["receiver"])
    print("wrote:")
    for name, what in (
        ("call.mp4", "the call as the receiver drew it"), ("side_by_side.png", "camera above, receiver below"),
        ("report.json", "bytes, frames and delay, counted by both sides"), ("source.mp4", "what the camera saw"),
    ):  # fmt: skip
        print(f"  {args.folder / name}: {what}")


def _summary(sender: dict[str, Any], receiver: dict[str, Any]) -> None:
    steady, delay = sender["steady"], receiver["delay_ms"]
    print(f"\n{sender['frames_sent']} frames sent, {receiver['frames_shown']} shown at {receiver['fps']:.1f} fps, "
          f"{sender['sources_sent']} source pictures, "
          f"delay from camera to display {delay['p50']:.0f} ms (p95 {delay['p95']:.0f})")  # fmt: skip
    print(f"since the first source: {steady['payload_kbps']:.1f} kbit/s of payload, on the wire "
          f"{steady['wire_kbps_out']:.1f} kbit/s out and {steady['wire_kbps_in']:.1f} back")  # fmt: skip
    print(f"whole call: {sender['payload_bytes']} bytes of payload, on the wire {sender['wire_bytes_out']} out "
          f"and {sender['wire_bytes_in']} back")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
