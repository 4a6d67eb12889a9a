"""Synthesis in the receiver's half: sources made ready, which of them draw a frame and how much, and the drawing.

No clock and no messages: who has a gallery's epoch and a motion can draw, as benchmarks do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from receiver.reactions import Reacting
from receiver.upscale import Upscaler
from shared.codec import MalformedPicture
from shared.codec.picture import PictureMessage, decode_picture
from shared.gallery import Gallery, Held, Mixture
from shared.models.base_fusion import BasePicture
from shared.models.engine import Engine, Picture
from shared.motion import FloatArray, Motion


@dataclass(frozen=True, eq=False)
class PreparedSource:
    """A source ready to draw from."""

    held: Held
    features: Any
    picture: Picture
    """Decoded and upscaled, as the engine got it."""
    run: int = 0
    """Which run of the sender's program it came from."""
    appearance: FloatArray | None = None
    """Of its face, if somebody looks at that."""


WeightedSources = tuple[tuple[PreparedSource, float], ...]
"""Sources, each with its weight, 0..1; ratios matter."""


@dataclass(frozen=True, eq=False)
class Mixed:
    """What a frame is drawn from; nothing, which is false: the last picture is held."""

    sources: WeightedSources = ()
    base: BasePicture | None = None
    alone: Picture | None = None
    """(size, size, 3) the base layer where nobody is in the picture and the sender goes on showing it."""
    reacting: Reacting | None = None
    """What of a reaction is in it, which says then what is drawn"""

    def __len__(self) -> int:
        """Sources."""
        return len(self.sources)

    def __bool__(self) -> bool:
        return bool(self.sources) or self.alone is not None


class Synthesis:
    """The sources held, and pictures drawn from them."""

    def __init__(
        self, engine: Engine, upscaler: Upscaler, appearances: Callable[[Picture], FloatArray] | None = None
    ) -> None:
        """`appearances` reads the face of each source; without it nobody does."""
        self.gallery, self.mixture = Gallery(), Mixture()
        """What is held, and which of it frames are drawn from and how that fades."""
        self._engine, self._upscaler, self._appearances = engine, upscaler, appearances
        self._prepared: dict[int, PreparedSource] = {}
        self._run = 0
        """How often the sender's program was started again."""

    @property
    def held(self) -> list[PreparedSource]:
        """The sources held, oldest first."""
        return [self._prepared[held.source_id] for held in self.gallery.sources]

    @property
    def ready(self) -> set[int]:
        """Ids of the sources that can be drawn from: those held, and those of epochs that may be under way."""
        return set(self._prepared)

    def prepare(self, message: PictureMessage) -> PreparedSource:
        """Decodes, upscales and encodes a source. Slow. Raises MalformedPicture if it cannot be decoded."""
        run = self._run  # before anything that takes its time: the sender may be replaced meanwhile
        if message.canonical.shape != (self._engine.keypoint_count, 3):
            raise MalformedPicture(f"a source with {len(message.canonical)} keypoints came, this engine has others")
        if message.width != message.height:
            raise MalformedPicture(f"a source of {message.width}x{message.height} came, sources are square")
        picture = decode_picture(message.codec, message.data, message.width, message.height)
        picture = self._upscaler.upscale(picture, self._engine.size)
        features = self._engine.prepare(picture, message.canonical, message.motion)
        held = Held(message.source_id, message.crop, message.canonical, message.motion)
        # of the picture itself: what the message says of it is the sender's word
        appearance = None if self._appearances is None else self._appearances(picture)
        return PreparedSource(held, features, picture, run, appearance)

    def is_current(self, source: PreparedSource) -> bool:
        """Whether it came from the sender's program as it runs now."""
        return source.run == self._run

    def add(self, source: PreparedSource) -> None:
        """Takes a source into the gallery; what no frame can be drawn from any more is forgotten."""
        self._prepared[source.held.source_id] = source
        for source_id in self.gallery.add(source.held):
            self._prepared.pop(source_id, None)

    def begin_anew(self) -> None:
        """The sender was started again and knows of no source: none is held."""
        self._run += 1
        self.gallery.begin_anew()
        self._prepared.clear()
        self.mixture = Mixture(self.mixture.most)

    def mix(self, epoch: int, motion: Motion, number: int) -> WeightedSources:
        """What frame `number` of this motion is drawn from, heaviest first; nothing if nothing is held."""
        shares = self.mixture.step(self.gallery.at(epoch), motion, number)
        # one that fades out may have been dropped meanwhile
        known = [(self._prepared.get(held.source_id), weight) for held, weight in shares]
        return tuple((source, weight) for source, weight in known if source is not None)

    def draw(self, sources: WeightedSources, motion: Motion, base: BasePicture | None = None) -> Picture:
        """(size, size, 3) the person under a motion, from at least one source. Slow."""
        return self._engine.draw([(source.features, weight) for source, weight in sources], motion, base)
