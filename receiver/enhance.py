"""`--enhance facenhance`: the picture shown is FacEnhance's, from the base layer and the newest source.

The base layer is the low-resolution video, the newest source that a frame has is the identity picture. A new picture is
drawn for every new base picture. Where a frame has no base, the engine's own picture, shrunk, takes its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.codec.av1 import RgbImage
from shared.models.engine import EngineError, Picture
from shared.models.facenhance.enhancer import USUAL_STEPS, Enhancer, read_network
from shared.models.facenhance.network import LOW_SIDE
from shared.models.registry import locate

ENHANCERS = ("facenhance",)
LIVE_SECONDS = 0.08
"""Between two pictures of a base layer: what a picture may take in a call."""
_TRIALS = 3


@dataclass(frozen=True)
class EnhanceSettings:
    """What is asked for."""

    weights: Path | None = None
    """None: the embedded ones."""
    steps: int = USUAL_STEPS
    sampler: str = "auto"


class Enhancement:
    """Of one call. Threads may draw; frames of a call then come in turn."""

    def __init__(self, enhancer: Enhancer, side: int) -> None:
        """Pictures of `side` px."""
        self._enhancer, self._side, self._lock = enhancer, side, threading.Lock()
        self._base: RgbImage | None = None
        self._picture: Picture | None = None
        self._anew = False

    def begin_anew(self) -> None:
        """The sender was started again: the next picture is the first of a video."""
        self._anew = True  # for who draws next: the lock may be held for long

    def draw(self, base: RgbImage | None, identity: Picture, engine: Callable[[], Picture]) -> Picture:
        """(side, side, 3) of a frame's base picture and newest source. `engine` draws where there is no base. Slow."""
        low = engine() if base is None else base
        with self._lock:
            if self._anew:
                self._anew, self._picture = False, None
                self._enhancer.begin_anew()
            if base is None or base is not self._base or self._picture is None:
                self._base, self._picture = base, self._enhancer.enhance(low, identity, self._side)
            return self._picture


def load_enhancement(settings: EnhanceSettings, device: str, live: bool) -> Callable[[int], Enhancement]:
    """What makes one for each call, of pictures of so many px. Raises EngineError.

    `live`: whether it has to keep up with a call, which is tried first.
    """
    network, previous_noise = read_network(settings.weights or locate("facenhance"))

    def fresh() -> Enhancer:
        return Enhancer(network, previous_noise, device, settings.steps, settings.sampler)

    if live:
        took = _seconds(fresh())
        if took > LIVE_SECONDS:
            raise EngineError(
                f"--enhance facenhance takes {took:.2f} s for a picture on this machine, and a call has "
                f"{LIVE_SECONDS:g} s: use a GPU (--device cuda), fewer --enhance-steps, a smaller network, or record "
                "the call (--record call.pinhole) and enhance it afterwards (--play call.pinhole --enhance facenhance)"
            )
    return lambda side: Enhancement(fresh(), side)


def _seconds(enhancer: Enhancer) -> float:
    """For a picture, the shortest of some, after one that warms up."""
    low, identity = np.zeros((LOW_SIDE, LOW_SIDE, 3), np.uint8), np.zeros((enhancer.size, enhancer.size, 3), np.uint8)
    times = []
    for _ in range(_TRIALS + 1):
        began = time.perf_counter()
        enhancer.enhance(low, identity, enhancer.size)
        times.append(time.perf_counter() - began)
    return min(times[1:])
