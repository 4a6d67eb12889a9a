"""The report: what a call cost and gave, whole and steady (from the first source held); and its status line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from shared.files import write_whole
from shared.transport.link import Channel, PayloadBytes, Traffic, WireBytes

_REWRITE_SECONDS = 0.5
_LINE_SECONDS = 10.0


@dataclass(frozen=True)
class Snapshot:
    """Counters of a running call."""

    time: float
    frames: int
    sources: int
    wire: WireBytes
    payload: PayloadBytes
    delays: int
    """How many delays had been measured."""
    first_frame: float | None
    """Time of the first frame sent or shown; None before it."""
    last_frame: float | None
    """Time of the last one."""


def figures(
    start: Snapshot, end: Snapshot, frames_name: str, outgoing: bool, delays_ms: Sequence[float]
) -> dict[str, Any]:
    """The figures between two snapshots. `payload_bytes` counts what travels from sender to receiver."""
    seconds = max(end.time - start.time, 1e-9)
    before = start.payload.sent if outgoing else start.payload.received
    after = end.payload.sent if outgoing else end.payload.received
    by_channel = {str(c): after[c].size - before[c].size for c in Channel}
    payload = sum(by_channel.values())
    out, into = _between(start.wire.sent, end.wire.sent), _between(start.wire.received, end.wire.received)
    frames = end.frames - start.frames
    return {
        frames_name: frames,
        "duration_s": round(seconds, 3),
        "fps": round(_rate(start, end), 2),
        "payload_bytes": payload,
        "payload_bytes_by_channel": by_channel,
        "wire_bytes_out": out.size,
        "wire_bytes_in": into.size,
        "wire_bytes_out_by_kind": {str(kind): size for kind, size in out.kinds.items()},
        "wire_bytes_in_by_kind": {str(kind): size for kind, size in into.kinds.items()},
        "payload_kbps": round(payload * 8 / seconds / 1000, 2),
        "wire_kbps_out": round(out.size * 8 / seconds / 1000, 2),
        "wire_kbps_in": round(into.size * 8 / seconds / 1000, 2),
        "sources_sent": end.sources - start.sources,
        "delay_ms": percentiles(delays_ms[start.delays : end.delays]),
    }


def _between(start: Traffic, end: Traffic) -> Traffic:
    return Traffic(end.packets - start.packets, {kind: size - start.kinds[kind] for kind, size in end.kinds.items()})


def _rate(start: Snapshot, end: Snapshot) -> float:
    """Frames a second while frames went: from the last one before `start`, or else the first, to the last."""
    begin, frames = (start.last_frame, end.frames - start.frames) if start.frames else (end.first_frame, end.frames - 1)
    if begin is None or end.last_frame is None or frames < 1:
        return 0.0
    return frames / max(end.last_frame - begin, 1e-9)


class Meter:
    """Measures one side of a call from its start, and from the moment it is steady."""

    def __init__(
        self, now: Callable[[], Snapshot], delays_ms: Callable[[], Sequence[float]], frames_name: str, outgoing: bool
    ) -> None:
        """`now` gives the counters of the moment, `delays_ms` the delays so far; for the rest see `figures`."""
        self._now, self._delays_ms = now, delays_ms
        self._frames_name, self._outgoing = frames_name, outgoing
        self._start = now()
        self._steady: Snapshot | None = None

    def look(self, steady: bool) -> dict[str, Any]:
        """The figures up to now, without delays: of the steady part, once `steady` was said for the first time."""
        now = self._now()
        if self._steady is None and steady:
            self._steady = now
        return figures(self._steady or self._start, now, self._frames_name, self._outgoing, [])

    def report(self) -> dict[str, Any]:
        """Whole and steady figures."""
        end, delays = self._now(), self._delays_ms()
        whole = figures(self._start, end, self._frames_name, self._outgoing, delays)
        return whole | {"steady": figures(self._steady or end, end, self._frames_name, self._outgoing, delays)}


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50 and p95, None if nothing was measured."""
    if not len(values):
        return {"p50": None, "p95": None}
    return {"p50": round(float(np.percentile(values, 50)), 1), "p95": round(float(np.percentile(values, 95)), 1)}


def report_path(text: str) -> Path:
    """A path to write a report to, for argument parsers. Raises ArgumentTypeError if its folder is not there."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written: name a file in a folder that exists")
    return path


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Writes a report as JSON; a report being written never replaces a good one. Raises PlaceError."""
    write_whole(path, (json.dumps(report, indent=2) + "\n").encode())


class StatusLine:
    """Prints status texts at a bearable rate."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Without a stream: the standard error of this moment."""
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._next = 0.0
        self._width = 0

    def show(self, text: str, now: float) -> None:
        """Shows a text if it is time for one."""
        if now < self._next:
            return
        self._next = now + (_REWRITE_SECONDS if self._terminal else _LINE_SECONDS)
        if self._terminal:
            print(f"\r{text:<{self._width}}", end="", file=self._stream, flush=True)
            self._width = len(text)
        else:
            print(text, file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """Prints a line of its own at once."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=self._stream)
            self._width = 0
        print(text, file=self._stream, flush=True)
