"""Where drawn pictures go: a recording that keeps the sender's timeline, and a window."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from receiver.display import MARK, Window
from receiver.record import Recorder
from shared.models.engine import Picture

_LONGEST_GAP_SECONDS = 10.0
"""A longer hole in the frame numbers is recorded as this much of a still picture."""


class Sinks:
    """A recording and a window, both optional."""

    def __init__(self, out: Path | None, window: bool, fps: float, size: int, kind: str = "camera") -> None:
        """Opens what was asked for; `kind` of the sender's source. Raises RecordError or DisplayError."""
        self._recorder = Recorder(out, fps, size) if out is not None else None
        self._window = Window(MARK if kind == "camera" else f"{MARK} from a {kind}, not a camera") if window else None
        self._writer = ThreadPoolExecutor(1, "recording")
        self._longest_gap = round(_LONGEST_GAP_SECONDS * fps)
        self._last: Picture | None = None
        self._last_number = -1
        self.recorded = 0
        """Frames in the recording, repeated ones included."""

    @staticmethod
    def check(out: Path | None, window: bool) -> None:
        """Raises RecordError or DisplayError for what could not be opened later, before anybody calls."""
        if out is not None:
            Recorder(out, 25, 256)
        if window:
            Window()

    async def show(self, number: int, picture: Picture | None, status: str) -> bool:
        """Shows frame `number`; no picture means: hold the last one. False once the user closed the window."""
        if picture is not None:
            self._last = picture
        if self._last is None:
            return True
        if self._recorder is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._record, number, self._last)
        return self._window.show(self._last, status) if self._window is not None else True

    def idle(self, status: str) -> bool:
        """Keeps the window alive while there is nothing new."""
        if self._window is None or self._last is None:
            return True
        return self._window.show(self._last, status)

    async def close(self) -> None:
        """Ends the recording properly."""
        if self._recorder is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._recorder.close)
        if self._window is not None:
            self._window.close()
        self._writer.shutdown()

    def _record(self, number: int, picture: Picture) -> None:
        """Frames that were not shown repeat the one before, so that the recording lasts as long as the call."""
        assert self._recorder is not None
        repeats = min(max(number - self._last_number, 1), self._longest_gap)
        self._last_number = number
        for _ in range(repeats):
            self._recorder.write(picture)
            self.recorded += 1
