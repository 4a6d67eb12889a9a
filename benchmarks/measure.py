"""Measuring what was shown for a clip, once: figures come from the cache where they are, pictures are made if asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import benchmarks.clip
import benchmarks.metrics
import benchmarks.vmaf
from benchmarks.cache import Cache, Figures, code_digest, digest
from benchmarks.clip import Clip, Scorer
from benchmarks.face_figures import sharpness
from benchmarks.metrics import Picture

Show = Callable[[], tuple[Figures, list[Picture]]]
"""Makes what is shown for a clip: figures of its own, such as bytes, and a picture for every frame."""


class Shown:
    """What was shown for a clip."""

    def __init__(self, key: str, figures: Figures, show: Show, pictures: list[Picture] | None) -> None:
        self.key, self.figures = key, figures
        self._show, self._pictures = show, pictures

    def pictures(self) -> list[Picture]:
        """One for every frame; made again if only the figures were kept."""
        if self._pictures is None:
            self._pictures = self._show()[1]
        return self._pictures


class Measurer:
    """Measures on one clip."""

    def __init__(self, clip: Clip, cache: Cache, vmaf: bool) -> None:
        self.clip, self.cache = clip, cache
        self._scorer: Scorer | None = None
        self._vmaf = vmaf
        modules = code_digest(benchmarks.clip, benchmarks.metrics, benchmarks.vmaf)
        self._code = digest(modules, inspect.getsource(sharpness))

    def __call__(self, identity: object, show: Show) -> Shown:
        """What `show` shows; `identity` names all that it depends on beside the clip."""
        key = digest(self.clip.digest, self._vmaf, self._code, identity)
        figures = self.cache.get(key)
        if figures is not None:
            return Shown(key, figures, show, None)
        own, pictures = show()
        if self._scorer is None:
            self._scorer = Scorer(self.clip, self._vmaf)
        figures = own | self._scorer(pictures)
        self.cache.put(key, figures)
        return Shown(key, figures, show, pictures)
