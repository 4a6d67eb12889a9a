"""The conditions that `benchmarks.endurance` puts a call under, and what it notes of each."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.line import Bursts, Conditions
from benchmarks.relay import Relay

Script = Callable[[Relay], Awaitable[None]]
_STATM = Path("/proc/self/statm")
_HANDLES = Path("/proc/self/fd")
_QUIET_END = 5.0
"""Seconds before the end of a call in which frames must have been shown, or it has not survived."""


@dataclass(frozen=True)
class Row:
    """A call over the relay, under conditions that hold once it is connected."""

    name: str
    seconds: float
    conditions: Conditions = field(default_factory=lambda: Conditions(delay=0.05))
    script: Script | None = None
    """What happens to the link meanwhile."""


def rows(quick: bool) -> list[Row]:
    """All calls over the relay; with `quick` only the long ones are shorter."""
    link = Conditions(delay=0.05)
    listed = [
        Row("30 % random loss", 20.0, replace(link, loss=0.3)),
        Row("bursts of 2 s", 25.0, replace(link, bursts=Bursts(6.0, 2.0, steady=True))),
        *(Row(f"a stall of {s:g} s", 15.0 + s, link, _stall(5.0, s)) for s in (2.0, 5.0, 20.0)),
        Row("16 kbit/s", 25.0, Conditions(16_000, 0.1)),
        Row("8 kbit/s", 25.0, Conditions(8_000, 0.1)),
        Row("64 to 8 kbit/s and back", 50.0, Conditions(64_000, 0.1), _fall(12.0, 20.0)),
        Row("duplication and heavy reordering", 20.0, replace(link, duplicate=0.3, reorder=0.4, held_up=0.3)),
        Row("600 ms round trip", 45.0 if quick else 120.0, Conditions(delay=0.3)),
    ]
    return listed if quick else [*listed, Row("10 minutes", 600.0, link)]


def _stall(at: float, seconds: float) -> Script:
    async def script(relay: Relay) -> None:
        await asyncio.sleep(at)
        relay.stall(seconds)

    return script


def _fall(at: float, seconds: float) -> Script:
    async def script(relay: Relay) -> None:
        usual = relay.there.conditions
        await asyncio.sleep(at)
        relay.change(replace(usual, rate=8_000))
        await asyncio.sleep(seconds)
        relay.change(usual)

    return script


@dataclass(frozen=True)
class Process:
    """What this process holds; None where the system does not say."""

    memory: int | None
    """Bytes of it in the machine's memory."""
    handles: int | None
    """Open files and sockets."""

    @staticmethod
    def now() -> Process:
        """At this moment."""
        if not _STATM.exists():
            return Process(None, None)
        return Process(
            int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"), sum(1 for _ in _HANDLES.iterdir())
        )


def outcome(
    name: str, shown: Sequence[float], began: float, ended: float, fps: float, wire: tuple[int, int],
    process: tuple[Process, Process], why: str,
) -> dict[str, Any]:  # fmt: skip
    """A row of the report. `shown`: when frames were, in order; the call was steady from `began` to `ended`."""
    times = [began, *(at for at in shown if began <= at <= ended), ended]
    freeze = max(b - a for a, b in itertools.pairwise(times))
    before, after = process
    return {
        "name": name,
        "survived": why == "" and len(times) > 2 and ended - times[-2] < _QUIET_END,
        "ended": why or "as it should",
        "seconds": round(ended - began, 1),
        "shown_on_time": round(min(1.0, (len(times) - 2) / (fps * (ended - began))), 3),
        "longest_freeze_s": round(freeze, 2),
        "bytes_out": wire[0],
        "bytes_back": wire[1],
        "memory_mb": None if after.memory is None else round(after.memory / 1e6, 1),
        "memory_grown_mb": None if after.memory is None or before.memory is None
        else round((after.memory - before.memory) / 1e6, 1),
        "handles": [before.handles, after.handles],
    }  # fmt: skip
